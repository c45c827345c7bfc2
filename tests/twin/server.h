// The twin's listening socket and its threads, one a connection.
#pragma once

#include <memory>
#include <string>

#include "cairn/error.h"
#include "twin/host.h"
#include "twin/tls.h"

namespace cairn::twin {

class Server {
 public:
  // Listens on 127.0.0.1 and begins to serve. `certificate`: null without TLS. io: the port is taken.
  static Result<std::unique_ptr<Server>> start(Host& host, int port, const SelfSigned* certificate);
  virtual ~Server() = default;  // ends all connections and waits for their threads; the host has to be stopping
  virtual int port() const = 0;
};

}  // namespace cairn::twin
