// What run_replicator() is made of, with its timing open to tests.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "base/mutex.h"
#include "cairn/daemon.h"
#include "cairn/error.h"
#include "cairn/replicator.h"
#include "daemon/file_watch.h"
#include "daemon/judge.h"

namespace cairn::daemon {

struct RunTiming {
  std::int64_t least_gap_us = 3'000;        // between two captures, so that a storm of commits cannot make us spin
  std::int64_t busy_look_us = 5'000;        // between two looks while something is going on
  std::int64_t busy_after_us = 1'000'000;   // how long after the last sign of life that is
  std::int64_t idle_look_us = 2'000'000;    // for what the file system does not tell
  std::int64_t unwatched_look_us = 100'000; // where nothing can be watched
};

class Runner {
 public:
  Runner(Replicator& replicator, Clock& clock, const RunOptions& options, const RunTiming& timing = {});

  Result<void> run(std::stop_token stop);

 private:
  enum class Part { capture, publish, snapshot, upkeep };
  using StepFunction = std::function<Result<Step>(Replicator&, const Time&)>;

  // The threads.
  void capture_loop();
  bool await_database();
  void wait_before_capture(std::int64_t next_us);
  void store_loop(Part part, const StepFunction& step);
  void upkeep_loop();
  void wait_for_ring(std::uint64_t rings_seen, std::int64_t next_us);

  // Between them.
  bool note(Part part);
  void fail(const Error& error);
  void ring_all();
  void quit();

  // The caller's thread.
  Result<void> supervise(std::stop_token stop);
  bool wait_for_change(std::uint64_t& changes_seen);

  std::int64_t mono_us() { return clock_.now().mono_us; }

  Replicator& replicator_;
  Clock& clock_;
  const RunOptions& options_;
  const RunTiming timing_;
  std::unique_ptr<FileWatch> watch_;

  Judge judge_;
  std::atomic<bool> quitting_ = false;

  Mutex mutex_;
  ConditionVariable rung_;
  std::uint64_t rings_ GUARDED_BY(mutex_) = 0;    // reasons to step again
  std::uint64_t changes_ GUARDED_BY(mutex_) = 0;  // reasons for the caller's thread to look
  std::optional<StatusMark> mark_ GUARDED_BY(mutex_);  // of the last status that somebody noted
  std::optional<StatusWords> words_ GUARDED_BY(mutex_);
  std::optional<Error> failure_ GUARDED_BY(mutex_);

  // Of the capture thread.
  std::int64_t last_capture_us_ = 0, last_life_us_ = 0;
};

}  // namespace cairn::daemon
