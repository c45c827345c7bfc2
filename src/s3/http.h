// One HTTP/1.1 request and its answer; a PUT or POST reaches the server at most once a call. Connections are kept alive
// and shared between requests; every call may be made from many threads at once, and blocks. The only includer of curl
// is http.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::s3 {

// As curl reads them from http_proxy, https_proxy, all_proxy and no_proxy; or a straight line in any case.
enum class Proxy { as_configured, never };

struct HttpResponse;
// `head`: status and headers; no body, and not yet whole.
using TakeBody = std::function<bool(const HttpResponse& head, ByteView piece)>;

struct HttpRequest {
  std::string method = "GET";
  std::string origin;                                        // "https://host:port"
  std::string target;                                        // "/path?query", sent exactly as it stands here
  std::vector<std::pair<std::string, std::string>> headers;  // all of them: none is added but Host and Content-Length
  const Source* body = nullptr;                              // sent with Content-Length
  std::uint64_t max_body_bytes = 64ull << 20;                // of the answer; longer is an error
  // The body of a success (2xx) goes there, piece by piece as it comes, instead of into the answer. False: enough, the
  // rest is not wanted.
  const TakeBody* take = nullptr;
  std::int64_t stall_ms = 30'000;  // no byte moves for so long: give up
  std::int64_t total_ms = 0;       // 0: no limit beside the stall limit
  Proxy proxy = Proxy::as_configured;
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  Bytes body;
  bool whole = true;  // false: the body broke off (what came before is there), but status and headers are good

  // The first header of that name, or null.
  const std::string* header(std::string_view lower_case_name) const;
};

// Errors when there is no status to judge by:
//   retry_later  it had no effect: nothing was sent (no such host, connection refused, time-out while connecting), or
//                not all of the body was
//   maybe_done   all of it may have been sent, and no answer came
//   denied       the server's certificate does not verify, or a proxy refuses the way to it
//   invalid      the URL or the CA file is no good, or what answers speaks no HTTP
//   corrupt      the answer is longer than was allowed
//   any          the body could not be read: the source's own error
class HttpClient {
 public:
  virtual ~HttpClient() = default;
  virtual Result<HttpResponse> send(const HttpRequest& request) = 0;
  // Connections that nobody has needed for a while are closed. (So they are whenever a request is made, too.)
  virtual void close_idle() {}
};

struct HttpOptions {
  std::string ca_bundle;  // file or folder; empty: the system's
  std::int64_t connect_ms = 10'000;
  int max_connections = 32;  // idle ones that are kept
  std::int64_t idle_ms = 60'000;  // and for how long
};
std::unique_ptr<HttpClient> make_http_client(const HttpOptions& options);

}  // namespace cairn::s3
