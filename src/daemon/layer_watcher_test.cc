#include "daemon/layer_watcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "support/scratch.h"

namespace cairn::daemon {
namespace {

constexpr std::int64_t kSecond = 1'000'000;

class FakeClock final : public Clock {
 public:
  Time now() override { return {mono_us / 1000, mono_us}; }
  std::int64_t mono_us = 0;
};

// A manager whose syncs answer what a test has laid out, and then "nothing has changed".
class FakeManager final : public LayerManager {
 public:
  using Answer = Result<std::optional<LayerSnapshot>>;

  Result<void> register_container(std::string_view, const std::string&) override { return {}; }
  Result<bool> check_for_changes(std::string_view, const LayerSyncOptions&) override { return true; }
  Answer sync_layer(std::string_view, const LayerSyncOptions&) override {
    if (at_sync) at_sync();
    MutexLock lock(mutex_);
    ++syncs_;
    if (answers_.empty()) return std::optional<LayerSnapshot>();
    Answer answer = answers_.front();
    answers_.pop_front();
    return answer;
  }
  Result<LayerRestoreResult> restore_layer(std::string_view, const std::string&, const LayerRestoreOptions&) override {
    return LayerRestoreResult{};
  }
  Result<std::vector<LayerSyncState>> list_containers() override { return std::vector<LayerSyncState>(); }
  Result<LayerSyncState> sync_state(std::string_view) override { return LayerSyncState{}; }

  void will_answer(Answer answer) {
    MutexLock lock(mutex_);
    answers_.push_back(std::move(answer));
  }
  int syncs() const {
    MutexLock lock(mutex_);
    return syncs_;
  }

  std::function<void()> at_sync;

 private:
  mutable Mutex mutex_;
  std::deque<Answer> answers_;
  int syncs_ = 0;
};

SyncTiming seconds(std::int64_t interval, std::int64_t quiet) {
  SyncTiming timing;
  timing.interval_us = interval * kSecond;
  timing.quiet_us = quiet * kSecond;
  return timing;
}

TEST(SyncSchedule, BeginsAtOnceAndThenLooksOnceAnInterval) {
  SyncSchedule schedule(seconds(30, 2), 7 * kSecond);
  EXPECT_EQ(schedule.due_us(), 7 * kSecond);
  schedule.note_sync(7 * kSecond, false);
  EXPECT_EQ(schedule.due_us(), 37 * kSecond);
}

TEST(SyncSchedule, AChangeAfterQuietIsSyncedWhenItIsQuietAgain) {
  SyncSchedule schedule(seconds(30, 2), 0);
  schedule.note_sync(0, false);
  schedule.note_change(10 * kSecond);
  EXPECT_EQ(schedule.due_us(), 12 * kSecond);
  schedule.note_change(11 * kSecond);
  EXPECT_EQ(schedule.due_us(), 13 * kSecond);
}

TEST(SyncSchedule, ADirectoryThatIsNeverQuietIsSyncedOnceAnInterval) {
  SyncSchedule schedule(seconds(30, 2), 0);
  schedule.note_sync(0, true);
  for (std::int64_t at = 1; at < 30; ++at) {
    schedule.note_change(at * kSecond);
    EXPECT_EQ(schedule.due_us(), 30 * kSecond) << at;
  }
}

TEST(SyncSchedule, ChangesThatPublishNothingDoNotMakeItLookAllTheTime) {
  SyncSchedule schedule(seconds(30, 2), 0);
  schedule.note_sync(0, false);
  schedule.note_change(10 * kSecond);
  schedule.note_sync(12 * kSecond, false);
  schedule.note_change(13 * kSecond);
  EXPECT_EQ(schedule.due_us(), 42 * kSecond);
}

TEST(SyncSchedule, FailuresAreRetriedAfterGrowingWaitsWhateverChanges) {
  SyncSchedule schedule(seconds(30, 2), 0);
  std::vector<std::int64_t> waits;
  for (int i = 0; i < 8; ++i) {
    schedule.note_change(100 * kSecond);
    schedule.note_failure(100 * kSecond);
    waits.push_back(schedule.due_us() / kSecond - 100);
  }
  EXPECT_EQ(waits, (std::vector<std::int64_t>{1, 2, 4, 8, 16, 32, 60, 60}));
  schedule.note_sync(200 * kSecond, true);
  EXPECT_EQ(schedule.due_us(), 230 * kSecond);
}

class LayerWatcherTest : public ::testing::Test {
 protected:
  LayerWatcherTest() {
    options_.on_trouble = [this](const Error& error) { told_.push_back("trouble: " + error.message()); };
    options_.on_recovered = [this] { told_.push_back("recovered"); };
    options_.on_sync = [this](const LayerSnapshot& s) { told_.push_back("sync " + std::to_string(s.sequence)); };
  }
  static LayerSnapshot snapshot(std::uint64_t sequence) {
    LayerSnapshot made;
    made.sequence = sequence;
    return made;
  }

