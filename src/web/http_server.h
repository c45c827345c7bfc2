// A small HTTP server for what a daemon tells of itself: GET and HEAD, one answer a connection, from one thread. Who
// sends garbage, or nothing, or reads nothing, gets an error or is hung up on, and keeps nobody else waiting: there is
// a limit to connections, to the size of a request, and to how long a request and its answer may take.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cairn/error.h"
#include "daemon/http_settings.h"

namespace cairn::web {

struct HttpRequest {
  std::string target;  // as it was sent, "/status.json?limit=10"
  std::string host;    // the Host header
};

struct HttpReply {
  int status = 200;
  std::string type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // beside those of the body
};

struct HttpLimits {
  std::size_t connections = 64;        // with more the one that has been silent longest is hung up on
  std::uint32_t head_bytes = 8 * 1024;
  std::int64_t request_ms = 5'000;     // from the connection to the end of the request
  std::int64_t reply_ms = 30'000;      // to take the answer
};

class HttpServer {
 public:
  // Called on the server's thread, for one request at a time.
  using Answer = std::function<HttpReply(const HttpRequest&)>;

  // Listens when it returns. io: it cannot, as when another process does.
  static Result<std::unique_ptr<HttpServer>> open(const daemon::ListenAddress& address, const HttpLimits& limits,
                                                  Answer answer);
  virtual ~HttpServer() = default;  // hangs up on all
  // With the port that was chosen for port 0.
  virtual const daemon::ListenAddress& address() const = 0;
};

}  // namespace cairn::web
