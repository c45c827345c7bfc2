// Ends long work when a signal asks for it, so that it tidies up behind itself.
#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

#include "cli/signals.h"

namespace cairn::cli {

// While it lives, a signal asks `stop` to stop.
class StopOnSignal {
 public:
  StopOnSignal(Signals& signals, std::stop_source& stop) : signals_(signals), thread_([this, &stop] {
    for (std::optional<Event> event; !done_;) {
      event = signals_.wait(-1);
      if (event && event->kind == Event::Kind::signal) stop.request_stop();
    }
  }) {}
  ~StopOnSignal() {
    done_ = true;
    signals_.ring();
    thread_.join();
  }
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;

 private:
  Signals& signals_;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

}  // namespace cairn::cli
