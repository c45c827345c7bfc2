// The threads of the scheduler, and who of them is woken for what is in a queue.
#include <algorithm>
#include <system_error>
#include <utility>

#include "base/os.h"
#include "daemon/scheduler_driven.h"

namespace cairn::daemon {
namespace {

// Who is at a capture for longer than that does not come soon.
constexpr std::int64_t kSoon_us = 5'000;

}  // namespace

// False: the system gives no more threads.
bool Scheduler::begin() {
  Hold hold(*this);
  for (const Pool pool : {kCapturers, kStores, kKeepers, kTeller, kLives}) {
    while (workers_[pool].threads < workers_[pool].most) {
      if (!hire(pool)) return false;
    }
  }
  return start_thread(threads_.emplace(threads_.end()), [this] { wait_loop(); });
}

Scheduler::~Scheduler() {
  std::list<std::thread> threads;
  {
    Hold hold(*this);
    quitting_ = true;
    for (ConditionVariable& called : called_) called.notify_all();
    threads.splice(threads.end(), threads_);
    threads.splice(threads.end(), left_);
  }
  watch_->ring();
  for (std::thread& thread : threads) thread.join();
}

Scheduler::Hold::~Hold() {
  const Calls calls = std::exchange(scheduler_.calls_, {});
  const bool rings = std::exchange(scheduler_.rings_, false);
  scheduler_.mutex_.unlock();
  scheduler_.wake(calls, rings);
}

// Captures are short, and so are puts and merges where the store is near; many fall on one tick: who is at one takes
// the next, too. To wake a second thread for them costs more than they do, and both get into each other's way. If it
// does not come soon, the others are woken: see help().
void Scheduler::call(Pool pool) {
  if (std::ranges::find(kGathering, pool) == kGathering.end()) return wake_one(pool);
  const Workers& workers = workers_[pool];
  const std::int64_t now_us = mono_us();
  const bool has_begun_now = !workers.busy.empty() && now_us - workers.busy.front().begun_us < kSoon_us;
  if (workers.called == 0 && !has_begun_now) return wake_one(pool);
  help_later(pool);
}

void Scheduler::help_later(Pool pool) {
  const std::int64_t help_us = when_to_help(pool, mono_us());
  if (help_us >= waits_until_us_) return;
  waits_until_us_ = help_us;
  rings_ = true;
}

void Scheduler::wake_one(Pool pool) {
  if (workers_[pool].sleeping == workers_[pool].called) return;  // all look at the queue before they sleep again
  ++workers_[pool].called;
  ++calls_[pool];
}

void Scheduler::wake_called() { wake(std::exchange(calls_, {}), std::exchange(rings_, false)); }

void Scheduler::wake(const Calls& calls, bool rings) {
  for (std::size_t pool = 0; pool < kPoolCount; ++pool) {
    for (int left = calls[pool]; left > 0; --left) called_[pool].notify_one();
  }
  if (rings) watch_->ring();
}

// With what is in the queue after the thread that waits has waited.
void Scheduler::help(std::int64_t now_us) {
  for (const Pool pool : kGathering) {
    const bool is_waited_for = queues_[pool].has_next();
    if (is_waited_for && now_us < help_at_us_[pool]) continue;
    help_at_us_[pool] = kNever;
    for (int sleeping = workers_[pool].sleeping; is_waited_for && sleeping > 0; --sleeping) wake_one(pool);
  }
}

std::int64_t Scheduler::when_to_help(std::int64_t now_us) {
  std::int64_t first_us = kNever;
  for (const Pool pool : kGathering) first_us = std::min(first_us, when_to_help(pool, now_us));
  return first_us;
}

// Not before the next tick, for which that thread is awake anyway.
std::int64_t Scheduler::when_to_help(Pool pool, std::int64_t now_us) {
  if (!queues_[pool].has_next()) return kNever;
  if (help_at_us_[pool] == kNever) help_at_us_[pool] = rounded_up(now_us + kSoon_us, tick_us());
  return help_at_us_[pool];
}

bool Scheduler::start_thread(std::list<std::thread>::iterator here, std::function<void()> run) {
  try {
    *here = std::thread(std::move(run));
  } catch (const std::system_error&) {
    threads_.erase(here);
    return false;
  }
  return true;
}

// False: the system gives no thread.
bool Scheduler::hire(Pool pool) {
  if (quitting_) return false;
  for (std::thread& thread : left_) thread.join();  // they are on their last line
  left_.clear();
  const auto here = threads_.emplace(threads_.end());
  const bool started = start_thread(here, [this, pool, here] {
    if (pool == kKeepers) lower_priority_of_this_thread();
    work_loop(pool, here);
  });
  if (started) ++workers_[pool].threads;
  return started;
}

void Scheduler::work_loop(Pool pool, std::list<std::thread>::iterator here) {
  std::optional<Work> found;
  while ((found = next(pool, here, found))) work(*found);
}

// After what it has done. None: this thread is to end. There is one too many when one that was stuck has come back.
std::optional<Scheduler::Work> Scheduler::next(Pool pool, std::list<std::thread>::iterator here,
                                               const std::optional<Work>& done) {
  Hold hold(*this);
  if (done) come_back(pool, done->busy);
  Workers& workers = workers_[pool];
  while (!quitting_) {
    if (std::optional<Work> found = take(pool)) return found;
    if (workers.threads - workers.replaced > workers.most) {
      --workers.threads;
      left_.splice(left_.end(), threads_, here);
      break;
    }
    wake_called();  // nobody is told while this one sleeps
    ++workers.sleeping;
    called_[pool].wait(mutex_);
    --workers.sleeping;
    workers.called = std::max(workers.called - 1, 0);
  }
  return std::nullopt;
}

}  // namespace cairn::daemon
