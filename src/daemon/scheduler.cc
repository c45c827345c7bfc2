// A part is at rest (with a timer), in a queue, or at work. want() is the only way from rest to anywhere; what wants a
// part that is at work is kept, and looked at when its step has ended.
//
// The thread that waits leaves inotify alone for a moment after each event: while applications write, every write
// would wake it, and it could tell nothing new. The moment is the longer the more are open, up to 40 ms. But whoever
// checkpoints may wait for us, with the write lock: so writes to the database files of those that are open, and to a
// WAL that begins anew, are told of by themselves, and heard within a quarter of that. How far somebody's checkpoint
// has come, and that a commit is whole of which the WAL was written before, shows in shared memory only. So a database
// is looked at again after some milliseconds even if no file changes, for a second after its file was written
// (somebody checkpoints) or its WAL was and no commit came of it yet; each time a quarter later, which is as much
// longer as a checkpoint may take for it. Once the commits are seen there is nothing to be waited for: looks soon
// become rare while another transaction has begun, and otherwise the next one writes to the WAL's file, which is heard.
#include "daemon/scheduler.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/os.h"
#include "daemon/scheduler_driven.h"

namespace cairn::daemon {

namespace {

// A quarter is kept for the other stores, and at least one.
std::size_t most_of_a_lane(int workers) {
  return static_cast<std::size_t>(std::max(workers - std::max(workers / 4, 1), 1));
}

// By what looking is slowed down with so many.
std::int64_t times(std::size_t count, std::size_t often) { return static_cast<std::int64_t>(count / often + 1); }

// These may be late, so that one waking serves many: nobody waits for what is told, and a merge has seconds.
constexpr std::int64_t kTellWithin_us = 100'000;
constexpr std::int64_t kTellCommitsWithin_us = 3'000'000;
constexpr std::int64_t kUpkeepWithin_us = 5'000'000;

constexpr std::int64_t kAsleepLooks_us = 1'000'000;

// What is due in more than so many ticks may be later by half of that; and how long a tick may get.
constexpr std::int64_t kTicks = 8, kMostTick_us = 40'000;

// A quarter later at most, so that looks at many fall together: waking threads for each costs more than the looks.
std::int64_t together(std::int64_t due_us, std::int64_t now_us) { return rounded_up(due_us, (due_us - now_us) / 4); }

}  // namespace

const Scheduler::Lane& Scheduler::lane_of(const Driven& driven, Part part) {
  static const Lane kNone = std::make_shared<const std::string>();
  return part == kCapture || part == kTell ? kNone : driven.lane;
}

Result<std::unique_ptr<Scheduler>> Scheduler::open(Clock& clock, const SchedulerOptions& options) {
  CAIRN_ASSIGN(std::unique_ptr<FilesWatch> watch, FilesWatch::open(options.add_watch));
  std::unique_ptr<Scheduler> scheduler(new Scheduler(clock, options, std::move(watch)));
  if (!scheduler->begin())
    return Error(ErrorKind::io, "the system gives no more threads (RLIMIT_NPROC, or the cgroup's pids.max)");
  return scheduler;
}

Scheduler::Scheduler(Clock& clock, const SchedulerOptions& options, std::unique_ptr<FilesWatch> watch)
    : clock_(clock), options_(options), watch_(std::move(watch)), starts_(most_of_a_lane(options.starting_at_once)) {
  const std::array<int, kPoolCount> workers{std::max(options.capture_workers, 1), std::max(options.store_workers, 1),
                                            std::max(options.upkeep_workers, 1), 1, std::max(options.life_workers, 1)};
  Hold hold(*this);
  help_at_us_.fill(kNever);
  for (const Pool pool : {kCapturers, kStores, kKeepers, kTeller, kLives}) {
    const bool has_lanes = pool != kCapturers && pool != kTeller;
    queues_.emplace_back(has_lanes ? most_of_a_lane(workers[pool]) : static_cast<std::size_t>(workers[pool]));
    workers_[pool].most = workers[pool];
  }
}

// The thread that waits.

void Scheduler::wait_loop() {
  std::int64_t deaf_until_us = 0, deaf_at_once_until_us = 0;  // 0: it listens
  while (true) {
    std::int64_t until_us = kNever;
    {
      Hold hold(*this);
      if (quitting_) return;
      const std::int64_t now_us = mono_us();
      until_us = std::min(ring_timers(now_us), look_at_busy(now_us));
      until_us = std::min(until_us, when_to_help(now_us));
      for (const std::int64_t ends_us : {deaf_until_us, deaf_at_once_until_us}) {
        if (ends_us > 0) until_us = std::min(until_us, ends_us);
      }
      waits_until_us_ = until_us;
    }
    const std::int64_t wait_us = std::clamp<std::int64_t>(until_us - mono_us(), 0, kLongestWaitUs);
    const FilesWatch::For listens{deaf_until_us == 0, deaf_at_once_until_us == 0};
    const FilesWatch::Wake wake = watch_->wait(wait_us, listens);
    const std::int64_t now_us = mono_us();
    const bool hears = listens.files ? wake == FilesWatch::Wake::event : now_us >= deaf_until_us;
    const auto changed = hears ? watch_->drain() : std::map<Id, FilesWatch::What>();
    const bool hears_at_once = wake == FilesWatch::Wake::other || (listens.at_once && hears);
    const auto waited_for = hears_at_once ? watch_->drain_at_once() : std::map<Id, FilesWatch::What>();
    Hold hold(*this);
    waits_until_us_ = 0;
    help(now_us);
    note_files(changed, now_us);
    note_files(waited_for, now_us);
    if (!waited_for.empty()) deaf_at_once_until_us = now_us + checkpoint_gap_us();
    if (now_us >= deaf_at_once_until_us) deaf_at_once_until_us = 0;
    if (hears) deaf_until_us = changed.empty() ? 0 : rounded_up(now_us + options_.timing.least_gap_us, tick_us());
  }
}

// What comes together at the same moments costs one waking each. Few are not kept waiting for that.
std::int64_t Scheduler::tick_us() const {
  return std::min(options_.timing.least_gap_us * times(awake_, options_.often_busy), kMostTick_us);
}

// A checkpoint of many pages tells of each.
std::int64_t Scheduler::checkpoint_gap_us() const { return std::max(options_.timing.least_gap_us, tick_us() / 4); }

// Who checkpoints so that the WAL begins anew waits for us to follow once it has begun, too.
void Scheduler::tell_at_once(Driven& driven, bool is_on_floor) {
  using AtOnce = FilesWatch::AtOnce;
  const AtOnce wanted = is_on_floor ? AtOnce::both : AtOnce::database;
  if (std::exchange(driven.awake->told_at_once, wanted) != wanted) watch_->tell_at_once(driven.id, wanted);
}

// When the next one rings.
std::int64_t Scheduler::ring_timers(std::int64_t now_us) {
  std::int64_t next_us = kNever;
  for (std::set<Timer>& timers : timers_) {
    while (!timers.empty() && std::get<0>(*timers.begin()) <= now_us) {
      const auto [due_us, id, part] = *timers.begin();
      Driven& driven = *driven_.at(id);
      cancel_timer(driven, part);
      // No part of one that quits begins any more: one in a queue would be there when the database has gone.
      if (!driven.quitting) enqueue(driven, part);
    }
    if (!timers.empty()) next_us = std::min(next_us, std::get<0>(*timers.begin()));
  }
  return next_us;
}

void Scheduler::note_files(const std::map<Id, FilesWatch::What>& changed, std::int64_t now_us) {
  for (const auto& [id, what] : changed) {
    const auto found = driven_.find(id);
    if (found == driven_.end()) continue;
    Driven& driven = *found->second;
    if (driven.awake == nullptr) {
      want(driven, kLife, now_us);
      continue;
    }
    Awake& awake = *driven.awake;
    const RunTiming& timing = options_.timing;
    const bool busy = now_us - awake.last_life_us < timing.busy_after_us;
    awake.last_life_us = awake.last_heard_us = now_us;
    if (what == FilesWatch::What::database) awake.database_written_us = now_us;
    const std::int64_t gap_us = busy ? std::max(timing.busy_look_us, timing.least_gap_us) : timing.least_gap_us;
    want(driven, kCapture, std::max(now_us, awake.last_capture_us + gap_us));
  }
}

// The workers.

std::optional<Scheduler::Work> Scheduler::take(Pool pool) {
  if (workers_[pool].running >= workers_[pool].most) return std::nullopt;
  if (pool == kTeller && !to_note_.empty()) {
    const Work noting = begin_work(pool, {to_note_.front(), nullptr, {}});
    to_note_.pop_front();
    return noting;
  }
  while (const auto item = queues_[pool].take()) {
    const auto [id, part] = *item;
    Driven& driven = *driven_.at(id);  // end() leaves nothing in a queue behind
    const Lane& lane = lane_of(driven, part);
    const bool begins = part == kLife || (!driven.quitting && driven.awake != nullptr);
    if (begins && !waits_for_device(driven, part)) {
      driven.parts[part] = {PartState::At::work};
      Work work = begin_work(pool, {driven.tended, lane, device_of(driven, part), id});
      work.driven = &driven;
      work.part = part;
      if (part == kCapture) work.is_idle = is_idle(driven, work.busy->begun_us);
      return work;
    }
    queues_[pool].done(*lane);
    if (begins) continue;
    rest(driven, part);
    put_away_when_still(driven);
  }
  return std::nullopt;
}

bool Scheduler::is_idle(const Driven& driven, std::int64_t now_us) const {
  const RunTiming& timing = options_.timing;
  const std::int64_t quiet_us = watch_->is_watched(driven.id) ? timing.idle_look_us : timing.busy_after_us;
  return now_us - driven.awake->last_life_us >= quiet_us;
}

void Scheduler::work(const Work& work) {
  if (!work.driven) return work.busy->tended->note_hang();
  if (work.part == kLife) return live(*work.driven);
  if (work.part == kTell) return tell(*work.driven);
  step(work);
}

void Scheduler::step(const Work& work) {
  static constexpr std::array kSteps{&Replicator::capture_step, &Replicator::publish_step, &Replicator::snapshot_step};
  Driven& driven = *work.driven;
  Awake& awake = *driven.awake;  // it stays while a part is at work
  Result<Step> result = Step{kNever};
  if (work.part == kCapture && (work.is_idle || watch_->is_lost(driven.id))) watch_->refresh(driven.id);
  const Time now = clock_.now();
  bool sleeps = false;
  if (work.part == kUpkeep) {
    result = awake.replicator.upkeep_step(now);
  } else if (work.part != kCapture) {
    result = (awake.replicator.*kSteps[work.part])(now);
  } else if (!still_awaits_database(driven)) {
    const Judge::Question question = awake.judge.question();
    result = awake.replicator.capture_step(now);
    if (result && awake.judge.note_capture(question)) {
      Hold hold(*this);
      ring_all(driven);
    }
    sleeps = result && may_sleep(driven, now) && awake.replicator.may_rest(now);
  }
  const ReplicatorStatus status = awake.replicator.status();
  if (work.part == kCapture) tell_at_once(driven, status.hold == "floor");
  Hold hold(*this);
  if (work.part == kCapture) {
    awake.last_capture_us = now.mono_us;
    const std::pair shown(status.wal_frames, status.captured_commits);
    if (std::exchange(awake.seen, shown) != shown) awake.last_seen_us = now.mono_us;
  }
  finish(work, result, status);
  if (sleeps) begin_to_sleep(driven);
}

bool Scheduler::still_awaits_database(Driven& driven) {
  if (!driven.awaits_database) return false;
  if (has_content(driven.awake->replicator.database_path())) {
    driven.awaits_database = false;
    return false;
  }
  if (driven.awake->judge.is_ending()) driven.awake->judge.note_never_appeared();
  return true;
}

// What is due, and when.

void Scheduler::want(Driven& driven, Part part, std::int64_t due_us) {
  PartState& state = driven.parts[part];
  if (driven.quitting || state.at == PartState::At::queue || due_us >= state.due_us) return;
  const std::int64_t now_us = mono_us(), tick_us = this->tick_us();
  if (due_us != kNever && due_us - now_us > kTicks * tick_us) due_us = rounded_up(due_us, kTicks / 2 * tick_us);
  if (due_us >= state.due_us) return;
  if (state.at == PartState::At::rest && state.due_us != kNever) {
    const bool is_soon_enough = due_us > now_us && state.due_us <= rounded_up(due_us, tick_us);
    if (is_soon_enough) return;
  }
  if (state.at == PartState::At::rest && due_us <= now_us) return enqueue(driven, part);
  cancel_timer(driven, part);
  state.due_us = due_us;
  if (state.at == PartState::At::work) return;
  state.timer = timers_of(part).emplace(due_us, driven.id, part).first;
  if (due_us < waits_until_us_) rings_ = true;
}

void Scheduler::enqueue(Driven& driven, Part part) {
  PartState& state = driven.parts[part];
  cancel_timer(driven, part);
  state.at = PartState::At::queue;
  queues_[pool_of(part)].push(*lane_of(driven, part), {driven.id, part});
  call(pool_of(part));
}

void Scheduler::cancel_timer(Driven& driven, Part part) {
  PartState& state = driven.parts[part];
  if (state.at == PartState::At::rest && state.due_us != kNever) timers_of(part).erase(state.timer);
  state.due_us = kNever;
}

void Scheduler::rest(Driven& driven, Part part) {
  cancel_timer(driven, part);
  driven.parts[part].at = PartState::At::rest;
}

void Scheduler::finish(const Work& work, const Result<Step>& result, const ReplicatorStatus& status) {
  Driven& driven = *work.driven;
  const std::int64_t wanted_us = driven.parts[work.part].due_us;
  rest(driven, work.part);
  if (!result && !driven.outcome) {
    driven.outcome = Result<void>(result.error());
    driven.quitting = true;
    driven.awake->replicator.end_upkeep();
  }
  if (driven.quitting) return put_away_when_still(driven);
  const std::int64_t now_us = mono_us();
  note(driven, work.part, status, now_us);
  std::int64_t due_us = std::min(result->next_us, wanted_us);
  if (work.part == kCapture) due_us = std::min(due_us, look_again_us(driven, status, now_us));
  want(driven, work.part, due_us);
}

// Whoever changes the status wakes everybody; but commits that get on, which is nearly all that happens, wake only who
// has something to do: what is captured can be published, what is published is merged some time. It does not echo,
// since a step that finds nothing to do changes nothing. (Capture itself looks again soon while a spool is full.)
void Scheduler::note(Driven& driven, Part part, const ReplicatorStatus& status, std::int64_t now_us) {
  Awake& awake = *driven.awake;
  const bool in_trouble = !status.store_trouble.empty() || !status.database_trouble.empty();
  if (status.settled || in_trouble) has_started(driven, in_trouble ? Then::stays : Then::sleeps_soon);
  if (in_trouble || (driven.new_until_us > 0 && now_us >= driven.new_until_us)) is_new_no_more(driven);
  const StatusMark mark(status);
  const StatusWords words(status);
  const bool got_on = mark != awake.mark;
  if (!got_on && words == awake.words) return;
  const StatusMark before = std::exchange(awake.mark, mark).value_or(StatusMark());
  const bool only_commits =
      awake.words && words.is_same_but_for_commits(*awake.words) && mark.is_same_but_for_commits(before);
  awake.words = words;
  ++awake.changes;
  const std::int64_t within_us = only_commits ? kTellCommitsWithin_us : kTellWithin_us;
  want(driven, kTell, awake.judge.is_asked() ? now_us : together(now_us + within_us, now_us));
  if (!got_on) return;
  awake.last_got_on_us = now_us;
  // Another part that ends while capture does may be the first to see what was captured.
  if (part == kCapture || mark.captured_commits != before.captured_commits) awake.last_life_us = now_us;
  if (status.has_snapshot && mark.is_same_but_for_commits(before)) {
    if (mark.captured_sequence != before.captured_sequence) want(driven, kPublish, now_us);
    if (mark.published_sequence != before.published_sequence) {
      want(driven, kUpkeep, together(now_us + kUpkeepWithin_us, now_us));
    }
    return;
  }
  want(driven, kPublish, now_us);
  want(driven, kSnapshot, now_us);
  want(driven, kUpkeep, now_us);
  if (part == kCapture) return;
  want(driven, kCapture, std::max(now_us, awake.last_capture_us + options_.timing.least_gap_us));
}

void Scheduler::set_busy(Driven& driven, bool busy) {
  if (std::exchange(driven.awake->busy, busy) != busy) busy ? ++busy_ : --busy_;
}

// In what shows in shared memory only: by somebody's checkpoint, or by a commit that is not whole yet. What was heard
// of a commit may come after the look that showed it.
bool Scheduler::may_be_waited_for(const Driven& driven, std::int64_t now_us) const {
  const Awake& awake = *driven.awake;
  const RunTiming& timing = options_.timing;
  return !watch_->is_watched(driven.id) || now_us - awake.database_written_us < timing.busy_after_us ||
         awake.last_seen_us < awake.last_heard_us - 2 * tick_us();
}

std::int64_t Scheduler::look_again_us(Driven& driven, const ReplicatorStatus& status, std::int64_t now_us) {
  const RunTiming& timing = options_.timing;
  const bool is_awaited = may_be_waited_for(driven, now_us);
  const bool busy = now_us - driven.awake->last_life_us < timing.busy_after_us;
  set_busy(driven, busy && (is_awaited || status.transaction_begun));
  if (driven.awake->busy) {
    std::int64_t gap_us = timing.busy_look_us * times(busy_, options_.often_busy);
    const std::int64_t quiet_us = now_us - driven.awake->last_life_us;
    if (!is_awaited) gap_us = std::max({gap_us, 10 * timing.busy_look_us, 3 * quiet_us});
    if (is_awaited && watch_->is_watched(driven.id)) gap_us = std::max(gap_us, quiet_us / 4);
    return together(now_us + gap_us, now_us);
  }
  const std::int64_t idle_us = timing.idle_look_us * times(awake_, options_.often_looked_at);
  return now_us + (watch_->is_watched(driven.id) ? idle_us : timing.unwatched_look_us);
}

// What the file system did not tell of is found a little later. Once a second for all that are due then, so that
// threads are woken once for many.
std::int64_t Scheduler::look_asleep_us(const Driven& driven, std::int64_t now_us) {
  const bool is_watched = watch_->is_watched(driven.id);
  const std::int64_t often_us = is_watched ? options_.asleep_look_us : options_.unwatched_asleep_look_us;
  const std::size_t often = is_watched ? options_.often_asleep : options_.often_looked_at;
  return rounded_up(now_us + often_us * times(driven_.size(), often), std::min(often_us / 8, kAsleepLooks_us));
}

void Scheduler::ring_all(Driven& driven) {
  if (!driven.awake) return want(driven, kLife, mono_us());
  ++driven.awake->changes;
  const std::int64_t now_us = mono_us();
  for (const Part part : {kCapture, kPublish, kSnapshot, kUpkeep, kTell}) want(driven, part, now_us);
}

void Scheduler::ring(const Tended& tended) {
  Hold hold(*this);
  if (const auto found = driven_.find(tended.id_); found != driven_.end()) ring_all(*found->second);
}


// Who asks for it.

void Scheduler::tend(std::shared_ptr<Tended> tended, const std::string& lane, std::stop_token stop,
                     RunOptions options, std::int64_t sleep_after_us) {
  // By its name alone, and so of no weight for what is known to lie there: whoever opens it follows symbolic links.
  const std::string path = tended->database_path();
  std::string device = "named " + (options_.device_of ? options_.device_of(path) : mounts_.device_of(path));
  auto made = std::make_unique<Driven>(std::move(tended), lane, stop, std::move(options), sleep_after_us);
  Driven& driven = *made;
  {
    Hold hold(*this);
    driven.id = driven.tended->id_ = ++last_id_;
    driven.device = std::move(device);
    driven.was_opened = sleep_after_us == 0;  // they are open all together anyway
  }
  const Id id = driven.id;
  const auto ring = [this, id] {
    Hold hold(*this);
    const auto found = driven_.find(id);
    if (found != driven_.end()) ring_all(*found->second);
  };
  driven.on_stop.emplace(std::move(stop), ring);
  Hold hold(*this);
  driven_.emplace(id, std::move(made));
  want(driven, kLife, mono_us());
}

namespace {

// One that is open all the time, and whose end somebody waits for.
class AlwaysAwake final : public Tended {
 public:
  explicit AlwaysAwake(Replicator& replicator) : replicator_(replicator) {}
  std::string database_path() const override { return replicator_.database_path(); }
  bool sleeps_on(const Time&, std::int64_t&) override { return false; }
  Result<Replicator*> open(std::stop_token) override { return &replicator_; }
  bool fall_asleep(const Time&) override { return false; }
  void end(const Result<void>& outcome) override {
    MutexLock lock(mutex_);
    outcome_ = outcome;
    ended_.notify_all();
  }
  Result<void> wait() {
    MutexLock lock(mutex_);
    while (!outcome_) ended_.wait(mutex_);
    return *outcome_;
  }

 private:
  Replicator& replicator_;
  Mutex mutex_;
  ConditionVariable ended_;
  std::optional<Result<void>> outcome_ GUARDED_BY(mutex_);
};

}  // namespace

Result<void> Scheduler::drive(Replicator& replicator, const std::string& lane, std::stop_token stop,
                              const RunOptions& options) {
  const auto one = std::make_shared<AlwaysAwake>(replicator);
  tend(one, lane, std::move(stop), options, 0);
  return one->wait();
}

}  // namespace cairn::daemon
