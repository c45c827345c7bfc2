// What the truth is: every committed state of a database, in order, as SQLite itself shows it.
//
// observe() is called after each commit. It reads the whole state through a connection (sqlite3_serialize goes page by
// page through the pager, so WAL and database file are put together by SQLite's own code), and remembers a 128-bit
// hash of it; the bytes of the last few states stay for error messages.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "cairn/store.h"

struct sqlite3;

namespace cairn::testing {

struct ContentHash {
  std::uint64_t low = 0, high = 0;
  auto operator<=>(const ContentHash&) const = default;
};
ContentHash content_hash(ByteView bytes);

// The committed state that a new read transaction on `connection` sees. Nothing: SQLite would not let it be read now
// (only in rollback mode, while a writer spills).
std::optional<Bytes> committed_image(sqlite3* connection);

// The same without SQLite's reading code: database and WAL are copied into `scratch_directory`, where SQLite makes one
// file of the copies. Nobody may be writing.
Bytes committed_image_by_copy(const std::string& database, const std::string& scratch_directory);

// "page 7 differs (and 2 more)", "4 pages instead of 5", ...: what to print when two images should be the same.
std::string describe_difference(ByteView expected, ByteView got);

class PageModel {
 public:
  struct State {
    ContentHash hash;
    std::uint64_t size_bytes = 0;
  };

  // Appends the state unless it is the newest already. Returns false when it was not to be read.
  bool observe(sqlite3* connection);
  void observe(Bytes image);
  void observe(const State& state) { states_.push_back(state); }  // of another model; its bytes are not kept

  bool empty() const { return states_.empty(); }
  std::size_t newest() const { return states_.size() - 1; }
  const State& at(std::size_t index) const { return states_[index]; }

  // The first state from index `from` on with this content.
  std::optional<std::size_t> find_from(std::size_t from, ContentHash hash) const;
  // Whether some state from index `from` on has this content.
  bool has_from(std::size_t from, ContentHash hash) const { return find_from(from, hash).has_value(); }

  // For messages: the kept image of a state, and of each page of `image` that the newest state does not have like this,
  // the newest kept state that does.
  const Bytes* image(std::size_t index) const;
  std::string explain(ByteView image) const;

 private:
  static constexpr std::size_t kKeptImages = 16;
  std::vector<State> states_;
  std::deque<Bytes> images_;  // of the newest states
};

}  // namespace cairn::testing
