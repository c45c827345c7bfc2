// Questions to a file system that may never answer, as that of a dead mount: each on a thread of its own, which is left
// alone when it gets nowhere for too long.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace cairn::daemon {

// How far a question has come: it counts what it does.
using Steps = std::atomic<std::uint64_t>;

struct Question {
  // As long as one of this name that was left alone has not come back, no other is begun.
  std::string name;
  std::string device;                // what it asks
  std::function<void(Steps&)> work;  // with copies of all that it needs: it may go on when nobody waits any more
  bool is_answered = false;          // it has come back; else it was left alone, or not begun
  bool is_late = false;              // the first, and it got on until the time of all was over
};

struct Patience {
  std::int64_t step_ms = 5'000;    // without anything counted
  std::int64_t all_ms = 40'000;    // for all of them together
};

// Those at work and those that were left alone: what a device that does not answer holds of threads, and all of them.
inline constexpr std::size_t kMostOfADevice = 8, kMostAsked = 256;

// Asks all, side by side, and returns when each is back or was left alone. Any thread.
void ask_all(std::vector<Question>& questions, const Patience& patience);

}  // namespace cairn::daemon
