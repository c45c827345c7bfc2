#include "daemon/toml_section.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/nearest.h"
#include "base/units.h"

namespace cairn::daemon {

namespace {

constexpr const char* kText = "text in quotes";

bool is_variable_name(std::string_view name) {
  static constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
  return !name.empty() && kLetters.find(name[0]) != std::string_view::npos &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return kLetters.find(c) != std::string_view::npos || (c >= '0' && c <= '9');
         });
}

// A key that sounds like a secret gets a hint instead of a list of keys.
bool is_secret(std::string_view key) {
  static constexpr std::array<std::string_view, 4> kWords{"secret", "access_key", "token", "password"};
  return std::any_of(kWords.begin(), kWords.end(),
                     [&](std::string_view word) { return key.find(word) != std::string_view::npos; });
}

}  // namespace

const char* toml_type_text(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "a list";
    case toml::node_type::string: return "text";
    case toml::node_type::integer: return "a whole number";
    case toml::node_type::floating_point: return "a number with a point";
    case toml::node_type::boolean: return "true or false";
    case toml::node_type::date: return "a date";
    case toml::node_type::time: return "a time of day";
    case toml::node_type::date_time: return "a date with a time";
    default: return "nothing";
  }
}

void TomlMistakes::add(const toml::source_region& at, const std::string& what) {
  if (first_ && !(at.begin < first_at_)) return;
  first_ = Error(ErrorKind::invalid, fmt::format("{}:{}:{}: {}", file_, at.begin.line, at.begin.column, what));
  first_at_ = at.begin;
}

TomlSection::TomlSection(TomlMistakes& mistakes, const Environment& environment, const toml::table& table,
                         std::string title, const std::vector<std::string>& keys)
    : mistakes_(mistakes), environment_(environment), table_(table), title_(std::move(title)) {
  refuse_unknown(keys);
}

void TomlSection::refuse_unknown(const std::vector<std::string>& keys) const {
  for (const auto& [key, node] : table_) {
    const std::string name(key.str());
    if (std::find(keys.begin(), keys.end(), name) != keys.end()) continue;
    const std::string meant = nearest(name, keys);
    std::string advice = meant.empty() ? fmt::format("there are {}", fmt::join(keys, ", "))
                                       : fmt::format("did you mean '{}'?", meant);
    if (is_secret(name)) {
      advice = "secrets do not belong in here: give them in the environment or in the shared credentials file, and "
               "name its profile";
    }
    mistakes_.add(key.source(), fmt::format("{} has no key '{}': {}", title_, name, advice));
  }
}

void TomlSection::refuse_type(const char* key, const toml::node& node, const char* write) const {
  mistakes_.add(node.source(), fmt::format("'{}' is {}: write {}", key, toml_type_text(node), write));
}

void TomlSection::complain(const char* key, const std::string& what) const {
  const toml::node* node = table_.get(key);
  mistakes_.add(node != nullptr ? node->source() : table_.source(), what);
}

std::optional<std::string> TomlSection::text(const char* key) const {
  const toml::node* node = table_.get(key);
  return node == nullptr ? std::nullopt : text_of(key, *node, kText);
}

std::vector<std::string> TomlSection::texts(const char* key) const {
  static constexpr const char* kWrite = R"(a list of texts, as ["/a", "/b"])";
  std::vector<std::string> texts;
  const toml::node* node = table_.get(key);
  if (node == nullptr) return texts;
  const toml::array* list = node->as_array();
  if (list == nullptr) {
    refuse_type(key, *node, kWrite);
    return texts;
  }
  for (const toml::node& one : *list) {
    if (std::optional<std::string> text = text_of(key, one, kWrite)) texts.push_back(std::move(*text));
  }
  return texts;
}

void TomlSection::read_duration(const char* key, std::int64_t& ms) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return;
  const std::optional<std::string> text = text_of(key, *node, R"(a length of time in quotes, as "1s" or "5m")");
  if (!text) return;
  const Result<std::int64_t> parsed = parse_duration_ms(*text);
  if (!parsed) return complain(key, parsed.error().with(key).message());
  ms = *parsed;
}

