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
// One that nothing is to be done for can go to rest: it is closed, and what it leaves (Rest) tells by a look at two
// files whether the database has been written to, and makes the next one of this process begin where this one ended.
//
// What a step returns as an error is final for this Replicator: close it, tell the user, exit. Everything that may pass
// by itself (a busy database, a store that is away) is in status() and tried again.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cairn/shared_spool.h"
#include "cairn/store.h"

namespace cairn {

class Executor;
class FileSystem;
class Pruner;
class Random;
struct Time;
namespace replicate {
struct Remembered;
}

enum class AllowWalSwitch { yes, no };
// What to do when the database and the head of its replica differ and nothing local proves that it continues it.
enum class Adopt { none, local };
// Whether the store may copy what of a snapshot is the same in the last one. No: all of it is read from the database
// and sent, because what lies there may be damaged.
enum class CopyUnchanged { no, yes };

// The windows of merging (ReplicatorOptions::level_windows_ms) that suit a store: 15 seconds, a minute, 5 and 20
// minutes, one and six hours, so that a restore takes few requests. Where looking is free there are none to be saved,
// and objects for each 15 seconds and for each minute are left out.
std::vector<std::int64_t> default_level_windows_ms(const StoreCapabilities& store);

struct ReplicatorOptions {
  std::string database;             // path; symbolic links are followed
  std::string replica;              // path inside the store, "" for its root
  std::string state_directory;      // of this database and replica alone; made when absent
  std::string host;                 // for people, in the claim
  std::int64_t interval_ms = 1000;  // a commit waits so long at most for others to go with it, while some do; >= 0
  AllowWalSwitch wal_switch = AllowWalSwitch::yes;
  Adopt adopt = Adopt::none;
  std::uint32_t rollover_frames = 1000;   // WAL length at which Cairn checkpoints and lets it restart
  std::uint64_t truncate_wal_bytes = 64ull << 20;  // a WAL file larger than this is truncated when all is captured
  std::uint64_t spool_limit_bytes = 100ull << 20;  // captured, not yet published; beyond it the WAL waits, pinned
  // What this one's spool has in common with others', which is a second limit. Null: nothing.
  SharedSpool* shared_spool = nullptr;
  // Of what is written at once, so many pages are remembered in memory, some 20 bytes each; of more in scratch files.
  std::uint32_t pages_in_memory = 64 << 10;
  std::uint64_t slice_bytes = 4ull << 20;  // how much of the database one step reads (whole blocks of about 256 KiB)
  // Where the parts of a large snapshot are put into the store, as many at a time as it runs side by side and 128 MiB
  // hold. Outlives the Replicator. Null: one after the other.
  Executor* transfers = nullptr;
  // Of each part; larger where the store takes so few parts that a large database would not go into them.
  std::uint64_t part_bytes = 8ull << 20;
  std::function<std::int64_t()> stopwatch_us;  // for write_lock_us in the status only; may be empty
  int segment_level = 1;            // zstd levels
  int snapshot_level = 3;
  CopyUnchanged copy_unchanged = CopyUnchanged::yes;  // even so the first snapshot, and every seventh, is sent whole

  // Of what is published, neighbours of one such window of time become one object: of the first window's at level 1,
  // those of the second window at level 2, ... Each window is a multiple of the one before. The first is a bundle,
  // which keeps every restore point, and so is each that is shorter than an hour; the last one, of several, and those
  // of an hour and more have one restore point a window (squashed). Empty: nothing is merged. By default what suits
  // object storage.
  std::vector<std::int64_t> level_windows_ms = default_level_windows_ms(StoreCapabilities());
  std::uint64_t merged_limit_bytes = 256ull << 20;  // no merged object is larger
  // Of what is published, so much stays on the local disk until it is merged; what does not fit is not merged.
  std::uint64_t kept_limit_bytes = 512ull << 20;
  // What a bundle holds as well is removed from the store once the bundle has been there for so long.
  std::int64_t replaced_grace_ms = 3'600'000;
  std::int64_t snapshot_interval_ms = 86'400'000;  // while there is something new; 0: only when asked for

