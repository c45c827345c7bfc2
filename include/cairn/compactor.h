// Keeping a replica small. Pruning: which restore points of the past stay, and removing what none of them needs.
// Compacting: many objects become few, from outside and on any machine, and every restore point stays.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cairn/error.h"
#include "cairn/restore.h"
#include "cairn/store.h"

namespace cairn {

class Clock;
class Executor;
class FileSystem;

// How dense restore points stay, grandfather-father-son: everything for a while, then one an hour, a day, a week, a
// month. A number says how many hours (days, ...) keep one; hours in which nothing was published do not count.
struct PrunePolicy {
  static constexpr std::uint32_t kAll = std::numeric_limits<std::uint32_t>::max();

  std::int64_t keep_all_ms = 24ll * 3600 * 1000;  // within this of the newest restore point, every one stays
  std::uint32_t hourly = 30 * 24;
  std::uint32_t daily = 365;
  std::uint32_t weekly = 0;
  std::uint32_t monthly = kAll;
  std::int64_t grace_ms = 3600 * 1000;  // an object that has been in the store for less is left alone
};

struct PruneOptions {
  PrunePolicy policy;
  bool dry_run = false;  // say what would be done; nothing is written or removed
};

// Why a restore point stays: the first of these that applies. recent: nothing keeps it, but what it needs stays (for
// now: an object is younger than the grace period, or has another point that is kept).
enum class Density { newest, every, hourly, daily, weekly, monthly, recent };
inline constexpr int kDensities = 7;
// Why an object stays: a kept restore point needs it; it is the newest snapshot that is old enough, or lies behind it
// (after a compaction: it is the newest object);
// it is younger than the grace period; its index cannot be read, and cairn verify says more.
enum class Fate { goes, needed, newest, recent, unreadable };

struct PrunedObject {
  std::string key;
  std::uint64_t size_bytes = 0;
  Fate fate = Fate::goes;
  bool is_snapshot = false;
  int level = 0;
  std::uint64_t first_sequence = 0, last_sequence = 0;
};

struct PruneReport {
  std::vector<PrunedObject> objects;             // all that were listed, with what becomes of them
  std::uint64_t kept_points[kDensities] = {};    // by Density
  std::uint64_t dropped_points = 0;              // that can be restored before, and not after
  std::uint64_t removed_objects = 0, removed_bytes = 0;  // 0 after a dry run
};

// Decides, and removes. Replicators, restores and other prunes may be at work meanwhile, on any machine.
//
// invalid: the policy makes no sense. not_found: nothing there. conflict: an object is of another lineage. corrupt:
// what is there contradicts itself or has a hole that no prune has left: nothing is removed. busy: another prune is at
// work. denied: no right to delete; nothing is removed. Any other failure of the store ends it where it is: each kept
// restore point can be restored at every moment, and the same call again goes on.
Result<PruneReport> prune_replica(Store& store, std::string_view replica, const PruneOptions& options, Clock& clock,
                                  Executor& executor);

// Prunes one replica again and again by the same policy, as prune_replica does, but reads no index twice: for whoever
// runs for long. One thread at a time.
class Pruner {
 public:
  virtual ~Pruner() = default;
  // Errors as prune_replica. Always of the same replica.
  virtual Result<PruneReport> prune(Store& store, std::string_view replica) = 0;
};
// Clock and executor outlive it. invalid: the policy makes no sense.
Result<std::unique_ptr<Pruner>> make_pruner(const PrunePolicy& policy, Clock& clock, Executor& executor);

// ---- Repairing ----

enum class Mended {
  rebuilt,    // what was there is there again, from other objects
  put_aside,  // it could not be rebuilt, and nothing needs it: all that it held is held by others
  no,         // left as it is: `what` says why
};
struct RepairedObject {
  std::string key, problem;  // what is wrong with it
  Mended mended = Mended::no;
  std::string what;     // from what it was rebuilt, or why not
  std::string kept_as;  // where the damaged bytes are kept; empty: nowhere, they are still there (or a dry run)
};
struct RepairOptions {
  std::string scratch_directory;  // made when absent; one object at a time lies in it
  bool dry_run = false;           // rebuild in the scratch directory only, and say what would be done
  std::stop_token stop;
};
struct RepairReport {
  std::uint64_t objects = 0;
  std::vector<RepairedObject> damaged;
  // States that cannot be restored, first and last of each range: that objects speak of, that lie between two of them,
  // or behind them up to what metadata.json says was published. Not what was pruned.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> lost;
};

// Reads every object, as verify_replica does, and rebuilds the damaged ones that others hold: a level-0 segment from a
// bundle, a merged object from what leads through the same states, a snapshot from an older one and what follows it.
// Damaged bytes are never relied on, and nothing is signed again: what is put in the place of an object is read whole
// and agrees with every other one about the states that it begins and ends in. Before an object is replaced (in one
// step) or put aside, it is copied to damaged/ in the replica. So a crash at any point leaves a replica that is at
// least as good, and the same call again goes on. Objects of other histories and of a newer format are not touched.
//
// not_found: nothing there. corrupt: two whole objects contradict each other, and which to rely on is not known:
// nothing is done. Errors of the store and the disk: what was done until then stays so.
Result<RepairReport> repair_replica(Store& store, std::string_view replica, const RepairOptions& options,
                                    FileSystem& files, Executor& executor);

// ---- Compacting ----
//
//   auto compactor = cairn::Compactor::open(options, clock, files, executor);
//   auto known = (*compactor)->monitor("s3://bucket/app.db");
//   auto report = (*compactor)->compact("s3://bucket/app.db", {});
//
// Neighbouring segments of a replica become bundles, which keep every restore point, or, where the caller says that the
// points in between may go, squashed segments. docs/format.md, "Merging", is the specification. What was merged goes
// when the merged object has been in the store for the grace period. Replicators, restores, prunes and other compactors
// may be at work meanwhile, on any machine.
//
// What is known of the replicas is kept in a catalogue, one SQLite file. It is a cache: no decision to remove anything
// stands on it alone, and when it is lost, monitor() finds out again what was in it.

enum class Strategy {
  identity,     // everything becomes one, as far as the greatest size goes
  logarithmic,  // each object spans at least a third of what follows it: few objects, and old ones are seldom touched
  levelled,     // `fan` neighbours of one level become one of the next: each state is written once a level
};

// Opens what a URL names: cairn::open_store, or one of the caller's own. The replica is the root of that store.
using StoreOpener = std::function<Result<std::shared_ptr<Store>>(const std::string& url)>;

struct CompactorOptions {
  std::string catalogue;          // a file, made when absent (0600)
  std::string scratch_directory;  // made when absent; one merged object at a time lies in it, and nothing after a crash
  StoreOpener open_store;
};

struct MonitoredReplica {
  std::string url;
  std::string lineage;         // 32 hexadecimal digits: the replica's identity
  std::int64_t added_ms = 0;
  std::int64_t synced_ms = 0;  // when the catalogue was last brought up to date; 0: never, in full
  std::uint64_t snapshots = 0, segments = 0, restore_points = 0, size_bytes = 0;
  std::uint64_t newest_sequence = 0;
};

// incremental: level 0 is listed from where the catalogue's knowledge has no hole, everything else whole. full: all is
// listed, and what is not there any more is forgotten.
enum class SyncDepth { incremental, full };

struct SyncReport {
  std::string url;
  std::uint64_t added = 0, gone = 0;  // objects that were learned of, and forgotten
  std::uint64_t objects = 0;          // that are known now
  bool other_history = false;         // another one lies at the URL than before: all was learned anew
  std::vector<std::string> problems;  // one sentence for each object that is damaged, or of another history
};

struct CatalogueSegment {
  std::string key;
  std::uint64_t size_bytes = 0;
  bool is_snapshot = false, is_squashed = false;
  int level = 0;
  std::uint64_t first_sequence = 0, last_sequence = 0, restore_points = 0;
  std::int64_t first_time_ms = 0, last_time_ms = 0;
  std::string problem;  // why it is not used; empty: it is
};

struct SegmentRange {
  std::uint64_t first_sequence = 0, last_sequence = 0;
};

// What a restore takes. Requests for data and indexes; lists come on top.
struct RestorePath {
  std::uint64_t sequence = 0;            // where it ends
  std::vector<PlannedObject> objects;    // snapshot first
  std::uint64_t requests = 0, size_bytes = 0;  // at most
};

struct LevelSum {
  int level = 0;
  std::uint64_t objects = 0, size_bytes = 0;
};

struct Analysis {
  MonitoredReplica replica;
  std::vector<LevelSum> levels;           // of segments
  std::uint64_t snapshot_bytes = 0;
  std::optional<SegmentRange> segments;   // from the first to the last sequence of any
  std::uint64_t lines = 0;                // unbroken runs of segments: more than one where something is missing, was
                                          // pruned, or the page size changed
  std::optional<RestorePath> newest;      // the shortest restore path to the newest state; nothing: there is none
  std::vector<std::string> problems;
};

struct CompactOptions {
  Strategy strategy = Strategy::levelled;
  std::uint32_t fan = 16;                          // levelled only; 2 to 256
  std::uint64_t max_object_bytes = 512ull << 20;   // what is merged has no more than this in sum
  // Only when set: restore points that are older than this may go, all but one of each merged object. Ages are counted
  // back from the newest point, as PrunePolicy::keep_all_ms. Nothing: every restore point stays.
  std::optional<std::int64_t> squash_older_ms;
  bool remove_sources = true;                      // needs the right to delete; without, they are left to a prune
  std::int64_t grace_ms = 3600 * 1000;             // the same as that of prunes: see PrunePolicy
  bool dry_run = false;                            // one round of merges is planned; nothing is written or removed
  std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)> progress;
  std::stop_token stop;
};

