// Four threads step, the caller's thread judges.
//
// The capture thread sleeps in poll() on inotify and a bell. The first write after quiet is captured at once; while
// writes go on it looks every 5 ms and leaves inotify alone, because looking costs no system call and what matters
// then (how far somebody's checkpoint has come) shows in shared memory only, which no file event announces. A second
// without a sign of life, and it sleeps again, with one look every two seconds for whatever inotify missed.
//
// The threads that speak to the store sleep on a condition variable. Whoever changes the status rings everybody: a
// captured segment wakes the publisher, a published one wakes the capture thread, which may now let go of the WAL.
// Rings do not echo, since a step that finds nothing to do changes nothing.
#include "daemon/runner.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/os.h"

namespace cairn {

Result<void> run_replicator(Replicator& replicator, Clock& clock, std::stop_token stop, const RunOptions& options) {
  return daemon::Runner(replicator, clock, options).run(std::move(stop));
}

namespace daemon {

Runner::Runner(Replicator& replicator, Clock& clock, const RunOptions& options, const RunTiming& timing)
    : replicator_(replicator), clock_(clock), options_(options), timing_(timing), judge_(replicator, options) {}

Result<void> Runner::run(std::stop_token stop) {
  CAIRN_ASSIGN(watch_, FileWatch::open(replicator_.database_path()));
  if (!watch_->is_watching() && options_.on_notice) options_.on_notice(watch_->trouble());
  judge_.begin(mono_us());

  std::thread capture([this] {
    capture_loop();
    replicator_.end_capture();  // what the other threads are in the middle of may take long
  });
  std::thread publish([this] { store_loop(Part::publish, std::mem_fn(&Replicator::publish_step)); });
  std::thread snapshot([this] { store_loop(Part::snapshot, std::mem_fn(&Replicator::snapshot_step)); });
  std::thread upkeep([this] { upkeep_loop(); });
  Result<void> result = supervise(std::move(stop));
  quit();
  capture.join();
  publish.join();
  snapshot.join();
  upkeep.join();
  return result;
}

// The capture thread.

void Runner::capture_loop() {
  if (!await_database()) {
    judge_.note_never_appeared();
    return ring_all();
  }
  while (!quitting_) {
    const Judge::Question question = judge_.question();
    const Time now = clock_.now();
    last_capture_us_ = now.mono_us;
    const Result<Step> step = replicator_.capture_step(now);
    if (!step) return fail(step.error());
    if (note(Part::capture)) last_life_us_ = now.mono_us;
    if (judge_.note_capture(question)) ring_all();
    wait_before_capture(step->next_us);
  }
}

// False: it did not appear before the end.
bool Runner::await_database() {
  if (options_.wait_for_database == WaitForDatabase::no) return !quitting_;
  while (!quitting_) {
    if (has_content(replicator_.database_path())) return true;
    if (judge_.is_ending()) return false;
    watch_->refresh();
    watch_->wait(watch_->is_watching() ? timing_.idle_look_us : timing_.unwatched_look_us);
    watch_->drain();
  }
  return false;
}

void Runner::wait_before_capture(std::int64_t next_us) {
  const std::int64_t now = mono_us();
  const bool busy = now - last_life_us_ < timing_.busy_after_us;
  const std::int64_t idle_us = watch_->is_watching() ? timing_.idle_look_us : timing_.unwatched_look_us;
  const std::int64_t until = std::min(next_us, now + (busy ? timing_.busy_look_us : idle_us));
  if (until <= now || quitting_) return;  // there is more to do at once

  FileWatch::Wake wake = FileWatch::Wake::timeout;
  if (busy) {
    wake = watch_->wait_for_bell(until - now);
    if (watch_->drain()) last_life_us_ = mono_us();
  } else {
    wake = watch_->wait(until - now);
    if (watch_->drain()) last_life_us_ = mono_us();
    if (wake == FileWatch::Wake::timeout) watch_->refresh();
  }
  if (wake == FileWatch::Wake::timeout) return;
  const std::int64_t gap_us = last_capture_us_ + timing_.least_gap_us - mono_us();
  if (gap_us > 0 && !quitting_ && !judge_.is_ending()) watch_->wait_for_bell(gap_us);
}

// The threads of the store.

void Runner::store_loop(Part part, const StepFunction& step) {
  while (!quitting_) {
    std::uint64_t rings_seen = 0;
    {
      MutexLock lock(mutex_);
      rings_seen = rings_;
    }
    const Result<Step> done = step(replicator_, clock_.now());
    if (!done) return fail(done.error());
    note(part);
    wait_for_ring(rings_seen, done->next_us);
  }
}

// Nothing waits for it, so it takes what the others leave of the processors.
void Runner::upkeep_loop() {
  lower_priority_of_this_thread();
  store_loop(Part::upkeep, [](Replicator& replicator, const Time& now) {
    return Result<Step>(replicator.upkeep_step(now));
  });
}

void Runner::wait_for_ring(std::uint64_t rings_seen, std::int64_t next_us) {
  MutexLock lock(mutex_);
  while (!quitting_ && rings_ == rings_seen) {
    const std::int64_t left_us = next_us - mono_us();
    if (left_us <= 0) return;
    rung_.wait_for(mutex_, std::chrono::microseconds(std::min(left_us, kLongestWaitUs)));
  }
}

// Between the threads.

// True: work got on.
bool Runner::note(Part part) {
  const ReplicatorStatus status = replicator_.status();
  const StatusMark mark(status);
  const StatusWords words(status);
  MutexLock lock(mutex_);
  const bool got_on = mark != mark_;
  if (!got_on && words == words_) return false;
  mark_ = mark;
  words_ = words;
  ++changes_;
  if (got_on) ++rings_;
  rung_.notify_all();
  if (got_on && part != Part::capture) watch_->ring();
  return got_on;
}

void Runner::fail(const Error& error) {
  MutexLock lock(mutex_);
  if (!failure_) failure_ = error;
  quitting_ = true;
  ++changes_;
  rung_.notify_all();
  watch_->ring();
}

void Runner::ring_all() {
  MutexLock lock(mutex_);
  ++changes_;
  ++rings_;
  rung_.notify_all();
  watch_->ring();
}

void Runner::quit() {
  quitting_ = true;
  replicator_.end_upkeep();
  ring_all();
}

// The caller's thread.

Result<void> Runner::supervise(std::stop_token stop) {
  const std::stop_callback wake(stop, [this] { ring_all(); });
  std::uint64_t changes_seen = 0;
  while (true) {
    if (wait_for_change(changes_seen) && options_.on_change) options_.on_change(replicator_.status());
    {
      MutexLock lock(mutex_);
      if (failure_) return *failure_;
    }
    if (stop.stop_requested() && !judge_.is_ending()) {
      judge_.end(mono_us());
      ring_all();
    }
    if (!judge_.is_asked()) continue;
    if (std::optional<Result<void>> verdict = judge_.verdict(mono_us(), [this] { ring_all(); })) return *verdict;
  }
}

bool Runner::wait_for_change(std::uint64_t& changes_seen) {
  MutexLock lock(mutex_);
  if (changes_ == changes_seen) {
    rung_.wait_for(mutex_, std::chrono::microseconds(judge_.is_asked() ? kJudgeUs : kLongestWaitUs));
  }
  return std::exchange(changes_seen, changes_) != changes_;
}

}  // namespace daemon
}  // namespace cairn
