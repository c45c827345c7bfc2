// The part of the scheduler that opens, closes, puts to sleep and wakes, and says what became of a database.
#include <algorithm>
#include <utility>

#include "daemon/scheduler_driven.h"

namespace cairn::daemon {
namespace {

constexpr std::int64_t kTryToSleepAgain_us = 3'000'000;
constexpr std::int64_t kSleepsWithin_us = 10'000'000;  // who has nothing to do; a mark of its files has to stand first

}  // namespace

void Scheduler::live(Driven& driven) {
  bool is_awake = false;
  {
    Hold hold(*this);
    is_awake = driven.awake != nullptr;
  }
  is_awake ? close_or_sleep(driven) : open_or_sleep(driven);
}

void Scheduler::open_or_sleep(Driven& driven) {
  // Looks at those who sleep are most of what many cost that nothing is done for. Whoever finds its files as they were
  // finds them where they were, and so in the directory that is watched; who is opened is watched anew.
  const bool is_watched = watch_->has_watch(driven.id);
  if (!is_watched) watch_files(driven);
  const Time now = clock_.now();
  std::int64_t due_us = kNever;
  const bool ends = driven.stop.stop_requested();
  const bool sleeps = driven.sleep_after_us > 0 && driven.tended->sleeps_on(now, due_us);
  if (is_watched && !sleeps) watch_files(driven);
  if (sleeps && ends) return end(driven, {});
  {
    Hold hold(*this);
    if (sleeps || (!ends && !may_start(driven))) {
      const std::int64_t wanted_us = driven.parts[kLife].due_us;
      rest(driven, kLife);
      driven.was_opened |= sleeps;  // whatever wakes it now does so for a reason
      if (sleeps) due_us = std::min(due_us, look_asleep_us(driven, now.mono_us));
      want(driven, kLife, std::min(wanted_us, sleeps ? due_us : kNever));
      return;
    }
  }
  const Result<Replicator*> opened = driven.tended->open(driven.stop);
  if (!opened || *opened == nullptr) return end(driven, opened ? Result<void>() : Result<void>(opened.error()));
  auto awake = std::make_unique<Awake>(**opened, driven.options);
  awake->last_got_on_us = mono_us();
  awake->judge.begin(mono_us());
  Hold hold(*this);
  rest(driven, kLife);
  driven.awake = std::move(awake);
  driven.was_opened = true;
  ++awake_;
  ring_all(driven);
}

// Before its files are looked at: what happens later is told.
void Scheduler::watch_files(Driven& driven) {
  if (std::exchange(driven.is_watched_for, true)) {
    watch_->refresh(driven.id);
  } else {
    watch_->add(driven.id, driven.tended->database_path());
  }
  const std::string path = watch_->resolved_path_of(driven.id);
  std::string device = options_.device_of ? options_.device_of(path) : mounts_.device_of(path);
  {
    Hold hold(*this);
    driven.device = std::move(device);
  }
  const int error_number = watch_->error_number_of(driven.id);
  if (error_number == 0) return;
  {
    Hold hold(*this);
    if (!said_unwatched_.insert(error_number).second) return;
  }
  // Limits are met by thousands at once: the first of them speaks for the rest.
  if (driven.options.on_notice) {
    driven.options.on_notice(watch_->trouble_of(driven.id) + " (so are others that this is true of)");
  }
}

// All parts are at rest, or only those are not that may take long; then capture has to end first.
void Scheduler::close_or_sleep(Driven& driven) {
  Awake& awake = *driven.awake;
  std::optional<Result<void>> outcome;
  bool ends_capture = false;
  {
    Hold hold(*this);
    outcome = driven.outcome;
    ends_capture = outcome && !std::exchange(awake.capture_ended, true);
  }
  if (ends_capture) {
    awake.replicator.end_capture();
    Hold hold(*this);
    rest(driven, kLife);
    return put_away_when_still(driven);
  }
  if (outcome) return end(driven, *outcome);
  const bool asleep = !driven.stop.stop_requested() && driven.tended->fall_asleep(clock_.now());
  if (asleep) watch_->tell_at_once(driven.id, FilesWatch::AtOnce::nothing);
  Hold hold(*this);
  rest(driven, kLife);
  driven.quitting = false;
  if (asleep) {
    set_busy(driven, false);
    has_started(driven, Then::stays);
    is_new_no_more(driven);
    --awake_;
    driven.awake.reset();
    cancel_timers(driven);  // of parts that there are no more
    return want(driven, kLife, mono_us());  // what was written meanwhile
  }
  awake.no_sleep_before_us = mono_us() + kTryToSleepAgain_us;
  ring_all(driven);
}

void Scheduler::cancel_timers(Driven& driven) {
  for (int part = 0; part < kPartCount; ++part) cancel_timer(driven, static_cast<Part>(part));
}

void Scheduler::end(Driven& driven, const Result<void>& outcome) {
  std::unique_ptr<Driven> gone;
  {
    Hold hold(*this);
    forget_hang(driven.tended);
    rest(driven, kLife);
    driven.quitting = true;
    cancel_timers(driven);
    if (driven.awake) {
      set_busy(driven, false);
      --awake_;
    }
    has_started(driven, Then::stays);
    is_new_no_more(driven);
    const auto found = driven_.find(driven.id);
    gone = std::move(found->second);
    driven_.erase(found);
  }
  watch_->remove(gone->id);
  gone->on_stop.reset();
  gone->awake.reset();  // before what it speaks of is closed
  gone->tended->end(outcome);
}

// What people care about, and whether it has reached its end.
void Scheduler::tell(Driven& driven) {
  Awake& awake = *driven.awake;
  const auto ring = [&] {
    Hold hold(*this);
    ring_all(driven);
  };
  bool has_changed = false;
  {
    Hold hold(*this);
    has_changed = std::exchange(awake.told, awake.changes) != awake.changes;
  }
  if (has_changed && driven.options.on_change) driven.options.on_change(awake.replicator.status());
  if (driven.stop.stop_requested() && !awake.judge.is_ending()) {
    awake.judge.end(mono_us());
    ring();
  }
  std::optional<Result<void>> verdict;
  if (awake.judge.is_asked()) verdict = awake.judge.verdict(mono_us(), ring);
  if (verdict) conclude(driven, *verdict);
  Hold hold(*this);
  const std::int64_t wanted_us = driven.parts[kTell].due_us;
  rest(driven, kTell);
  want(driven, kTell, std::min(wanted_us, awake.judge.is_asked() ? mono_us() + kJudgeUs : kNever));
  put_away_when_still(driven);
}

// No part begins any more.
void Scheduler::conclude(Driven& driven, const Result<void>& outcome) {
  driven.awake->replicator.end_upkeep();
  Hold hold(*this);
  if (!driven.outcome) driven.outcome = outcome;
  driven.quitting = true;
  put_away_when_still(driven);
}

bool Scheduler::may_sleep(Driven& driven, const Time& now) {
  Hold hold(*this);
  const Awake& awake = *driven.awake;
  if (driven.sleep_after_us == 0 || driven.quitting || driven.stop.stop_requested() || awake.judge.is_asked()) {
    return false;
  }
  const bool soon = awake_ > options_.many_awake;
  const std::int64_t after_us = soon ? std::min(driven.sleep_after_us, options_.timing.busy_after_us)
                                     : driven.sleep_after_us;
  return now.mono_us >= awake.no_sleep_before_us && now.mono_us - awake.last_got_on_us >= after_us;
}

void Scheduler::begin_to_sleep(Driven& driven) {
  const bool still = std::all_of(driven.parts.begin(), driven.parts.end(), [](const PartState& state) {
    return state.at == PartState::At::rest;
  });
  if (!still || driven.quitting || driven.stop.stop_requested()) return;
  driven.quitting = true;
  enqueue(driven, kLife);
}

// Few that were never open are opened at the same time; who has to wait is called later.
bool Scheduler::may_start(Driven& driven) {
  if (driven.was_opened || driven.has_start) return true;
  if (!std::exchange(driven.waits_to_start, true)) starts_.push(*driven.lane, {driven.id, driven.lane});
  pump_starts();
  return driven.has_start;
}

void Scheduler::pump_starts() {
  while (starting_ < std::max(options_.starting_at_once, 1) &&
         starting_ + new_awake_ < std::max(options_.new_awake, 1)) {
    const auto next = starts_.take();
    if (!next) return;
    const auto found = driven_.find(next->first);
    if (found == driven_.end() || found->second->was_opened) {  // it was stopped meanwhile, or opened to be
      starts_.done(*next->second);
      continue;
    }
    ++starting_;
    Driven& driven = *found->second;
    driven.has_start = true;
    driven.waits_to_start = false;
    want(driven, kLife, mono_us());
  }
}

void Scheduler::has_started(Driven& driven, Then then) {
  if (!std::exchange(driven.has_start, false)) return;
  --starting_;
  starts_.done(*driven.lane);
  if (then == Then::sleeps_soon) {
    ++new_awake_;
    driven.new_until_us = mono_us() + kSleepsWithin_us;
  }
  pump_starts();
}

void Scheduler::is_new_no_more(Driven& driven) {
  if (std::exchange(driven.new_until_us, 0) == 0) return;
  --new_awake_;
  pump_starts();
}

// What the other parts are in the middle of may take long: capture is ended as soon as it can be.
void Scheduler::put_away_when_still(Driven& driven) {
  if (!driven.quitting || !driven.awake || driven.parts[kLife].at != PartState::At::rest) return;
  const auto is_busy = [](const PartState& state) { return state.at != PartState::At::rest; };
  const bool all_still = std::none_of(driven.parts.begin(), driven.parts.end(), is_busy);
  const bool ends_capture = driven.outcome && !driven.awake->capture_ended && !is_busy(driven.parts[kCapture]);
  if (all_still || ends_capture) enqueue(driven, kLife);
}

}  // namespace cairn::daemon
