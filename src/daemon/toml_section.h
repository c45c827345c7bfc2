// One table of a TOML file, read key by key: types and units are checked, environment variables put in, and what is
// wrong is said with its place. Values keep their defaults where a key is missing, and after a mistake; the earliest
// mistake in the file is the one that is told.
#pragma once

// Some of its assertions do not hold for texts that it refuses properly a moment later, as "[=": they must neither end
// the process nor, with NDEBUG, be assumed by the compiler.
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expression) static_assert(true)
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "daemon/config.h"

namespace cairn::daemon {

class TomlMistakes {
 public:
  explicit TomlMistakes(std::string file) : file_(std::move(file)) {}

  void add(const toml::source_region& at, const std::string& what);
  const std::optional<Error>& first() const { return first_; }

 private:
  const std::string file_;
  std::optional<Error> first_;
  toml::source_position first_at_;
};

class TomlSection {
 public:
  // `title` is what the file calls it, as "[defaults]". Other keys than `keys` are mistakes.
  TomlSection(TomlMistakes& mistakes, const Environment& environment, const toml::table& table, std::string title,
              const std::vector<std::string>& keys);

  bool has(const char* key) const { return table_.contains(key); }
  // Without the key, or after a mistake: none.
  std::optional<std::string> text(const char* key) const;
  std::vector<std::string> texts(const char* key) const;
  void read_duration(const char* key, std::int64_t& ms) const;
  void read_size(const char* key, std::uint64_t& bytes) const;
  void read_flag(const char* key, bool& flag) const;
  void read_number(const char* key, int& number, int least, int most) const;
  void read_word(const char* key, std::string& word, const std::vector<std::string>& words) const;

  // About the value of a key, or, where there is none, about the table.
  void complain(const char* key, const std::string& what) const;
  int line() const { return static_cast<int>(table_.source().begin.line); }
  const std::string& title() const { return title_; }

 private:
  void refuse_unknown(const std::vector<std::string>& keys) const;
  void refuse_type(const char* key, const toml::node& node, const char* write) const;
  std::optional<std::string> text_of(const char* key, const toml::node& node, const char* write) const;
  std::optional<std::string> expand(const char* key, const toml::node& node, std::string_view text) const;
  std::optional<std::string> value_of(const char* key, const toml::node& node, std::string_view inner) const;

  TomlMistakes& mistakes_;
  const Environment& environment_;
  const toml::table& table_;
  const std::string title_;
};

// "a table", "an integer", ...
const char* toml_type_text(const toml::node& node);

}  // namespace cairn::daemon
