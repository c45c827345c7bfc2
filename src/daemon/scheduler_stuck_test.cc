// Disks that do not answer, by a clock that the test moves.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "daemon/fake_replicator.h"
#include "daemon/scheduler.h"
#include "support/scratch.h"

namespace cairn::daemon {
namespace {

class MovedClock final : public Clock {
 public:
  Time now() override { return {us / 1000, us}; }
  std::atomic<std::int64_t> us = 1'000'000'000;
};

// Where calls hang until it answers.
class DeadDisk {
 public:
  void enter() {
    const int now = ++inside;
    int most = most_inside;
    while (now > most && !most_inside.compare_exchange_weak(most, now)) {}
    ++entered;
    while (!answers) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    --inside;
  }
  std::atomic<bool> answers = false;
  std::atomic<int> inside = 0, most_inside = 0, entered = 0;
};

constexpr std::int64_t kHelped_us = 20'000;  // after so long at least

class OnDisk final : public Tended {
 public:
  OnDisk(std::string path, DeadDisk* disk) : fake(std::move(path)), disk_(disk) {
    fake.in_capture = [this] {
      if (hangs_in_capture) enter();
    };
  }
  std::string database_path() const override { return fake.database_path(); }
  bool sleeps_on(const Time&, std::int64_t&) override { return false; }
  Result<Replicator*> open(std::stop_token) override {
    if (hangs_in_open) enter();
    ++opened;
    return &fake;
  }
  bool fall_asleep(const Time&) override { return false; }
  void end(const Result<void>& outcome) override {
    well = outcome.has_value();
    ended = true;
  }
  bool takes_its_time() const override { return takes_time; }
  void note_hang() override {
    const std::int64_t since_us = hangs_since_us();
    MutexLock lock(mutex_);
    noted_.push_back(since_us);
  }
  std::vector<std::int64_t> noted() {
    MutexLock lock(mutex_);
    return noted_;
  }

  FakeReplicator fake;
  std::atomic<bool> hangs_in_capture = false, hangs_in_open = false, takes_time = false;
  std::atomic<bool> ended = false, well = false, twice_at_once = false;
  std::atomic<int> opened = 0;

