// What the three steps of a Replicator share. Everything that more than one thread touches is behind the mutex, or safe
// by itself.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/executor.h"
#include "base/files.h"
#include "base/mutex.h"
#include "cairn/replicator.h"
#include "replicate/attach.h"
#include "replicate/copy_plan.h"
#include "replicate/kept.h"
#include "replicate/local_state.h"
#include "replicate/spool.h"
#include "segment/writer.h"

namespace cairn::replicate {

// A snapshot on its way: capture_step reads pages into the writer, snapshot_step stores what comes out.
struct SnapshotJob {
  std::uint64_t number = 0;  // of those that this process has begun
  std::unique_ptr<segment::SnapshotWriter> writer;
  // As the writer needs them until it is done. Known from the beginning, but for a first snapshot.
  std::unique_ptr<MappedFile> hashes;
  std::string key;
  Sequence sequence;
  std::int64_t time_ms = 0;
  std::uint64_t data_size_bytes = 0;
  std::uint32_t page_size = 0, page_count = 0;
  Id128 lineage;
  // What need not be sent. snapshot_step makes the plan, and capture_step reads nothing before that.
  std::unique_ptr<CopyPlan> copies;
  std::atomic<bool> planned{false};
  std::atomic<bool> ended{false};    // capture_step has read all of it
  std::atomic<bool> dropped{false};  // snapshot_step has given it up: what was sent of it is lost
};

// A snapshot whose upload an earlier process did not finish.
struct InterruptedSnapshot {
  Sequence sequence;
  std::int64_t time_ms = 0;  // in its key
};

// What capture stands on.
enum class Footing {
  none,        // nothing yet: the store has not been asked
  settling,    // one of the threads is working on it
  presumed,    // what this machine remembers; nothing is put into the store yet
  confirming,  // the same, and the store is being asked: capture goes on, and stays where it is until that is known
  leaving,     // the store says otherwise: capture lets go of what it presumed
  firm,        // what the store says
};

// Upkeep that does not succeed, in words; empty: nothing is in its way.
struct UpkeepTrouble {
  std::string words;
  ErrorKind kind = ErrorKind::retry_later;
};

struct Shared {
  Shared(Store& s, FileSystem& f, Executor& e, Random& r, ReplicatorOptions o)
      : store(s), files(f), executor(e), random(r), options(std::move(o)), kept(files, options) {}

  Store& store;
  FileSystem& files;
  Executor& executor;
  Random& random;
  const ReplicatorOptions options;
  std::unique_ptr<FileLock> lock;
  std::unique_ptr<LocalState> local;
  Kept kept;

  mutable Mutex mutex;
  ReplicatorStatus status GUARDED_BY(mutex);
  Footing footing GUARDED_BY(mutex) = Footing::none;
  bool may_presume GUARDED_BY(mutex) = true;
  Presumption presumption GUARDED_BY(mutex);
  std::optional<Base> base GUARDED_BY(mutex);              // attached, for capture to take
  std::shared_ptr<Spool> spool GUARDED_BY(mutex);          // once capture stands on something
  std::shared_ptr<SnapshotJob> job GUARDED_BY(mutex);
  std::optional<InterruptedSnapshot> interrupted GUARDED_BY(mutex);
  bool capture_settled GUARDED_BY(mutex) = false;          // everything committed at the last look is captured
  std::uint64_t capture_looks GUARDED_BY(mutex) = 0;
  std::int64_t begun_ms GUARDED_BY(mutex) = 0;             // the first capture_step
  Sequence published GUARDED_BY(mutex);
  Sequence newest_snapshot GUARDED_BY(mutex);              // in the store
  std::int64_t newest_snapshot_ms GUARDED_BY(mutex) = 0;   // when it was made, by the clock of its key
  std::uint64_t snapshots_begun GUARDED_BY(mutex) = 0, newest_published_number GUARDED_BY(mutex) = 0;
  std::atomic<bool> snapshot_requested{false};
  std::atomic<bool> whole_requested{false};                // the next one is to be sent whole
  std::atomic<std::uint64_t> capture_requests{0};          // how many there were
  std::atomic<bool> upkeep_ends{false};

  // Where store calls that may run side by side are made.
  Executor& transfers() { return options.transfers != nullptr ? *options.transfers : one_at_a_time; }
  InlineExecutor one_at_a_time;

  std::int64_t stopwatch_us() const { return options.stopwatch_us ? options.stopwatch_us() : 0; }

  template <class Change>
  void set_status(Change change) EXCLUDES(mutex) {
    MutexLock hold(mutex);
    change(status);
  }
  void set_begun(const Time& now) EXCLUDES(mutex) {
    MutexLock hold(mutex);
    begun_ms = now.wall_ms;
  }
  bool is_firm() const EXCLUDES(mutex) {
    MutexLock hold(mutex);
    return footing == Footing::firm;
  }
  AttachContext attach_context() { return {store, files, random, *local, options, kept}; }
  std::shared_ptr<Spool> current_spool() const EXCLUDES(mutex) {
    MutexLock hold(mutex);
    return spool;
  }
  // What waits in memory gets its file, and the note that it is captured goes with it.
  void write_front() {
    if (const auto waiting = current_spool(); waiting && waiting->write_front()) (void)local->write_down();
  }
  std::shared_ptr<SnapshotJob> current_job() const EXCLUDES(mutex) {
    MutexLock hold(mutex);
    return job;
  }
};

}  // namespace cairn::replicate
