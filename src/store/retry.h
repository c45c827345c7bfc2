// Repeating what failed, and what must not be repeated.
//
//   retry_later   had no effect: repeated
//   maybe_done    repeated where doing it twice is doing it once. Not so what creates under a condition (put_new,
//                 put_if, complete_new): the second answer would be about the first effect. A store that can tell by
//                 itself whether its request was applied never answers this; else the caller looks, then decides.
//   corrupt       bytes that changed on their way: repeated a few times, again but for what creates
//   anything else is an answer, and is passed on
//
// Waits are drawn from [0, limit], and the limit doubles ("full jitter": callers that failed together do not come back
// together), unless the store says how long to wait. How much is repeated is limited three times: attempts and time of
// a call, and a budget that all calls share: each repetition takes from it, each success puts a little back. So what
// fails now and then is repeated at once, and a store that fails mostly does not get a multiple of the load.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "cairn/store.h"
#include "store/breaker.h"
#include "store/operation.h"

namespace cairn {

class Sleeper {
 public:
  virtual ~Sleeper() = default;
  virtual void sleep_ms(std::int64_t duration_ms) = 0;
};

class SystemSleeper final : public Sleeper {
 public:
  void sleep_ms(std::int64_t duration_ms) override;
};

struct RetryOptions {
  int attempts = 8;                // of one call, the first one included
  int corrupt_attempts = 3;
  // No attempt begins later than that after the call did. Long enough for what passes by itself in a moment; what
  // lasts longer is for callers, who have more to do than to wait (the spool, other databases, a person).
  std::int64_t total_ms = 10'000;
  std::int64_t first_wait_ms = 100, longest_wait_ms = 4'000;
  int budget = 500, retry_cost = 5, time_out_cost = 10, success_gain = 1;
  BreakerOptions breaker;
};

// The rules above, around any call that is one of a store's operations. Safe from many threads.
class Retrier {
 public:
  // All three must outlive it.
  Retrier(const RetryOptions& options, Clock& clock, Random& random, Sleeper& sleeper)
      : options_(options), clock_(clock), random_(random), sleeper_(sleeper), breaker_(options.breaker),
        budget_(options.budget) {}

  // `call` gives a Result<T>, and is made at least once, but when the breaker is open.
  template <std::invocable Call>
  std::invoke_result_t<Call&> run(Operation operation, Call call) EXCLUDES(mutex_) {
    Attempts attempts = begin();
    if (std::optional<Error> refused = admit()) return *std::move(refused);
    while (true) {
      auto result = call();
      if (result) {
        succeeded(attempts);
        return result;
      }
      if (!wait_after(operation, result.error(), attempts)) return result;
    }
  }

  BreakerState breaker() const EXCLUDES(mutex_);
  std::uint64_t retries() const EXCLUDES(mutex_);

 private:
  struct Attempts {  // of one call
    int made = 0;
    std::int64_t begun_us = 0;
    int last_cost = 0;
  };
  Attempts begin() { return {0, clock_.now().mono_us, 0}; }
  std::optional<Error> admit() EXCLUDES(mutex_);
  void succeeded(const Attempts& attempts) EXCLUDES(mutex_);
  // True: it has waited, and the call is to be made again.
  bool wait_after(Operation operation, const Error& error, Attempts& attempts) EXCLUDES(mutex_);
  // How long to wait; none: no more attempts.
  std::optional<std::int64_t> next_wait_ms(Operation operation, const Error& error, Attempts& attempts,
                                           std::int64_t now_us) REQUIRES(mutex_);

  const RetryOptions options_;
  Clock& clock_;
  Random& random_;
  Sleeper& sleeper_;
  mutable Mutex mutex_;
  Breaker breaker_ GUARDED_BY(mutex_);
  int budget_ GUARDED_BY(mutex_);
  std::uint64_t retries_ GUARDED_BY(mutex_) = 0;
};

// A store that repeats. Clock, random and sleeper must outlive it.
std::unique_ptr<Store> make_retrying_store(std::unique_ptr<Store> inner, const RetryOptions& options, Clock& clock,
                                           Random& random, Sleeper& sleeper);
// The same on the machine's own clock and chance.
std::unique_ptr<Store> make_retrying_store(std::unique_ptr<Store> inner, const RetryOptions& options = {});

}  // namespace cairn
