// Three threads step, the caller's thread judges.
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

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace cairn {

Result<void> run_replicator(Replicator& replicator, Clock& clock, std::stop_token stop, const RunOptions& options) {
  return daemon::Runner(replicator, clock, options).run(std::move(stop));
}

namespace daemon {

namespace {

constexpr std::int64_t kLongestWaitUs = 3'600'000'000;  // keeps sums of "never" and now from overflowing
constexpr std::int64_t kJudgeUs = 100'000;              // between two judgements while a limit runs

bool has_content(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && status.st_size > 0;
}

// Everything in a status that makes another thread's next step worth taking, or that people care about.
std::string mark_of(const ReplicatorStatus& s) {
  return fmt::format("{}/{}/{}/{}/{}/{}/{}/{}/{}/{}", static_cast<int>(s.phase), s.captured_sequence,
                     s.published_sequence, s.has_snapshot, s.snapshot_pages_done, s.snapshot_pages_total,
                     s.snapshots_published, s.published_bytes, s.captured_commits, s.reconciles);
}

// What never comes again: a comparison that fails and begins anew, again and again, gets nowhere.
std::string mark_of_work(const ReplicatorStatus& s) {
  return fmt::format("{}/{}/{}/{}/{}/{}/{}", s.phase == Phase::attaching, s.captured_sequence, s.published_sequence,
                     s.has_snapshot, s.snapshots_published, s.published_bytes, s.captured_commits);
}

std::string mark_of_store(const ReplicatorStatus& s) {
  return fmt::format("{}/{}/{}/{}", s.published_sequence, s.has_snapshot, s.snapshots_published, s.published_bytes);
}

std::string trouble_of(const ReplicatorStatus& s) {
  return s.store_trouble.empty() ? s.database_trouble : s.store_trouble;
}

Error lasting_trouble(const ReplicatorStatus& s) {
  if (!s.store_trouble.empty()) return Error(s.store_trouble_kind, s.store_trouble);
  return Error(s.database_trouble_kind, s.database_trouble);
}

Error not_published(const ReplicatorStatus& s) {
  std::string what;
  if (s.spool_segments > 0) {
    what = fmt::format(
        "{} captured segments ({} bytes) are not published yet; they are kept in the state directory and "
        "published at the next start",
        s.spool_segments, s.spool_bytes);
  } else if (!s.has_snapshot) {
    what = "the first snapshot is not published yet, so nothing can be restored; it begins anew at the next start";
  } else {
    what = "the last commits are not published yet; they are in the database and published at the next start";
  }
  const std::string why = trouble_of(s);
  const ErrorKind kind = !s.store_trouble.empty()      ? s.store_trouble_kind
                         : !s.database_trouble.empty() ? s.database_trouble_kind
                                                       : ErrorKind::retry_later;
  return Error(kind, why.empty() ? what : what + ": " + why);
}

}  // namespace

Runner::Runner(Replicator& replicator, Clock& clock, const RunOptions& options, const RunTiming& timing)
    : replicator_(replicator), clock_(clock), options_(options), timing_(timing) {}

Result<void> Runner::run(std::stop_token stop) {
  CAIRN_ASSIGN(watch_, FileWatch::open(replicator_.database_path()));
  if (!watch_->is_watching() && options_.on_notice) options_.on_notice(watch_->trouble());
  progress_us_ = mono_us();
  if (options_.until != RunUntil::stopped) ask_for_everything();

  std::thread capture([this] { capture_loop(); });
  std::thread publish([this] { store_loop(Part::publish, &Replicator::publish_step); });
  std::thread snapshot([this] { store_loop(Part::snapshot, &Replicator::snapshot_step); });
  Result<void> result = supervise(std::move(stop));
  quit();
  capture.join();
  publish.join();
  snapshot.join();
  return result;
}

// The capture thread.

void Runner::capture_loop() {
  if (!await_database()) {
    never_appeared_ = true;
    return ring_all();
  }
  while (!quitting_) {
    const std::int64_t asked = asked_;
    const std::uint64_t looks = replicator_.status().looks;
    const Time now = clock_.now();
    last_capture_us_ = now.mono_us;
    const Result<Step> step = replicator_.capture_step(now);
    if (!step) return fail(step.error());
    if (note(Part::capture)) last_life_us_ = now.mono_us;
    if (asked != answered_) note_answer(asked, looks);
    wait_before_capture(step->next_us);
  }
}

// What is asked for is done once a step that began after the question has looked, and captured all that it saw.
void Runner::note_answer(std::int64_t asked, std::uint64_t looks_before) {
  const ReplicatorStatus status = replicator_.status();
  if (status.looks == looks_before || status.phase != Phase::following || !status.captured_all) return;
  last_captured_ = status.captured_sequence;
  answered_ = asked;
  ring_all();
}

// False: it did not appear before the end.
bool Runner::await_database() {
  if (options_.wait_for_database == WaitForDatabase::no) return !quitting_;
  while (!quitting_) {
    if (has_content(replicator_.database_path())) return true;
    if (ending_) return false;
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
  if (gap_us > 0 && !quitting_ && !ending_) watch_->wait_for_bell(gap_us);
}

// The threads of the store.

void Runner::store_loop(Part part, StepFunction step) {
  while (!quitting_) {
    std::uint64_t rings_seen = 0;
    {
      MutexLock lock(mutex_);
      rings_seen = rings_;
    }
    const Result<Step> done = (replicator_.*step)(clock_.now());
    if (!done) return fail(done.error());
    note(part);
    wait_for_ring(rings_seen, done->next_us);
  }
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
  const std::string mark = mark_of(status);
  const std::string words = fmt::format("{}/{}/{}", status.settled, status.database_trouble, status.store_trouble);
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
    if (stop.stop_requested() && !ending_) {
      ending_ = true;
      progress_us_ = mono_us();
      ask_for_everything();
    }
    if (asked_ == 0) continue;
    if (std::optional<Result<void>> verdict = judge(replicator_.status())) return *verdict;
  }
}

bool Runner::wait_for_change(std::uint64_t& changes_seen) {
  MutexLock lock(mutex_);
  if (changes_ == changes_seen) {
    rung_.wait_for(mutex_, std::chrono::microseconds(asked_ > 0 ? kJudgeUs : kLongestWaitUs));
  }
  return std::exchange(changes_seen, changes_) != changes_;
}

void Runner::ask_for_everything() {
  ++asked_;
  replicator_.request_capture();
  ring_all();
}

bool Runner::has_everything(const ReplicatorStatus& status) const {
  const bool gone = never_appeared_ || (!status.database_trouble.empty() && !has_content(replicator_.database_path()));
  if (gone && ending_) return status.spool_segments == 0;
  return answered_ == asked_ && status.has_snapshot && status.published_sequence >= last_captured_;
}

std::optional<Result<void>> Runner::judge(const ReplicatorStatus& status) {
  if (has_everything(status)) {
    if (ending_ || options_.until != RunUntil::snapshot || status.snapshots_published > 0) return Result<void>();
    if (!std::exchange(snapshot_requested_, true)) {
      replicator_.request_snapshot();
      ring_all();
    }
  }
  const std::int64_t still_ms = still_us(status) / 1000;
  if (ending_) {
    if (still_ms > options_.final_limit_ms) return not_published(status);
  } else if (!trouble_of(status).empty() && still_ms > options_.trouble_limit_ms) {
    return lasting_trouble(status);
  }
  return std::nullopt;
}

// How long nothing has got on. While a store is in trouble that is what gets into it, however much is captured.
std::int64_t Runner::still_us(const ReplicatorStatus& status) {
  const bool is_store_well = status.store_trouble.empty();
  const std::string mark = is_store_well ? mark_of_work(status) : mark_of_store(status);
  if (mark != judged_mark_) {
    judged_mark_ = mark;
    judged_pages_ = 0;
    progress_us_ = mono_us();
  }
  // A pass over a large database takes long, and counts as far as it has never come before.
  if (is_store_well && status.snapshot_pages_done > judged_pages_) {
    judged_pages_ = status.snapshot_pages_done;
    progress_us_ = mono_us();
  }
  return mono_us() - progress_us_;
}

}  // namespace daemon
}  // namespace cairn
