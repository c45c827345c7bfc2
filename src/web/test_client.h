// A client that may send anything, and a fleet that is what a test says.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daemon/fleet.h"

namespace cairn::web {

class TestClient {
 public:
  explicit TestClient(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience{.tv_sec = 60, .tv_usec = 0};  // far beyond any need
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
  }
  TestClient(TestClient&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), connected_(other.connected_) {}
  ~TestClient() {
    if (socket_ >= 0) ::close(socket_);
  }

  bool is_connected() const { return connected_; }
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // hung up on
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void end_sending() { ::shutdown(socket_, SHUT_WR); }
  // Everything, until the other side hangs up.
  std::string receive() {
    std::string all;
    char bytes[4096];
    ssize_t got = 0;
    while ((got = ::recv(socket_, bytes, sizeof bytes, 0)) > 0) all.append(bytes, static_cast<std::size_t>(got));
    EXPECT_FALSE(got < 0 && errno == EAGAIN) << "neither answered nor hung up on";
    return all;
  }

 private:
  int socket_;
  bool connected_ = false;
};

inline std::string ask(std::uint16_t port, std::string_view request) {
  TestClient client(port);
  client.send(request);
  return client.receive();
}
inline std::string get(std::uint16_t port, const std::string& target, const std::string& host = "127.0.0.1") {
  return ask(port, "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
}

class TestFleet final : public daemon::Fleet {
 public:
  daemon::FleetView view() const override { return now; }
  daemon::FleetView now;
};

// 2026-11-26 08:00 UTC.
inline constexpr std::int64_t kNow_ms = 1'795'680'000'000;

inline daemon::DatabaseView following(const std::string& path) {
  daemon::DatabaseView database;
  database.path = path;
  database.replica = "s3://bucket/" + path.substr(path.rfind('/') + 1);
  database.store = "s3://bucket";
  database.is_open = true;
  database.open_ms = 3'600'000;
  database.status.phase = Phase::following;
  database.status.has_snapshot = true;
  database.status.published_time_ms = kNow_ms - 5'000;
  database.store_status.service = "s3.eu-central-1.amazonaws.com";
  return database;
}

inline daemon::FleetView fleet_of(std::vector<daemon::DatabaseView> databases) {
  daemon::FleetView view;
  view.begun_ms = kNow_ms - 7'200'000;
  view.now_ms = kNow_ms;
  view.config = "/etc/cairn/cairn.toml";
  view.databases = std::move(databases);
  return view;
}

}  // namespace cairn::web
