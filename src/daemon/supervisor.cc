#include "daemon/supervisor.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

namespace cairn::daemon {

Supervisor::Supervisor(Clock& clock, Listener listener, const Timing& timing)
    : clock_(clock), listener_(std::move(listener)), timing_(timing), retrier_([this] { retry_loop(); }) {}

Supervisor::~Supervisor() {
  stop();
  while (true) {
    join_ended();
    MutexLock lock(mutex_);
    if (running_.empty() && ended_.empty() && calls_ == 0) {
      over_ = true;
      changed_.notify_all();
      break;
    }
    if (ended_.empty()) changed_.wait(mutex_);
  }
  retrier_.join();
}

void Supervisor::want(std::vector<Job> jobs) {
  join_ended();
  // Asked outside the lock: to be asked to stop runs code of the job's.
  std::vector<std::stop_source> gone;
  {
    MutexLock lock(mutex_);
    if (stopping_) return;
    waiting_.clear();
    for (Job& job : jobs) {
      std::string name = job.name;
      waiting_.emplace(std::move(name), std::move(job));
    }
    for (Slot& slot : running_) {
      const auto wanted = waiting_.find(slot.job.name);
      const bool stays = !slot.stop.stop_requested() && wanted != waiting_.end() &&
                         wanted->second.settings == slot.job.settings;
      if (stays) {
        count(slot.job, -1);
        slot.job.resource = wanted->second.resource;
        count(slot.job, 1);
        waiting_.erase(wanted);
      } else {
        gone.push_back(slot.stop);
      }
    }
  }
  for (std::stop_source& stop : gone) stop.request_stop();
  std::vector<Slot*> begun;
  {
    MutexLock lock(mutex_);
    begun = take_waiting();
    changed_.notify_all();
  }
  begin(begun);
}

void Supervisor::retry_now() {
  MutexLock lock(mutex_);
  ++retries_;
  changed_.notify_all();
}

void Supervisor::stop() {
  std::vector<std::stop_source> all;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    waiting_.clear();
    for (const Slot& slot : running_) all.push_back(slot.stop);
  }
  for (std::stop_source& stop : all) stop.request_stop();
  MutexLock lock(mutex_);
  changed_.notify_all();
}

bool Supervisor::is_idle() const {
  MutexLock lock(mutex_);
  return running_.empty() && waiting_.empty();
}

std::vector<Supervisor::Slot*> Supervisor::take_waiting() {
  std::vector<Slot*> taken;
  for (auto waiting = waiting_.begin(); !stopping_ && waiting != waiting_.end();) {
    if (is_in_the_way(waiting->second)) {
      ++waiting;
      continue;
    }
    Slot& slot = running_.emplace_back();
    slot.here = std::prev(running_.end());
    slot.job = std::move(waiting->second);
    slot.next_wait_ms = timing_.first_retry_ms;
    count(slot.job, 1);
    waiting = waiting_.erase(waiting);
    if (slot.job.start) {
      taken.push_back(&slot);
    } else {
      slot.thread = std::thread([this, &slot] { run(slot); });
    }
  }
  return taken;
}

void Supervisor::begin(const std::vector<Slot*>& slots) {
  for (Slot* const slot : slots) start(*slot);
}

bool Supervisor::is_in_the_way(const Job& job) const {
  return names_.contains(job.name) || (!job.resource.empty() && resources_.contains(job.resource));
}

void Supervisor::count(const Job& job, int one) {
  const auto add = [one](std::unordered_map<std::string, int>& counts, const std::string& key) {
    if ((counts[key] += one) == 0) counts.erase(key);
  };
  add(names_, job.name);
  if (!job.resource.empty()) add(resources_, job.resource);
}

// On a thread of its own.
void Supervisor::run(Slot& slot) {
  const std::stop_token stop = slot.stop.get_token();
  while (!stop.stop_requested()) {
    slot.begun_us = clock_.now().mono_us;
    if (!is_to_be_tried_again(slot, slot.job.run(stop))) break;
    wait_for_retry(slot);
  }
  end(slot);
}