struct CompactedObject {
  std::string key;
  bool is_squashed = false;
  std::uint64_t first_sequence = 0, last_sequence = 0, restore_points = 0;
  std::uint64_t source_objects = 0, source_bytes = 0;
  std::uint64_t size_bytes = 0;  // 0 in a dry run
  bool was_there = false;        // somebody else has made it
};

struct CompactReport {
  std::vector<CompactedObject> merged;
  std::uint64_t objects_before = 0, bytes_before = 0, objects_after = 0, bytes_after = 0;  // as known
  std::uint64_t points_before = 0, points_after = 0;
  std::optional<RestorePath> restore_before, restore_after;  // of the newest state
  std::uint64_t removed_objects = 0, removed_bytes = 0;      // sources, and what else was not needed
  std::uint64_t waiting_objects = 0, waiting_bytes = 0;      // that can go when the grace period is over
  // Objects that are damaged or do not fit, a sentence each: they were neither merged nor removed. All else was done.
  std::vector<std::string> problems;
  // Why sources were left, although the rest was done: denied (no right to delete), busy (another prune or compactor is
  // removing), conflict or corrupt (objects contradict each other). The next call, or a prune, can remove them.
  std::optional<Error> not_removed;
};

// One thread at a time. Several, and several processes, may share a catalogue.
//
// URLs are names: the same text each time. Calls that name one which is not monitored: not_found. An error of a store
// is passed on as it is; errors of the catalogue are `corrupt` (it is damaged, and the message says what to do), `busy`
// (another process is writing to it), invalid (the file is no catalogue, and was not touched), denied and io.
class Compactor {
 public:
  // Clock, files and executor outlive it.
  static Result<std::unique_ptr<Compactor>> open(const CompactorOptions& options, Clock& clock, FileSystem& files,
                                                 Executor& executor);
  virtual ~Compactor() = default;