 private:
  void enter() {
    if (inside_.exchange(true)) twice_at_once = true;
    disk_->enter();
    inside_ = false;
  }
  DeadDisk* const disk_;
  std::atomic<bool> inside_ = false;
  Mutex mutex_;
  std::vector<std::int64_t> noted_ GUARDED_BY(mutex_);
};

using All = std::vector<std::shared_ptr<OnDisk>>;

class SchedulerStuckTest : public ::testing::Test {
 protected:
  // Looks only when it is woken.
  void SetUp() override {
    options_.capture_workers = 2;
    options_.timing.busy_after_us = 0;
    options_.timing.least_gap_us = 0;
    options_.timing.idle_look_us = options_.timing.unwatched_look_us = 3'600'000'000'000;
    options_.device_of = [](const std::string& path) {
      return std::filesystem::path(path).filename().string().substr(0, 4);
    };
  }
  ~SchedulerStuckTest() override {
    disk_.answers = other_disk_.answers = true;
    stop_.request_stop();
    for (const auto& one : all_) EXPECT_TRUE(comes_true([&] { return one->ended.load(); }));
    for (const auto& one : all_) EXPECT_FALSE(one->twice_at_once);
  }
  // With one that is published again each millisecond: by it one sees that the thread that waits has looked.
  void open() {
    scheduler_ = Scheduler::open(clock_, options_).value();
    ticker_ = make("tick");
    ticker_->fake.publish_again_us = 1'000;
    tend(ticker_, "ticks");
    ASSERT_TRUE(comes_true([&] { return ticker_->fake.capture_count() > 0; }));
  }
  std::shared_ptr<OnDisk> make(const std::string& name, DeadDisk* disk = nullptr) {
    const std::string path = scratch_ / name;
    std::ofstream(path) << "bytes";
    all_.push_back(std::make_shared<OnDisk>(path, disk ? disk : &disk_));
    all_.back()->fake.commit();
    return all_.back();
  }
  void tend(const std::shared_ptr<OnDisk>& one, const std::string& lane = "store", std::int64_t sleep_after_us = 0) {
    scheduler_->tend(one, lane, stop_.get_token(), run_, sleep_after_us);
  }
  All make_hung(int count, const std::string& name = "dead") {
    All hung;
    for (int i = 0; i < count; ++i) hung.push_back(make(name + std::to_string(i)));
    for (const auto& one : hung) one->hangs_in_capture = true;
    return hung;
  }
  template <class Condition>
  bool comes_true(const Condition& condition) {
    for (int i = 0; i < 6000; ++i) {
      if (condition()) return true;
      if (!stands_) clock_.us += 1'000;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  // Everybody who has to has looked at the clock since.
  void pass(std::int64_t us) {
    clock_.us += us;
    for (int looks = 0; looks < 3; ++looks) {
      const std::uint64_t before = ticker_->fake.publish_count();
      ASSERT_TRUE(comes_true([&] {
        clock_.us += 1'000;
        return ticker_->fake.publish_count() > before;
      }));
    }
  }
  static bool is_captured(const std::shared_ptr<OnDisk>& one) { return one->fake.status().published_sequence == 1; }
  static std::int64_t computed_us() {  // by this process
    return static_cast<std::int64_t>(std::clock()) * 1'000'000 / CLOCKS_PER_SEC;
  }
  static std::ptrdiff_t threads() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
  }

  const cairn::testing::Scratch scratch_{"stuck"};
  MovedClock clock_;
  bool stands_ = false;  // the clock does, but for pass()
  SchedulerOptions options_;
  RunOptions run_;
  std::stop_source stop_;
  DeadDisk disk_, other_disk_;
  All all_;
  std::shared_ptr<OnDisk> ticker_;
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_F(SchedulerStuckTest, WhoHangsInCaptureKeepsNobodyElseWaitingAndGoesOnWhenItIsBack) {
  open();
  const All hung = make_hung(5);
  for (const auto& one : hung) tend(one);
  const auto other = make("well");
  tend(other);
  for (int inside = 2; inside < 5; ++inside) {
    ASSERT_TRUE(comes_true([&] { return disk_.inside >= inside; }));
    ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  }
  EXPECT_TRUE(comes_true([&] { return is_captured(other); }));
  EXPECT_EQ(disk_.inside, 5);
  for (const auto& one : hung) {  // what wants them meanwhile does not begin anything
    std::ofstream(one->database_path(), std::ios::app) << "more";
    scheduler_->ring(*one);
  }
  ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  EXPECT_EQ(disk_.entered, 5);
  disk_.answers = true;
  for (const auto& one : hung) {
    EXPECT_TRUE(comes_true([&] { return is_captured(one); }));
    EXPECT_TRUE(comes_true([&] { return one->fake.capture_count() > 1; }));  // what was wanted meanwhile
  }
}

// Or restores: more at once would only share the cores and the network.
TEST_F(SchedulerStuckTest, WhoComputesIsWaitedFor) {
  stands_ = true;
  options_.capture_workers = 1;
  open();
  const auto busy = make("busy"), other = make("well");
  busy->fake.in_capture = [disk = &disk_] {
    for (++disk->entered; !disk->answers;) {}
  };
  tend(busy);
  ASSERT_TRUE(comes_true([&] { return disk_.entered == 1; }));
  tend(other);
  for (int seconds = 0; seconds < 3; ++seconds) {
    // Of a hundredth of the second that passes.
    const std::int64_t before_us = computed_us();
    ASSERT_TRUE(comes_true([&] { return computed_us() > before_us + 100'000; }));
    ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  }
  EXPECT_EQ(other->fake.capture_count(), 0u);
  disk_.answers = true;
  EXPECT_TRUE(comes_true([&] { return is_captured(other); }));
}

TEST_F(SchedulerStuckTest, WhoWaitsForItsStoreToOpenHoldsThatStoresPlaceAndNoOthers) {
  stands_ = true;
  options_.life_workers = 2;  // one of them is not for a store that keeps it waiting
  open();
  const auto restored = make("back"), other = make("well"), third = make("also"), elsewhere = make("else");
  restored->hangs_in_open = restored->takes_time = third->hangs_in_open = third->takes_time = true;
  tend(restored);
  tend(third, "another store");
  ASSERT_TRUE(comes_true([&] { return disk_.inside == 2; }));
  tend(other);
  tend(elsewhere, "store that answers");
  for (int seconds = 0; seconds < 7; ++seconds) ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  EXPECT_TRUE(comes_true([&] { return is_captured(elsewhere); }));
  EXPECT_EQ(other->opened, 0);
  EXPECT_EQ(restored->hangs_since_us(), 0);
  restored->takes_time = false;
  ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  EXPECT_TRUE(comes_true([&] { return is_captured(other); }));
  EXPECT_EQ(disk_.inside, 2);
}

TEST_F(SchedulerStuckTest, StoresThatHangKeepNoOtherWaitingHoweverMany) {
  stands_ = true;
  options_.store_workers = 4;  // three of them for one store
  open();
  All hung;
  for (const std::string store : {"a", "b", "c"}) {
    for (int i = 0; i < 5; ++i) {
      hung.push_back(make(store + std::to_string(i)));
      hung.back()->fake.in_publish = [disk = &disk_] { disk->enter(); };
      tend(hung.back(), store);
    }
  }
  EXPECT_TRUE(comes_true([&] {  // no more of each than its share
    clock_.us += options_.stuck_after_us;
    return disk_.inside == 9;
  }));
  const auto other = make("well");
  tend(other);
  EXPECT_TRUE(comes_true([&] { return is_captured(other); }));
  for (int seconds = 0; seconds < 6; ++seconds) ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  EXPECT_EQ(disk_.inside, 9);
  for (const auto& one : hung) EXPECT_EQ(one->hangs_since_us(), 0);  // it is no disk of theirs
  disk_.answers = true;
  for (const auto& one : hung) EXPECT_TRUE(comes_true([&] { return is_captured(one); }));
}

// A second thread comes when the first takes long over one capture, and not before.
TEST_F(SchedulerStuckTest, WhoTakesLongToCaptureIsHelped) {
  stands_ = true;
  open();
  const All hung = make_hung(1);
  tend(hung[0]);
  ASSERT_TRUE(comes_true([&] { return disk_.inside == 1; }));
  All others;
  for (int i = 0; i < 20; ++i) {
    others.push_back(make("well" + std::to_string(i)));
    tend(others.back());
  }
  for (const auto& one : others) ASSERT_TRUE(comes_true([&] { return one->opened == 1; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  for (const auto& one : others) EXPECT_EQ(one->fake.capture_count(), 0);
  ASSERT_NO_FATAL_FAILURE(pass(kHelped_us));
  for (const auto& one : others) EXPECT_TRUE(comes_true([&] { return is_captured(one); }));
  EXPECT_EQ(disk_.inside, 1);
  EXPECT_EQ(hung[0]->hangs_since_us(), 0);
}

TEST_F(SchedulerStuckTest, NoMoreThanThereAreWorkersAreAtWorkAlsoWhenThoseThatHungAreBack) {
  stands_ = true;
  open();
  const std::ptrdiff_t threads_before = threads();
  const All hung = make_hung(4);
  for (const auto& one : hung) tend(one);
  ASSERT_TRUE(comes_true([&] { return disk_.inside == 1; }));
  ASSERT_NO_FATAL_FAILURE(pass(kHelped_us));
  ASSERT_TRUE(comes_true([&] { return disk_.inside == 2; }));
  ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  ASSERT_TRUE(comes_true([&] { return disk_.inside == 4; }));
  All slow;
  for (int i = 0; i < 10; ++i) slow.push_back(make("slow" + std::to_string(i), &other_disk_));
  for (const auto& one : slow) {
    one->hangs_in_capture = true;
    tend(one);
  }
  for (const auto& one : slow) ASSERT_TRUE(comes_true([&] { return one->opened == 1; }));
  EXPECT_EQ(other_disk_.inside, 0);
  ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  ASSERT_TRUE(comes_true([&] { return other_disk_.inside == 2; }));
  EXPECT_EQ(threads(), threads_before + 4);
  disk_.answers = true;
  EXPECT_TRUE(comes_true([&] { return disk_.inside == 0 && threads() == threads_before; }));
  EXPECT_EQ(other_disk_.most_inside, 2);
  other_disk_.answers = true;
  for (const auto& one : all_) EXPECT_TRUE(comes_true([&] { return is_captured(one); }));
}

TEST_F(SchedulerStuckTest, OfThoseThatHangThereIsABound) {
  options_.most_stuck = 3;
  open();
  const All hung = make_hung(8);
  for (const auto& one : hung) tend(one);
  for (int i = 0; i < 8; ++i) ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  EXPECT_EQ(disk_.inside, 5);  // with two workers
  disk_.answers = true;
  for (const auto& one : hung) EXPECT_TRUE(comes_true([&] { return is_captured(one); }));
}

TEST_F(SchedulerStuckTest, WhereManyHangNothingElseIsBegunAndOtherDevicesGoOn) {
  options_.most_stuck = 20;
  options_.most_stuck_on_one_device = 2;
  open();
  const All hung = make_hung(12);
  for (const auto& one : hung) tend(one);
  ASSERT_TRUE(comes_true([&] { return disk_.inside == 2; }));
  for (int i = 0; i < 4; ++i) ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  const auto other = make("well");
  tend(other);
  EXPECT_TRUE(comes_true([&] { return is_captured(other); }));
  EXPECT_EQ(disk_.entered, 2);
  // Of those that wait it is told as well.
  ASSERT_NO_FATAL_FAILURE(pass(options_.told_after_us));
  for (const auto& one : hung) EXPECT_NE(one->hangs_since_us(), 0);
  EXPECT_EQ(other->hangs_since_us(), 0);
  disk_.answers = true;
  for (const auto& one : hung) EXPECT_TRUE(comes_true([&] { return is_captured(one); }));
  for (const auto& one : hung) EXPECT_TRUE(comes_true([&] { return one->hangs_since_us() == 0; }));
}

TEST_F(SchedulerStuckTest, WhoHangsWhenItIsOpenedKeepsNobodyElseWaitingNotEvenOfItsStore) {
  options_.starting_at_once = 4;
  open();
  All hung;
  for (int i = 0; i < 7; ++i) hung.push_back(make("dead" + std::to_string(i)));
  for (const auto& one : hung) one->hangs_in_open = true;
  constexpr std::int64_t kDay_us = 86'400'000'000;  // who may sleep is one of few that are opened at once
  for (const auto& one : hung) tend(one, "store", kDay_us);
  const auto other = make("well");
  tend(other, "store", kDay_us);
  for (int i = 0; i < 4; ++i) ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  EXPECT_TRUE(comes_true([&] { return is_captured(other); }));
  EXPECT_EQ(disk_.entered, 7);
  disk_.answers = true;
  for (const auto& one : hung) EXPECT_TRUE(comes_true([&] { return is_captured(one); }));
  for (const auto& one : hung) EXPECT_EQ(one->opened, 1);
}

// As a mount that died does.
std::atomic<int> hung_watches = 0;
std::atomic<bool> watches_answer = false;
int add_watch_that_hangs(int inotify, const char* path, std::uint32_t mask) {
  if (std::string_view(path).ends_with("/dead")) {
    ++hung_watches;
    while (!watches_answer) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return ::inotify_add_watch(inotify, path, mask);
}

TEST_F(SchedulerStuckTest, ADirectoryThatCannotBeWatchedForItDoesNotAnswerKeepsNobodyElseWaiting) {
  hung_watches = 0;
  watches_answer = false;
  options_.add_watch = add_watch_that_hangs;
  open();
  std::filesystem::create_directory(scratch_ / "dead");
  All hung;
  for (int i = 0; i < 4; ++i) hung.push_back(make("dead/" + std::to_string(i)));
  for (const auto& one : hung) tend(one);
  ASSERT_TRUE(comes_true([&] { return hung_watches >= 3; }));
  const auto other = make("well");
  tend(other);
  ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  EXPECT_TRUE(comes_true([&] { return is_captured(other); }));
  watches_answer = true;
  for (const auto& one : hung) EXPECT_TRUE(comes_true([&] { return is_captured(one); }));
}

TEST_F(SchedulerStuckTest, AStopPublishesAndEndsAllThatDoNotHang) {
  open();
  const All hung = make_hung(3);
  for (const auto& one : hung) tend(one);
  const auto other = make("well");
  tend(other);
  for (int i = 0; i < 3; ++i) ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  ASSERT_TRUE(comes_true([&] { return is_captured(other); }));
  other->fake.commit();  // and nothing tells of it
  stop_.request_stop();
  EXPECT_TRUE(comes_true([&] { return other->ended.load(); }));
  EXPECT_TRUE(other->well);
  EXPECT_EQ(other->fake.status().published_sequence, 2u);
  for (const auto& one : hung) EXPECT_FALSE(one->ended);
  disk_.answers = true;
  for (const auto& one : hung) EXPECT_TRUE(comes_true([&] { return one->ended.load(); }));
}

// Whoever tells waits for whoever is told.
TEST_F(SchedulerStuckTest, WhatIsToldOfOneKeepsNobodyElseFromItsEnd) {
  open();
  run_.on_change = [&](const ReplicatorStatus&) { disk_.enter(); };
  tend(make("dead"));
  ASSERT_TRUE(comes_true([&] { return disk_.inside == 1; }));
  run_.on_change = {};
  const auto other = make("well");
  tend(other);
  ASSERT_NO_FATAL_FAILURE(pass(options_.stuck_after_us));
  stop_.request_stop();
  EXPECT_TRUE(comes_true([&] { return other->ended.load(); }));
}

TEST_F(SchedulerStuckTest, WhoHangsForLongIsToldOnceAndThatItIsBack) {
  stands_ = true;
  open();
  const All hung = make_hung(1);
  const std::int64_t begun_us = clock_.us;
  tend(hung[0]);
  ASSERT_TRUE(comes_true([&] { return disk_.inside == 1; }));
  ASSERT_NO_FATAL_FAILURE(pass(options_.told_after_us / 2));
  EXPECT_EQ(hung[0]->noted(), std::vector<std::int64_t>());
  EXPECT_EQ(hung[0]->hangs_since_us(), 0);
  for (int i = 0; i < 3; ++i) ASSERT_NO_FATAL_FAILURE(pass(options_.told_after_us));
  EXPECT_TRUE(comes_true([&] { return !hung[0]->noted().empty(); }));
  EXPECT_EQ(hung[0]->hangs_since_us(), begun_us);
  disk_.answers = true;
  EXPECT_TRUE(comes_true([&] { return hung[0]->noted().size() == 2; }));
  EXPECT_EQ(hung[0]->noted(), (std::vector<std::int64_t>{begun_us, 0}));
  EXPECT_EQ(hung[0]->hangs_since_us(), 0);
  stands_ = false;
}

}  // namespace
}  // namespace cairn::daemon
