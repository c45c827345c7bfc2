// The transport against a server that says exactly what a test wants, also what no server should.
#include "s3/http.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "base/bytes.h"
#include "s3/scripted_http.h"

namespace cairn::s3 {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// One end of a connection. All calls are safe after the other end has gone.
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  ~Peer() { ::close(fd_); }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // The headers of the next request; empty: the connection has ended.
  std::string read_headers() {
    while (buffer_.find("\r\n\r\n") == std::string::npos) {
      if (!read_more()) return {};
    }
    const std::size_t end = buffer_.find("\r\n\r\n") + 4;
    std::string headers = buffer_.substr(0, end);
    buffer_.erase(0, end);
    return headers;
  }
  std::string read_body(std::size_t size) {
    while (buffer_.size() < size && read_more()) {
    }
    std::string body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return body;
  }
  void say(const std::string& text) { (void)!::send(fd_, text.data(), text.size(), MSG_NOSIGNAL); }
  // Ends the connection with a reset instead of an orderly end.
  void reset() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  }

 private:
  bool read_more() {
    char bytes[65536];
    const ssize_t count = ::recv(fd_, bytes, sizeof bytes, 0);
    if (count > 0) buffer_.append(bytes, static_cast<std::size_t>(count));
    return count > 0;
  }

  int fd_;
  std::string buffer_;
};

// Listens on loopback; serves each connection on a thread of its own.
class RawServer {
 public:
  using Serve = std::function<void(Peer&, int connection)>;

  explicit RawServer(Serve serve) : serve_(std::move(serve)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~RawServer() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    ::close(listener_);
    for (std::thread& thread : threads_) thread.join();
  }

  std::string origin() const { return "http://127.0.0.1:" + std::to_string(port_); }
  int connections() const { return connections_; }