  FakeClock clock_;
  FakeManager manager_;
  LayerWatchOptions options_;
  std::vector<std::string> told_;
};

TEST_F(LayerWatcherTest, TroubleThatLastsIsToldOnceAndItsEndToo) {
  LayerWatcher watcher(manager_, "web", clock_, options_);
  for (int i = 0; i < 3; ++i) manager_.will_answer(Error(ErrorKind::retry_later, "the store is away"));
  manager_.will_answer(snapshot(1));
  for (int i = 0; i < 4; ++i) {
    clock_.mono_us = watcher.due_us();
    ASSERT_TRUE(watcher.sync());
  }
  EXPECT_EQ(told_, (std::vector<std::string>{"trouble: the store is away", "recovered", "sync 1"}));
}

TEST_F(LayerWatcherTest, WhatAPersonHasToDecideEndsIt) {
  LayerWatcher watcher(manager_, "web", clock_, options_);
  manager_.will_answer(Error(ErrorKind::conflict, "another machine publishes"));
  const Result<void> synced = watcher.sync();
  ASSERT_FALSE(synced);
  EXPECT_EQ(synced.error().kind(), ErrorKind::conflict);
}

TEST_F(LayerWatcherTest, WhatTheLastSyncCouldNotPublishIsAnError) {
  LayerWatcher watcher(manager_, "web", clock_, options_);
  manager_.will_answer(Error(ErrorKind::retry_later, "the store is away"));
  const Result<void> last = watcher.sync_last();
  ASSERT_FALSE(last);
  EXPECT_NE(last.error().message().find("not published"), std::string::npos);
}

TEST_F(LayerWatcherTest, AStopSyncsOnceMore) {
  const cairn::testing::Scratch scratch("watch");
  SystemClock clock;
  manager_.will_answer(snapshot(1));
  manager_.will_answer(snapshot(2));
  std::stop_source stop;
  options_.on_sync = [&](const LayerSnapshot& s) {
    told_.push_back("sync " + std::to_string(s.sequence));
    stop.request_stop();
  };
  ASSERT_TRUE(watch_layer(manager_, "web", scratch.path(), clock, stop.get_token(), options_));
  EXPECT_EQ(told_, (std::vector<std::string>{"sync 1", "sync 2"}));
  EXPECT_EQ(manager_.syncs(), 2);
}

// Stands still unless it is told to go on. Who watches looks at it each time that he wakes.
class HeldClock final : public Clock {
 public:
  Time now() override {
    ++looks;
    return {mono_us / 1000, mono_us};
  }
  std::atomic<std::int64_t> mono_us = 0, looks = 0;
};

// A directory that is really watched, by a thread of its own; the clock does not reach the interval.
class WatchedDirectory : public LayerWatcherTest {
 protected:
  WatchedDirectory() {
    options_.interval_ms = 3'600'000;
    options_.quiet_ms = 40;
    manager_.at_sync = [this] { seen_ = names_there(); };
    thread_ = std::thread([this] {
      EXPECT_TRUE(watch_layer(manager_, "web", scratch_.path(), clock_, stop_.get_token(), options_));
    });
    EXPECT_TRUE(comes([this] { return manager_.syncs() == 1; }));  // the one at the beginning
  }
  ~WatchedDirectory() override { end(); }
  void end() {
    stop_.request_stop();
    if (thread_.joinable()) thread_.join();
  }
  static bool comes(const std::function<bool()>& what) {  // with a deadline far beyond any need
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!what() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return what();
  }
  void make(int number) {
    std::ofstream(scratch_ / std::to_string(number)) << "new";
    const std::int64_t before = clock_.looks;
    ASSERT_TRUE(comes([&] { return clock_.looks >= before + 3; })) << "nobody was told of the change";
  }
  // The clock goes on as long as there are only so many syncs, and nothing changes.
  void pass_quiet_period(int syncs) {
    for (int i = 0; i < 100 && manager_.syncs() == syncs; ++i) {
      clock_.mono_us += options_.quiet_ms * 1000;
      const std::int64_t before = clock_.looks;
      ASSERT_TRUE(comes([&] { return clock_.looks >= before + 3 || manager_.syncs() > syncs; }));
    }
    EXPECT_GT(manager_.syncs(), syncs);
    EXPECT_LT(clock_.mono_us, options_.interval_ms * 1000);
  }
  int names_there() const {
    return static_cast<int>(std::distance(std::filesystem::directory_iterator(scratch_.path()), {}));
  }

  const cairn::testing::Scratch scratch_{"watched"};
  HeldClock clock_;
  std::stop_source stop_;
  std::atomic<int> seen_ = 0;  // by the last sync
  std::thread thread_;
};

TEST_F(WatchedDirectory, IsSyncedAfterAChangeLongBeforeTheInterval) {
  ASSERT_NO_FATAL_FAILURE(make(1));
  pass_quiet_period(1);
  EXPECT_EQ(seen_, 1);
}

TEST_F(WatchedDirectory, ManyChangesWithinTheQuietPeriodMakeOneSync) {
  constexpr int kChanges = 20;
  for (int i = 0; i < kChanges; ++i) {
    clock_.mono_us += options_.quiet_ms * 1000 / 2;  // altogether it is much longer
    ASSERT_NO_FATAL_FAILURE(make(i));
  }
  EXPECT_EQ(manager_.syncs(), 1);
  pass_quiet_period(1);
  EXPECT_EQ(seen_, kChanges);
  end();
  EXPECT_EQ(manager_.syncs(), 3);  // that one, and the last
}

}  // namespace
}  // namespace cairn::daemon