// Without one.
void Supervisor::start(Slot& slot) {
  slot.begun_us = clock_.now().mono_us;
  slot.job.start(slot.stop.get_token(), [this, &slot](const Result<void>& result) { ended(slot, result); });
}

void Supervisor::ended(Slot& slot, const Result<void>& result) {
  {
    MutexLock lock(mutex_);
    ++calls_;
  }
  if (is_to_be_tried_again(slot, result)) {
    MutexLock lock(mutex_);
    retries_due_.emplace(clock_.now().mono_us + slot.wait_ms * 1000, &slot);
    changed_.notify_all();
  } else {
    end(slot);
  }
  MutexLock lock(mutex_);
  --calls_;
  changed_.notify_all();
}

bool Supervisor::is_to_be_tried_again(Slot& slot, const Result<void>& result) {
  const std::string name = slot.job.name;
  if (result) {
    if (listener_.on_end) listener_.on_end(name);
    return false;
  }
  const bool ran_long = clock_.now().mono_us - slot.begun_us > timing_.longest_retry_ms * 1000;
  if (ran_long) slot.next_wait_ms = timing_.first_retry_ms;
  slot.wait_ms = slot.next_wait_ms;
  slot.next_wait_ms = std::min(slot.wait_ms * 2, timing_.longest_retry_ms);
  const bool is_news = result.error().message() != slot.said;
  const bool again = !slot.stop.stop_requested();
  slot.said = result.error().message();
  if (listener_.on_failure) {
    listener_.on_failure(
        {name, result.error(), is_news || !again, again ? std::optional(slot.wait_ms) : std::nullopt});
  }
  return again;
}

void Supervisor::wait_for_retry(const Slot& slot) {
  const std::int64_t until_us = clock_.now().mono_us + slot.wait_ms * 1000;
  MutexLock lock(mutex_);
  const std::uint64_t retries = retries_;
  while (!slot.stop.stop_requested() && retries_ == retries) {
    const std::int64_t left_us = until_us - clock_.now().mono_us;
    if (left_us <= 0) return;
    changed_.wait_for(mutex_, std::chrono::microseconds(left_us));
  }
}

// The thread of all that wait without one.
void Supervisor::retry_loop() {
  std::uint64_t retries = 0;
  while (true) {
    std::vector<Slot*> due, stopped;
    {
      MutexLock lock(mutex_);
      if (over_) return;
      const bool all = std::exchange(retries, retries_) != retries_;
      const std::int64_t now_us = clock_.now().mono_us;
      std::erase_if(retries_due_, [&](const auto& one) {
        const bool is_over = one.second->stop.stop_requested();
        if (!is_over && !all && one.first > now_us) return false;
        (is_over ? stopped : due).push_back(one.second);
        return true;
      });
      if (due.empty() && stopped.empty()) {
        const std::int64_t left_us =
            retries_due_.empty() ? kLongestWaitUs : std::max<std::int64_t>(retries_due_.begin()->first - now_us, 0);
        changed_.wait_for(mutex_, std::chrono::microseconds(std::min(left_us, kLongestWaitUs)));
      }
    }
    begin(due);
    for (Slot* const slot : stopped) end(*slot);
  }
}

void Supervisor::end(Slot& slot) {
  bool idle = false;
  std::vector<Slot*> begun;
  {
    MutexLock lock(mutex_);
    count(slot.job, -1);
    ended_.splice(ended_.end(), running_, slot.here);
    begun = take_waiting();
    idle = stopping_ && running_.empty();
    changed_.notify_all();
  }
  begin(begun);
  if (idle && listener_.on_idle) listener_.on_idle();
}

void Supervisor::join_ended() {
  std::list<Slot> ended;
  {
    MutexLock lock(mutex_);
    ended.swap(ended_);
  }
  for (Slot& slot : ended) {
    if (slot.thread.joinable()) slot.thread.join();
  }
}

}  // namespace cairn::daemon
