// Replicating one live SQLite database into a store.
//
// A Replicator is four step functions over one database. Each does a bounded piece of work and says when it wants
// to be called next; there is no thread, sleep or clock inside. A program drives each from a thread of its own (see
// run_replicator in cairn/daemon.h), a simulation drives all of them from one.
//
//   capture_step   looks at the WAL, holds it, turns commits into segments in the local spool. Never touches the store.
//   publish_step   attaches to the replica, then puts spooled segments into the store, in order.
//   snapshot_step  puts a snapshot into the store while capture_step reads it out of the database.
//   upkeep_step    keeps the replica small: merges what was published, from what is left of it on the local disk, and
//                  removes what a merged object replaces; asks for a snapshot when one is due; thins the past.
//
// What a step returns as an error is final for this Replicator: close it, tell the user, exit. Everything that may pass
// by itself (a busy database, a store that is away) is in status() and tried again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn {

class Executor;
class FileSystem;
class Pruner;
class Random;
struct Time;

enum class AllowWalSwitch { yes, no };
// What to do when the database and the head of its replica differ and nothing local proves that it continues it.
enum class Adopt { none, local };

struct ReplicatorOptions {
  std::string database;             // path; symbolic links are followed
  std::string replica;              // path inside the store, "" for its root
  std::string state_directory;      // of this database and replica alone; made when absent
  std::string host;                 // for people, in the claim
  std::int64_t interval_ms = 1000;  // at most one publish per interval while changes go on; >= 0
  AllowWalSwitch wal_switch = AllowWalSwitch::yes;
  Adopt adopt = Adopt::none;
  std::uint32_t rollover_frames = 1000;   // WAL length at which Cairn checkpoints and lets it restart
  std::uint64_t truncate_wal_bytes = 64ull << 20;  // a WAL file larger than this is truncated when all is captured
  std::uint64_t spool_limit_bytes = 100ull << 20;  // captured, not yet published; beyond it the WAL waits, pinned
  std::uint64_t slice_bytes = 4ull << 20;  // how much of the database one step reads (whole blocks of about 256 KiB)
  // Where the parts of a large snapshot are put into the store, as many at a time as it runs side by side and 128 MiB
  // hold. Outlives the Replicator. Null: one after the other.
  Executor* transfers = nullptr;
  // Of each part; larger where the store takes so few parts that a large database would not go into them.
  std::uint64_t part_bytes = 8ull << 20;
  std::function<std::int64_t()> stopwatch_us;  // for write_lock_us in the status only; may be empty
  int segment_level = 1;            // zstd levels
  int snapshot_level = 3;

