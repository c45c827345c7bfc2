#include "cli/follow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spdlog/sinks/base_sink.h>
#include <sqlite3.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "cli/system.h"
#include "support/scratch.h"
#include "twin/twin.h"

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;

// Ends the replication, as a person would, when so many days have been told of.
class StopsAfterDays final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit StopsAfterDays(std::size_t days) : days_(days) {}
  std::vector<std::string> told;

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string line(message.payload.data(), message.payload.size());
    if (line.find(" in a day: ") == std::string::npos) return;
    told.push_back(line);
    if (told.size() == days_) ::kill(::getpid(), SIGTERM);
  }
  void flush_() override {}
  const std::size_t days_;
};

TEST(Follow, TellsWhatEachDayCost) {
  auto signals = Signals::open();  // before any thread
  ASSERT_TRUE(signals);
  // Should nothing be told of, the test fails instead of going on for ever.
  std::jthread guard([](std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any end;
    std::unique_lock lock(mutex);
    end.wait_for(lock, stop, std::chrono::seconds(60), [] { return false; });
    if (!stop.stop_requested()) ::kill(::getpid(), SIGTERM);
  });
  const cairn::testing::Scratch scratch("follow");
  const std::string database = scratch / "app.db";
  sqlite3* app = nullptr;
  ASSERT_EQ(sqlite3_open(database.c_str(), &app), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(app, "PRAGMA journal_mode=WAL; CREATE TABLE t(v)", nullptr, nullptr, nullptr), SQLITE_OK);
  twin::Twin twin;
  ASSERT_TRUE(twin.start());
  ::setenv("AWS_ACCESS_KEY_ID", "twin-access-key", 1);
  ::setenv("AWS_SECRET_ACCESS_KEY", "twin-secret-key", 1);

  System system;
  ReplicationOptions options;
  options.database = database;
  options.url = "s3://bucket/app.db?region=us-east-1&endpoint=" + twin.url();
  options.state_root = scratch / "state";
  std::vector<std::unique_ptr<Replication>> replications(1);
  const auto failure = Replication::open(options, system, [](std::string_view) {}, replications.front());
  ASSERT_FALSE(failure) << failure->error.message();
  const auto sink = std::make_shared<StopsAfterDays>(2);
  const Log log(std::make_shared<spdlog::logger>("test", sink), LogFormat::text);
  FollowOptions following;
  following.day_ms = 300;
  EXPECT_EQ(follow(std::move(replications), following, *signals, log), 0);
  sqlite3_close(app);
  ASSERT_GE(sink->told.size(), 2u);  // more, where ending takes a day of these
  for (const std::string& line : sink->told) {
    EXPECT_THAT(line, HasSubstr("app.db: asked of 127.0.0.1:" + std::to_string(twin.port()) + " in "));
    EXPECT_THAT(line, ::testing::ContainsRegex(" in (a day|[0-9]+ days): "));
  }
  EXPECT_THAT(sink->told.front(), HasSubstr(" sent, "));
}

}  // namespace
}  // namespace cairn::cli