  // Adds a replica to the catalogue, and learns what is in it (a full sync). One that is there already: syncs it.
  // not_found: there is no replica.
  virtual Result<SyncReport> monitor(const std::string& url) = 0;
  // Forgets a replica and all that is known of it. Nothing happens to the replica.
  virtual Result<void> unmonitor(const std::string& url) = 0;
  virtual Result<std::vector<MonitoredReplica>> list_monitored() = 0;  // by URL

  // Brings the catalogue up to date. It never holds the catalogue while it waits for a store.
  virtual Result<SyncReport> sync_one(const std::string& url, SyncDepth depth) = 0;
  // Of each monitored replica what came of it, by URL: one that fails keeps no other from being synced.
  virtual Result<std::vector<std::pair<std::string, Result<SyncReport>>>> sync_all(SyncDepth depth) = 0;

  // These answer from the catalogue, without a request: as of the last sync.
  virtual Result<Analysis> analyse(const std::string& url) = 0;
  virtual Result<std::optional<SegmentRange>> segment_range(const std::string& url) = 0;
  virtual Result<std::vector<CatalogueSegment>> list_segments(const std::string& url) = 0;  // snapshots first
  // The cheapest objects that lead to a state. A time means what it means to plan_restore. not_found: there is no such
  // state. corrupt: something is missing on the way; the message names it.
  virtual Result<RestorePath> shortest_restore_path(const std::string& url, const RestoreTarget& target) = 0;

  // Syncs in full, merges until there is nothing left to merge, and removes what is not needed any more. A crash or an
  // error anywhere leaves a replica that is whole; the same call goes on.
  // A damaged object is named in the report, never merged and never removed; all else is compacted. An object that
  // vanishes meanwhile is planned around.
  // invalid: the options make no sense. not_found: no snapshot is there. cancelled: `stop` was asked.
  virtual Result<CompactReport> compact(const std::string& url, const CompactOptions& options) = 0;

  // run_restore, of a replica that the catalogue names.
  virtual Result<RestoreResult> restore(const std::string& url, const std::string& output,
                                        const RestoreOptions& options) = 0;
};

}  // namespace cairn
