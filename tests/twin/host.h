// What connections share: the service, the dice, the counters, and the word to stop.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "base/mutex.h"
#include "twin/exchange.h"
#include "twin/twin.h"

namespace cairn::twin {

class Host {
 public:
  explicit Host(const TwinOptions& options)
      : keep_bodies(options.keep_bodies),
        unguarded_ms(options.unguarded_ms),
        on_request_(options.on_request) {
    latency_ms = options.latency_ms;
  }

  // The server's clock.
  std::int64_t now_ms() { return clock_.now().wall_ms + clock_offset_ms; }

  // Sleeps, unless the twin stops meanwhile.
  void pause(std::int64_t duration_ms) EXCLUDES(mutex_);
  void set_stopping(bool is_stopping) EXCLUDES(mutex_);
  bool is_stopping() EXCLUDES(mutex_);

  void count_connection() EXCLUDES(mutex_);
  void count_bytes(std::uint64_t in, std::uint64_t out) EXCLUDES(mutex_);
  // Before the answer goes out: who has it finds the request counted.
  void count(const Seen& seen) EXCLUDES(mutex_);
  Counts counts() EXCLUDES(mutex_);
  void reset_counts() EXCLUDES(mutex_);

  const bool keep_bodies;
  const int unguarded_ms;
  std::unique_ptr<Service> service;  // set before the first connection, never after
  FaultDice dice;
  std::atomic<int> latency_ms = 0;
  std::atomic<std::int64_t> clock_offset_ms = 0;
  std::atomic<std::uint64_t> request_number = 0;
  // Answers a request for /-twin/..., which is not of the S3 protocol. Empty: there is no such thing.
  std::function<Response(const Request&)> control;

 private:
  SystemClock clock_;
  const std::function<void(const Seen&)> on_request_;
  Mutex mutex_;
  ConditionVariable wake_;
  bool is_stopping_ GUARDED_BY(mutex_) = false;
  Counts counts_ GUARDED_BY(mutex_);
};

}  // namespace cairn::twin
