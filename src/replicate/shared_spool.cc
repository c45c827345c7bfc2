#include "cairn/shared_spool.h"

#include <algorithm>
#include <map>

#include "base/mutex.h"

namespace cairn {

struct SharedSpools::ByStore {
  Mutex mutex;
  std::map<std::string, std::unique_ptr<SharedSpool>> spools GUARDED_BY(mutex);
};

void SharedSpool::set_limits(const Limits& limits) {
  limit_bytes_ = limits.size_bytes;
  drain_bytes_per_s_ = limits.drain_bytes_per_s;
}

std::int64_t SharedSpool::next_turn_us(std::int64_t now_us, std::uint64_t size_bytes) {
  const std::uint64_t rate = all_.drain_bytes_per_s_;
  if (rate == 0) return now_us;
  const auto takes_us = static_cast<std::int64_t>(static_cast<double>(size_bytes) * 1e6 / static_cast<double>(rate));
  std::int64_t before = turn_us_, next = 0;
  do {
    next = std::max(before, now_us) + takes_us;
  } while (!turn_us_.compare_exchange_weak(before, next));
  return next;
}

SharedSpools::SharedSpools() : by_store_(std::make_unique<ByStore>()) {}
SharedSpools::~SharedSpools() = default;

SharedSpool& SharedSpools::of(const std::string& store) {
  const MutexLock lock(by_store_->mutex);
  std::unique_ptr<SharedSpool>& one = by_store_->spools[store];
  if (!one) one = std::make_unique<SharedSpool>(&all_);
  return *one;
}

}  // namespace cairn
