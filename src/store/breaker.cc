#include "store/breaker.h"

#include <algorithm>

#include "base/clock.h"

namespace cairn {

namespace {

// A call that was let through and takes longer than that keeps the others waiting no more.
constexpr std::int64_t kLookUs = 10'000'000;

}  // namespace

std::optional<Error> Breaker::admit(std::int64_t now_us) {
  if (open_ms_ == 0) return std::nullopt;
  const std::int64_t free_us = looking_until_us_.value_or(open_until_us_);
  if (now_us >= free_us) {
    looking_until_us_ = now_us + kLookUs;
    return std::nullopt;
  }
  // While a call is looking, the answer may come at any moment.
  const std::int64_t left_ms = looking_until_us_ ? options_.first_open_ms : (free_us - now_us) / kUsPerMs + 1;
  return last_->as(ErrorKind::retry_later).after(left_ms);
}

void Breaker::answered() {
  failures_ = 0;
  open_ms_ = 0;
  looking_until_us_.reset();
  last_.reset();
}

void Breaker::failed(const Error& error, std::int64_t now_us) {
  if (failures_ == 0) failing_since_us_ = now_us;
  ++failures_;
  last_ = error;
  if (looking_until_us_) return open(now_us, std::min(open_ms_ * 2, options_.longest_open_ms));
  const bool long_enough = now_us - failing_since_us_ >= options_.failing_ms * kUsPerMs;
  if (open_ms_ == 0 && failures_ >= options_.failures && long_enough) open(now_us, options_.first_open_ms);
}

void Breaker::undecided() {
  if (looking_until_us_) looking_until_us_ = open_until_us_;  // the next call may look
}

BreakerState Breaker::state(std::int64_t now_us) const {
  if (open_ms_ == 0) return BreakerState::closed;
  return looking_until_us_ || now_us >= open_until_us_ ? BreakerState::half_open : BreakerState::open;
}

void Breaker::open(std::int64_t now_us, std::int64_t for_ms) {
  looking_until_us_.reset();
  open_ms_ = for_ms;
  open_until_us_ = now_us + for_ms * kUsPerMs;
}

}  // namespace cairn
