// libcurl as a transport, and as nothing else: a pool of easy handles, of which each keeps its own connection.
//
// A handle serves one request at a time and goes back to the top of the pool, so that the warmest connections are
// used first and those that are not needed grow cold and are dropped. HTTP/2 is never asked for: with HTTP/1.1 as
// many transfers as connections, nothing to be blocked behind, and no store serves HTTP/2 natively.
//
// curl repeats a request by itself when a kept-alive connection turns out to be dead before the first byte of an
// answer. A GET may come twice. What changes something must not: the answer to the second one says nothing of the
// first, which may have been applied. So a request with a body is begun once, and if curl begins it again it is told to
// give up; and one without a body gets a connection of its own.
#include "s3/http.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <deque>
#include <mutex>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/mutex.h"

namespace cairn::s3 {

namespace {

constexpr std::uint64_t kMostReservedBytes = 64ull << 20;  // more than that of memory is taken as it comes
// Of curl, which takes them from the system for each request and gives them back. Little that is sent, or answered, has
// room in a small one.
constexpr std::uint64_t kSmallBufferBytes = 16 << 10, kBufferBytes = 256 << 10;
// A body as large goes out with the headers, in one piece; a larger one in pieces of its own, which cost it little.
constexpr std::uint64_t kSmallBodyBytes = 16 << 10;

struct EndsEasy {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using EasyHandle = std::unique_ptr<CURL, EndsEasy>;

struct FreesList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, FreesList>;

// What curl's callbacks work on.
struct Transfer {
  const HttpRequest& request;
  HttpResponse response{};
  bool headers_done = false;  // of the final answer, not of a 100 Continue
  bool too_long = false;
  std::uint64_t handed_bytes = 0;  // of the body: how much curl has had of it
  std::uint64_t received_bytes = 0;  // of the answer's body
  std::optional<Error> body_error{};
  Bytes small_body{};     // all of it, if it is small
  int times_begun = 0;  // of one with a body

  // A request whose body did not come whole is never applied. (Of a small one curl does not say how much it has sent.)
  bool may_be_applied() const {
    return small_body.empty() ? handed_bytes == body_size() : times_begun > 0;
  }

