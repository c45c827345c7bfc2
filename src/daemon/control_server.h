// Answers what is asked over the control socket, with one thread for all connections.
//
// Whatever comes, nothing of it is kept beyond the limits below, and nobody is waited for: who is slow, silent or
// talks nonsense hears why where that is possible, and is let go of.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "cairn/error.h"
#include "daemon/control_protocol.h"
#include "daemon/control_socket.h"
#include "daemon/fleet.h"

namespace cairn::daemon {

// Something that was asked for and may take a while. By one thread at a time; nothing blocks.
class Underway {
 public:
  struct Done {
    std::optional<std::uint64_t> sequence;  // the state that is durable
    std::string message;                    // for people; may be empty
  };
  virtual ~Underway() = default;
  // None: not yet.
  virtual std::optional<Result<Done>> look() = 0;
  // What keeps it, for who does not want to wait any longer.
  virtual Error why_not_yet() const = 0;
};

// A process that keeps databases replicated, with what may be asked of it. Any thread, and nothing blocks.
class ControlledFleet : public Fleet {
 public:
  // Everything that was committed before the call, in the store. The request alone has effect without a look().
  virtual std::unique_ptr<Underway> sync(const std::string& database) = 0;
  virtual std::unique_ptr<Underway> register_database(const Registration& registration) = 0;
  virtual std::unique_ptr<Underway> unregister_database(const std::string& database) = 0;
  virtual std::unique_ptr<Underway> reload() = 0;
  // Publishes everything and ends.
  virtual void stop() = 0;
};

struct ControlLimits {
  std::size_t connections = 64;
  std::size_t requests_of_one = 16;         // that wait for their answers; more are not read yet
  std::size_t unsent_bytes = 64u << 20;     // of all together; beyond, no further request is read
  std::int64_t line_timeout_ms = 10'000;    // from the first byte of a line to its end
  std::int64_t unread_timeout_ms = 10'000;  // an answer of which the other side reads nothing
  std::int64_t silence_timeout_ms = 300'000;  // who asks nothing and waits for nothing
};

class ControlServer {
 public:
  // The errors are ControlSocket's. All but the path outlive it.
  static Result<std::unique_ptr<ControlServer>> open(const std::string& path, ControlledFleet& fleet, Clock& clock,
                                                     FileSystem& files, const ControlLimits& limits = {});
  // Removes the socket.
  virtual ~ControlServer() = default;
  // Nothing more comes: who waits for the end hears this, who waits for anything else that it did not come to that.
  virtual void finish(const Result<void>& outcome) = 0;
};

}  // namespace cairn::daemon
