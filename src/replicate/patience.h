// What goes wrong with a store in a row: whether it may pass, and when to try again.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/clock.h"
#include "cairn/error.h"

namespace cairn::replicate {

class Patience {
 public:
  // How long to wait before the next try; nothing: it does not pass by itself. Doubling from 100 ms up to 30 s, of
  // which half is drawn, so that callers that failed together do not come back together; longer where the store asks
  // for it.
  std::optional<std::int64_t> wait_us(const Error& error, Random& random) {
    if (!may_pass(error)) return std::nullopt;
    const std::int64_t limit = std::min<std::int64_t>(30'000'000, 100'000ll << std::min(failures_, 9));
    ++failures_;
    const auto half = static_cast<std::uint64_t>(limit / 2);
    const std::int64_t drawn_us = limit / 2 + static_cast<std::int64_t>(random.next() % half);
    return std::max(drawn_us, error.retry_after_ms() * 1000);
  }
  void reset() { failures_ = corrupt_ = 0; }

 private:
  // Each reading of a store has looked several times already. What is still damaged after some more, with time in
  // between, lies there damaged: only a person can go on from that.
  static constexpr int kCorruptTries = 5;

  bool may_pass(const Error& error) {
    switch (error.kind()) {
      case ErrorKind::retry_later:
      case ErrorKind::maybe_done:
      case ErrorKind::denied:
      case ErrorKind::busy:
      case ErrorKind::io: return true;
      case ErrorKind::corrupt: return ++corrupt_ < kCorruptTries;
      default: return false;
    }
  }

  int failures_ = 0;
  int corrupt_ = 0;
};

}  // namespace cairn::replicate