  std::uint64_t body_size() const { return request.body == nullptr ? 0 : request.body->size_bytes(); }
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

// "HTTP/1.1 200 OK" begins a block of headers; 0: it is no such line.
int status_of(std::string_view line) {
  if (!line.starts_with("HTTP/")) return 0;
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || line.size() < space + 4) return 0;
  int status = 0;
  for (const char c : line.substr(space + 1, 3)) {
    if (c < '0' || c > '9') return 0;
    status = status * 10 + (c - '0');
  }
  return status;
}

std::size_t take_header(char* data, std::size_t, std::size_t size, void* to) {
  auto& transfer = *static_cast<Transfer*>(to);
  const std::string_view line = trimmed({data, size});
  HttpResponse& response = transfer.response;
  if (const int status = status_of(line); status != 0) {
    response.status = status;
    response.headers.clear();
  } else if (line.empty()) {
    transfer.headers_done = response.status >= 200;
  } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
    std::string name(trimmed(line.substr(0, colon)));
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    response.headers.emplace_back(std::move(name), trimmed(line.substr(colon + 1)));
  }
  return size;
}

// As many bytes as the answer says that it has, within reason. A body of known length goes straight to its place: it is
// neither moved as it grows, nor is its place filled with zeros first, which costs a fifth of a download's CPU.
std::uint64_t announced_bytes(const Transfer& transfer) {
  const std::string* const length = transfer.response.header("content-length");
  std::uint64_t size = 0;
  if (length == nullptr) return size;
  std::from_chars(length->data(), length->data() + length->size(), size);
  return std::min({size, transfer.request.max_body_bytes, kMostReservedBytes});
}

std::size_t take_body(char* data, std::size_t, std::size_t size, void* to) {
  auto& transfer = *static_cast<Transfer*>(to);
  HttpResponse& response = transfer.response;
  const ByteView piece = as_bytes({data, size});
  transfer.received_bytes += size;
  transfer.too_long = transfer.received_bytes > transfer.request.max_body_bytes;
  if (transfer.too_long) return 0;
  if (transfer.request.take != nullptr && response.status >= 200 && response.status < 300) {
    response.whole = false;
    return (*transfer.request.take)(response, piece) ? size : 0;
  }
  Bytes& body = response.body;
  if (body.empty()) body.reserve(announced_bytes(transfer));
  body.insert(body.end(), piece.begin(), piece.end());
  return size;
}

std::size_t give_body(char* buffer, std::size_t one, std::size_t count, void* from) {
  auto& transfer = *static_cast<Transfer*>(from);
  const std::uint64_t size = std::min<std::uint64_t>(one * count, transfer.body_size() - transfer.handed_bytes);
  if (size == 0) return 0;
  auto read = transfer.request.body->read_at(transfer.handed_bytes, {reinterpret_cast<std::byte*>(buffer), size});
  if (!read) {
    transfer.body_error = read.error();
    return CURL_READFUNC_ABORT;
  }
  transfer.handed_bytes += size;
  return size;
}

// What curl calls to repeat a request.
int refuse_to_seek(void*, curl_off_t, int) { return CURL_SEEKFUNC_FAIL; }

// What curl calls before each request on a connection that stands.
int begin_once(void* of, char*, char*, int, int) {
  return static_cast<Transfer*>(of)->times_begun++ == 0 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

// How a body is handed to curl.
enum class Body { none, empty, small, large };

Body body_of(const HttpRequest& request) {
  const bool sends = request.body != nullptr || request.method == "PUT" || request.method == "POST";
  if (!sends) return Body::none;
  const std::uint64_t size = request.body == nullptr ? 0 : request.body->size_bytes();
  if (size == 0) return Body::empty;
  return size <= kSmallBodyBytes ? Body::small : Body::large;
}

// What of a request is an option of its handle. A handle keeps its options: where the next request has the same ones,
// as most have, only what differs from request to request is set (`aim`).
struct Shape {
  std::string method;
  Body body = Body::none;
  long send_buffer_bytes = 0, receive_buffer_bytes = 0;
  std::int64_t stall_ms = 0, total_ms = 0;
  Proxy proxy = Proxy::as_configured;
  bool operator==(const Shape&) const = default;
};

Shape shape_of(const HttpRequest& request) {
  Shape shape{.method = request.method, .body = body_of(request)};
  const std::uint64_t size = request.body == nullptr ? 0 : request.body->size_bytes();
  shape.send_buffer_bytes = static_cast<long>(std::clamp(size, kSmallBufferBytes, kBufferBytes));
  shape.receive_buffer_bytes = static_cast<long>(request.method == "GET" ? kBufferBytes : kSmallBufferBytes);
  shape.stall_ms = request.stall_ms;
  shape.total_ms = request.total_ms;
  shape.proxy = request.proxy;
  return shape;
}

// Exactly the given headers: curl's own are taken away.
HeaderList header_list(const HttpRequest& request) {
  HeaderList list;
  const auto append = [&](const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    CAIRN_CHECK(longer != nullptr);
    (void)list.release();
    list.reset(longer);
  };
  for (const char* own : {"Accept:", "Expect:", "Content-Type:", "Transfer-Encoding:"}) {
    const std::string_view name(own, std::strlen(own) - 1);
    const bool given = std::any_of(request.headers.begin(), request.headers.end(),
                                   [&](const auto& header) { return header.first == name; });
    if (!given) append(own);
  }
  for (const auto& [name, value] : request.headers) append(value.empty() ? name + ";" : name + ": " + value);
  return list;
}

bool is_of_certificate(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CERTPROBLEM ||
         code == CURLE_SSL_PINNEDPUBKEYNOTMATCH || code == CURLE_SSL_INVALIDCERTSTATUS;
}

bool is_of_configuration(CURLcode code) {
  return code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_SSL_CRL_BADFILE || code == CURLE_SSL_ENGINE_NOTFOUND;
}

std::string sentence_of(CURLcode code, const HttpRequest& request, const std::string& detail) {
  const std::string_view host = request.origin;
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return fmt::format("{}: this host name does not resolve: check how the endpoint is spelled, and the network",
                         host);
    case CURLE_COULDNT_RESOLVE_PROXY:
      return fmt::format("{}: the name of the proxy does not resolve: check http_proxy and https_proxy", host);
    case CURLE_COULDNT_CONNECT:
      return fmt::format("{}: nobody answers there ({}): check host and port, and that the store runs", host, detail);
    case CURLE_ABORTED_BY_CALLBACK:  // begin_once()
      return fmt::format("{}: the connection ended before the answer", host);
    case CURLE_OPERATION_TIMEDOUT:
      return fmt::format("{}: it took too long ({})", host, detail);
    case CURLE_SSL_CONNECT_ERROR:
      return fmt::format("{}: no TLS connection came about ({}): is it https that is spoken at this port?", host,
                         detail);
    case CURLE_SSL_CACERT_BADFILE:
      return fmt::format("{}: the file of certificates cannot be read ({}): check ca_bundle or AWS_CA_BUNDLE", host,
                         detail);
    default:
      break;
  }
  if (is_of_certificate(code)) {
    return fmt::format(
        "{}: its certificate does not verify ({}): if it is your own authority's, name its certificate "
        "with ca_bundle or AWS_CA_BUNDLE",
        host, detail);
  }
  return fmt::format("{}: the connection failed ({})", host, detail);
}

// A proxy that was asked for a way to an https server, and said no. Nothing of the request has been sent.
Error no_tunnel(const HttpRequest& request, long status) {
  const bool passes = status >= 500 || status == 408 || status == 429;
  return Error(passes ? ErrorKind::retry_later : ErrorKind::denied,
               fmt::format("{}: the proxy does not let requests through to it (status {}): check https_proxy and "
                           "no_proxy",
                           request.origin, status));
}

class CurlClient final : public HttpClient {
 public:
  explicit CurlClient(const HttpOptions& options) : options_(options) {
    static std::once_flag once;  // curl's own global state
    std::call_once(once, [] { CAIRN_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
  }

  Result<HttpResponse> send(const HttpRequest& request) override EXCLUDES(mutex_) {
    const Shape shape = shape_of(request);
    Transfer transfer{.request = request};
    if (shape.body == Body::small) {
      transfer.small_body.resize(transfer.body_size());
      CAIRN_TRY(request.body->read_at(0, transfer.small_body));
    }
    Handle handle = borrow();
    if (handle.shape != shape) {
      curl_easy_reset(handle.curl.get());  // keeps its connection
      set_up(handle.curl.get(), shape);
      handle.shape = shape;
    }
    std::array<char, CURL_ERROR_SIZE> text{};
    const HeaderList headers = header_list(request);
    aim(handle.curl.get(), shape.body, transfer, headers.get(), text.data());
    const CURLcode code = curl_easy_perform(handle.curl.get());
    curl_easy_setopt(handle.curl.get(), CURLOPT_ERRORBUFFER, nullptr);  // it writes there also when it is closed
    long sent_bytes = 0, tunnel_status = 0;
    curl_easy_getinfo(handle.curl.get(), CURLINFO_REQUEST_SIZE, &sent_bytes);
    curl_easy_getinfo(handle.curl.get(), CURLINFO_HTTP_CONNECTCODE, &tunnel_status);
    // After a failure there is no connection to keep, and the handle may remember that a body was to be sent again
    // (curl 8.14, Debian 13): it would refuse whatever it is used for next.
    if (code == CURLE_OK) {
      long connections = 0;
      curl_easy_getinfo(handle.curl.get(), CURLINFO_NUM_CONNECTS, &connections);
      // It counts how often it has repeated a request, and only a reset makes it forget that.
      if (connections > 0) handle.shape.reset();
      give_back(std::move(handle));
    }
    close_idle();
    const std::string detail = text[0] != '\0' ? text.data() : curl_easy_strerror(code);
    const bool was_begun = transfer.times_begun > 0;
    if (code != CURLE_OK && tunnel_status >= 300 && !was_begun) return no_tunnel(request, tunnel_status);
    return outcome(code, std::move(transfer), sent_bytes > 0, detail);
  }

 private:
  struct Handle {
    EasyHandle curl;
    std::optional<Shape> shape{};  // that its options are of; none: a new one
    std::int64_t since_ms = 0;     // in the pool
  };

  Handle borrow() EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      if (!idle_.empty()) {
        Handle handle = std::move(idle_.back());
        idle_.pop_back();
        return handle;
      }
    }
    Handle handle{.curl = EasyHandle(curl_easy_init())};
    CAIRN_CHECK(handle.curl != nullptr);
    return handle;
  }

