#include "daemon/control_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <list>

#include "base/mutex.h"
#include "support/scratch.h"

namespace cairn::daemon {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kDeadlineMs = 30'000;

// What a test lets happen, told to all that wait for it.
struct Outcomes {
  Mutex mutex;
  std::optional<Result<Underway::Done>> outcome GUARDED_BY(mutex);
  std::atomic<int> waiting = 0;
  void become(Result<Underway::Done> result) {
    MutexLock lock(mutex);
    outcome = std::move(result);
  }
};

class FakeUnderway final : public Underway {
 public:
  explicit FakeUnderway(Outcomes& outcomes) : outcomes_(outcomes) { ++outcomes_.waiting; }
  ~FakeUnderway() override { --outcomes_.waiting; }
  std::optional<Result<Done>> look() override {
    MutexLock lock(outcomes_.mutex);
    return outcomes_.outcome;
  }
  Error why_not_yet() const override { return Error(ErrorKind::retry_later, "the store is away"); }

 private:
  Outcomes& outcomes_;
};

class FakeFleet final : public ControlledFleet {
 public:
  FleetView view() const override {
    FleetView view;
    view.config = "/etc/cairn.toml";
    for (std::size_t i = 0; i < databases; ++i) {
      DatabaseView& one = view.databases.emplace_back();
      one.path = "/srv/" + std::to_string(i) + ".db";
      one.replica = "file:///backup/" + std::to_string(i);
    }
    return view;
  }
  std::unique_ptr<Underway> sync(const std::string& database) override { return note("sync " + database); }
  std::unique_ptr<Underway> register_database(const Registration& one) override {
    std::string text = "register " + one.path + " " + one.to;
    for (const auto& [key, value] : one.settings) text += " " + key + "=" + value;
    return note(text);
  }
  std::unique_ptr<Underway> unregister_database(const std::string& path) override { return note("unregister " + path); }
  std::unique_ptr<Underway> reload() override { return note("reload"); }
  void stop() override { note("stop"); }

  std::unique_ptr<Underway> note(const std::string& what) {
    {
      MutexLock lock(mutex);
      asked.push_back(what);
    }
    return std::make_unique<FakeUnderway>(outcomes);
  }
  std::vector<std::string> all_asked() {
    MutexLock lock(mutex);
    return asked;
  }

  std::size_t databases = 1;
  Outcomes outcomes;
  Mutex mutex;
  std::vector<std::string> asked GUARDED_BY(mutex);
};

class Asking {
 public:
  explicit Asking(const std::string& path) : socket_(std::move(connect_control(path).value())) {}
  void say(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // let go of: what came before that is read
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  // As much as the socket takes.
  bool say_some(std::string_view bytes) const {
    return ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
  }
  // The next line; "": the other side let go of it.
  std::string hear() {
    while (true) {
      if (const std::size_t end = heard_.find('\n'); end != std::string::npos) {
        std::string line = heard_.substr(0, end);
        heard_.erase(0, end + 1);
        return line;
      }
      char bytes[4096];
      pollfd polled{socket_.get(), POLLIN, 0};
      if (::poll(&polled, 1, kDeadlineMs) <= 0) return "no answer";
      const ssize_t got = ::recv(socket_.get(), bytes, sizeof bytes, 0);
      if (got <= 0) return "";
      heard_.append(bytes, static_cast<std::size_t>(got));
    }
  }
  std::string ask(const std::string& line) {
    say(line + "\n");
    return hear();
  }
  int descriptor() const { return socket_.get(); }
  void say_no_more() const { ::shutdown(socket_.get(), SHUT_WR); }

 private:
  FileDescriptor socket_;
  std::string heard_;
};

class ControlServerTest : public ::testing::Test {
 protected:
  void open(const ControlLimits& limits = {}) {
    auto opened = ControlServer::open(path_, fleet_, clock_, *files_, limits);
    ASSERT_TRUE(opened) << opened.error().message();
    server_ = std::move(*opened);
  }
  template <class Condition>
  static bool comes_true(const Condition& condition) {
    for (int i = 0; i < kDeadlineMs / 2; ++i) {
      if (condition()) return true;
      ::poll(nullptr, 0, 2);
    }
    return false;
  }

