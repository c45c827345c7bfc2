#include "store/retry.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/clock.h"
#include "store/around.h"
#include "store/range.h"

namespace cairn {

namespace {


// Twice is the same as once: the second answer is as good as the first. (An upload begun twice leaves one that is never
// completed, which who looks after unfinished uploads finds like any other.)
bool is_idempotent(Operation operation) {
  switch (operation) {
    case Operation::put_new:
    case Operation::put_if:
    case Operation::complete_new: return false;
    default: return true;
  }
}

// What the error says of the store's health.
enum class Sign { away, present, none };
Sign sign_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::retry_later:
    case ErrorKind::maybe_done: return Sign::away;
    case ErrorKind::io:
    case ErrorKind::busy:
    case ErrorKind::cancelled: return Sign::none;  // of this machine
    default: return Sign::present;
  }
}

}  // namespace

void SystemSleeper::sleep_ms(std::int64_t duration_ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(duration_ms));
}

std::optional<Error> Retrier::admit() {
  MutexLock lock(mutex_);
  return breaker_.admit(clock_.now().mono_us);
}

void Retrier::succeeded(const Attempts& attempts) {
  MutexLock lock(mutex_);
  breaker_.answered();
  budget_ = std::min(options_.budget, budget_ + (attempts.made > 0 ? attempts.last_cost : options_.success_gain));
}

bool Retrier::wait_after(Operation operation, const Error& error, Attempts& attempts) {
  std::optional<std::int64_t> wait_ms;
  {
    MutexLock lock(mutex_);
    const std::int64_t now_us = clock_.now().mono_us;
    switch (sign_of(error.kind())) {
      case Sign::away: breaker_.failed(error, now_us); break;
      case Sign::present: breaker_.answered(); break;
      case Sign::none: breaker_.undecided(); break;
    }
    wait_ms = next_wait_ms(operation, error, attempts, now_us);
    if (!wait_ms) return false;
    ++retries_;
  }
  sleeper_.sleep_ms(*wait_ms);
  return !admit();  // it may have opened meanwhile: then this call's own error is the best answer
}

std::optional<std::int64_t> Retrier::next_wait_ms(Operation operation, const Error& error, Attempts& attempts,
                                                  std::int64_t now_us) {
  ++attempts.made;
  int most = options_.attempts;
  int cost = options_.retry_cost;
  switch (error.kind()) {
    case ErrorKind::retry_later: break;
    case ErrorKind::maybe_done:
      if (!is_idempotent(operation)) return std::nullopt;
      cost = options_.time_out_cost;
      break;
    case ErrorKind::corrupt:
      if (!is_idempotent(operation)) return std::nullopt;
      most = std::min(most, options_.corrupt_attempts);
      break;
    default: return std::nullopt;
  }
  if (attempts.made >= most || budget_ < cost || breaker_.state(now_us) == BreakerState::open) return std::nullopt;

  const std::int64_t limit_ms =
      std::min(options_.longest_wait_ms, options_.first_wait_ms << std::min(attempts.made - 1, 30));
  const auto drawn_ms = static_cast<std::int64_t>(random_.next() % static_cast<std::uint64_t>(limit_ms + 1));
  const std::int64_t wait_ms = std::max(drawn_ms, error.retry_after_ms());
  if ((now_us - attempts.begun_us) / kUsPerMs + wait_ms > options_.total_ms) return std::nullopt;
  budget_ -= cost;
  attempts.last_cost = cost;
  return wait_ms;
}

BreakerState Retrier::breaker() const {
  MutexLock lock(mutex_);
  return breaker_.state(clock_.now().mono_us);
}

std::uint64_t Retrier::retries() const {
  MutexLock lock(mutex_);
  return retries_;
}

namespace {

class RetryingStore : public StoreAround<RetryingStore> {
 public:
  RetryingStore(std::unique_ptr<Store> inner, const RetryOptions& options, Clock& clock, Random& random,
                Sleeper& sleeper)
      : inner_(std::move(inner)), retrier_(options, clock, random, sleeper) {}

