// Boost.Beast reads the heads of requests and Asio waits, so that nobody's slowness costs a thread. A connection is a
// walk: read a head, answer, say that nothing will follow, and read what the other side still sends for a moment, since
// a socket that is closed with unread bytes takes the answer back from a client that has not read it yet.
#include "web/http_server.h"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <list>
#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

namespace cairn::web {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;
using Code = boost::system::error_code;

constexpr std::size_t kMostDrained = 256 * 1024;  // of what is sent behind a request
constexpr std::int64_t kDrain_ms = 1'000;
constexpr std::int64_t kAcceptAgain_ms = 100;     // when descriptors have run out

HttpReply error_reply(int status, std::string words) {
  HttpReply reply;
  reply.status = status;
  reply.body = std::move(words) + "\n";
  return reply;
}

class BeastServer;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Tcp::socket socket, BeastServer& server) : stream_(std::move(socket)), server_(server) {}

  void begin();
  void hang_up() { stream_.close(); }
  bool is_waiting() const { return waits_for_request_; }
  std::list<std::shared_ptr<Connection>>::iterator place;  // in the server's list
  bool is_listed = true;

 private:
  void on_head(const Code& error);
  HttpReply reply_to_request() const;
  void send(HttpReply reply);
  void drain();
  void over();

  beast::tcp_stream stream_;
  BeastServer& server_;
  beast::flat_buffer buffer_;
  http::request_parser<http::empty_body> parser_;
  http::response<http::string_body> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  std::array<char, 4096> drained_{};
  std::size_t drained_bytes_ = 0;
  bool waits_for_request_ = true;
};

class BeastServer final : public HttpServer {
 public:
  BeastServer(const HttpLimits& limits, Answer answer) : limits_(limits), answer_(std::move(answer)) {}
  ~BeastServer() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
    connections_.clear();  // before what they stand on
  }

  Result<void> listen(const daemon::ListenAddress& address);
  const daemon::ListenAddress& address() const override { return address_; }

  const HttpLimits& limits() const { return limits_; }
  HttpReply answer(const HttpRequest& request) const { return answer_(request); }
  void forget(Connection& connection) {
    if (std::exchange(connection.is_listed, false)) connections_.erase(connection.place);
  }

 private:
  void accept();
  void on_accepted(const Code& error, Tcp::socket socket);
  bool make_room();

  const HttpLimits limits_;
  const Answer answer_;
  daemon::ListenAddress address_;
  asio::io_context io_{1};
  Tcp::acceptor acceptor_{io_};
  asio::steady_timer again_{io_};
  std::list<std::shared_ptr<Connection>> connections_;  // the oldest first
  std::thread thread_;
};

Result<void> BeastServer::listen(const daemon::ListenAddress& address) {
  Code error;
  const asio::ip::address ip = asio::ip::make_address(address.host, error);
  const Tcp::endpoint endpoint(ip, address.port);
  if (!error) acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return Error(ErrorKind::io, fmt::format("cannot listen on {}: {}", text_of(address), error.message()));
  address_ = address;
  address_.port = acceptor_.local_endpoint(error).port();
  accept();
  thread_ = std::thread([this] { io_.run(); });
  return {};
}

void BeastServer::accept() {
  acceptor_.async_accept([this](const Code& error, Tcp::socket socket) { on_accepted(error, std::move(socket)); });
}

void BeastServer::on_accepted(const Code& error, Tcp::socket socket) {
  if (error == asio::error::operation_aborted) return;
  if (error) {
    again_.expires_after(std::chrono::milliseconds(kAcceptAgain_ms));
    again_.async_wait([this](const Code& aborted) {
      if (!aborted) accept();
    });
    return;
  }
  if (make_room()) {
    const auto connection = std::make_shared<Connection>(std::move(socket), *this);
    connection->place = connections_.insert(connections_.end(), connection);
    connection->begin();
  }
  accept();
}

// The oldest that has not sent a request yet goes: whoever means it sends one at once. Behind many that are slow to
// take their answers nobody gets in until their time is over.
bool BeastServer::make_room() {
  if (connections_.size() < limits_.connections) return true;
  for (const auto& connection : connections_) {
    if (!connection->is_waiting()) continue;
    const std::shared_ptr<Connection> silent = connection;
    forget(*silent);
    silent->hang_up();
    return true;
  }
  return false;
}

void Connection::begin() {
  parser_.header_limit(server_.limits().head_bytes);
  stream_.expires_after(std::chrono::milliseconds(server_.limits().request_ms));
  http::async_read_header(stream_, buffer_, parser_,
                          [self = shared_from_this()](const Code& error, std::size_t) { self->on_head(error); });
}

void Connection::on_head(const Code& error) {
  waits_for_request_ = false;
  if (!error) return send(reply_to_request());
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return send(error_reply(431, fmt::format("The head of a request may have {} bytes.", server_.limits().head_bytes)));
  }
  // Not what HTTP calls a request; all else is no error of who asks, or nobody is there any more.
  if (error.category() == http::make_error_code(http::error::bad_method).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message) {
    return send(error_reply(400, "This is no HTTP request: " + error.message() + "."));
  }
  over();
}

HttpReply Connection::reply_to_request() const {
  const auto& request = parser_.get();
  if (request.method() != http::verb::get && request.method() != http::verb::head) {
    HttpReply reply = error_reply(405, "Only GET and HEAD are answered here: nothing can be changed.");
    reply.headers.emplace_back("Allow", "GET, HEAD");
    return reply;
  }
  const auto host = request.find(http::field::host);
  if (host == request.end()) return error_reply(400, "The request has no Host header.");
  const auto target = request.target();
  return server_.answer({std::string(target.data(), target.size()),
                         std::string(host->value().data(), host->value().size())});
}

void Connection::send(HttpReply reply) {
  response_.version(11);
  response_.result(static_cast<unsigned>(reply.status));
  response_.set(http::field::content_type, reply.type);
  response_.set(http::field::cache_control, "no-store");
  response_.set("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : reply.headers) response_.set(name, value);
  response_.keep_alive(false);
  response_.body() = std::move(reply.body);
  response_.prepare_payload();
  serializer_.emplace(response_);
  stream_.expires_after(std::chrono::milliseconds(server_.limits().reply_ms));
  const auto sent = [self = shared_from_this()](const Code& error, std::size_t) {
    if (error) return self->over();
    Code ignored;
    self->stream_.socket().shutdown(Tcp::socket::shutdown_send, ignored);
    self->stream_.expires_after(std::chrono::milliseconds(kDrain_ms));
    self->drain();
  };
  if (parser_.get().method() == http::verb::head) return http::async_write_header(stream_, *serializer_, sent);
  http::async_write(stream_, *serializer_, sent);
}

void Connection::drain() {
  stream_.async_read_some(asio::buffer(drained_), [self = shared_from_this()](const Code& error, std::size_t bytes) {
    self->drained_bytes_ += bytes;
    if (error || self->drained_bytes_ > kMostDrained) return self->over();
    self->drain();
  });
}

void Connection::over() {
  hang_up();
  server_.forget(*this);  // which may be the last to know it, but for whoever calls
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::open(const daemon::ListenAddress& address, const HttpLimits& limits,
                                                     Answer answer) {
  auto server = std::make_unique<BeastServer>(limits, std::move(answer));
  CAIRN_TRY(server->listen(address));
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace cairn::web
