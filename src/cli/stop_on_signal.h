// What a signal means for who would not see it: signals are blocked in every thread of this program.
#pragma once

#include <atomic>
#include <cstdlib>
#include <functional>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "cli/signals.h"

namespace cairn::cli {

// Calls `take` with each signal, on a thread of its own, while it lives.
class OnSignal {
 public:
  OnSignal(Signals& signals, std::function<void(int signal)> take)
      : signals_(signals), thread_([this, take = std::move(take)] {
          for (std::optional<Event> event; !done_;) {
            event = signals_.wait(-1);
            if (event && event->kind == Event::Kind::signal) take(event->signal);
          }
        }) {}
  ~OnSignal() {
    done_ = true;
    signals_.ring();
    thread_.join();
  }
  OnSignal(const OnSignal&) = delete;
  OnSignal& operator=(const OnSignal&) = delete;

 private:
  Signals& signals_;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

// While it lives, a signal asks `stop` to stop, so that long work tidies up behind itself; a second one ends the
// process at once, which is as safe as a crash.
class StopOnSignal {
 public:
  StopOnSignal(Signals& signals, std::stop_source& stop) : on_signal_(signals, [&stop](int signal) {
    if (!stop.request_stop()) std::_Exit(128 + signal);
  }) {}

 private:
  const OnSignal on_signal_;
};

// For work that needs no tidying but `tidy`: while it lives, a signal ends the process, as it does most programs.
class EndOnSignal {
 public:
  explicit EndOnSignal(Signals& signals, std::function<void()> tidy = [] {})
      : on_signal_(signals, [tidy = std::move(tidy)](int signal) {
          tidy();
          std::_Exit(128 + signal);
        }) {}

 private:
  const OnSignal on_signal_;
};

}  // namespace cairn::cli
