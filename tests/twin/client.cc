#include "twin/client.h"

#include <chrono>
#include <limits>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "twin/digests.h"
#include "twin/text.h"

namespace cairn::twin {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;
using Code = boost::system::error_code;

std::string basic_date(std::int64_t wall_ms) {
  std::string out;
  for (const char c : iso_date(wall_ms).substr(0, 19)) {
    if (c != '-' && c != ':') out += c;
  }
  return out + "Z";
}

std::string path_of(const std::string& key) { return "/bucket/" + percent_encode(key, "/"); }

}  // namespace

class Client::Socket {
 public:
  explicit Socket(int port) {
    Code error;
    socket_.connect({asio::ip::address_v4::loopback(), static_cast<unsigned short>(port)}, error);
    is_open_ = !error;
    socket_.set_option(Tcp::no_delay(true), error);
  }
  bool is_open() const { return is_open_; }
  void write(std::string_view bytes) {
    Code error;
    asio::write(socket_, asio::buffer(bytes.data(), bytes.size()), error);
  }
  void end_writing() {
    Code error;
    socket_.shutdown(Tcp::socket::shutdown_send, error);
  }
  Reply read(std::string_view method) {
    http::response_parser<http::string_body> parser;
    parser.body_limit(std::numeric_limits<std::uint64_t>::max());
    parser.skip(method == "HEAD");
    // Whatever the twin does, a test ends.
    Code error = asio::error::timed_out;
    http::async_read(socket_, buffer_, parser, [&](Code ended, std::size_t) { error = ended; });
    io_.restart();
    io_.run_for(std::chrono::seconds(30));
    if (!io_.stopped()) {
      Code ignored;
      socket_.close(ignored);
      io_.run();
    }
    Reply reply;
    reply.was_reset = error == boost::asio::error::connection_reset;
    reply.is_whole = !error;
    is_open_ = !error && parser.get().keep_alive();
    if (!parser.is_header_done()) return reply;
    reply.status = static_cast<int>(parser.get().result_int());
    for (const auto& field : parser.get()) {
      const auto name = field.name_string(), value = field.value();
      reply.headers.push_back({lower({name.data(), name.size()}), std::string(value.data(), value.size())});
    }
    reply.body = parser.get().body();
    return reply;
  }

 private:
  asio::io_context io_;
  Tcp::socket socket_{io_};
  boost::beast::flat_buffer buffer_;
  bool is_open_ = false;
};

std::string Reply::header(std::string_view name) const {
  const std::string* const value = find_header(headers, name);
  return value != nullptr ? *value : "";
}

std::string Reply::element(std::string_view name) const {
  const std::string start = fmt::format("<{}>", name), end = fmt::format("</{}>", name);
  const std::size_t at = body.find(start);
  if (at == std::string::npos) return "";
  const std::size_t from = at + start.size();
  return body.substr(from, body.find(end, from) - from);
}

std::size_t Reply::count(std::string_view text) const {
  std::size_t found = 0;
  for (std::size_t at = body.find(text); at != std::string::npos; at = body.find(text, at + 1)) ++found;
  return found;
}

Client::Client(const Twin& twin, AccessKey key) : port_(twin.port()), key_(std::move(key)) {}
Client::~Client() = default;

