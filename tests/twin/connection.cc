// The wire. Beast reads and writes heads; bodies are moved by hand, because a fault may strike at any of their bytes,
// and because a part of 16 MiB goes straight to where it is kept.
#include "twin/connection.h"

#include <array>
#include <limits>

#include <boost/asio/buffer.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <fmt/format.h>

#include "base/os.h"
#include "twin/text.h"

namespace cairn::twin {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;
using Code = boost::system::error_code;

constexpr std::size_t kMaxHeadBytes = 16 << 10;
constexpr std::size_t kPieceBytes = 256 << 10;
constexpr std::uint64_t kTrickleBytes = 16 << 10;
constexpr int kTricklePauseMs = 5;
constexpr int kTricklePieces = 16;  // the rest goes at once: late is enough, a test need not take minutes
constexpr int kPaddings = 3;
constexpr int kPaddingPauseMs = 10;

enum class Next { keep, close };

// Beast's string views are of another type in every other version of Boost.
template <class View>
std::string text_of(const View& view) {
  return std::string(view.data(), view.size());
}

template <class Stream>
class Connection {
 public:
  Connection(Host& host, Stream& stream, Tcp::socket& socket) : host_(host), stream_(stream), socket_(socket) {}

  void run() {
    host_.count_connection();
    while (!host_.is_stopping() && serve_one() == Next::keep) {
    }
  }

 private:
  Next serve_one();
  Next serve_control(const Request& request);
  Next refuse_head(Code error);
  std::optional<Request> read_head(Code& error);

  // The first `wanted` bytes of the body, into memory that the request keeps, or nowhere.
  enum class Keep { yes, no, size };
  bool read_body(Request& request, std::uint64_t wanted, Keep keep);
  bool read_some(asio::mutable_buffer into);

  Next deliver(const Request& request, const Answer& answer, std::int64_t skew_ms, Next next);
  bool write_head(const Request& request, const Response& response, std::int64_t skew_ms, bool is_chunked, Next next);
  bool write_body(const Rope& body);
  bool write_padded(const Rope& body);
  bool write_trickling(const Rope& body);
  Next end_midway(const Rope& body, Delivery how);
  void wait_for_the_client_to_leave();
  void reset();