  // Which run of the machine's kernel this is: 32 hexadecimal digits, other ones after each start of it. Times of files
  // and of Time::mono_us are compared within one only, and only between two a power loss can have taken what was not
  // synced. "": unknown; nothing ever rests, each put of a small segment costs a sync, and what is found in the store
  // after a power loss may be taken for another writer's.
  std::string boot;
  bool may_rest = true;  // whether may_rest() may ever say so
  // Of a Replicator of this process that went to rest. It was just looked at, so capture need not wait for the store.
  std::shared_ptr<const replicate::Remembered> known;
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
constexpr std::string_view name_of(Phase phase) {
  switch (phase) {
    case Phase::attaching: return "attaching";
    case Phase::opening: return "opening";
    case Phase::reconciling: return "reconciling";
    case Phase::first_snapshot: return "first_snapshot";
    case Phase::following: return "following";
  }
  return "unknown";
}

// How long Cairn held a database's write lock, as counts: a time is counted at the first bound that it does not pass,
// or behind the last one.
inline constexpr std::array<std::int64_t, 12> kWriteLockBounds_us{100,    250,    500,    1'000,   2'500,   5'000,
                                                                  10'000, 25'000, 50'000, 100'000, 250'000, 1'000'000};
using WriteLockCounts = std::array<std::uint64_t, kWriteLockBounds_us.size() + 1>;

// How often a step was kept from its work, by the kind of what was in the way: by ErrorKind's value.
using ErrorCounts = std::array<std::uint64_t, kErrorKinds>;

struct ReplicatorStatus {
  Phase phase = Phase::attaching;
  std::string lineage;
  std::uint64_t captured_sequence = 0;
  std::uint64_t published_sequence = 0;
  // The newest sequence that a restore can reach now; has_snapshot tells whether any can.
  bool has_snapshot = false;
  std::int64_t published_time_ms = 0;     // when the newest published segment's last commit was seen; 0: not known
  // Wall clock: when the oldest commit was seen first that a restore cannot reach yet; 0: there is none. While that is
  // not known (the store has not been asked, a first snapshot or a comparison is under way, the database cannot be
  // read): since when it is not.
  std::int64_t unpublished_since_ms = 0;
  // Read out of the WAL and not published. What a full spool or a segment that is not due leaves in the WAL is not
  // among them.
  std::uint64_t unpublished_commits = 0;
  std::int64_t newest_snapshot_time_ms = 0;  // in the store; 0: none
  // Captured and not yet published, also by an earlier process.
  std::uint64_t spool_segments = 0, spool_bytes = 0;
  std::uint64_t page_count = 0, page_size = 0;
  std::uint64_t published_segments = 0, published_bytes = 0;  // by this Replicator
  std::uint64_t captured_commits = 0;
  bool settled = false;                   // everything committed when last looked is published, and a snapshot is there
  bool captured_all = false;              // everything committed when last looked is captured
  // The WAL had more than the newest commit when last looked: of a transaction that was being written, or rolled back.
  // Without that, what is committed later is written to the WAL's file first.
  bool transaction_begun = true;
  std::uint64_t looks = 0;                // times both were judged anew: to wait for one after a moment
  // Everything that was committed before this request_capture() is part of that sequence, or of an earlier one.
  std::uint64_t answered_request = 0, answered_sequence = 0;
  std::uint64_t snapshot_pages_done = 0, snapshot_pages_total = 0;  // total 0: none under way
  std::uint64_t snapshots_published = 0;
  // Of them, what the store has copied out of the one before; it is not in published_bytes.
  std::uint64_t snapshot_copied_bytes = 0;
  std::uint64_t wal_restarts = 0, reconciles = 0, rollovers = 0;
  std::int64_t write_lock_us_last = 0, write_lock_us_max = 0;  // how long Cairn held the database's write lock
  std::int64_t write_lock_us_p999 = 0;    // 99.9 of 100 times it was no longer than this
  std::uint64_t write_lock_count = 0;
  std::int64_t write_lock_us_total = 0;
  WriteLockCounts write_lock_counts{};
  std::string hold;                       // "none", "pin", "floor"
  std::uint32_t wal_frames = 0;
  std::uint64_t wal_bytes = 0;            // of its file, looked at once a second at most
  // By this Replicator: objects merged and put, and objects removed because a bundle has what they had.
  std::uint64_t merged_objects = 0, merged_bytes = 0, replaced_objects = 0;
  // And by its pruner: runs, objects removed, and restore points given up with them.
  std::uint64_t prunes = 0, pruned_objects = 0, pruned_bytes = 0, pruned_points = 0;
  // Published, and on the local disk until it is merged; and merged objects whose sources are still to be removed.
  std::uint64_t kept_objects = 0, kept_bytes = 0, replacing_objects = 0;
  // What is in the way now, in words; empty: nothing. Upkeep that does not succeed stops nothing else.
  std::string database_trouble, store_trouble, upkeep_trouble;
  // Why the store did not copy what is the same in the last snapshot, and it was sent; until one has copies again.
  std::string copy_trouble;
  ErrorKind database_trouble_kind = ErrorKind::busy, store_trouble_kind = ErrorKind::retry_later;
  ErrorKind upkeep_trouble_kind = ErrorKind::retry_later;
  // By this Replicator. Of a trouble that lasts each try counts.
  ErrorCounts database_errors{}, store_errors{}, upkeep_errors{};
};

// True: the store has, and can give back, everything that was committed before this request_capture() of the Replicator
// whose status it is.
inline bool is_durable(const ReplicatorStatus& status, std::uint64_t request) {
  return status.answered_request >= request && status.has_snapshot &&
         status.published_sequence >= status.answered_sequence;
}

struct Step {
  // When to call again, at the latest: mono_us of the clock that the caller passes in. Calling earlier is harmless,
  // and wanted as soon as the database or its WAL was written to (capture_step).
  std::int64_t next_us = 0;
};

// What a Replicator leaves that went to rest. While it goes on, everything that is committed is published.
struct Rest {
  std::int64_t due_us = 0;  // mono_us: then something is due although nothing is written
  ReplicatorStatus status;  // the last one
  std::shared_ptr<const replicate::Remembered> known;

  // A look at two files. False: something is written, or due, or cannot be told: open it again (with `known`).
  bool goes_on(const Time& now) const;
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
  // Asks capture_step to capture now instead of when the interval is over. Returns the number of this request, from 1.
  // What was committed before the call is durable when is_durable() says so of a later status. Any thread.
  virtual std::uint64_t request_capture() = 0;
  // Any thread.
  virtual ReplicatorStatus status() const = 0;
  // The files whose changes should wake capture_step: the database and its WAL. Any thread.
  virtual std::string database_path() const = 0;

  // Whether it is worth while to try rest(): everything is published, and the files have stood still since it was asked
  // some seconds ago. By the thread of capture_step, after it; asked again and again it brings that about.
  virtual bool may_rest(const Time&) { return false; }
  // Closes the database like any application, and writes down by what it will be known. Nothing is asked of the store.
  // None: something is to be done soon, or is not certain; it all goes on as before. No step may be running.
  virtual std::optional<Rest> rest(const Time&) { return std::nullopt; }
  // What a Replicator of an earlier process has left so, if it still holds. Changes nothing; no lock is taken.
  // io, denied: the state directory.
  static Result<std::optional<Rest>> find_at_rest(FileSystem& files, const ReplicatorOptions& options, const Time& now);

  // Lets go of the database and the state directory. After it only the destructor may be called. No step may be
  // running.
  virtual void close(StopMode mode) = 0;
};

}  // namespace cairn