std::string Client::text_of(const Call& call) const {
  const std::string time = basic_date(SystemClock().now().wall_ms + call.clock_offset_ms);
  const std::string date = call.scope_date.empty() ? time.substr(0, 8) : call.scope_date;
  Request request;
  request.method = call.method;
  request.target = call.target;
  request.headers = call.headers;
  request.headers.push_back({"host", call.host.empty() ? fmt::format("127.0.0.1:{}", port_) : call.host});
  if (call.is_signed) {
    const std::string hash = call.payload_hash.empty() ? hex(sha256(as_bytes(call.body))) : call.payload_hash;
    request.headers.push_back({"x-amz-date", time});
    if (hash != "none") request.headers.push_back({"x-amz-content-sha256", hash});
    if (!key_.session_token.empty()) request.headers.push_back({"x-amz-security-token", key_.session_token});
    std::vector<std::string> names;
    for (const Header& header : request.headers) {
      const auto is_name = [&](const std::string& name) { return name == header.name; };
      if (std::none_of(call.unsigned_headers.begin(), call.unsigned_headers.end(), is_name)) {
        names.push_back(header.name);
      }
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    (void)understand(request, "localhost");
    const std::string scope = fmt::format("{}/{}/{}/aws4_request", date, call.region, call.service);
    const std::string to_sign = fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", time, scope,
                                            hex(sha256(as_bytes(canonical_request(request, names, hash)))));
    request.headers.push_back(
        {"authorization", fmt::format("AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}", key_.id,
                                      scope, fmt::join(names, ";"),
                                      signature_of(key_.secret, date, call.region, to_sign))});
  }
  const bool has_body = call.method == "PUT" || call.method == "POST" || !call.body.empty();
  if (call.sends_length && has_body) request.headers.push_back({"content-length", std::to_string(call.body.size())});
  std::string text = fmt::format("{} {} HTTP/1.1\r\n", call.method, call.target);
  for (const Header& header : request.headers) text += fmt::format("{}: {}\r\n", header.name, header.value);
  return text + "\r\n" + call.body;
}

Reply Client::send(const Call& call) {
  std::string text = text_of(call);
  if (call.is_cut) {
    text.resize(text.size() - call.body.size() / 2);
    Socket socket(port_);
    socket.write(text);
    socket.end_writing();
    return socket.read(call.method);
  }
  return send_raw(text, call.method);
}

Reply Client::send_raw(std::string_view bytes, std::string_view method) {
  if (!socket_ || !socket_->is_open()) socket_ = std::make_unique<Socket>(port_);
  if (!socket_->is_open()) return {};
  socket_->write(bytes);
  return socket_->read(method);
}

Reply Client::put(const std::string& key, const std::string& body, std::vector<Header> headers) {
  return send({.method = "PUT", .target = path_of(key), .headers = std::move(headers), .body = body});
}
Reply Client::get(const std::string& key, std::vector<Header> headers) {
  return send({.target = path_of(key), .headers = std::move(headers)});
}
Reply Client::head(const std::string& key, std::vector<Header> headers) {
  return send({.method = "HEAD", .target = path_of(key), .headers = std::move(headers)});
}
Reply Client::remove(const std::string& key, std::vector<Header> headers) {
  return send({.method = "DELETE", .target = path_of(key), .headers = std::move(headers)});
}
Reply Client::list(const std::string& query) {
  return send({.target = "/bucket?list-type=2" + (query.empty() ? "" : "&" + query)});
}

std::string Client::begin(const std::string& key, std::vector<Header> headers) {
  return send({.method = "POST", .target = path_of(key) + "?uploads", .headers = std::move(headers)})
      .element("UploadId");
}

Reply Client::put_part(const std::string& key, const std::string& id, int number, const std::string& body,
                       std::vector<Header> headers) {
  return send({.method = "PUT",
               .target = fmt::format("{}?partNumber={}&uploadId={}", path_of(key), number, percent_encode(id)),
               .headers = std::move(headers),
               .body = body});
}

Reply Client::complete(const std::string& key, const std::string& id,
                       const std::vector<std::pair<int, std::string>>& parts, std::vector<Header> headers) {
  Xml xml("CompleteMultipartUpload");
  for (const auto& [number, etag] : parts) {
    xml.open("Part").element("PartNumber", static_cast<std::uint64_t>(number)).element("ETag", etag).close();
  }
  return send({.method = "POST",
               .target = fmt::format("{}?uploadId={}", path_of(key), percent_encode(id)),
               .headers = std::move(headers),
               .body = xml.finish()});
}

}  // namespace cairn::twin