  Host& host_;
  Stream& stream_;
  Tcp::socket& socket_;
  boost::beast::flat_buffer buffer_;
  std::vector<std::byte> scratch_;  // for what is not kept
};

template <class Stream>
std::optional<Request> Connection<Stream>::read_head(Code& error) {
  http::request_parser<http::buffer_body> parser;
  parser.header_limit(kMaxHeadBytes);
  parser.body_limit(std::numeric_limits<std::uint64_t>::max());  // Boost 1.74 takes no limit for a limit of nothing
  http::read_header(stream_, buffer_, parser, error);
  if (error) return std::nullopt;
  Request request;
  request.method = text_of(parser.get().method_string());
  request.target = text_of(parser.get().target());
  request.is_tls = !std::is_same_v<Stream, Tcp::socket>;
  request.wants_close = !parser.get().keep_alive();
  for (const auto& field : parser.get()) {
    request.headers.push_back({lower(text_of(field.name_string())), text_of(field.value())});
  }
  return request;
}

template <class Stream>
bool Connection<Stream>::read_some(asio::mutable_buffer into) {
  const std::size_t buffered = asio::buffer_copy(into, buffer_.data());
  buffer_.consume(buffered);
  Code error;
  asio::read(stream_, into + buffered, error);
  return !error;
}

template <class Stream>
bool Connection<Stream>::read_body(Request& request, std::uint64_t wanted, Keep keep) {
  if (wanted == 0) return true;
  if (keep == Keep::yes) {
    const std::shared_ptr<std::byte[]> bytes(new std::byte[wanted]);
    if (!read_some(asio::buffer(bytes.get(), wanted))) return false;
    request.body = Rope(bytes, wanted);
  } else {
    scratch_.resize(kPieceBytes);
    for (std::uint64_t left = wanted; left > 0;) {
      const std::size_t piece = std::min<std::uint64_t>(left, scratch_.size());
      if (!read_some(asio::buffer(scratch_.data(), piece))) return false;
      left -= piece;
    }
    if (keep == Keep::size) request.body = Rope::filler(wanted);
  }
  host_.count_bytes(wanted, 0);
  return true;
}

template <class Stream>
bool Connection<Stream>::write_head(const Request& request, const Response& response, std::int64_t skew_ms,
                                    bool is_chunked, Next next) {
  http::response<http::empty_body> head;
  head.version(11);
  head.result(static_cast<unsigned>(response.status));
  head.set(http::field::date, http_date(host_.now_ms() + skew_ms));
  head.set(http::field::server, "cairn-twin");
  const std::string id = fmt::format("{:016X}", ++host_.request_number);
  head.set("x-amz-request-id", id);
  for (const Header& header : response.headers) head.set(header.name, header.value);
  if (is_chunked) {
    head.set(http::field::transfer_encoding, "chunked");
  } else if (response.status != 204 && response.status != 304 &&
             !(request.method == "HEAD" && response.is_error())) {
    head.set(http::field::content_length, std::to_string(response.body.size_bytes()));
  }
  if (next == Next::close) head.set(http::field::connection, "close");
  http::response_serializer<http::empty_body> serializer(head);
  Code error;
  http::write_header(stream_, serializer, error);
  return !error;
}

template <class Stream>
bool Connection<Stream>::write_body(const Rope& body) {
  for (const ByteView view : body.views()) {
    for (std::size_t at = 0; at < view.size(); at += kPieceBytes) {
      const std::size_t piece = std::min(kPieceBytes, view.size() - at);
      Code error;
      asio::write(stream_, asio::buffer(view.data() + at, piece), error);
      if (error) return false;
    }
  }
  host_.count_bytes(0, body.size_bytes());
  return true;
}

// The XML declaration has to be the first of a document, so it goes before the white space.
template <class Stream>
bool Connection<Stream>::write_padded(const Rope& body) {
  const auto write_chunk = [&](std::string_view text) {
    Code error;
    asio::write(stream_, http::make_chunk(asio::buffer(text.data(), text.size())), error);
    return !error;
  };
  std::string text = body.text();
  if (!write_chunk(kXmlDeclaration)) return false;
  for (int i = 0; i < kPaddings; ++i) {
    host_.pause(kPaddingPauseMs);
    if (!write_chunk(" \n")) return false;
  }
  if (text.starts_with(kXmlDeclaration)) text.erase(0, kXmlDeclaration.size());
  if (!write_chunk(text)) return false;
  Code error;
  asio::write(stream_, http::make_chunk_last(), error);
  host_.count_bytes(0, body.size_bytes());
  return !error;
}

template <class Stream>
bool Connection<Stream>::write_trickling(const Rope& body) {
  std::uint64_t at = 0;
  for (int i = 0; i < kTricklePieces && at < body.size_bytes(); ++i) {
    // Small bodies are late too.
    const std::uint64_t step = std::min<std::uint64_t>(kTrickleBytes, body.size_bytes() / 4 + 1);
    const std::uint64_t piece = std::min(step, body.size_bytes() - at);
    if (!write_body(body.slice(at, piece))) return false;
    at += piece;
    host_.pause(kTricklePauseMs);
  }
  return write_body(body.slice(at, body.size_bytes() - at));
}

// Whoever owns the socket closes it when this connection is over; then it is a reset.
template <class Stream>
void Connection<Stream>::reset() {
  Code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
}

template <class Stream>
void Connection<Stream>::wait_for_the_client_to_leave() {
  Code error;
  std::array<char, 4096> scratch;
  while (!error && !host_.is_stopping()) socket_.read_some(asio::buffer(scratch), error);
}

template <class Stream>
Next Connection<Stream>::end_midway(const Rope& body, Delivery how) {
  (void)write_body(body.slice(0, body.size_bytes() / 2));
  if (how == Delivery::reset_midway) reset();
  if (how == Delivery::stalled_midway) wait_for_the_client_to_leave();
  return Next::close;
}

template <class Stream>
Next Connection<Stream>::deliver(const Request& request, const Answer& answer, std::int64_t skew_ms, Next next) {
  const Response& response = answer.response;
  const bool is_padded = answer.delivery == Delivery::padded;
  if (answer.delivery == Delivery::reset) {
    reset();
    return Next::close;
  }
  if (!write_head(request, response, skew_ms, is_padded, next)) return Next::close;
  if (request.method == "HEAD") return answer.delivery == Delivery::silently_closed ? Next::close : next;
  switch (answer.delivery) {
    case Delivery::reset_midway:
    case Delivery::closed_midway:
    case Delivery::stalled_midway: return end_midway(response.body, answer.delivery);
    case Delivery::padded: return write_padded(response.body) ? next : Next::close;
    case Delivery::trickling: return write_trickling(response.body) ? next : Next::close;
    case Delivery::silently_closed: (void)write_body(response.body); return Next::close;
    default: return write_body(response.body) ? next : Next::close;
  }
}

// What is no HTTP request is answered too, when there is somebody to hear it.
template <class Stream>
Next Connection<Stream>::refuse_head(Code error) {
  if (error.category() != http::make_error_code(http::error::end_of_stream).category() ||
      error == http::error::end_of_stream || error == http::error::partial_message) {
    return Next::close;
  }
  const bool is_long = error == http::error::header_limit;
  const Answer answer{error_answer(400, is_long ? "RequestHeaderSectionTooLarge" : "BadRequest", error.message())};
  host_.count({Operation::unknown, "", "", 400, answer.response.code, std::nullopt});
  (void)deliver({}, answer, 0, Next::close);
  Code ignored;
  socket_.shutdown(Tcp::socket::shutdown_send, ignored);
  wait_for_the_client_to_leave();
  return Next::close;
}

template <class Stream>
Next Connection<Stream>::serve_control(const Request& request) {
  return deliver(request, {host_.control(request)}, 0, Next::close);
}

template <class Stream>
Next Connection<Stream>::serve_one() {
  Code error;
  std::optional<Request> head = read_head(error);
  if (!head) return refuse_head(error);
  if (host_.control && head->target.starts_with("/-twin/")) return serve_control(*head);

  Exchange exchange(*host_.service, host_.dice, std::move(*head));
  Request& request = exchange.request();
  Seen seen{request.operation, request.method, request.target, 0, "", exchange.fault()};
  const std::uint64_t length = parse_number(request.header_or("content-length", "0")).value_or(0);
  const bool expects = lower(request.header_or("expect")) == "100-continue";
  Next next = request.wants_close ? Next::close : Next::keep;
  // A body that comes in chunks is refused unread; and who asks first does not send one in vain.
  const bool is_unread = request.header("transfer-encoding") != nullptr || (expects && exchange.is_refused());

  if (exchange.is_reset_before_body() || exchange.is_reset_in_body()) {
    if (exchange.is_reset_in_body()) (void)read_body(request, length / 2, Keep::no);
    host_.count(seen);
    reset();
    return Next::close;
  }
  if (is_unread) {
    next = Next::close;
  } else {
    if (expects) {
      constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      asio::write(stream_, asio::buffer(kContinue.data(), kContinue.size()), error);
    }
    const bool is_dropped = !host_.keep_bodies && takes_bytes(request.operation);
    const Keep keep = exchange.is_refused() ? Keep::no : is_dropped ? Keep::size : Keep::yes;
    if (!read_body(request, length, keep)) return Next::close;
  }
  const std::int64_t delay_ms = host_.latency_ms + (exchange.is_unguarded() ? host_.unguarded_ms : 0);
  if (delay_ms > 0) host_.pause(delay_ms);
  const Answer answer = exchange.answer();
  seen.status = answer.delivery == Delivery::reset ? 0 : answer.response.status;
  seen.code = answer.response.code;
  host_.count(seen);
  next = deliver(request, answer, exchange.skew_ms(), next);
  if (is_unread) {
    socket_.shutdown(Tcp::socket::shutdown_send, error);
    wait_for_the_client_to_leave();
  }
  return next;
}

}  // namespace

void serve_connection(Host& host, Tcp::socket& socket, asio::ssl::context* tls) {
  Code error;
  socket.set_option(Tcp::no_delay(true), error);
  if (tls == nullptr) {
    Connection<Tcp::socket>(host, socket, socket).run();
    return;
  }
  asio::ssl::stream<Tcp::socket&> stream(socket, *tls);
  stream.handshake(asio::ssl::stream_base::server, error);
  if (!error) Connection<asio::ssl::stream<Tcp::socket&>>(host, stream, socket).run();
}

}  // namespace cairn::twin
