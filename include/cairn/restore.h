// Restoring a database from a replica, listing what can be restored, and verifying a replica.
//
// `read_history` says which states there are; `plan_restore` picks the objects that reach one of them exactly;
// `run_restore` fetches and writes. A restore that cannot be complete
// and exact fails, and leaves what was there untouched.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn {

class Executor;
class FileSystem;

// A state that a replica can bring back.
struct RestorePointInfo {
  std::uint64_t sequence = 0;
  std::int64_t time_ms = 0;      // when its newest commit was seen
  std::uint32_t page_count = 0;
  std::uint32_t page_size = 0;
  std::uint64_t database_hash = 0;
  std::string object;            // key of the object that ends here
  std::uint64_t object_size_bytes = 0;
  bool is_snapshot = false;
};

// What a restore is to reach. Neither set: the newest state. Both set: invalid.
struct RestoreTarget {
  // The restore point with the highest sequence whose recorded time is at or before this. Recorded times are the
  // writer's clock, which may jump back; what is restored never carries a time after this one, and a time at or after
  // the newest point's always means the newest state.
  std::optional<std::int64_t> time_ms;
  std::optional<std::uint64_t> sequence;   // exactly this one

  // Of all ways there the cheapest is taken, by this price of a request: as many bytes as one would fetch instead. 0:
  // the fewest bytes. (Money: with $0.4 for a million requests and $90 for a TB, 4; with a wire that carries 10 MB in
  // the time of a request, 10,000,000.)
  std::uint64_t request_costs_bytes = 256 * 1024;
};

struct PlannedObject {
  std::string key;
  std::uint64_t size_bytes = 0;
  bool is_snapshot = false;
  std::uint64_t first_sequence = 0, last_sequence = 0;
};

// An object that was to be read and cannot be used: `problem` is one sentence that says why, and what to do.
struct DamagedObject {
  std::string key, problem;
};

struct RestorePlan {
  std::string lineage;                  // 32 hexadecimal digits
  RestorePointInfo point;               // where it ends
  std::vector<PlannedObject> objects;   // snapshot first, then segments in order
  std::uint64_t size_bytes = 0;         // upper bound of what is fetched
  std::vector<DamagedObject> damaged;   // what was planned around: others lead to the same state
};

// The cheapest set of objects that reaches `target`. Reads lists, and the footers that it needs to know times.
// not_found: no snapshot, or nothing at or before the target. corrupt: a segment is missing, or damaged, and nothing
// else leads there; the message names it. Footers are read on `executor` when there is one.
Result<RestorePlan> plan_restore(Store& store, std::string_view replica, const RestoreTarget& target,
                                 Executor* executor = nullptr);

enum class Overwrite { refuse, replace };
enum class Base { none, existing };  // existing (--onto): pages of the old file that are right are not fetched

struct RestoreOptions {
  RestoreTarget target;
  Overwrite overwrite = Overwrite::refuse;
  Base base = Base::none;
  std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)> progress;  // from any thread; may be empty
  std::stop_token stop;
};

struct RestoreResult {
  RestorePlan plan;
  std::uint64_t size_bytes = 0;          // of the restored database
  std::uint64_t fetched_bytes = 0;
  std::uint64_t reused_pages = 0;        // with Base::existing
  std::uint32_t requests = 0;
};

// Restores into `output`: a temporary file beside it, every page hash and the database hash checked, fsync, rename.
// `output`-wal, -shm and -journal of an older database are out of the way before the rename (never mixed with what was
// restored). The new file has the owner and permissions of the old one; without one, only its owner may read it.
// conflict: the file exists, or has appeared meanwhile (Overwrite::refuse and Base::none): it is never touched. busy:
// a program has the old database open.
//
// When an object vanishes while it runs (pruning), or turns out to be damaged, it plans again without it, for the same
// state: `plan.damaged` of the result tells. corrupt: no other objects lead to that state; never is an older one
// restored instead. On any error `output` is as it was.
Result<RestoreResult> run_restore(Store& store, std::string_view replica, const std::string& output,
                                  const RestoreOptions& options, FileSystem& files, Executor& executor);

// All states that can be restored, ascending by sequence; of several objects that end at the same point, each is named
// once. States behind a gap or a damaged object cannot be restored and are left out; verify_replica names the cause.
// not_found: nothing there. Footers are read on `executor` when there is one.
Result<std::vector<RestorePointInfo>> list_restore_points(Store& store, std::string_view replica,
                                                          Executor* executor = nullptr);

// The same with what a restore of each state takes: the objects that it would choose today, the requests for their
// indexes and data (without lists), and the bytes that they fetch at most.
struct HistoryPoint {
  RestorePointInfo state;
  std::uint64_t restore_objects = 0, restore_requests = 0, restore_bytes = 0;
};

// An object whose index could be read.
struct HistoryObject {
  std::string key;
  std::uint64_t size_bytes = 0;
  bool is_snapshot = false, is_squashed = false;
  int level = 0;  // 0: as captured. Of a snapshot it says nothing
  std::uint64_t first_sequence = 0, last_sequence = 0;
  std::int64_t first_time_ms = 0, last_time_ms = 0;
  std::uint64_t restore_points = 0;
};

struct ReplicaHistory {
  std::vector<HistoryPoint> points;    // as list_restore_points has them
  std::vector<HistoryObject> objects;  // snapshots by sequence, then segments by first and last sequence
  std::vector<DamagedObject> damaged;  // whose index cannot be read: they are in none of the points
};

// Costs what list_restore_points costs: a request an object, and none a point. Errors as there.
Result<ReplicaHistory> read_history(Store& store, std::string_view replica, Executor* executor = nullptr);

struct ReplicaInfo {
  std::string path;              // inside the store
  std::string lineage;
  std::uint64_t newest_sequence = 0;
  std::int64_t newest_time_ms = 0;
  std::uint64_t snapshot_count = 0, segment_count = 0;
  std::uint64_t size_bytes = 0;
};
// The replicas below `prefix` ("" for all of the store).
Result<std::vector<ReplicaInfo>> list_replicas(Store& store, std::string_view prefix);

enum class VerifyDepth { chain, deep };
inline constexpr std::uint64_t kVerifySamples = 5;
struct VerifyReport {
  std::uint64_t objects = 0, restore_points = 0, size_bytes = 0;
  std::vector<std::uint64_t> sampled;  // sequences of the states that were restored and asked about, or tried to
  std::vector<std::string> problems;   // one sentence each; empty: all is well
  std::vector<std::string> notes;      // odd, but harmless
};
// Reads every object: checksums, footers, hashes, and that the segments form one chain from a snapshot on. deep:
// also restores `samples` states (at least 1), one after the other, into `scratch_directory` and runs SQLite's
// integrity check on each: the newest, the oldest, and one from each of as many equal parts of the history between
// them. Which one of a part follows from the newest state: as long as nothing is published the same ones are taken.
// not_found: there is no replica there. Problems found are in the report, not an error.
Result<VerifyReport> verify_replica(Store& store, std::string_view replica, VerifyDepth depth,
                                    const std::string& scratch_directory, FileSystem& files, Executor& executor,
                                    std::function<void(std::uint64_t done, std::uint64_t total)> progress = {},
                                    std::uint64_t samples = kVerifySamples);

}  // namespace cairn
