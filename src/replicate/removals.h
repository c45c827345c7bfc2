// What is to be removed from the store because a bundle there has all of it: not before the bundle has lain there for a
// while. Kept in a file that is not synced and may be lost: then its objects stay in the store until somebody prunes.
//
// The file is a log: what comes is written behind it, and it is written anew when most of it is of the past. A busy
// database has hundreds of removals waiting, and one comes and one goes every ten seconds.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/ids.h"
#include "cairn/error.h"

namespace cairn::replicate {

// Objects of one level that are neighbours: each sequence its own object (level 0), or one object.
struct ReplacedRange {
  int level = 0;
  Sequence first, last;
  bool operator==(const ReplacedRange&) const = default;
};

struct Removal {
  int level = 0;  // of the bundle
  Sequence first, last;
  std::uint64_t size_bytes = 0;
  std::string etag;
  std::vector<ReplacedRange> replaced;
  std::int64_t since_ms = 0;  // by the clock of Removals
};

// One thread.
class Removals {
 public:
  Removals(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}

  void load();  // what an earlier process has left, as far as it is whole
  void add(Removal removal);
  // Time has passed while a process was running: no clock that jumps counts.
  void wait(std::int64_t ms) { clock_ms_ += ms; }
  std::int64_t waited_ms(const Removal& removal) const { return clock_ms_ - removal.since_ms; }
  const Removal* front() const { return removals_.empty() ? nullptr : &removals_.front(); }
  void pop();
  std::size_t count() const { return removals_.size(); }
  Result<void> save();

 private:
  void take(std::string_view line);
  void forget(int level, Sequence first, Sequence last);
  Result<void> append();
  Result<void> write_anew();

  FileSystem& files_;
  const std::string path_;
  std::deque<Removal> removals_;  // the one that has waited longest first
  std::int64_t clock_ms_ = 0;
  std::string new_lines_;         // not in the file yet
  std::size_t lines_ = 0;         // in the file and in new_lines_
  std::uint64_t size_bytes_ = 0;  // of the file, as far as it is ours; 0: it is written anew
};

}  // namespace cairn::replicate
