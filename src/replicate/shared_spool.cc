#include "cairn/shared_spool.h"

#include <algorithm>

namespace cairn {

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

SharedSpool& SharedSpools::of(const std::string& store) {
  const std::scoped_lock lock(mutex_);
  std::unique_ptr<SharedSpool>& one = stores_[store];
  if (!one) one = std::make_unique<SharedSpool>(&all_);
  return *one;
}

}  // namespace cairn