void TomlSection::read_size(const char* key, std::uint64_t& bytes) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return;
  const std::optional<std::string> text = text_of(key, *node, R"(a size in quotes, as "100MiB")");
  if (!text) return;
  const Result<std::uint64_t> parsed = parse_size_bytes(*text);
  if (!parsed) return complain(key, parsed.error().with(key).message());
  bytes = *parsed;
}

void TomlSection::read_flag(const char* key, bool& flag) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return;
  if (!node->is_boolean()) return refuse_type(key, *node, "true or false, without quotes");
  flag = node->as_boolean()->get();
}

void TomlSection::read_number(const char* key, int& number, int least, int most) const {
  const toml::node* node = table_.get(key);
  if (node == nullptr) return;
  if (!node->is_integer()) return refuse_type(key, *node, "a whole number, without quotes");
  const std::int64_t value = node->as_integer()->get();
  if (value < least || value > most) {
    return complain(key, fmt::format("'{}' is {}: write a number from {} to {}", key, value, least, most));
  }
  number = static_cast<int>(value);
}

void TomlSection::read_word(const char* key, std::string& word, const std::vector<std::string>& words) const {
  const std::optional<std::string> given = text(key);
  if (!given) return;
  if (std::find(words.begin(), words.end(), *given) == words.end()) {
    return complain(key, fmt::format("'{}' is '{}': write one of {}", key, *given, fmt::join(words, ", ")));
  }
  word = *given;
}

std::optional<std::string> TomlSection::text_of(const char* key, const toml::node& node, const char* write) const {
  if (!node.is_string()) {
    refuse_type(key, node, write);
    return std::nullopt;
  }
  std::optional<std::string> text = expand(key, node, node.as_string()->get());
  if (!text) return std::nullopt;
  if (text->empty() || text->find('\0') != std::string::npos) {
    const char* what = text->empty() ? "is empty: give it a value, or leave it out" : "has a NUL character: remove it";
    mistakes_.add(node.source(), fmt::format("'{}' {}", key, what));
    return std::nullopt;
  }
  return text;
}

// ${NAME}, ${NAME:-what to take when it is not set or empty}, and $$ for a dollar sign.
std::optional<std::string> TomlSection::expand(const char* key, const toml::node& node, std::string_view text) const {
  std::string expanded;
  while (!text.empty()) {
    const std::size_t dollar = std::min(text.find('$'), text.size());
    expanded += text.substr(0, dollar);
    text.remove_prefix(dollar);
    if (text.starts_with("$$")) {
      expanded += '$';
      text.remove_prefix(2);
    } else if (text.starts_with("${")) {
      const std::size_t close = text.find('}');
      if (close == std::string_view::npos) {
        mistakes_.add(node.source(), fmt::format("{}: '${{' is not closed: write ${{NAME}}, or $$ for a '$'", key));
        return std::nullopt;
      }
      const std::optional<std::string> value = value_of(key, node, text.substr(2, close - 2));
      if (!value) return std::nullopt;
      expanded += *value;
      text.remove_prefix(close + 1);
    } else if (!text.empty()) {
      expanded += '$';
      text.remove_prefix(1);
    }
  }
  return expanded;
}

std::optional<std::string> TomlSection::value_of(const char* key, const toml::node& node,
                                                 std::string_view inner) const {
  const std::size_t colon = inner.find(":-");
  const std::string name(inner.substr(0, colon));
  if (!is_variable_name(name)) {
    mistakes_.add(node.source(), fmt::format("{}: '{}' is no name of an environment variable: write ${{NAME}} or "
                                             "${{NAME:-default}}, or $$ for a '$'", key, name));
    return std::nullopt;
  }
  const std::optional<std::string> value = environment_(name);
  if (colon != std::string_view::npos) return value && !value->empty() ? *value : std::string(inner.substr(colon + 2));
  if (value) return value;
  mistakes_.add(node.source(), fmt::format("{0}: the environment has no variable '{1}': set it, or write "
                                           "${{{1}:-default}}", key, name));
  return std::nullopt;
}

}  // namespace cairn::daemon
