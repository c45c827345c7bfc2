// A part is at rest (with a timer), in a queue, or at work. want() is the only way from rest to anywhere; what wants a
// part that is at work is kept, and looked at when its step has ended.
//
// The thread that waits leaves inotify alone for a moment after each event: while applications write, every write would
// wake it, and it could tell nothing new. A database of which something was heard in the last second is looked at again
// after some milliseconds even if no file changes, because how far somebody's checkpoint has come shows in shared
// memory only.
#include "daemon/scheduler.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/os.h"

namespace cairn::daemon {

namespace {

// A quarter is kept for the other stores, and at least one.
std::size_t most_of_a_lane(int workers) {
  return static_cast<std::size_t>(std::max(workers - std::max(workers / 4, 1), 1));
}

}  // namespace

struct Scheduler::Driven {
  Driven(Replicator& replicated, const RunOptions& run_options, std::string store)
      : replicator(replicated), options(run_options), lane(std::move(store)), judge(replicated, run_options),
        awaits_database(run_options.wait_for_database == WaitForDatabase::yes) {}

  Replicator& replicator;
  const RunOptions& options;
  const std::string lane;
  Id id = 0;
  Judge judge;
  std::atomic<bool> awaits_database;
  ConditionVariable changed;  // for the caller of drive()

