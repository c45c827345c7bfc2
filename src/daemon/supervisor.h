// Keeps named jobs going side by side, as a list says that may change at any time: what is
// new is begun, what has gone is ended, what has changed is ended and begun anew, and nothing else is touched. A job
// that fails is tried again after growing waits; the others do not notice.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "cairn/error.h"

namespace cairn::daemon {

struct Job {
  std::string name;
  std::string settings;  // when they differ, it is ended and begun anew
  std::string resource;  // jobs that share one never run at the same time; "": shares nothing
  // Until the token asks to stop, or an error. On a thread of its own.
  std::function<Result<void>(std::stop_token)> run;
  // Instead of it, for what needs no thread: begins it, and returns. `ended` is called once, by any thread.
  using Ended = std::function<void(const Result<void>&)>;
  std::function<void(std::stop_token, Ended)> start = {};
};

struct JobFailure {
  std::string name;
  Error error;
  bool is_news = true;                  // false: the try before failed with the same words
  std::optional<std::int64_t> again_ms; // none: it was to end anyway
};

class Supervisor {
 public:
  struct Listener {  // called on the threads of jobs, never two at a time for one job
    std::function<void(const JobFailure&)> on_failure;
    std::function<void(const std::string& name)> on_end;  // it was asked to, and ended well
    std::function<void()> on_idle;                        // after stop(): the last one has ended
  };
  struct Timing {
    std::int64_t first_retry_ms = 1'000;     // doubled up to
    std::int64_t longest_retry_ms = 60'000;  // a job that ran for so long begins with the first again
  };

  Supervisor(Clock& clock, Listener listener, const Timing& timing);
  // Stops, and waits for the end of all.
  ~Supervisor();

  // The jobs that there are to be from now on, one a name. What is in the way of a new one (the job of that name
  // before, one of the same resource) is waited for, not by the caller.
  void want(std::vector<Job> jobs) EXCLUDES(mutex_);
  // Those that wait for their next try are tried now.
  void retry_now() EXCLUDES(mutex_);
  // Asks all of them to end. Nothing is begun any more.
  void stop() EXCLUDES(mutex_);
  bool is_idle() const EXCLUDES(mutex_);

 private:
  struct Slot {
    Job job;
    std::stop_source stop;
    std::thread thread;
    std::list<Slot>::iterator here;
    // Between two tries.
    std::int64_t next_wait_ms = 0, wait_ms = 0, begun_us = 0;
    std::string said;  // of the last failure
  };

  // What may begin now: to be handed to begin(), without the lock.
  std::vector<Slot*> take_waiting() REQUIRES(mutex_);
  void begin(const std::vector<Slot*>& slots) EXCLUDES(mutex_);
  bool is_in_the_way(const Job& job) const REQUIRES(mutex_);
  void count(const Job& job, int one) REQUIRES(mutex_);
  void run(Slot& slot);
  void start(Slot& slot) EXCLUDES(mutex_);
  void ended(Slot& slot, const Result<void>& result) EXCLUDES(mutex_);
  bool is_to_be_tried_again(Slot& slot, const Result<void>& result) EXCLUDES(mutex_);
  void wait_for_retry(const Slot& slot) EXCLUDES(mutex_);
  void retry_loop() EXCLUDES(mutex_);
  void end(Slot& slot) EXCLUDES(mutex_);
  void join_ended() EXCLUDES(mutex_);

  Clock& clock_;
  const Listener listener_;
  const Timing timing_;

  mutable Mutex mutex_;
  ConditionVariable changed_;
  std::list<Slot> running_ GUARDED_BY(mutex_), ended_ GUARDED_BY(mutex_);
  std::map<std::string, Job> waiting_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, int> names_ GUARDED_BY(mutex_), resources_ GUARDED_BY(mutex_);  // of what runs
  std::set<std::pair<std::int64_t, Slot*>> retries_due_ GUARDED_BY(mutex_);  // of those without a thread
  int calls_ GUARDED_BY(mutex_) = 0;  // of Job::Ended, under way
  std::uint64_t retries_ GUARDED_BY(mutex_) = 0;  // how often everything was to be tried now
  bool stopping_ GUARDED_BY(mutex_) = false, over_ GUARDED_BY(mutex_) = false;
  std::thread retrier_;
};

}  // namespace cairn::daemon
