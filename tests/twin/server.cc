#include "twin/server.h"

#include <list>
#include <thread>

#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include <fmt/format.h>

#include "base/mutex.h"
#include "twin/connection.h"

namespace cairn::twin {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;
using Code = boost::system::error_code;

class ThreadedServer final : public Server {
 public:
  ThreadedServer(Host& host, Tcp::acceptor acceptor, std::unique_ptr<asio::ssl::context> tls)
      : host_(host), acceptor_(std::move(acceptor)), tls_(std::move(tls)), port_(acceptor_.local_endpoint().port()) {
    accepting_ = std::thread([this] { accept_all(); });
  }

  ~ThreadedServer() override {
    // A socket is closed under the lock only, where it is marked as over: none of these numbers is somebody else's.
    ::shutdown(acceptor_.native_handle(), SHUT_RDWR);
    accepting_.join();
    {
      const MutexLock lock(mutex_);
      for (Peer& peer : peers_) {
        if (!peer.is_over) ::shutdown(peer.descriptor, SHUT_RDWR);
      }
    }
    reap(Reap::all);
  }

  int port() const override { return port_; }

 private:
  struct Peer {
    Tcp::socket socket;
    int descriptor;
    bool is_over = false;
    std::thread thread;
  };
  enum class Reap { ended, all };

  void accept_all();
  void serve(Peer& peer) EXCLUDES(mutex_);
  void reap(Reap which) EXCLUDES(mutex_);

  Host& host_;
  Tcp::acceptor acceptor_;
  const std::unique_ptr<asio::ssl::context> tls_;
  const int port_;
  Mutex mutex_;
  std::list<Peer> peers_ GUARDED_BY(mutex_);
  std::thread accepting_;
};

void ThreadedServer::accept_all() {
  while (!host_.is_stopping()) {
    Tcp::socket socket(acceptor_.get_executor());
    Code error;
    acceptor_.accept(socket, error);
    if (error) {
      if (!host_.is_stopping()) host_.pause(10);  // out of descriptors, or the peer has gone already
      continue;
    }
    reap(Reap::ended);
    const MutexLock lock(mutex_);
    const int descriptor = socket.native_handle();
    Peer& peer = peers_.emplace_back(Peer{std::move(socket), descriptor, false, {}});
    peer.thread = std::thread([this, &peer] { serve(peer); });
  }
}

void ThreadedServer::serve(Peer& peer) {
  serve_connection(host_, peer.socket, tls_.get());
  const MutexLock lock(mutex_);
  Code ignored;
  peer.socket.close(ignored);
  peer.is_over = true;
}

void ThreadedServer::reap(Reap which) {
  std::list<Peer> ended;
  {
    const MutexLock lock(mutex_);
    for (auto at = peers_.begin(); at != peers_.end();) {
      const auto next = std::next(at);
      if (which == Reap::all || at->is_over) ended.splice(ended.end(), peers_, at);
      at = next;
    }
  }
  for (Peer& peer : ended) peer.thread.join();
}

std::unique_ptr<asio::ssl::context> context_of(const SelfSigned& certificate) {
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  context->use_certificate_chain(asio::buffer(certificate.certificate_pem));
  context->use_private_key(asio::buffer(certificate.key_pem), asio::ssl::context::pem);
  return context;
}

// Owns what the sockets stand on.
class StandingServer final : public Server {
 public:
  StandingServer(std::unique_ptr<asio::io_context> io, std::unique_ptr<ThreadedServer> server)
      : io_(std::move(io)), server_(std::move(server)) {}
  int port() const override { return server_->port(); }

 private:
  std::unique_ptr<asio::io_context> io_;
  std::unique_ptr<ThreadedServer> server_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(Host& host, int port, const SelfSigned* certificate) {
  auto io = std::make_unique<asio::io_context>();
  Tcp::acceptor acceptor(*io);
  Code error;
  const Tcp::endpoint endpoint(asio::ip::address_v4::loopback(), static_cast<unsigned short>(port));
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return Error(ErrorKind::io, fmt::format("cannot listen on port {}: {}", port, error.message()));
  auto server = std::make_unique<ThreadedServer>(host, std::move(acceptor),
                                                 certificate != nullptr ? context_of(*certificate) : nullptr);
  return std::unique_ptr<Server>(std::make_unique<StandingServer>(std::move(io), std::move(server)));
}

}  // namespace cairn::twin
