#include "daemon/supervisor.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace cairn::daemon {

Supervisor::Supervisor(Clock& clock, Listener listener, const Timing& timing)
    : clock_(clock), listener_(std::move(listener)), timing_(timing) {}

Supervisor::~Supervisor() {
  stop();
  while (true) {
    join_ended();
    MutexLock lock(mutex_);
    if (running_.empty() && ended_.empty()) return;
    if (ended_.empty()) changed_.wait(mutex_);
  }
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
        slot.job.resource = wanted->second.resource;
        waiting_.erase(wanted);
      } else {
        gone.push_back(slot.stop);
      }
    }
  }
  for (std::stop_source& stop : gone) stop.request_stop();
  MutexLock lock(mutex_);
  if (!stopping_) begin_waiting();
  changed_.notify_all();
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

void Supervisor::begin_waiting() {
  for (auto waiting = waiting_.begin(); waiting != waiting_.end();) {
    if (is_in_the_way(waiting->second)) {
      ++waiting;
      continue;
    }
    Slot& slot = running_.emplace_back();
    slot.job = std::move(waiting->second);
    waiting = waiting_.erase(waiting);
    slot.thread = std::thread([this, &slot] { run(slot); });
  }
}

bool Supervisor::is_in_the_way(const Job& job) const {
  return std::any_of(running_.begin(), running_.end(), [&](const Slot& slot) {
    return slot.job.name == job.name || (!job.resource.empty() && slot.job.resource == job.resource);
  });
}

void Supervisor::run(Slot& slot) {
  const std::stop_token stop = slot.stop.get_token();
  const std::string name = slot.job.name;
  std::int64_t wait_ms = timing_.first_retry_ms;
  std::string said;  // of the last failure
  while (!stop.stop_requested()) {
    const std::int64_t begun_us = clock_.now().mono_us;
    const Result<void> result = slot.job.run(stop);
    if (result) {
      if (listener_.on_end) listener_.on_end(name);
      return end(slot);
    }
    if (clock_.now().mono_us - begun_us > timing_.longest_retry_ms * 1000) wait_ms = timing_.first_retry_ms;
    const bool is_news = result.error().message() != said;
    const bool again = !stop.stop_requested();
    said = result.error().message();
    if (listener_.on_failure) {
      listener_.on_failure({name, result.error(), is_news || !again, again ? std::optional(wait_ms) : std::nullopt});
    }
    if (!again) return end(slot);
    wait_for_retry(slot, wait_ms);
    wait_ms = std::min(wait_ms * 2, timing_.longest_retry_ms);
  }
  end(slot);
}

void Supervisor::wait_for_retry(const Slot& slot, std::int64_t wait_ms) {
  const std::int64_t until_us = clock_.now().mono_us + wait_ms * 1000;
  MutexLock lock(mutex_);
  const std::uint64_t retries = retries_;
  while (!slot.stop.stop_requested() && retries_ == retries) {
    const std::int64_t left_us = until_us - clock_.now().mono_us;
    if (left_us <= 0) return;
    changed_.wait_for(mutex_, std::chrono::microseconds(left_us));
  }
}

void Supervisor::end(Slot& slot) {
  bool idle = false;
  {
    MutexLock lock(mutex_);
    const auto here = std::find_if(running_.begin(), running_.end(), [&](const Slot& one) { return &one == &slot; });
    ended_.splice(ended_.end(), running_, here);
    if (!stopping_) begin_waiting();
    idle = stopping_ && running_.empty();
    changed_.notify_all();
  }
  if (idle && listener_.on_idle) listener_.on_idle();
}

void Supervisor::join_ended() {
  std::list<Slot> ended;
  {
    MutexLock lock(mutex_);
    ended.swap(ended_);
  }
  for (Slot& slot : ended) slot.thread.join();
}

}  // namespace cairn::daemon