  // Guarded by the scheduler's mutex.
  std::array<PartState, kPartCount> parts;
  bool quitting = false, busy = false;
  std::uint64_t changes = 0;  // reasons for the caller of drive() to look
  std::optional<StatusMark> mark;
  std::optional<StatusWords> words;
  std::optional<Error> failure;
  std::int64_t last_capture_us = 0, last_life_us = 0;
};

Result<std::unique_ptr<Scheduler>> Scheduler::open(Clock& clock, const SchedulerOptions& options) {
  CAIRN_ASSIGN(std::unique_ptr<FilesWatch> watch, FilesWatch::open());
  return std::unique_ptr<Scheduler>(new Scheduler(clock, options, std::move(watch)));
}

Scheduler::Scheduler(Clock& clock, const SchedulerOptions& options, std::unique_ptr<FilesWatch> watch)
    : clock_(clock),
      options_(options),
      watch_(std::move(watch)),
      captures_(static_cast<std::size_t>(std::max(options.capture_workers, 1))),
      stores_(most_of_a_lane(options.store_workers)),
      upkeeps_(most_of_a_lane(options.upkeep_workers)) {
  threads_.emplace_back([this] { wait_loop(); });
  for (int i = 0; i < std::max(options.capture_workers, 1); ++i) {
    threads_.emplace_back([this] { work_loop(Pool::capture); });
  }
  for (int i = 0; i < std::max(options.store_workers, 1); ++i) {
    threads_.emplace_back([this] { work_loop(Pool::store); });
  }
  for (int i = 0; i < std::max(options.upkeep_workers, 1); ++i) {
    threads_.emplace_back([this] {
      lower_priority_of_this_thread();
      work_loop(Pool::upkeep);
    });
  }
}

Scheduler::~Scheduler() {
  {
    MutexLock lock(mutex_);
    quitting_ = true;
    capture_work_.notify_all();
    store_work_.notify_all();
    upkeep_work_.notify_all();
  }
  watch_->ring();
  for (std::thread& thread : threads_) thread.join();
}

// The thread that waits.

void Scheduler::wait_loop() {
  while (true) {
    std::int64_t until_us = 0;
    {
      MutexLock lock(mutex_);
      if (quitting_) return;
      until_us = waits_until_us_ = ring_timers(mono_us());
    }
    const std::int64_t now_us = mono_us();
    const FilesWatch::Wake wake = watch_->wait(std::min(std::max<std::int64_t>(until_us - now_us, 0), kLongestWaitUs));
    const std::set<Id> changed = wake == FilesWatch::Wake::event ? watch_->drain() : std::set<Id>();
    {
      MutexLock lock(mutex_);
      waits_until_us_ = 0;
      note_files(changed, mono_us());
      if (changed.empty()) continue;
      until_us = waits_until_us_ = std::min(ring_timers(mono_us()), mono_us() + options_.timing.least_gap_us);
    }
    watch_->wait_for_bell(until_us - mono_us());
  }
}

// When the next one rings.
std::int64_t Scheduler::ring_timers(std::int64_t now_us) {
  while (!timers_.empty()) {
    const auto [due_us, id, part] = *timers_.begin();
    if (due_us > now_us) return due_us;
    timers_.erase(timers_.begin());
    enqueue(*driven_[id], part);
  }
  return kNever;
}

void Scheduler::note_files(const std::set<Id>& changed, std::int64_t now_us) {
  for (const Id id : changed) {
    const auto found = driven_.find(id);
    if (found == driven_.end()) continue;
    Driven& driven = *found->second;
    const RunTiming& timing = options_.timing;
    const bool busy = now_us - driven.last_life_us < timing.busy_after_us;
    driven.last_life_us = now_us;
    const std::int64_t gap_us = busy ? std::max(timing.busy_look_us, timing.least_gap_us) : timing.least_gap_us;
    want(driven, kCapture, std::max(now_us, driven.last_capture_us + gap_us));
  }
}

// The workers.

void Scheduler::work_loop(Pool pool) {
  while (const std::optional<Work> found = next(pool)) work(*found);
}

std::optional<Scheduler::Work> Scheduler::next(Pool pool) {
  MutexLock lock(mutex_);
  while (!quitting_) {
    if (const std::optional<Work> found = take(pool)) return found;
    workers_of(pool).wait(mutex_);
  }
  return std::nullopt;
}

std::optional<Scheduler::Work> Scheduler::take(Pool pool) {
  while (const auto item = queue_of(pool).take()) {
    const auto [id, part] = *item;
    Driven& driven = *driven_[id];  // let_go() leaves nothing in a queue behind
    if (!driven.quitting) {
      driven.parts[part] = {PartState::At::work, kNever};
      return Work{&driven, part, mono_us() - driven.last_life_us >= options_.timing.busy_after_us};
    }
    driven.parts[part] = {};
    queue_of(pool).done(part == kCapture ? "" : driven.lane);
    driven.changed.notify_all();
  }
  return std::nullopt;
}

void Scheduler::work(const Work& work) {
  static constexpr std::array kSteps{&Replicator::capture_step, &Replicator::publish_step, &Replicator::snapshot_step};
  Driven& driven = *work.driven;
  Result<Step> result = Step{kNever};
  if (work.part == kCapture && work.is_idle) watch_->refresh(driven.id);
  const Time now = clock_.now();
  if (work.part == kUpkeep) {
    result = driven.replicator.upkeep_step(now);
  } else if (work.part != kCapture) {
    result = (driven.replicator.*kSteps[work.part])(now);
  } else if (!still_awaits_database(driven)) {
    const Judge::Question question = driven.judge.question();
    result = driven.replicator.capture_step(now);
    if (result && driven.judge.note_capture(question)) {
      MutexLock lock(mutex_);
      ring_all(driven);
    }
  }
  const ReplicatorStatus status = driven.replicator.status();
  MutexLock lock(mutex_);
  if (work.part == kCapture) driven.last_capture_us = now.mono_us;
  finish(work, result, status);
}

bool Scheduler::still_awaits_database(Driven& driven) {
  if (!driven.awaits_database) return false;
  if (has_content(driven.replicator.database_path())) {
    driven.awaits_database = false;
    return false;
  }
  if (driven.judge.is_ending()) driven.judge.note_never_appeared();
  return true;
}

// What is due, and when.

void Scheduler::want(Driven& driven, Part part, std::int64_t due_us) {
  PartState& state = driven.parts[part];
  if (driven.quitting || state.at == PartState::At::queue || due_us >= state.due_us) return;
  if (state.at == PartState::At::rest && state.due_us != kNever) timers_.erase({state.due_us, driven.id, part});
  state.due_us = due_us;
  if (state.at == PartState::At::work) return;
  if (due_us <= mono_us()) return enqueue(driven, part);
  timers_.emplace(due_us, driven.id, part);
  if (due_us < waits_until_us_) watch_->ring();
}

void Scheduler::enqueue(Driven& driven, Part part) {
  driven.parts[part] = {PartState::At::queue, kNever};
  queue_of(pool_of(part)).push(part == kCapture ? "" : driven.lane, {driven.id, part});
  workers_of(pool_of(part)).notify_one();
}

void Scheduler::finish(const Work& work, const Result<Step>& result, const ReplicatorStatus& status) {
  Driven& driven = *work.driven;
  PartState& state = driven.parts[work.part];
  const std::int64_t wanted_us = state.due_us;
  state = {PartState::At::rest, kNever};
  queue_of(pool_of(work.part)).done(work.part == kCapture ? "" : driven.lane);
  workers_of(pool_of(work.part)).notify_one();  // the lane may have more
  if (!result) {
    if (!driven.failure) driven.failure = result.error();
    driven.quitting = true;
    ++driven.changes;
  }
  if (driven.quitting) return driven.changed.notify_all();
  const std::int64_t now_us = mono_us();
  note(driven, work.part, status, now_us);
  std::int64_t due_us = std::min(result->next_us, wanted_us);
  if (work.part == kCapture) due_us = std::min(due_us, look_again_us(driven, now_us));
  want(driven, work.part, due_us);
}

// Whoever changes the status wakes everybody: what is captured can be published, and when it is, the WAL let go of. It
// does not echo, since a step that finds nothing to do changes nothing.
void Scheduler::note(Driven& driven, Part part, const ReplicatorStatus& status, std::int64_t now_us) {
  const StatusMark mark(status);
  const StatusWords words(status);
  const bool got_on = mark != driven.mark;
  if (!got_on && words == driven.words) return;
  driven.mark = mark;
  driven.words = words;
  ++driven.changes;
  driven.changed.notify_all();
  if (!got_on) return;
  want(driven, kPublish, now_us);
  want(driven, kSnapshot, now_us);
  want(driven, kUpkeep, now_us);
  if (part == kCapture) {
    driven.last_life_us = now_us;
  } else {
    want(driven, kCapture, std::max(now_us, driven.last_capture_us + options_.timing.least_gap_us));
  }
}

std::int64_t Scheduler::look_again_us(Driven& driven, std::int64_t now_us) {
  const RunTiming& timing = options_.timing;
  const bool busy = now_us - driven.last_life_us < timing.busy_after_us;
  if (std::exchange(driven.busy, busy) != busy) busy ? ++busy_ : --busy_;
  const auto times = [](std::size_t count, std::size_t often) { return static_cast<std::int64_t>(count / often + 1); };
  if (busy) return now_us + timing.busy_look_us * times(busy_, options_.often_busy);
  const std::int64_t idle_us = timing.idle_look_us * times(driven_.size(), options_.often_looked_at);
  return now_us + (watch_->is_watched(driven.id) ? idle_us : timing.unwatched_look_us);
}

void Scheduler::ring_all(Driven& driven) {
  ++driven.changes;
  driven.changed.notify_all();
  const std::int64_t now_us = mono_us();
  for (const Part part : {kCapture, kPublish, kSnapshot, kUpkeep}) want(driven, part, now_us);
}

void Scheduler::ring(const std::string& database_path) {
  MutexLock lock(mutex_);
  for (const auto& [id, driven] : driven_) {
    if (driven->replicator.database_path() == database_path) ring_all(*driven);
  }
}

// The caller of drive().

Result<void> Scheduler::drive(Replicator& replicator, const std::string& lane, std::stop_token stop,
                              const RunOptions& options) {
  Driven driven(replicator, options, lane);
  driven.judge.begin(mono_us());
  {
    MutexLock lock(mutex_);
    driven.id = ++last_id_;
    driven_.emplace(driven.id, &driven);
  }
  watch_->add(driven.id, replicator.database_path());
  const std::string trouble = watch_->trouble_of(driven.id);
  if (!trouble.empty() && options.on_notice) options.on_notice(trouble);
  {
    MutexLock lock(mutex_);
    ring_all(driven);
  }
  const Result<void> result = supervise(driven, stop);
  let_go(driven);
  return result;
}

Result<void> Scheduler::supervise(Driven& driven, const std::stop_token& stop) {
  const auto ring = [&] {
    MutexLock lock(mutex_);
    ring_all(driven);
  };
  const std::stop_callback wake(stop, ring);
  std::uint64_t seen = 0;
  while (true) {
    if (wait_for_change(driven, seen) && driven.options.on_change) driven.options.on_change(driven.replicator.status());
    {
      MutexLock lock(mutex_);
      if (driven.failure) return *driven.failure;
    }
    if (stop.stop_requested() && !driven.judge.is_ending()) {
      driven.judge.end(mono_us());
      ring();
    }
    if (!driven.judge.is_asked()) continue;
    if (const std::optional<Result<void>> verdict = driven.judge.verdict(mono_us(), ring)) return *verdict;
  }
}

bool Scheduler::wait_for_change(Driven& driven, std::uint64_t& seen) {
  MutexLock lock(mutex_);
  if (driven.changes == seen) {
    const std::int64_t longest_us = driven.judge.is_asked() ? kJudgeUs : kLongestWaitUs;
    driven.changed.wait_for(mutex_, std::chrono::microseconds(longest_us));
  }
  return std::exchange(seen, driven.changes) != driven.changes;
}

// Afterwards no thread knows it any more.
void Scheduler::let_go(Driven& driven) {
  driven.replicator.end_upkeep();
  {
    MutexLock lock(mutex_);
    driven.quitting = true;
    const auto is_busy = [](const PartState& state) { return state.at != PartState::At::rest; };
    while (is_busy(driven.parts[kCapture])) driven.changed.wait(mutex_);
    driven.replicator.end_capture();  // what the other parts are in the middle of may take long
    for (const Part part : {kCapture, kPublish, kSnapshot, kUpkeep}) {
      PartState& state = driven.parts[part];
      if (state.at == PartState::At::rest && state.due_us != kNever) timers_.erase({state.due_us, driven.id, part});
    }
    while (std::any_of(driven.parts.begin(), driven.parts.end(), is_busy)) driven.changed.wait(mutex_);
    if (driven.busy) --busy_;
    driven_.erase(driven.id);
  }
  watch_->remove(driven.id);
}

}  // namespace cairn::daemon
