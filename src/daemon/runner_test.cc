// What drives one Replicator with threads of its own, and what drives many with a few, pass the same tests.
#include "daemon/runner.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "daemon/fake_replicator.h"
#include "daemon/scheduler.h"

namespace cairn::daemon {
namespace {

namespace fs = std::filesystem;

// Looks that happen by themselves are an hour apart: only what wakes makes a test pass.
RunTiming only_when_woken() {
  RunTiming timing;
  timing.busy_after_us = 0;
  timing.idle_look_us = 3'600'000'000;
  return timing;
}

enum class Driver { runner, scheduler };

class RunnerTest : public ::testing::TestWithParam<Driver> {
 protected:
  ~RunnerTest() override {
    stop_.request_stop();
    if (thread_.joinable()) thread_.join();
    fs::remove_all(directory_);
  }

  static std::string fresh_directory() {
    std::string path = (fs::temp_directory_path() / "cairn-runner-XXXXXX").string();
    return ::mkdtemp(path.data());
  }
  static void write(const std::string& path) { std::ofstream(path, std::ios::app) << "bytes"; }

  void start(const RunOptions& options, const RunTiming& timing) {
    options_ = options;
    timing_ = timing;
    thread_ = std::thread([this] { result_ = run(options_, timing_); });
  }
  Result<void> run(const RunOptions& options, const RunTiming& timing) {
    if (GetParam() == Driver::runner) return Runner(replicator_, clock_, options, timing).run(stop_.get_token());
    SchedulerOptions scheduling;
    scheduling.timing = timing;
    return Scheduler::open(clock_, scheduling).value()->drive(replicator_, "store", stop_.get_token(), options);
  }
  Result<void> finish() {
    thread_.join();
    return *result_;
  }
  // A deadline far beyond what any machine needs; reaching it is a failure.
  template <class Condition>
  static bool comes_true(const Condition& condition) {
    for (int i = 0; i < 6000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  bool watching_works() {
    auto watch = FileWatch::open(database_);
    return watch && (*watch)->is_watching();
  }

  const std::string directory_ = fresh_directory();
  const std::string database_ = directory_ + "/app.db";
  FakeReplicator replicator_{database_};
  SystemClock clock_;
  RunOptions options_;
  RunTiming timing_;
  std::stop_source stop_;
  std::optional<Result<void>> result_;
  std::thread thread_;
};

// What capture may hold for a moment is not held as long as a store does not answer.
TEST_P(RunnerTest, CaptureEndsAlthoughACallToTheStoreDoesNot) {
  write(database_);
  std::atomic<bool> publishes = false, answers = false;
  replicator_.in_publish = [&] {
    publishes = true;
    while (!answers) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  RunOptions options;
  options.final_limit_ms = 20;
  start(options, only_when_woken());
  EXPECT_TRUE(comes_true([&] { return publishes && replicator_.capture_count() > 0; }));
  stop_.request_stop();
  EXPECT_TRUE(comes_true([&] { return replicator_.ended_capture_count() == 1; }));
  answers = true;
  (void)finish();
  EXPECT_EQ(replicator_.ended_capture_count(), 1u);
}

TEST_P(RunnerTest, AStepsErrorEndsTheRunAndIsReturned) {
  write(database_);
  replicator_.capture_error = Error(ErrorKind::conflict, "another writer");
  start({}, only_when_woken());
  const Result<void> result = finish();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), ErrorKind::conflict);
  EXPECT_EQ(result.error().message(), "another writer");
}

TEST_P(RunnerTest, AWriteToTheWalWakesCaptureAndThatWakesPublish) {
  if (!watching_works()) GTEST_SKIP() << "inotify is not to be had here";
  write(database_);
  write(database_ + "-wal");
  start({}, only_when_woken());
  ASSERT_TRUE(comes_true([&] { return replicator_.capture_count() > 0; }));
  // The watch was set before the first capture; the step that this write wakes sees the commit.
  replicator_.commit();
  write(database_ + "-wal");
  EXPECT_TRUE(comes_true([&] { return replicator_.status().published_sequence == 1; }));
}

TEST_P(RunnerTest, AWalThatIsBornIsNoticedAndWatched) {
  if (!watching_works()) GTEST_SKIP() << "inotify is not to be had here";
  write(database_);
  start({}, only_when_woken());
  ASSERT_TRUE(comes_true([&] { return replicator_.capture_count() > 0; }));
  write(database_ + "-wal");
  ASSERT_TRUE(comes_true([&] { return replicator_.capture_count() > 1; }));
  replicator_.commit();
  write(database_ + "-wal");
  EXPECT_TRUE(comes_true([&] { return replicator_.status().published_sequence == 1; }));
}

TEST_P(RunnerTest, AReplacedDatabaseIsWatchedUnderItsNewInode) {
  if (!watching_works()) GTEST_SKIP() << "inotify is not to be had here";
  write(database_);
  start({}, only_when_woken());
  ASSERT_TRUE(comes_true([&] { return replicator_.capture_count() > 0; }));
  const std::uint64_t before = replicator_.capture_count();
  write(directory_ + "/new.db");
  fs::rename(directory_ + "/new.db", database_);
  ASSERT_TRUE(comes_true([&] { return replicator_.capture_count() > before; }));
  replicator_.commit();
  write(database_);
  EXPECT_TRUE(comes_true([&] { return replicator_.status().published_sequence == 1; }));
}

TEST_P(RunnerTest, NeighboursOfTheDatabaseWakeNobody) {
  if (!watching_works()) GTEST_SKIP() << "inotify is not to be had here";
  auto watch = FileWatch::open(database_);
  ASSERT_TRUE(watch);
  write(directory_ + "/other.db");
  write(directory_ + "/app.db-journal-of-something");
  EXPECT_FALSE((*watch)->drain());
  write(database_);
  EXPECT_TRUE((*watch)->drain());
}

TEST_P(RunnerTest, ARingThatNobodyWaitedForIsKept) {
  auto watch = FileWatch::open(database_);
  ASSERT_TRUE(watch);
  (*watch)->ring();
  (*watch)->ring();
  EXPECT_EQ((*watch)->wait(3'600'000'000), FileWatch::Wake::bell);
  EXPECT_EQ((*watch)->wait_for_bell(0), FileWatch::Wake::timeout);
}

TEST_P(RunnerTest, AStopCapturesAndPublishesWhatIsCommitted) {
  write(database_);
  replicator_.capture_at_once = false;  // captures nothing until it is asked to
  start({}, only_when_woken());
  ASSERT_TRUE(comes_true([&] { return replicator_.capture_count() > 0; }));
  replicator_.commit();
  replicator_.commit();
  stop_.request_stop();
  EXPECT_TRUE(finish());
  EXPECT_EQ(replicator_.status().published_sequence, 2u);
  EXPECT_TRUE(replicator_.status().has_snapshot);
}

TEST_P(RunnerTest, AStopWhileTheStoreIsAwayGivesUpAndSaysWhatIsKept) {
  write(database_);
  replicator_.store_away = true;
  replicator_.commit();
  RunOptions options;
  options.final_limit_ms = 20;
  start(options, only_when_woken());
  ASSERT_TRUE(comes_true([&] { return replicator_.status().captured_sequence == 1; }));
  stop_.request_stop();
  const Result<void> result = finish();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), ErrorKind::denied);
  EXPECT_NE(result.error().message().find("kept in the state directory"), std::string::npos);
  EXPECT_NE(result.error().message().find("the store is away"), std::string::npos);
}

TEST_P(RunnerTest, UntilSettledEndsByItselfWhenAllIsPublished) {
  write(database_);
  replicator_.commit();
  RunOptions options;
  options.until = RunUntil::settled;
  start(options, only_when_woken());
  EXPECT_TRUE(finish());
  EXPECT_EQ(replicator_.status().published_sequence, 1u);
  EXPECT_EQ(replicator_.status().snapshots_published, 0u);
}

TEST_P(RunnerTest, UntilSnapshotAsksForOne) {
  write(database_);
  replicator_.commit();
  RunOptions options;
  options.until = RunUntil::snapshot;
  start(options, only_when_woken());
  EXPECT_TRUE(finish());
  EXPECT_EQ(replicator_.status().snapshots_published, 1u);
}

TEST_P(RunnerTest, UntilSettledFailsWithTheKindOfATroubleThatLasts) {
  write(database_);
  replicator_.store_away = true;
  replicator_.commit();
  RunOptions options;
  options.until = RunUntil::settled;
  options.trouble_limit_ms = 20;
  start(options, only_when_woken());
  const Result<void> result = finish();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), ErrorKind::denied);
}

// However much is captured meanwhile: nothing of it gets into the store.
TEST_P(RunnerTest, ABusyWriterDoesNotHideThatTheStoreStaysAway) {
  write(database_);
  replicator_.store_away = true;
  replicator_.capture_always_gets_on = true;
  RunOptions options;
  options.until = RunUntil::settled;
  options.trouble_limit_ms = 300;
  RunTiming timing;
  timing.busy_look_us = 1'000;
  start(options, timing);
  const Result<void> result = finish();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), ErrorKind::denied);
  EXPECT_GT(replicator_.capture_count(), 10u);
}

