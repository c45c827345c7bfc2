// What is to be removed from the store because a bundle there has all of it: not before the bundle has lain there for a
// while. Kept in a file that is not synced and may be lost: then its objects stay in the store until somebody prunes.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
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
  std::int64_t waited_ms = 0;  // while a process was running: no clock that jumps counts
};

// One thread.
class Removals {
 public:
  Removals(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}

  void load();  // what an earlier process has left, as far as it is whole
  void add(Removal removal);
  // Time has passed for all of them.
  void wait(std::int64_t ms);
  const Removal* front() const { return removals_.empty() ? nullptr : &removals_.front(); }
  void pop() { removals_.pop_front(); }
  std::size_t count() const { return removals_.size(); }
  Result<void> save();

 private:
  FileSystem& files_;
  const std::string path_;
  std::deque<Removal> removals_;  // the one that has waited longest first
};

}  // namespace cairn::replicate
