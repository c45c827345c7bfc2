#include "web/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "web/test_client.h"

namespace cairn::web {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class HttpServerTest : public ::testing::Test {
 public:
  void start(const HttpLimits& limits = {}) {
    daemon::ListenAddress address;
    address.host = "127.0.0.1";
    auto server = HttpServer::open(address, limits, [](const HttpRequest& request) {
      HttpReply reply;
      reply.body = "asked for " + request.target + " of " + request.host;
      if (request.target == "/large") reply.body.assign(8'000'000, 'x');
      return reply;
    });
    ASSERT_TRUE(server) << server.error().message();
    server_ = std::move(*server);
    port_ = server_->address().port;
    ASSERT_GT(port_, 0);
  }
  void expect_answers() { EXPECT_THAT(get(port_, "/well"), HasSubstr("asked for /well of 127.0.0.1")); }

  std::unique_ptr<HttpServer> server_;
  std::uint16_t port_ = 0;
  std::atomic<bool> over_ = false;
};

TEST_F(HttpServerTest, AnswersGetAndHead) {
  start();
  const std::string reply = get(port_, "/a?b=c", "localhost");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(reply, HasSubstr("\r\nX-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(reply, HasSubstr("\r\n\r\nasked for /a?b=c of localhost"));
  const std::string head = ask(port_, "HEAD /a?b=c HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("\r\nContent-Length: 29\r\n"));
  EXPECT_TRUE(head.ends_with("\r\n\r\n")) << head;
}

TEST_F(HttpServerTest, WhatChangesSomethingIsNotAllowed) {
  start();
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT"}) {
    const std::string reply =
        ask(port_, std::string(method) + " / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
    EXPECT_THAT(reply, StartsWith("HTTP/1.1 405 ")) << method;
    EXPECT_THAT(reply, HasSubstr("\r\nAllow: GET, HEAD\r\n"));
  }
  EXPECT_THAT(ask(port_, "BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n"), StartsWith("HTTP/1.1 405 "));
}

TEST_F(HttpServerTest, ARequestWithoutAHostIsRefused) {
  start();
  EXPECT_THAT(ask(port_, "GET / HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, AHeadThatIsTooLargeIsRefused) {
  start();
  EXPECT_THAT(get(port_, "/" + std::string(100'000, 'a')), StartsWith("HTTP/1.1 431 "));
  std::string many = "GET / HTTP/1.1\r\nHost: localhost\r\n";
  for (int i = 0; i < 5'000; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  EXPECT_THAT(ask(port_, many + "\r\n"), StartsWith("HTTP/1.1 431 "));
  expect_answers();
}

TEST_F(HttpServerTest, GarbageGetsAnErrorOrNothingAndOthersGetTheirAnswers) {
  start();
  SeededRandom random(5);
  for (int i = 0; i < 300; ++i) {
    std::string bytes = random.bytes(1 + random.below(i % 10 == 0 ? 70'000 : 600));
    if (i % 3 == 0) bytes = "GET / HTTP/1.1\r\nHost: localhost\r\n" + bytes;
    if (i % 5 == 0) bytes += "\r\n\r\n";
    TestClient client(port_);
    client.send(bytes);
    client.end_sending();
    const std::string reply = client.receive();
    EXPECT_TRUE(reply.empty() || reply.starts_with("HTTP/1.1 4")) << reply.substr(0, 100);
  }
  for (const char* bytes : {"", "\r\n\r\n", "GET", "GET /", "GET / HTTP/1.1\r\nHost: loc", "GET / HTTP/9.9\r\n\r\n",
                            "GET  HTTP/1.1\r\nHost: localhost\r\n\r\n", "\x16\x03\x01\x02", "PRI * HTTP/2.0\r\n\r\n"}) {
    TestClient client(port_);
    client.send(bytes);
    client.end_sending();
    const std::string reply = client.receive();
    EXPECT_TRUE(reply.empty() || reply.starts_with("HTTP/1.1 4")) << bytes << " got " << reply.substr(0, 100);
  }
  expect_answers();
}

TEST_F(HttpServerTest, WhoeverSendsNothingIsHungUpOn) {
  HttpLimits limits;
  limits.request_ms = 20;
  start(limits);
  TestClient silent(port_);
  TestClient half(port_);
  half.send("GET / HTTP/1.1\r\nHost: ");
  EXPECT_EQ(silent.receive(), "");
  EXPECT_EQ(half.receive(), "");
}

TEST_F(HttpServerTest, TheTimeOfARequestIsNotMadeLongerByAByteNowAndThen) {
  HttpLimits limits;
  limits.request_ms = 100;
  start(limits);
  TestClient slow(port_);
  std::thread trickle([&] {  // ends because it is hung up on: the kernel then refuses what is sent
    for (int i = 0; i < 6'000 && slow.is_connected(); ++i) {
      slow.send("x");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      if (over_) break;
    }
  });
  EXPECT_EQ(slow.receive(), "");
  over_ = true;
  trickle.join();
}

TEST_F(HttpServerTest, ManyThatSendNothingKeepNobodyOut) {
  HttpLimits limits;
  limits.connections = 4;
  limits.request_ms = 3'600'000;
  start(limits);
  std::vector<TestClient> silent;
  for (int i = 0; i < 20; ++i) silent.emplace_back(port_);
  for (int i = 0; i < 10; ++i) expect_answers();
  EXPECT_EQ(silent.front().receive(), "");  // hung up on, to make room
}

TEST_F(HttpServerTest, WhoeverTakesNoAnswerKeepsNobodyWaitingForEver) {
  HttpLimits limits;
  limits.connections = 2;
  limits.reply_ms = 50;
  start(limits);
  std::vector<TestClient> deaf;
  for (int i = 0; i < 4; ++i) {
    deaf.emplace_back(port_);
    deaf.back().send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
  for (int i = 0; i < 1000; ++i) {
    if (get(port_, "/well").find("asked for /well") != std::string::npos) return;
  }
  FAIL() << "no answer";
}

TEST_F(HttpServerTest, APortThatIsTakenIsAnError) {
  start();
  daemon::ListenAddress address = server_->address();
  const auto second = HttpServer::open(address, {}, [](const HttpRequest&) { return HttpReply(); });
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind(), ErrorKind::io);
  EXPECT_THAT(second.error().message(), HasSubstr("cannot listen on 127.0.0.1:"));
}

TEST_F(HttpServerTest, EndsWhileSomebodyIsConnected) {
  start();
  TestClient half(port_);
  half.send("GET / HTT");
  expect_answers();
  server_.reset();
  EXPECT_EQ(half.receive(), "");
}

}  // namespace
}  // namespace cairn::web