  const cairn::testing::Scratch scratch_{"control"};
  const std::string path_ = scratch_ / "run/cairn.sock";
  SystemClock clock_;
  const std::unique_ptr<FileSystem> files_ = make_real_file_system();
  FakeFleet fleet_;
  std::unique_ptr<ControlServer> server_;
};

mode_t mode_of(const std::string& path) {
  struct stat there{};
  return ::lstat(path.c_str(), &there) == 0 ? there.st_mode & 07777 : 0;
}

TEST_F(ControlServerTest, NothingItMakesIsForOthers) {
  const mode_t before = ::umask(0);
  open();
  ::umask(before);
  EXPECT_EQ(mode_of(path_), 0600u);
  EXPECT_EQ(mode_of(path_ + ".lock"), 0600u);
  EXPECT_EQ(mode_of(scratch_ / "run"), 0700u);
}

TEST_F(ControlServerTest, EachCommandIsAskedOfTheFleetAndAnswered) {
  open();
  fleet_.outcomes.become(Underway::Done{7, "done"});
  Asking one(path_);
  EXPECT_THAT(one.ask(R"({"id": "a", "command": "status"})"), StartsWith(R"({"id":"a","result":{"protocol":1,)"));
  EXPECT_EQ(one.ask(R"({"id": 1, "command": "sync", "database": "/srv/0.db", "wait": true})"),
            R"({"id":1,"result":{"sequence":7,"message":"done"}})");
  EXPECT_EQ(one.ask(R"({"id": 2, "command": "sync", "database": "/srv/0.db"})"),
            R"({"id":2,"result":{"database":"/srv/0.db","requested":true}})");
  EXPECT_THAT(one.ask(R"({"command": "register", "database": "/a.db", "to": "/b", "settings":
                          {"interval": "1s", "wal_switch": false, "segment_level": 2}})"),
              HasSubstr("error"));  // a request is one line
  {
    MutexLock lock(fleet_.mutex);
    fleet_.asked.clear();
  }
  Asking other(path_);
  EXPECT_THAT(other.ask(R"({"command": "register", "database": "/a.db", "to": "/b", )"
                        R"("settings": {"interval": "1s", "wal_switch": false, "segment_level": 2}})"),
              HasSubstr(R"("id":null,"result")"));
  EXPECT_THAT(other.ask(R"({"command": "unregister", "database": "/a.db"})"), HasSubstr("result"));
  EXPECT_THAT(other.ask(R"({"command": "reload"})"), HasSubstr("result"));
  EXPECT_EQ(other.ask(R"({"command": "stop"})"), R"({"id":null,"result":{"stopping":true}})");
  EXPECT_THAT(fleet_.all_asked(),
              ::testing::ElementsAre(R"(register /a.db /b interval="1s" wal_switch=false segment_level=2)",
                                     "unregister /a.db", "reload", "stop"));
}

TEST_F(ControlServerTest, StatusOfOneThatIsNotThereIsAnError) {
  open();
  Asking one(path_);
  EXPECT_THAT(one.ask(R"({"command": "status", "databases": ["/srv/0.db"]})"), HasSubstr("/srv/0.db"));
  EXPECT_THAT(one.ask(R"({"command": "status", "databases": ["/srv/9.db"]})"), HasSubstr(R"("kind":"not_found")"));
}

// Each on a connection of its own, after which the next request on the same one is answered.
TEST_F(ControlServerTest, GarbageGetsAnErrorAndTheNextRequestItsAnswer) {
  open();
  std::string all_bytes;
  for (int byte = 0; byte < 256; ++byte) {
    if (byte != '\n') all_bytes.push_back(static_cast<char>(byte));
  }
  const std::string deep(60'000, '['), deep_objects = [] {
    std::string text;
    for (int i = 0; i < 9'000; ++i) text += "{\"a\":";
    return text;
  }();
  const std::vector<std::string> garbage{
      "x", "\x01", all_bytes, "\xff\xfe{}", std::string("{\"command\":\"status\"}\0", 21), "[]", "null", "7",
          "\"status\"",
      "{}", "{\"command\": 7}", "{\"command\": \"\"}", "{\"command\": \"STATUS\"}", "{\"command\": \"statsu\"}",
      "{\"command\": \"status\", \"more\": 1}", "{\"command\": \"status\", \"databases\": \"/a\"}",
      "{\"command\": \"status\", \"databases\": [7]}", "{\"command\": \"status\", \"id\": {}}",
      "{\"command\": \"status\", \"id\": 1.5}", "{\"command\": \"status\", \"id\": \"" + std::string(200, 'i') + "\"}",
      "{\"command\": \"sync\"}", "{\"command\": \"sync\", \"database\": \"\"}",
      "{\"command\": \"sync\", \"database\": \"relative.db\"}", "{\"command\": \"sync\", \"database\": [\"/a\"]}",
      "{\"command\": \"sync\", \"database\": \"/a\\u0000b\"}",
          "{\"command\": \"sync\", \"database\": \"/a\", \"wait\": 1}",
      "{\"command\": \"sync\", \"database\": \"/a\", \"timeout_ms\": -1}",
      "{\"command\": \"sync\", \"database\": \"/a\", \"timeout_ms\": 99999999999999999999}",
      "{\"command\": \"sync\", \"database\": \"/a\", \"timeout_ms\": 1e3}",
      "{\"command\": \"register\", \"database\": \"/a\", \"settings\": []}",
      "{\"command\": \"register\", \"database\": \"/a\", \"settings\": {\"path\": \"/b\"}}",
      "{\"command\": \"register\", \"database\": \"/a\", \"settings\": {\"x = 1\\n[[layer]]\": 1}}",
      "{\"command\": \"register\", \"database\": \"/a\", \"settings\": {\"interval\": {}}}",
      "{\"command\": \"stop\", \"wait\": \"yes\"}", deep, deep_objects, "{\"command\": \"status\"", "}{",
      "{\"command\": \"status\"}{\"command\": \"stop\"}"};
  for (const std::string& line : garbage) {
    Asking one(path_);
    const std::string answer = one.ask(line);
    EXPECT_THAT(answer, AnyOf(HasSubstr(R"("kind":"invalid")"), HasSubstr(R"("kind":"unsupported")"))) <<
        line.substr(0, 80);
    EXPECT_THAT(one.ask(R"({"id": 5, "command": "status"})"), StartsWith(R"({"id":5,"result")")) << line.substr(0, 80);
  }
  EXPECT_THAT(fleet_.all_asked(), ::testing::IsEmpty());
}

TEST_F(ControlServerTest, ALineThatIsTooLongIsRefusedWhetherItEndsOrNot) {
  open();
  for (const char* end : {"\n", ""}) {
    Asking one(path_);
    one.say(std::string(kLongestRequest + 2, 'x') + end + std::string(1 << 20, 'y'));
    EXPECT_THAT(one.hear(), HasSubstr(R"("kind":"invalid")"));
    EXPECT_EQ(one.hear(), "");
  }
  Asking longest(path_);
  const std::string request = R"({"id": 1, "command": "status"})";
  EXPECT_THAT(longest.ask(request + std::string(kLongestRequest - request.size(), ' ')), StartsWith(R"({"id":1,)"));
}

TEST_F(ControlServerTest, HalfALineIsWaitedForOnlySoLong) {
  ControlLimits limits;
  limits.line_timeout_ms = 20;
  open(limits);
  Asking one(path_);
  one.say(R"({"command": "sta)");
  EXPECT_THAT(one.hear(), HasSubstr("has no end"));
  EXPECT_EQ(one.hear(), "");
}

TEST_F(ControlServerTest, WhoAsksNothingIsLetGoOf) {
  ControlLimits limits;
  limits.silence_timeout_ms = 20;
  open(limits);
  EXPECT_EQ(Asking(path_).hear(), "");
}

TEST_F(ControlServerTest, HundredsOfConnectionsAreRefusedAndTheFirstOnesGoOn) {
  ControlLimits limits;
  limits.connections = 10;
  open(limits);
  std::list<Asking> first;
  for (int i = 0; i < 10; ++i) {
    EXPECT_THAT(first.emplace_back(path_).ask(R"({"command": "status"})"), HasSubstr("result"));
  }
  for (int i = 0; i < 300; ++i) {
    EXPECT_THAT(Asking(path_).hear(), AnyOf(HasSubstr(R"("kind":"busy")"), "")) << i;
  }
  for (Asking& one : first) EXPECT_THAT(one.ask(R"({"command": "status"})"), HasSubstr("result"));
  first.clear();
  EXPECT_TRUE(comes_true([&] {
    Asking again(path_);
    return again.ask(R"({"command": "status"})").find("result") != std::string::npos;
  }));
}

// It asks and asks and reads nothing: it is not read from while its answers lie here, and then let go of.
TEST_F(ControlServerTest, WhoReadsNothingHoldsUpNobodyAndIsLetGoOf) {
  ControlLimits limits;
  limits.unread_timeout_ms = 300;
  fleet_.databases = 2'000;  // an answer is larger than any socket's buffer
  open(limits);
  Asking deaf(path_);
  const std::string many = [] {
    std::string text;
    for (int i = 0; i < 500; ++i) text += "{\"command\": \"status\"}\n";
    return text;
  }();
  while (deaf.say_some(many)) {}
  EXPECT_THAT(Asking(path_).ask(R"({"command": "status", "databases": ["/srv/0.db"]})"), HasSubstr("result"));
  EXPECT_TRUE(comes_true([&] {
    pollfd polled{deaf.descriptor(), 0, 0};
    return ::poll(&polled, 1, 0) > 0 && (polled.revents & (POLLHUP | POLLERR)) != 0;
  }));
}

TEST_F(ControlServerTest, MoreRequestsThanAreTakenAtOnceAreAnsweredLater) {
  ControlLimits limits;
  limits.requests_of_one = 2;
  limits.line_timeout_ms = 3'600'000;  // nothing but an answer makes the next one's turn
  open(limits);
  Asking one(path_);
  for (int i = 0; i < 20; ++i) {
    one.say("{\"id\": " + std::to_string(i) + ", \"command\": \"sync\", \"database\": \"/a\", \"wait\": true}\n");
  }
  ASSERT_TRUE(comes_true([&] { return fleet_.outcomes.waiting == 2; }));
  EXPECT_EQ(fleet_.all_asked().size(), 2u);
  fleet_.outcomes.become(Underway::Done{3, ""});
  for (int i = 0; i < 20; ++i) EXPECT_THAT(one.hear(), HasSubstr(R"("sequence":3)")) << i;
}

TEST_F(ControlServerTest, AnswersComeAsTheyAreDoneAndCarryTheirIds) {
  open();
  Asking one(path_);
  one.say("{\"id\": 1, \"command\": \"sync\", \"database\": \"/a\", \"wait\": true}\n{\"id\": 2, \"command\": "
  "\"status\"}\n");
  EXPECT_THAT(one.hear(), StartsWith(R"({"id":2,)"));
  fleet_.outcomes.become(Error(ErrorKind::denied, "no"));
  EXPECT_EQ(one.hear(), R"({"id":1,"error":{"kind":"denied","message":"no"}})");
}

TEST_F(ControlServerTest, WaitingEndsWithItsTimeOutWithTheClientOrWithTheServer) {
  open();
  Asking timed(path_);
  EXPECT_THAT(timed.ask(R"({"command": "sync", "database": "/a", "wait": true, "timeout_ms": 0})"),
              HasSubstr("the store is away"));
  EXPECT_EQ(fleet_.outcomes.waiting, 0);
  {
    Asking leaving(path_);
    leaving.say("{\"command\": \"sync\", \"database\": \"/a\", \"wait\": true}\n");
    ASSERT_TRUE(comes_true([&] { return fleet_.outcomes.waiting == 1; }));
  }
  EXPECT_TRUE(comes_true([&] { return fleet_.outcomes.waiting == 0; }));
  // One that says no more still hears its answer.
  Asking syncing(path_), stopping(path_);
  syncing.say("{\"command\": \"sync\", \"database\": \"/a\", \"wait\": true}\n");
  syncing.say_no_more();
  stopping.say("{\"id\": 3, \"command\": \"stop\", \"wait\": true}\n");
  ASSERT_TRUE(comes_true([&] { return fleet_.all_asked().back() == "stop" && fleet_.outcomes.waiting == 1; }));
  server_->finish({});
  EXPECT_THAT(syncing.hear(), HasSubstr(R"("kind":"cancelled")"));
  EXPECT_EQ(stopping.hear(), R"({"id":3,"result":{"stopped":true}})");
  server_.reset();
  EXPECT_EQ(mode_of(path_), 0u);
}

TEST_F(ControlServerTest, ALivingOneIsRefusedAndADeadOnesSocketReplaced) {
  open();
  const auto second = ControlServer::open(path_, fleet_, clock_, *files_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind(), ErrorKind::busy);
  EXPECT_THAT(second.error().message(), HasSubstr("another cairn listens at"));
  server_.reset();
  {  // as a process that was killed leaves it
    const FileDescriptor dead(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  EXPECT_EQ(connect_control(path_).error().kind(), ErrorKind::not_found);
  open();
  EXPECT_THAT(Asking(path_).ask(R"({"command": "status"})"), HasSubstr("result"));
}

TEST_F(ControlServerTest, WhatIsInTheWayIsNeverRemoved) {
  ASSERT_TRUE(files_->make_directories(scratch_ / "run"));
  std::ofstream(path_) << "a file of somebody's";
  const auto refused = ControlServer::open(path_, fleet_, clock_, *files_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::conflict);
  EXPECT_TRUE(files_->info(path_));
  const auto too_long = ControlServer::open(scratch_ / std::string(120, 'x'), fleet_, clock_, *files_);
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().kind(), ErrorKind::invalid);
  EXPECT_THAT(too_long.error().message(), HasSubstr("choose a shorter one"));
}

}  // namespace
}  // namespace cairn::daemon
