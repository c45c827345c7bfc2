// Time and randomness come from outside: core logic never asks the system for them, so that one seed can replay
// everything.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "cairn/error.h"

namespace cairn {

struct Time {
  std::int64_t wall_ms = 0;  // since 1970, UTC; may jump
  std::int64_t mono_us = 0;  // since some start; never goes back: for intervals
};

inline constexpr std::int64_t kUsPerMs = 1000;
inline constexpr std::int64_t kLongestWaitUs = 3'600'000'000;  // keeps sums of "never" and now from overflowing

// For what only a person waits for, so that no test needs to set it: of the same clock as Time::mono_us.
std::int64_t monotonic_ms();
// Of a clock that goes on while the machine sleeps: for who must not go on with what it knew before that.
std::int64_t boot_ms();
// The time of processors that the calling thread has had: to be told, or to be moderate by.
std::int64_t thread_cpu_us();

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time now() = 0;
  virtual std::int64_t mono_us() { return now().mono_us; }  // that alone, where it costs less
};

class SystemClock final : public Clock {
 public:
  Time now() override;
  std::int64_t mono_us() override;
};

class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;
  Id128 id();
};

class SystemRandom final : public Random {
 public:
  std::uint64_t next() override;
};

// xoshiro-free and good enough for tests: splitmix64 from a seed.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() override;
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : next() % n; }
  bool chance(std::uint64_t numerator, std::uint64_t denominator) { return below(denominator) < numerator; }
  // Eight bytes a number, of which only the bits of `mask` count: 0x0F0F... makes bytes that compress to about half.
  void fill(std::span<std::byte> bytes, std::uint64_t mask = ~0ull);
  std::string bytes(std::size_t size);  // which do not compress

 private:
  std::uint64_t state_;
};

// "2026-11-21T08:00:00.123Z", and back. Accepts also no fraction, an offset (+02:00), a space for the T, a bare
// date; without an offset it is UTC. invalid: anything else.
std::string format_time(std::int64_t wall_ms);
Result<std::int64_t> parse_time(std::string_view text);
// "20261121_080000", as in snapshot keys.
std::string format_compact_time(std::int64_t wall_ms);
Result<std::int64_t> parse_compact_time(std::string_view text);

}  // namespace cairn
