// A circuit breaker: a store that keeps failing is left alone for a while, so that callers learn at once what else they
// would learn after long waits, and so that a store that is coming back is not met by everybody at the same time.
//
//   closed     calls go through
//   open       calls are refused, until its time is over
//   half-open  one call goes through to see; its outcome closes or opens the breaker
#pragma once

#include <cstdint>
#include <optional>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn {

struct BreakerOptions {
  // It opens when so many attempts in a row have failed, the first of them at least `failing_ms` ago: a burst of
  // parallel calls that all fail at one moment says no more than one of them.
  int failures = 5;
  std::int64_t failing_ms = 5'000;
  // How long it stays open: doubled each time that the call which was let through fails.
  std::int64_t first_open_ms = 1'000, longest_open_ms = 30'000;
};

// Takes the time from outside. Not safe from many threads: its owner locks.
class Breaker {
 public:
  explicit Breaker(const BreakerOptions& options) : options_(options) {}

  // None: go ahead, and tell the outcome by one of the three calls below. Else: retry_later in the words of the last
  // failure, with how long the store is still left alone.
  std::optional<Error> admit(std::int64_t now_us);
  void answered();                                        // whatever it said, it is there
  void failed(const Error& error, std::int64_t now_us);   // away, or overloaded
  void undecided();                                       // the call ended before the store could show how it is

  BreakerState state(std::int64_t now_us) const;

 private:
  void open(std::int64_t now_us, std::int64_t for_ms);

  const BreakerOptions options_;
  int failures_ = 0;                   // in a row
  std::int64_t failing_since_us_ = 0;  // the first of them
  std::int64_t open_ms_ = 0;           // 0: closed
  std::int64_t open_until_us_ = 0;
  std::optional<std::int64_t> looking_until_us_;  // half-open: a call is on its way
  std::optional<Error> last_;
};

}  // namespace cairn
