// How a database is known again that nothing has happened to, without being read: by what the file system says of its
// files, as they were when everything in them was published. docs/sqlite.md, "Asleep", says why that is a proof.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "cairn/replicator.h"

namespace cairn::replicate {

// Of a file that is not there, or empty: all zero.
struct FileMark {
  std::uint64_t device = 0, inode = 0, size_bytes = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;
  bool is_empty() const { return size_bytes == 0; }
  bool operator==(const FileMark&) const = default;
};

struct FilesMark {
  FileMark database, wal;
  bool operator==(const FilesMark&) const = default;
};
FilesMark mark_files(const std::string& database);

// A mark says nothing of a write in the same tick of the file system's clock. So it counts once it has stood for
// longer than any tick: what is written from then on has a later time.
inline constexpr std::int64_t kMarkStands_us = 2'000'000;

// Kept in the local record: of the state that is captured there.
struct RestMark {
  FilesMark files;
  // Times mean nothing in another: a power loss may take a file's time, not its bytes.
  Id128 boot;
  std::int64_t wall_less_mono_ms = 0;  // smaller later on: the clock was set back, and may give a time twice
  bool whole_in_file = false;          // the database file alone is the state: nothing in the WAL is needed
  std::int64_t due_us = 0;             // when something is due although nothing happens
  std::int64_t published_time_ms = 0;  // for people
  bool operator==(const RestMark&) const = default;
};

Id128 boot_of(const ReplicatorOptions& options);  // zero: unknown
std::int64_t wall_less_mono_ms(const Time& now);

// Whether times of files can be compared with those of the mark.
bool is_comparable(const RestMark& mark, const Id128& boot, const Time& now);
// Whether the database and its WAL are still what they were.
bool is_untouched(const RestMark& mark, const FilesMark& files);

// What a Replicator that went to rest knew, for the next one of the same process: of the replica, so that the store
// need not be asked again, and of times that have passed, by Time::mono_us.
struct Remembered {
  std::string database;
  RestMark mark;

  Id128 lineage;
  Sequence published;
  std::uint64_t published_hash = 0;
  Time heard;  // when it was known last that nobody else had published
  bool has_snapshot = false;
  Sequence newest_snapshot;
  std::int64_t newest_snapshot_ms = 0, next_summary_us = 0;

  std::int64_t snapshot_us = 0;               // when the last one was made, or asked for
  std::int64_t thinning_us = -1;              // when the past may be thinned next; -1: not known
  Sequence thinned_at;                        // what had been published when it was thinned last
  std::vector<std::int64_t> kept_since_us;    // by level: of the newest that waits there
  std::int64_t removals_counted_us = -1;      // up to there the time is counted for which removals have waited
};

}  // namespace cairn::replicate