  StoreStatus status() const override {
    StoreStatus status = inner_->status();
    status.breaker = retrier_.breaker();
    status.retries += retrier_.retries();
    return status;
  }

  Store& inner() const { return *inner_; }
  template <class Call>
  auto around(const StoreCall& about, const Call& call) -> decltype(call()) {
    return retrier_.run(about.operation, call);
  }
  Result<ObjectInfo> read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                          const TakePiece& take) override;
  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override;

 private:
  std::unique_ptr<Store> inner_;
  Retrier retrier_;
};

bool is_worth_repeating(const Error& error) {
  return error.kind() == ErrorKind::retry_later || error.kind() == ErrorKind::maybe_done;
}

// What was taken is not read again: a repetition goes on behind it. And as long as something comes, a long range has as
// much patience at its end as at its beginning.
Result<ObjectInfo> RetryingStore::read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                                       const TakePiece& take) {
  std::uint64_t done = 0;
  std::optional<ObjectInfo> whole;  // once the first piece has come
  std::optional<Error> ended;       // by the taker, or because there is nothing to go on with
  const auto go_on = [&](const ObjectInfo& now, ByteView piece) -> Result<void> {
    if (whole && whole->etag != now.etag) {
      ended = changed_while_read(key);
      return *ended;
    }
    whole = now;
    auto taken = take(now, piece);
    if (!taken) ended = taken.error();
    done += piece.size();
    return taken;
  };
  for (;;) {
    const std::uint64_t before = done;
    auto read = retrier_.run(Operation::get, [&]() -> Result<ObjectInfo> {
      if (whole && done == std::min(length, whole->size_bytes - offset)) return *whole;
      auto once = inner_->read(key, offset + done, length - done, go_on);
      return ended ? *whole : std::move(once);  // the store is well
    });
    if (ended) return *ended;
    if (read || done == before || !is_worth_repeating(read.error())) return read;
  }
}

// An answer may name keys that a repetition would remove: then it is made with these alone.
Result<std::vector<NotRemoved>> RetryingStore::remove_many(std::span<const std::string> keys) {
  std::vector<std::string> wanted(keys.begin(), keys.end());
  std::vector<NotRemoved> left, passing;
  auto removed = retrier_.run(Operation::remove_many, [&]() -> Result<void> {
    CAIRN_ASSIGN(std::vector<NotRemoved> now, inner_->remove_many(wanted));
    passing.clear();
    for (NotRemoved& one : now) (is_worth_repeating(one.error) ? passing : left).push_back(std::move(one));
    if (passing.empty()) return {};
    wanted.clear();
    for (const NotRemoved& one : passing) wanted.push_back(one.key);
    return passing.front().error;
  });
  // Without a key that passes, it is the call itself that failed.
  if (!removed && passing.empty()) return removed.error();
  left.insert(left.end(), passing.begin(), passing.end());
  return left;
}

struct Machine {
  SystemClock clock;
  SystemRandom random;
  SystemSleeper sleeper;
};

// The machine is a base, so that it is there before and after the store that uses it.
class SelfContained final : private Machine, public RetryingStore {
 public:
  SelfContained(std::unique_ptr<Store> inner, const RetryOptions& options)
      : RetryingStore(std::move(inner), options, clock, random, sleeper) {}
};

}  // namespace

std::unique_ptr<Store> make_retrying_store(std::unique_ptr<Store> inner, const RetryOptions& options, Clock& clock,
                                           Random& random, Sleeper& sleeper) {
  return std::make_unique<RetryingStore>(std::move(inner), options, clock, random, sleeper);
}

std::unique_ptr<Store> make_retrying_store(std::unique_ptr<Store> inner, const RetryOptions& options) {
  return std::make_unique<SelfContained>(std::move(inner), options);
}

}  // namespace cairn