  void give_back(Handle handle) EXCLUDES(mutex_) {
    handle.since_ms = monotonic_ms();
    MutexLock lock(mutex_);
    if (idle_.size() < static_cast<std::size_t>(std::max(1, options_.max_connections))) {
      idle_.push_back(std::move(handle));
    }
  }

 public:
  void close_idle() override EXCLUDES(mutex_) {
    std::vector<Handle> cold;  // closing one may take a moment
    MutexLock lock(mutex_);
    const std::int64_t since_ms = monotonic_ms() - options_.idle_ms;
    while (!idle_.empty() && idle_.front().since_ms <= since_ms) {
      cold.push_back(std::move(idle_.front()));
      idle_.pop_front();
    }
  }

 private:
  // What stays from one request to the next of the same shape.
  void set_up(CURL* curl, const Shape& shape) const {
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    if (shape.proxy == Proxy::never) curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    set_limits(curl, shape);
    set_certificates(curl);
    set_method(curl, shape);
    curl_easy_setopt(curl, CURLOPT_UPLOAD_BUFFERSIZE, shape.send_buffer_bytes);
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, shape.receive_buffer_bytes);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &take_header);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &take_body);
    curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  }

  void set_limits(CURL* curl, const Shape& shape) const {
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_ms));
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>((shape.stall_ms + 999) / 1000));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(shape.total_ms));
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPIDLE, 30L);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPINTVL, 15L);
    curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, 2L);
    curl_easy_setopt(curl, CURLOPT_DNS_SHUFFLE_ADDRESSES, 1L);  // a large store answers at many addresses
  }

  void set_certificates(CURL* curl) const {
    if (options_.ca_bundle.empty()) return;
    struct stat status{};
    const bool folder = ::stat(options_.ca_bundle.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
    curl_easy_setopt(curl, folder ? CURLOPT_CAPATH : CURLOPT_CAINFO, options_.ca_bundle.c_str());
    // The other one must not bring the system's authorities back in.
    curl_easy_setopt(curl, folder ? CURLOPT_CAINFO : CURLOPT_CAPATH, nullptr);
  }

  static void set_method(CURL* curl, const Shape& shape) {
    if (shape.method == "HEAD") {
      curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (shape.body == Body::empty || shape.body == Body::large) {  // of nothing: with Content-Length: 0
      curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
      curl_easy_setopt(curl, CURLOPT_READFUNCTION, &give_body);
      curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, &refuse_to_seek);
      if (shape.body == Body::empty) curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    }
    if (shape.body == Body::small || shape.body == Body::large) {
      curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, &begin_once);
    }
    if (shape.method != "HEAD") curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, shape.method.c_str());
  }

  // At this request, which every pointer is of.
  static void aim(CURL* curl, Body body, Transfer& transfer, curl_slist* headers, char* error_text) {
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text);
    curl_easy_setopt(curl, CURLOPT_URL, (transfer.request.origin + transfer.request.target).c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(curl, CURLOPT_PREREQDATA, &transfer);
    if (body == Body::small) {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(transfer.body_size()));
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, transfer.small_body.data());
    } else if (body != Body::none) {
      curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(transfer.body_size()));
      curl_easy_setopt(curl, CURLOPT_READDATA, &transfer);
    }
  }

  static Result<HttpResponse> outcome(CURLcode code, Transfer transfer, bool something_sent,
                                      const std::string& detail) {
    if (transfer.body_error) return *transfer.body_error;
    if (transfer.too_long) {
      return Error(ErrorKind::corrupt,
                   fmt::format("{}: the answer is longer than it can be", transfer.request.origin));
    }
    // Whatever broke afterwards: a status is an answer. (A server that refuses does not wait for the end of the
    // body.)
    if (transfer.headers_done) {
      transfer.response.whole = code == CURLE_OK;
      return std::move(transfer.response);
    }
    std::string sentence = sentence_of(code, transfer.request, detail);
    const bool began = transfer.response.status != 0;  // it is HTTP, and broke off within the headers
    if (!began && (code == CURLE_OK || code == CURLE_WEIRD_SERVER_REPLY || code == CURLE_UNSUPPORTED_PROTOCOL)) {
      return Error(ErrorKind::invalid,
                   fmt::format("{}: what answers there does not speak HTTP ({}): check host and port",
                               transfer.request.origin, detail));
    }
    const bool may_be_applied = something_sent && transfer.may_be_applied();
    // Where curl would have begun it again, another connection may have failed for any reason: that says nothing.
    if (may_be_applied && transfer.times_begun > 0) return Error(ErrorKind::maybe_done, std::move(sentence));
    if (is_of_certificate(code)) return Error(ErrorKind::denied, std::move(sentence));
    if (is_of_configuration(code)) return Error(ErrorKind::invalid, std::move(sentence));
    return Error(may_be_applied ? ErrorKind::maybe_done : ErrorKind::retry_later, std::move(sentence));
  }

  const HttpOptions options_;
  Mutex mutex_;
  std::deque<Handle> idle_ GUARDED_BY(mutex_);  // the warmest one at the end
};

}  // namespace

const std::string* HttpResponse::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return &value;
  }
  return nullptr;
}

std::unique_ptr<HttpClient> make_http_client(const HttpOptions& options) {
  return std::make_unique<CurlClient>(options);
}

}  // namespace cairn::s3
