// The part of the scheduler that knows who is stuck, and puts somebody else in that one's place.
//
// What a worker is at has an entry from when it was taken until the worker is back, also when what it was done for has
// gone meanwhile. The thread that waits looks at these entries, once a second while there are any.
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <utility>

#include "daemon/scheduler_driven.h"

namespace cairn::daemon {
namespace {

std::int64_t time_of(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000 + time.tv_nsec / 1000;
}

// What the calling thread had computed when the system was asked last, which is asked again when the thread has been at
// work for `within_us` since: it cannot have computed for longer than that.
struct Computed {
  bool is_known = false;
  std::int64_t us = 0, worked_us = 0;

  std::int64_t at_most(clockid_t clock, std::int64_t within_us) {
    if (!is_known || worked_us > within_us) *this = {true, time_of(clock), 0};
    return us;
  }
};
thread_local Computed computed;

}  // namespace

Scheduler::Work Scheduler::begin_work(Pool pool, Busy busy) {
  Workers& workers = workers_[pool];
  ++workers.running;
  busy.begun_us = busy.moved_us = busy.looked_us = mono_us();
  ::pthread_getcpuclockid(::pthread_self(), &busy.computing_time);
  // A quarter of what tells who computes: what was before is not taken for what it does.
  busy.computed_us = computed.at_most(busy.computing_time, options_.stuck_after_us / 400);
  busy.heard_of_us = busy.begun_us;
  const std::int64_t due_us = busy.begun_us + options_.stuck_after_us;
  if (may_be_replaced(pool) && waits_until_us_ > due_us) {
    waits_until_us_ = due_us;
    rings_ = true;
  }
  workers.busy.push_front(std::move(busy));
  Work work;
  work.busy = workers.busy.begin();
  return work;
}

void Scheduler::come_back(Pool pool, std::list<Busy>::iterator busy) {
  Workers& workers = workers_[pool];
  const Busy one = std::move(*busy);
  computed.worked_us += mono_us() - one.begun_us;
  workers.busy.erase(busy);
  if (one.is_replaced) {
    --workers.replaced;
    rings_ = true;  // for whoever could not be
  } else {
    --workers.running;
  }
  if (one.is_stuck && !one.device.empty()) leave_device(one.device);
  if (!one.is_stuck && one.lane) queues_[pool].done(*one.lane);
  if (one.is_told) note_hang(one.tended);
  if (!one.lane) noted_.notify_all();
  // The lane may have more than this thread takes.
  if (pool == kCapturers || !queues_[pool].has_next()) return;
  pool == kStores ? help_later(pool) : call(pool);
}

// Whether it has moved since it was looked at last.
void Scheduler::look_at(Pool pool, Busy& busy, std::int64_t now_us) {
  const std::int64_t computed_us = time_of(busy.computing_time);
  const bool has_computed = (computed_us - busy.computed_us) * 100 > now_us - busy.looked_us;
  if (has_computed) busy.moved_us = now_us;
  if (has_computed || pool == kStores || busy.tended->takes_its_time()) busy.heard_of_us = now_us;
  busy.computed_us = computed_us;
  busy.looked_us = now_us;
}

// When the next one has not moved for so long.
std::int64_t Scheduler::look_at_busy(std::int64_t now_us) {
  std::int64_t next_us = kNever;
  for (const Pool pool : {kCapturers, kStores, kTeller, kLives}) {
    for (Busy& busy : workers_[pool].busy) {
      const bool is_settled = pool == kStores && busy.is_replaced;  // nothing more is decided about it
      if (!is_settled) next_us = std::min(next_us, look_at_one(pool, busy, now_us));
    }
  }
  return next_us;
}

std::int64_t Scheduler::look_at_one(Pool pool, Busy& busy, std::int64_t now_us) {
  const std::int64_t still_us = busy.is_stuck ? options_.told_after_us : options_.stuck_after_us;
  const bool was_just_looked_at = busy.looked_us + options_.stuck_after_us > now_us;  // too short to measure
  if (busy.moved_us + still_us <= now_us && !was_just_looked_at) look_at(pool, busy, now_us);
  if (busy.is_told && busy.heard_of_us == now_us) {
    busy.is_told = false;
    note_hang(busy.tended);
  }
  if (!busy.is_replaced && busy.moved_us + options_.stuck_after_us <= now_us) busy.is_replaced = replace(pool);
  const std::int64_t stuck_us = busy.heard_of_us + options_.stuck_after_us;
  if (busy.is_replaced && !busy.is_stuck && stuck_us <= now_us) leave_lane(pool, busy);
  const std::int64_t told_us = busy.heard_of_us + options_.told_after_us;
  if (!busy.is_told && told_us <= now_us && pool != kTeller) {
    busy.is_told = true;
    note_hang(busy.tended);
  }
  const std::int64_t next_us = told_us > now_us ? told_us : now_us + options_.told_after_us;
  return stuck_us > now_us ? std::min(next_us, stuck_us) : next_us;
}

// From now on it holds no place in its pool. False: too many are replaced.
bool Scheduler::replace(Pool pool) {
  Workers& workers = workers_[pool];
  if (workers.replaced >= options_.most_stuck || !hire(pool)) return false;
  ++workers.replaced;
  --workers.running;
  return true;
}

// Nor in its lane: it is not the store that it waits for.
void Scheduler::leave_lane(Pool pool, Busy& busy) {
  busy.is_stuck = true;
  if (busy.lane) queues_[pool].done(*busy.lane);
  call(pool);  // the lane may have more
  if (!busy.device.empty()) ++devices_[busy.device].stuck;
  // Nor does it keep those waiting that were never open.
  if (const auto driven = driven_.find(busy.id); driven != driven_.end()) {
    has_started(*driven->second, Then::stays);
    is_new_no_more(*driven->second);
  }
}

// A store that hangs is the lane's matter: see Tended::takes_its_time().
std::string Scheduler::device_of(const Driven& driven, Part part) const {
  return part == kCapture || part == kLife ? driven.device : "";
}

// True: it is called when somebody who is stuck there has come back.
bool Scheduler::waits_for_device(Driven& driven, Part part) {
  if (devices_.empty()) return false;
  const auto device = devices_.find(device_of(driven, part));
  if (device == devices_.end() || device->second.stuck < options_.most_stuck_on_one_device) return false;
  device->second.waiting.emplace_back(driven.id, part);
  driven.tended->waits_since_us_ = mono_us();
  count_hang(*driven.tended);
  return true;
}

void Scheduler::leave_device(const std::string& name) {
  const auto place = devices_.find(name);
  --place->second.stuck;
  const auto waiting = std::exchange(place->second.waiting, {});
  if (place->second.stuck == 0) devices_.erase(place);
  for (const auto& [id, part] : waiting) {  // in the state of one in a queue, so it is there still
    Driven& driven = *driven_.at(id);
    queues_[pool_of(part)].push(*lane_of(driven, part), {id, part});
    call(pool_of(part));
    driven.tended->waits_since_us_ = 0;
    count_hang(*driven.tended);
  }
}

void Scheduler::count_hang(Tended& tended) {
  std::int64_t since_us = tended.waits_since_us_;
  for (const Workers& workers : workers_) {
    for (const Busy& busy : workers.busy) {
      if (!busy.is_told || busy.tended.get() != &tended) continue;
      since_us = since_us == 0 ? busy.heard_of_us : std::min(since_us, busy.heard_of_us);
    }
  }
  tended.hangs_since_us_ = since_us;
}

void Scheduler::note_hang(const std::shared_ptr<Tended>& tended) {
  count_hang(*tended);
  if (tended->is_over_) return;
  to_note_.push_back(tended);
  call(kTeller);
}

// Nothing is noted of it any more.
void Scheduler::forget_hang(const std::shared_ptr<Tended>& tended) {
  tended->is_over_ = true;
  std::erase(to_note_, tended);
  const auto is_noted = [&](const Busy& busy) { return !busy.lane && busy.tended == tended; };
  const std::list<Busy>& tellers = workers_[kTeller].busy;
  while (std::any_of(tellers.begin(), tellers.end(), is_noted)) {
    wake_called();
    noted_.wait(mutex_);
  }
}

}  // namespace cairn::daemon