// As when the differences do not fit on the disk: the comparison fails, and begins anew.
TEST_P(RunnerTest, WhatBeginsAnewAgainAndAgainIsNoProgress) {
  write(database_);
  replicator_.commit();
  replicator_.compares_in_vain = true;
  RunOptions options;
  options.until = RunUntil::settled;
  options.trouble_limit_ms = 300;
  start(options, only_when_woken());
  const Result<void> result = finish();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), ErrorKind::io);
  EXPECT_GT(replicator_.status().reconciles, 10u);
}

TEST_P(RunnerTest, ADatabaseThatIsWaitedForIsNotTouchedBeforeItHasContent) {
  if (!watching_works()) GTEST_SKIP() << "inotify is not to be had here";
  RunOptions options;
  options.wait_for_database = WaitForDatabase::yes;
  start(options, only_when_woken());
  ASSERT_TRUE(comes_true([&] { return replicator_.publish_count() > 0; }));
  write(database_ + "-wal");
  EXPECT_EQ(replicator_.capture_count(), 0u);
  replicator_.commit();
  write(database_);
  EXPECT_TRUE(comes_true([&] { return replicator_.status().published_sequence == 1; }));
}

TEST_P(RunnerTest, AStopBeforeTheDatabaseAppearedHasNothingToPublish) {
  RunOptions options;
  options.wait_for_database = WaitForDatabase::yes;
  start(options, only_when_woken());
  stop_.request_stop();
  EXPECT_TRUE(finish());
  EXPECT_EQ(replicator_.capture_count(), 0u);
}

