// Signals and the ends of children as events that the main thread reads, instead of handlers that interrupt it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "base/os.h"
#include "cairn/error.h"

namespace cairn::cli {

enum class Sender { terminal, process };  // terminal: every process in the foreground got it too

struct Event {
  enum class Kind {
    signal,       // SIGINT, SIGTERM or SIGHUP
    child_ended,  // some child did: waitpid tells which
    rung,         // ring() was called
  };
  Kind kind = Kind::rung;
  int signal = 0;
  Sender sender = Sender::process;
};

class Signals {
 public:
  // Blocks the signals in this thread and in all that it starts later: so it comes before any thread.
  static Result<Signals> open();

  // The next event; none: the timeout (negative: for ever) is over.
  std::optional<Event> wait(int timeout_ms);
  // Any thread, and any number of times: wait() answers `rung` once.
  void ring() const;

 private:
  FileDescriptor signals_, bell_;
};


}  // namespace cairn::cli