 private:
  void accept_all() {
    for (int fd; (fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      threads_.emplace_back([this, fd, number = connections_++] {
        Peer peer(fd);
        serve_(peer, number);
      });
    }
  }

  Serve serve_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_ = 0;
  std::thread acceptor_;
  std::vector<std::thread> threads_;
};

HttpRequest get(const RawServer& server, std::string target = "/") {
  HttpRequest request;
  request.origin = server.origin();
  request.target = std::move(target);
  return request;
}

// The client is declared after the server in each test: it ends first, so that kept-alive connections end.

TEST(Http, StatusHeadersAndBodyCome) {
  RawServer server([](Peer& peer, int) {
    while (!peer.read_headers().empty())
      peer.say("HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nX-Some:  value \r\nETag: \"a\"\r\n\r\nhello");
  });
  const auto client = make_http_client({});
  const auto response = client->send(get(server));
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(response->status, 404);
  EXPECT_TRUE(response->whole);
  EXPECT_EQ(as_text(response->body), "hello");
  ASSERT_NE(response->header("x-some"), nullptr);
  EXPECT_EQ(*response->header("x-some"), "value");
  EXPECT_EQ(*response->header("etag"), "\"a\"");
  EXPECT_EQ(response->header("X-Some"), nullptr);
}

// A header that is sent but not signed makes a store refuse the request.
TEST(Http, NothingIsAddedButHostAndContentLength) {
  std::mutex mutex;
  std::string seen;
  RawServer server([&](Peer& peer, int) {
    for (std::string headers; !(headers = peer.read_headers()).empty();) {
      const std::lock_guard lock(mutex);
      seen = headers;
      if (headers.starts_with("P")) (void)peer.read_body(headers.find("Length: 3") != std::string::npos ? 3 : 0);
      peer.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
  });
  const auto client = make_http_client({});
  const std::string host = server.origin().substr(7);
  const auto sent = [&](HttpRequest request) {
    EXPECT_EQ(kind_of(client->send(request)), "ok");
    const std::lock_guard lock(mutex);
    return seen;
  };
  HttpRequest request = get(server, "/a//b/./../c%2F%20?x=%2B&y");
  request.headers = {{"X-One", "1"}, {"X-Empty", ""}};
  EXPECT_EQ(sent(request),
            "GET /a//b/./../c%2F%20?x=%2B&y HTTP/1.1\r\nHost: " + host + "\r\nX-One: 1\r\nX-Empty:\r\n\r\n");
  request = get(server, "/d");
  request.method = "DELETE";
  EXPECT_EQ(sent(request), "DELETE /d HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
  const BytesSource body(as_bytes("abc"));
  request.method = "PUT";
  request.body = &body;
  EXPECT_EQ(sent(request), "PUT /d HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 3\r\n\r\n");
  request.method = "POST";
  request.headers = {{"Content-Type", "application/xml"}};
  EXPECT_EQ(sent(request),
            "POST /d HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/xml\r\nContent-Length: 3\r\n\r\n");
  request.body = nullptr;
  request.headers.clear();
  EXPECT_EQ(sent(request), "POST /d HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 0\r\n\r\n");
}

TEST(Http, HeadHasNoBodyWhateverItsLengthSays) {
  RawServer server([](Peer& peer, int) {
    while (peer.read_headers().starts_with("HEAD ")) peer.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
  });
  const auto client = make_http_client({});
  HttpRequest request = get(server);
  request.method = "HEAD";
  for (int i = 0; i < 2; ++i) {
    const auto response = client->send(request);
    ASSERT_TRUE(response) << response.error().message();
    EXPECT_TRUE(response->whole);
    EXPECT_TRUE(response->body.empty());
    EXPECT_EQ(*response->header("content-length"), "1000000");
  }
}

TEST(Http, LargeBodiesGoAndComeWhole) {
  std::string large(5'000'000, '\0');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 7 + i / 1000);
  RawServer server([&](Peer& peer, int) {
    while (!peer.read_headers().empty()) {
      const std::string body = peer.read_body(large.size());
      peer.say("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  });
  const auto client = make_http_client({});
  const BytesSource body(as_bytes(large));
  HttpRequest request = get(server);
  request.method = "PUT";
  request.body = &body;
  const auto response = client->send(request);
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_TRUE(as_text(response->body) == large);
  // Nothing was moved while it grew.
  EXPECT_EQ(response->body.capacity(), large.size());
}

TEST(Http, LengthThatIsALieTakesNoMemory) {
  RawServer server([](Peer& peer, int) {
    (void)peer.read_headers();
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\nnothing like it");
  });
  const auto client = make_http_client({});
  HttpRequest request = get(server);
  request.max_body_bytes = 1000;
  const auto response = client->send(request);
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(as_text(response->body), "nothing like it");
  EXPECT_FALSE(response->whole);
  EXPECT_LE(response->body.capacity(), 1000u);
}

TEST(Http, AnswerThatIsTooLongIsCorrupt) {
  RawServer server([](Peer& peer, int) {
    while (!peer.read_headers().empty()) peer.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123456");
  });
  const auto client = make_http_client({});
  HttpRequest request = get(server);
  request.max_body_bytes = 5;
  EXPECT_EQ(kind_of(client->send(request)), "corrupt");
}

TEST(Http, ConnectionsAreKeptAndSharedBetweenRequests) {
  RawServer server([](Peer& peer, int) {
    while (!peer.read_headers().empty()) peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  });
  const auto client = make_http_client({});
  for (int i = 0; i < 20; ++i) ASSERT_EQ(kind_of(client->send(get(server))), "ok");
  EXPECT_EQ(server.connections(), 1);
}

TEST(Http, ManyThreadsAtOnce) {
  RawServer server([](Peer& peer, int) {
    for (std::string headers; !(headers = peer.read_headers()).empty();) {
      const std::string target = headers.substr(4, headers.find(' ', 4) - 4);
      peer.say("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(target.size()) + "\r\n\r\n" + target);
    }
  });
  const auto client = make_http_client({});
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        const std::string target = "/" + std::to_string(t) + "-" + std::to_string(i);
        const auto response = client->send(get(server, target));
        if (response && as_text(response->body) == target) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 400);
  EXPECT_LE(server.connections(), 8);
}

TEST(Http, ConnectionThatDiedWhileIdleIsReplaced) {
  RawServer server([](Peer& peer, int) {
    (void)peer.read_headers();
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");  // and then it closes, without having said so
  });
  const auto client = make_http_client({});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(kind_of(client->send(get(server))), "ok");
}

// The answer to a repetition would say nothing of the first one, which may have been applied.
TEST(Http, WhatChangesSomethingIsNeverSentTwice) {
  std::atomic<int> arrived = 0;
  RawServer server([&](Peer& peer, int) {
    for (std::string headers; !(headers = peer.read_headers()).empty();) {
      if (headers.starts_with("GET")) {
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        continue;
      }
      const std::size_t length = headers.find("Content-Length: ");
      (void)peer.read_body(std::stoull(headers.substr(length + 16)));
      ++arrived;
      peer.reset();
      return;
    }
  });
  const auto client = make_http_client({});
  const Bytes many(100'000);
  const BytesSource small(as_bytes("abc")), large(many), nothing{ByteView()};
  int sent = 0;
  for (const BytesSource* source : {&small, &large, &nothing}) {
    ASSERT_EQ(kind_of(client->send(get(server))), "ok");  // leaves a connection that is kept alive
    HttpRequest request = get(server);
    request.method = "PUT";
    request.body = source;
    EXPECT_EQ(kind_of(client->send(request)), "maybe_done");
    EXPECT_EQ(arrived, ++sent);
  }
}

// Errors.

TEST(Http, NobodyListensIsRetryLater) {
  std::string origin;
  {
    origin = RawServer([](Peer&, int) {}).origin();
  }
  const auto client = make_http_client({});
  HttpRequest request;
  request.origin = origin;
  request.target = "/";
  const auto response = client->send(request);
  ASSERT_EQ(kind_of(response), "retry_later");
  EXPECT_THAT(response.error().message(), HasSubstr(origin));
}

TEST(Http, HostThatDoesNotResolveIsRetryLaterAndSaysSo) {
  const auto client = make_http_client({});
  HttpRequest request;
  request.origin = "http://no-such-host.invalid";
  request.target = "/";
  const auto response = client->send(request);
  ASSERT_EQ(kind_of(response), "retry_later");
  EXPECT_THAT(response.error().message(), HasSubstr("no-such-host.invalid"));
  EXPECT_THAT(response.error().message(), HasSubstr("does not resolve"));
}

TEST(Http, ResetBeforeTheAnswerIsMaybeDone) {
  RawServer server([](Peer& peer, int) {
    if (peer.read_headers().starts_with("PUT")) (void)peer.read_body(3);
    peer.reset();
  });
  const auto client = make_http_client({});
  EXPECT_EQ(kind_of(client->send(get(server))), "maybe_done");
  const BytesSource body(as_bytes("abc"));
  HttpRequest request = get(server);
  request.method = "PUT";
  request.body = &body;
  EXPECT_EQ(kind_of(client->send(request)), "maybe_done");
}

TEST(Http, HeadersThatBreakOffAreMaybeDone) {
  RawServer server([](Peer& peer, int) {
    (void)peer.read_headers();
    peer.say("HTTP/1.1 200 OK\r\nContent-Len");
  });
  const auto client = make_http_client({});
  EXPECT_EQ(kind_of(client->send(get(server))), "maybe_done");
}

TEST(Http, BodyThatWasNotSentWholeIsRetryLater) {
  RawServer server([](Peer& peer, int) {
    (void)peer.read_headers();
    (void)peer.read_body(100'000);
    peer.reset();
  });
  const auto client = make_http_client({});
  const std::string large(50 << 20, 'x');  // more than all buffers between here and there
  const BytesSource body(as_bytes(large));
  HttpRequest request = get(server);
  request.method = "PUT";
  request.body = &body;
  EXPECT_EQ(kind_of(client->send(request)), "retry_later");
}

TEST(Http, RefusalBeforeTheEndOfTheBodyIsAnAnswer) {
  RawServer server([](Peer& peer, int) {
    (void)peer.read_headers();
    peer.say("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    (void)peer.read_body(60 << 20);
  });
  const auto client = make_http_client({});
  const std::string large(50 << 20, 'x');
  const BytesSource body(as_bytes(large));
  HttpRequest request = get(server);
  request.method = "PUT";
  request.body = &body;
  const auto response = client->send(request);
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(response->status, 403);
}

TEST(Http, BodyThatBreaksOffIsToldFromAWholeOne) {
  RawServer server([](Peer& peer, int connection) {
    (void)peer.read_headers();
    peer.say("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 10\r\n\r\n12345");
    if (connection == 1) peer.reset();
  });
  const auto client = make_http_client({});
  for (int i = 0; i < 2; ++i) {
    const auto response = client->send(get(server));
    ASSERT_TRUE(response) << response.error().message();
    EXPECT_FALSE(response->whole);
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(*response->header("etag"), "\"e\"");
    EXPECT_THAT("12345", StartsWith(std::string(as_text(response->body))));
  }
}

TEST(Http, BodyOfASuccessGoesToWhoTakesIt) {
  const std::string text(1 << 20, 'x');
  RawServer server([&](Peer& peer, int) {
    for (std::string head; !(head = peer.read_headers()).empty();) {
      const bool good = head.starts_with("GET /good");
      peer.say(std::string(good ? "HTTP/1.1 206 Partial" : "HTTP/1.1 404 Not") + "\r\nETag: \"e\"\r\nContent-Length: " +
               std::to_string(text.size()) + "\r\n\r\n" + text);
    }
  });
  const auto client = make_http_client({});
  std::string taken;
  std::size_t most = ~std::size_t{0};
  const TakeBody take = [&](const HttpResponse& head, ByteView piece) {
    EXPECT_EQ(head.status, 206);
    EXPECT_EQ(*head.header("etag"), "\"e\"");
    EXPECT_FALSE(head.whole);
    taken += as_text(piece);
    return taken.size() < most;
  };
  HttpRequest request = get(server, "/good");
  request.take = &take;
  auto response = client->send(request);
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_TRUE(response->whole);
  EXPECT_TRUE(response->body.empty());
  EXPECT_TRUE(taken == text);
  request.target = "/bad";
  response = client->send(request);
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(response->body.size(), text.size());
  EXPECT_EQ(taken.size(), text.size()) << "what is no success is no body to take";
  request.target = "/good";
  taken.clear();
  most = 1;
  response = client->send(request);
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_FALSE(response->whole);
  EXPECT_LT(taken.size(), text.size());
  taken.clear();
  most = ~std::size_t{0};
  request.max_body_bytes = text.size() - 1;
  EXPECT_EQ(kind_of(client->send(request)), "corrupt");
  EXPECT_LT(taken.size(), text.size());
}

TEST(Http, StallAndTotalTimeEndTheRequest) {
  std::atomic<bool> done = false;
  RawServer server([&](Peer& peer, int connection) {
    (void)peer.read_headers();
    if (connection == 1) peer.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    while (!done) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  });
  const auto client = make_http_client({});
  HttpRequest request = get(server);
  request.total_ms = 300;
  EXPECT_EQ(kind_of(client->send(request)), "maybe_done");
  request.total_ms = 0;
  request.stall_ms = 1000;
  const auto response = client->send(request);
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_FALSE(response->whole);
  EXPECT_EQ(as_text(response->body), "12345");
  done = true;
}

class FailsInTheMiddle final : public Source {
 public:
  std::uint64_t size_bytes() const override { return 10 << 20; }
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    if (offset + into.size() > (5 << 20)) return Error(ErrorKind::cancelled, "the source ended");
    std::fill(into.begin(), into.end(), std::byte{'x'});
    return {};
  }
};

TEST(Http, ErrorOfTheSourceComesBack) {
  RawServer server([](Peer& peer, int) {
    (void)peer.read_headers();
    (void)peer.read_body(20 << 20);
  });
  const auto client = make_http_client({});
  const FailsInTheMiddle body;
  HttpRequest request = get(server);
  request.method = "PUT";
  request.body = &body;
  EXPECT_EQ(kind_of(client->send(request)), "cancelled");
}

TEST(Http, RedirectsAreNotFollowed) {
  RawServer server([](Peer& peer, int) {
    while (!peer.read_headers().empty())
      peer.say("HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
  });
  const auto client = make_http_client({});
  const auto response = client->send(get(server));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 307);
}

// Proxies.

// Variables that name proxies, for one test; all others of that kind are away.
class ProxyVariables {
 public:
  using Variables = std::vector<std::pair<std::string, std::string>>;
  explicit ProxyVariables(const Variables& set) {
    for (const char* name : kNames) {
      if (const char* value = std::getenv(name)) before_.emplace_back(name, value);
      ::unsetenv(name);
    }
    for (const auto& [name, value] : set) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~ProxyVariables() {
    for (const char* name : kNames) ::unsetenv(name);
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ProxyVariables(const ProxyVariables&) = delete;
  ProxyVariables& operator=(const ProxyVariables&) = delete;

 private:
  static constexpr const char* kNames[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                           "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
  std::vector<std::pair<std::string, std::string>> before_;
};

// Answers every request with its first line.
void say_what_is_asked(Peer& peer, int) {
  for (std::string headers; !(headers = peer.read_headers()).empty();) {
    const std::string line = headers.substr(0, headers.find("\r\n"));
    peer.say("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(line.size()) + "\r\n\r\n" + line);
  }
}

TEST(Http, RequestsGoThroughTheProxyThatIsConfigured) {
  RawServer proxy(say_what_is_asked);
  const ProxyVariables variables(ProxyVariables::Variables{{"http_proxy", proxy.origin()}});
  const auto client = make_http_client({});
  HttpRequest request;
  request.origin = "http://store.example:9000";
  request.target = "/bucket/a/../b?x=%2F";
  const auto response = client->send(request);
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(as_text(response->body), "GET http://store.example:9000/bucket/a/../b?x=%2F HTTP/1.1");
}

TEST(Http, HostsOfNoProxyAreAskedThemselves) {
  RawServer server(say_what_is_asked);
  RawServer proxy(say_what_is_asked);
  const ProxyVariables variables(
      ProxyVariables::Variables{{"http_proxy", proxy.origin()}, {"no_proxy", "store.example,127.0.0.1"}});
  const auto client = make_http_client({});
  const auto response = client->send(get(server, "/k"));
  ASSERT_TRUE(response) << response.error().message();
  EXPECT_EQ(as_text(response->body), "GET /k HTTP/1.1");
  EXPECT_EQ(proxy.connections(), 0);
}

// The same client, before and after: a connection to the proxy that was kept must not be used either.
TEST(Http, RequestsThatMustNotGoThroughAProxyDoNot) {
  RawServer server(say_what_is_asked);
  RawServer proxy(say_what_is_asked);
  const ProxyVariables variables(
      ProxyVariables::Variables{{"http_proxy", proxy.origin()}, {"all_proxy", proxy.origin()}});
  const auto client = make_http_client({});
  HttpRequest request = get(server, "/k");
  const auto by_proxy = client->send(request);
  ASSERT_TRUE(by_proxy) << by_proxy.error().message();
  EXPECT_EQ(as_text(by_proxy->body), "GET " + server.origin() + "/k HTTP/1.1");
  request.proxy = Proxy::never;
  const auto straight = client->send(request);
  ASSERT_TRUE(straight) << straight.error().message();
  EXPECT_EQ(as_text(straight->body), "GET /k HTTP/1.1");
  request.proxy = Proxy::as_configured;
  const auto again = client->send(request);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(as_text(again->body), "GET " + server.origin() + "/k HTTP/1.1");
}

TEST(Http, HttpsAsksTheProxyForATunnel) {
  std::string asked, status = "403";
  RawServer proxy([&](Peer& peer, int) {
    const std::string headers = peer.read_headers();
    if (!headers.empty()) asked = headers;
    peer.say("HTTP/1.1 " + status + " No\r\nX-Of: proxy\r\nContent-Length: 0\r\n\r\n");
  });
  const ProxyVariables variables(ProxyVariables::Variables{{"https_proxy", proxy.origin()}});
  const auto client = make_http_client({});
  HttpRequest request;
  request.origin = "https://store.example";
  request.headers = {{"Authorization", "secret"}};
  const auto response = client->send(request);
  // The proxy's refusal is no answer of the store's, and nothing of the request has left the machine.
  ASSERT_EQ(kind_of(response), "denied");
  EXPECT_THAT(response.error().message(), HasSubstr("proxy"));
  EXPECT_THAT(asked, StartsWith("CONNECT store.example:443 HTTP/1.1"));
  EXPECT_THAT(asked, Not(HasSubstr("secret")));
  status = "502";
  EXPECT_EQ(kind_of(client->send(request)), "retry_later");
}

TEST(Http, ProxyThatDoesNotResolveIsNamed) {
  const ProxyVariables variables(ProxyVariables::Variables{{"http_proxy", "http://proxy.invalid:3128"}});
  const auto client = make_http_client({});
  HttpRequest request;
  request.origin = "http://store.example";
  const auto response = client->send(request);
  ASSERT_EQ(kind_of(response), "retry_later");
  EXPECT_THAT(response.error().message(), HasSubstr("http_proxy"));
}

TEST(Http, ContinueIsNoAnswer) {
  RawServer server([](Peer& peer, int) {
    while (!peer.read_headers().empty())
      peer.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 2\r\n\r\nok");
  });
  const auto client = make_http_client({});
  const auto response = client->send(get(server));
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(as_text(response->body), "ok");
}

TEST(Http, WhatIsNoHttpIsSaid) {
  RawServer server([](Peer& peer, int) {
    (void)peer.read_headers();
    peer.say("SSH-2.0-OpenSSH_9.2\r\n");
  });
  const auto client = make_http_client({});
  const auto response = client->send(get(server));
  ASSERT_EQ(kind_of(response), "invalid");
  EXPECT_THAT(response.error().message(), HasSubstr("does not speak HTTP"));
}

TEST(Http, MissingFileOfCertificatesIsInvalidAndNamed) {
  RawServer server([](Peer& peer, int) { (void)peer.read_headers(); });
  HttpOptions options;
  options.ca_bundle = "/nonexistent/ca.pem";
  const auto client = make_http_client(options);
  HttpRequest request = get(server);
  request.origin = "https" + request.origin.substr(4);
  const auto response = client->send(request);
  ASSERT_EQ(kind_of(response), "invalid");
  EXPECT_THAT(response.error().message(), HasSubstr("/nonexistent/ca.pem"));
}

}  // namespace
}  // namespace cairn::s3