TEST_P(RunnerTest, ADatabaseThatAppearedJustBeforeTheStopIsStillPublished) {
  RunOptions options;
  options.wait_for_database = WaitForDatabase::yes;
  replicator_.commit();
  write(database_);
  stop_.request_stop();
  start(options, only_when_woken());
  EXPECT_TRUE(finish());
  EXPECT_EQ(replicator_.status().published_sequence, 1u);
}

TEST_P(RunnerTest, ChangesAreToldOnOneThreadWhichIsTheRunnersCaller) {
  write(database_);
  replicator_.commit();
  RunOptions options;
  options.until = RunUntil::settled;
  std::vector<std::thread::id> tellers;
  options.on_change = [&](const ReplicatorStatus&) { tellers.push_back(std::this_thread::get_id()); };
  EXPECT_TRUE(run(options, only_when_woken()));
  ASSERT_FALSE(tellers.empty());
  for (const std::thread::id& teller : tellers) EXPECT_EQ(teller, tellers.front());
  EXPECT_EQ(tellers.front() == std::this_thread::get_id(), GetParam() == Driver::runner);
}

INSTANTIATE_TEST_SUITE_P(Both, RunnerTest, ::testing::Values(Driver::runner, Driver::scheduler),
                         [](const auto& driver) { return driver.param == Driver::runner ? "Runner" : "Scheduler"; });

}  // namespace
}  // namespace cairn::daemon