  // Of what is published, neighbours of one such window of time become one object: of the first window's at level 1,
  // those of the second window at level 2, ... Each window is a multiple of the one before. The first is a bundle,
  // which keeps every restore point, and so is each that is shorter than an hour; the last one, of several, and those
  // of an hour and more have one restore point a window (squashed). Empty: nothing is merged.
  std::vector<std::int64_t> level_windows_ms{10'000, 60'000, 300'000, 1'200'000, 3'600'000, 21'600'000};
  std::uint64_t merged_limit_bytes = 256ull << 20;  // no merged object is larger
  // Of what is published, so much stays on the local disk until it is merged; what does not fit is not merged.
  std::uint64_t kept_limit_bytes = 512ull << 20;
  // What a bundle holds as well is removed from the store once the bundle has been there for so long.
  std::int64_t replaced_grace_ms = 3'600'000;
  std::int64_t snapshot_interval_ms = 86'400'000;  // while there is something new; 0: only when asked for
  // Thins the past and removes what nothing of what stays needs (make_pruner in cairn/compactor.h). First when a
  // process has run for an hour (or for the interval, if that is less), then once an interval, while it has
  // something new to publish. Null: every state stays. What it needs outlives the Replicator.
  std::shared_ptr<Pruner> pruner;
  std::int64_t prune_interval_ms = 21'600'000;
};

enum class Phase {
  attaching,    // reading the replica's head
  opening,      // waiting for the database
  reconciling,  // comparing every page with the last published state
  first_snapshot,
  following,
};
std::string_view name_of(Phase phase);

struct ReplicatorStatus {
  Phase phase = Phase::attaching;
  std::string lineage;
  std::uint64_t captured_sequence = 0;
  std::uint64_t published_sequence = 0;
  // The newest sequence that a restore can reach now; has_snapshot tells whether any can.
  bool has_snapshot = false;
  std::int64_t published_time_ms = 0;     // when the newest published segment's last commit was seen
  // Captured and not yet published, also by an earlier process.
  std::uint64_t spool_segments = 0, spool_bytes = 0;
  std::uint64_t page_count = 0, page_size = 0;
  std::uint64_t published_bytes = 0;      // by this Replicator
  std::uint64_t captured_commits = 0;
  bool settled = false;                   // everything committed when last looked is published, and a snapshot is there
  bool captured_all = false;              // everything committed when last looked is captured
  std::uint64_t looks = 0;                // times both were judged anew: to wait for one after a moment
  std::uint64_t snapshot_pages_done = 0, snapshot_pages_total = 0;  // total 0: none under way
  std::uint64_t snapshots_published = 0;
  std::uint64_t wal_restarts = 0, reconciles = 0, rollovers = 0;
  std::int64_t write_lock_us_last = 0, write_lock_us_max = 0;  // how long Cairn held the database's write lock
  std::int64_t write_lock_us_p999 = 0;    // 99.9 of 100 times it was no longer than this
  std::uint64_t write_lock_count = 0;
  std::string hold;                       // "none", "pin", "floor"
  std::uint32_t wal_frames = 0;
  // By this Replicator: objects merged and put, and objects removed because a bundle has what they had.
  std::uint64_t merged_objects = 0, merged_bytes = 0, replaced_objects = 0;
  // And by its pruner: runs, objects removed, and restore points given up with them.
  std::uint64_t prunes = 0, pruned_objects = 0, pruned_bytes = 0, pruned_points = 0;
  // Published, and on the local disk until it is merged; and merged objects whose sources are still to be removed.
  std::uint64_t kept_objects = 0, kept_bytes = 0, replacing_objects = 0;
  // What is in the way now, in words; empty: nothing. Upkeep that does not succeed stops nothing else.
  std::string database_trouble, store_trouble, upkeep_trouble;
  ErrorKind database_trouble_kind = ErrorKind::busy, store_trouble_kind = ErrorKind::retry_later;
  ErrorKind upkeep_trouble_kind = ErrorKind::retry_later;
};

struct Step {
  // When to call again, at the latest: mono_us of the clock that the caller passes in. Calling earlier is harmless,
  // and wanted as soon as the database or its WAL was written to (capture_step).
  std::int64_t next_us = 0;
};

enum class StopMode {
  tidy,   // close the database like any application
  crash,  // as if the process had been killed: for simulations
};

class Replicator {
 public:
  // Locks the state directory and reads it; touches neither the database nor the store.
  // busy: another process replicates this database to this replica. invalid: bad options. io, denied: the state
  // directory.
  static Result<std::unique_ptr<Replicator>> open(Store& store, FileSystem& files, Executor& executor, Random& random,
                                                  ReplicatorOptions options);
  virtual ~Replicator() = default;

  // One thread each. Errors (final): conflict: another writer owns the history, or database and replica diverge; the
  // message says what to type. invalid, unsupported, denied, not_found: the database cannot be replicated (only before
  // it was followed once). corrupt: the replica is damaged.
  virtual Result<Step> capture_step(const Time& now) = 0;
  virtual Result<Step> publish_step(const Time& now) = 0;
  virtual Result<Step> snapshot_step(const Time& now) = 0;
  // Never fails: what is in the way of it is in status().upkeep_trouble. A step may take as long as it takes to merge
  // and put merged_limit_bytes, or to prune, on the caller's thread.
  virtual Step upkeep_step(const Time& now) = 0;
  // Upkeep is not to begin anything more, and gives up what it is at as soon as it can: it goes on at the next start.
  // Any thread.
  virtual void end_upkeep() = 0;

  // No capture_step will follow: lets go of what others would wait for. What is not captured stays protected until
  // close(). By the thread of capture_step, or after it.
  virtual void end_capture() = 0;

  // Asks for a snapshot of the newest state; capture_step begins it. Any thread.
  virtual void request_snapshot() = 0;
  // Asks capture_step to capture now instead of when the interval is over. Any thread.
  virtual void request_capture() = 0;
  // Any thread.
  virtual ReplicatorStatus status() const = 0;
  // The files whose changes should wake capture_step: the database and its WAL. Any thread.
  virtual std::string database_path() const = 0;

  // Lets go of the database and the state directory. After it only the destructor may be called. No step may be
  // running.
  virtual void close(StopMode mode) = 0;
};

}  // namespace cairn
