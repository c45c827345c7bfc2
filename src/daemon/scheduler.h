// Drives any number of Replicators with a few threads: one waits for files to change and for times to come, some
// capture, some speak to stores. What run_replicator() does for one with three threads of its own, with the same
// outcome.
//
// A part of a Replicator (capture, publish, snapshot, upkeep) never runs twice at once. Databases take turns: one that
// always has something to do comes last again after each step. Stores take turns too, and no store can hold all
// workers.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "cairn/daemon.h"
#include "cairn/error.h"
#include "daemon/fair_queue.h"
#include "daemon/files_watch.h"
#include "daemon/judge.h"
#include "daemon/runner.h"

namespace cairn::daemon {

struct SchedulerOptions {
  int capture_workers = 2;  // who read and compress
  int store_workers = 8;    // who mostly wait for a network
  int upkeep_workers = 2;   // who merge, at a low priority; one of them is not for a store that keeps it waiting
  RunTiming timing;
  // The file system tells of what matters; looking beside that must not cost more with each database. With more than
  // so many, each is looked at less often.
  std::size_t often_looked_at = 1000;  // while nothing is heard of them
  std::size_t often_busy = 8;          // while something is going on
};

class Scheduler {
 public:
  // io: not even a bell could be made.
  static Result<std::unique_ptr<Scheduler>> open(Clock& clock, const SchedulerOptions& options);
  // Nothing may be driven any more.
  ~Scheduler();

  // As run_replicator(), which has the errors; on_change and judging happen on the caller's thread, which sleeps
  // otherwise. `lane`: the store that it speaks to.
  Result<void> drive(Replicator& replicator, const std::string& lane, std::stop_token stop, const RunOptions& options);

  // Something was asked of the Replicator of this database: its steps are taken at once. Without one: nothing.
  void ring(const std::string& database_path) EXCLUDES(mutex_);

 private:
  using Id = FilesWatch::Id;
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
  enum Part { kCapture, kPublish, kSnapshot, kUpkeep, kPartCount };
  struct PartState {
    enum class At { rest, queue, work } at = At::rest;
    std::int64_t due_us = kNever;  // at rest: when its timer rings; at work: when somebody wants it next
  };
  struct Driven;
  struct Work {
    Driven* driven = nullptr;
    Part part = kCapture;
    bool is_idle = false;  // nothing was heard of it for a while
  };
  enum class Pool { capture, store, upkeep };

  Scheduler(Clock& clock, const SchedulerOptions& options, std::unique_ptr<FilesWatch> watch);

  // The threads.
  void wait_loop() EXCLUDES(mutex_);
  void work_loop(Pool pool) EXCLUDES(mutex_);
  std::optional<Work> next(Pool pool) EXCLUDES(mutex_);
  void work(const Work& work) EXCLUDES(mutex_);
  bool still_awaits_database(Driven& driven);

  // What is due, and when.
  std::int64_t ring_timers(std::int64_t now_us) REQUIRES(mutex_);
  void note_files(const std::set<Id>& changed, std::int64_t now_us) REQUIRES(mutex_);
  std::optional<Work> take(Pool pool) REQUIRES(mutex_);
  void want(Driven& driven, Part part, std::int64_t due_us) REQUIRES(mutex_);
  void enqueue(Driven& driven, Part part) REQUIRES(mutex_);
  void finish(const Work& work, const Result<Step>& result, const ReplicatorStatus& status) REQUIRES(mutex_);
  void note(Driven& driven, Part part, const ReplicatorStatus& status, std::int64_t now_us) REQUIRES(mutex_);
  std::int64_t look_again_us(Driven& driven, std::int64_t now_us) REQUIRES(mutex_);
  void ring_all(Driven& driven) REQUIRES(mutex_);

  // The caller of drive().
  Result<void> supervise(Driven& driven, const std::stop_token& stop) EXCLUDES(mutex_);
  bool wait_for_change(Driven& driven, std::uint64_t& seen) EXCLUDES(mutex_);
  void let_go(Driven& driven) EXCLUDES(mutex_);

  std::int64_t mono_us() { return clock_.now().mono_us; }
  static Pool pool_of(Part part) {
    return part == kCapture ? Pool::capture : part == kUpkeep ? Pool::upkeep : Pool::store;
  }
  FairQueue<std::pair<Id, Part>>& queue_of(Pool pool) REQUIRES(mutex_) {
    return pool == Pool::capture ? captures_ : pool == Pool::upkeep ? upkeeps_ : stores_;
  }
  ConditionVariable& workers_of(Pool pool) {
    return pool == Pool::capture ? capture_work_ : pool == Pool::upkeep ? upkeep_work_ : store_work_;
  }

  Clock& clock_;
  const SchedulerOptions options_;
  const std::unique_ptr<FilesWatch> watch_;

  Mutex mutex_;
  ConditionVariable capture_work_, store_work_, upkeep_work_;  // for workers
  std::map<Id, Driven*> driven_ GUARDED_BY(mutex_);
  Id last_id_ GUARDED_BY(mutex_) = 0;
  std::size_t busy_ GUARDED_BY(mutex_) = 0;  // of those, how many something is going on with
  std::set<std::tuple<std::int64_t, Id, Part>> timers_ GUARDED_BY(mutex_);
  std::int64_t waits_until_us_ GUARDED_BY(mutex_) = 0;  // the thread that waits; 0: it is not waiting
  FairQueue<std::pair<Id, Part>> captures_ GUARDED_BY(mutex_), stores_ GUARDED_BY(mutex_),
      upkeeps_ GUARDED_BY(mutex_);
  bool quitting_ GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace cairn::daemon
