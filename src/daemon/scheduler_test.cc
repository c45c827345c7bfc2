// What is the Scheduler's alone: many at once. What it has in common with the Runner is in runner_test.cc.
#include "daemon/scheduler.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cerrno>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string_view>
#include <thread>

#include "daemon/fake_replicator.h"
#include "support/scratch.h"

namespace cairn::daemon {
namespace {

TEST(FairQueue, LanesTakeTurns) {
  FairQueue<int> queue(100);
  for (int i = 0; i < 3; ++i) queue.push("a", i);
  queue.push("b", 10);
  queue.push("c", 20);
  std::vector<int> taken;
  while (const auto item = queue.take()) taken.push_back(*item);
  EXPECT_EQ(taken, (std::vector<int>{0, 10, 20, 1, 2}));
}

TEST(FairQueue, ALaneThatHoldsAllItMayWaitsAndTheOthersGoOn) {
  FairQueue<int> queue(2);
  for (int i = 0; i < 4; ++i) queue.push("slow", i);
  EXPECT_EQ(queue.take(), 0);
  EXPECT_EQ(queue.take(), 1);
  EXPECT_EQ(queue.take(), std::nullopt);
  queue.push("quick", 10);
  EXPECT_EQ(queue.take(), 10);
  queue.done("quick");
  queue.done("slow");
  EXPECT_EQ(queue.take(), 2);
  EXPECT_EQ(queue.take(), std::nullopt);
  queue.done("slow");
  queue.done("slow");
  EXPECT_EQ(queue.take(), 3);
  queue.done("slow");
  EXPECT_EQ(queue.take(), std::nullopt);
}

// Steps of the fake one, with what the test wants to happen in them.
class Watched final : public Replicator {
 public:
  explicit Watched(std::string path) : fake(std::move(path)) {}
  Result<Step> capture_step(const Time& now) override { return in(now, &Replicator::capture_step, 0); }
  Result<Step> publish_step(const Time& now) override {
    if (in_publish) in_publish();
    return in(now, &Replicator::publish_step, 1);
  }
  Result<Step> snapshot_step(const Time& now) override { return in(now, &Replicator::snapshot_step, 2); }
  Step upkeep_step(const Time& now) override {
    if (in_upkeep) in_upkeep();
    return *in(now, [](Replicator& one, const Time& at) { return Result<Step>(one.upkeep_step(at)); }, 3);
  }
  void end_upkeep() override { upkeep_ended = true; }
  void end_capture() override { fake.end_capture(); }
  void request_snapshot() override { fake.request_snapshot(); }
  std::uint64_t request_capture() override { return fake.request_capture(); }
  ReplicatorStatus status() const override { return fake.status(); }
  std::string database_path() const override { return fake.database_path(); }
  void close(StopMode) override {}
  bool may_rest(const Time&) override { return rests == nullptr || *rests; }

  FakeReplicator fake;
  const std::atomic<bool>* rests = nullptr;  // null: always
  std::function<void()> in_publish, in_upkeep;  // before it
  std::atomic<bool> twice_at_once = false, upkeep_ended = false;

 private:
  template <class StepFunction>
  Result<Step> in(const Time& now, StepFunction step, int part) {
    if (inside_[part].exchange(true)) twice_at_once = true;
    std::this_thread::yield();
    const Result<Step> result = std::invoke(step, fake, now);
    inside_[part] = false;
    return result;
  }
  std::array<std::atomic<bool>, 4> inside_{};
};

class SchedulerTest : public ::testing::Test {
 protected:
  ~SchedulerTest() override { stop_all(); }
  void open(SchedulerOptions options) { scheduler_ = Scheduler::open(clock_, options).value(); }
  Watched& add() {
    const std::string path = scratch_ / ("db" + std::to_string(all_.size()));
    write(path);
    Watched& one = all_.emplace_back(path);
    return one;
  }
  void drive(Watched& one, const std::string& lane) {
    threads_.emplace_back([this, &one, lane] {
      const Result<void> result = scheduler_->drive(one, lane, stop_.get_token(), options_);
      if (!result) ++failed_;
    });
  }
  void stop_all() {
    stop_.request_stop();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  static void write(const std::string& path) { std::ofstream(path, std::ios::app) << "bytes"; }
  template <class Condition>
  static bool comes_true(const Condition& condition) {
    for (int i = 0; i < 6000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  static SchedulerOptions only_when_woken() {
    SchedulerOptions options;
    options.timing.busy_after_us = 0;
    options.timing.idle_look_us = 3'600'000'000;
    options.timing.unwatched_look_us = 3'600'000'000;
    return options;
  }

  const cairn::testing::Scratch scratch_{"scheduler"};
  SystemClock clock_;
  RunOptions options_;
  std::stop_source stop_;
  std::unique_ptr<Scheduler> scheduler_;
  std::deque<Watched> all_;
  std::vector<std::thread> threads_;
  std::atomic<int> failed_ = 0;
};

TEST_F(SchedulerTest, EachOfManyIsWokenByItsOwnFilesAndNoPartRunsTwiceAtOnce) {
  open(only_when_woken());
  for (int i = 0; i < 40; ++i) add();
  for (Watched& one : all_) drive(one, "store");
  for (Watched& one : all_) ASSERT_TRUE(comes_true([&] { return one.fake.capture_count() > 0; }));
  for (int round = 1; round <= 3; ++round) {
    for (Watched& one : all_) {
      one.fake.commit();
      write(one.database_path());
    }
    for (Watched& one : all_) {
      ASSERT_TRUE(comes_true([&] { return one.status().published_sequence == std::uint64_t(round); }));
    }
  }
  stop_all();
  EXPECT_EQ(failed_, 0);
  for (const Watched& one : all_) EXPECT_FALSE(one.twice_at_once);
}

// What a commit costs is one look and one publish. Upkeep comes together for many, and there is no snapshot to be put.
TEST_F(SchedulerTest, ACommitWakesOnlyWhoHasSomethingToDo) {
  open(only_when_woken());
  constexpr std::uint64_t kRounds = 20;
  const auto commit = [](Watched& one, std::uint64_t sequence) {
    one.fake.commit();
    write(one.database_path() + "-wal");
    return comes_true([&] { return one.status().published_sequence == sequence; });
  };
  for (int i = 0; i < 5; ++i) drive(add(), "store");
  for (Watched& one : all_) ASSERT_TRUE(commit(one, 1));
  for (Watched& one : all_) ASSERT_TRUE(comes_true([&] { return one.status().has_snapshot; }));
  // Whoever was woken by what came before is done once these are.
  for (Watched& one : all_) ASSERT_TRUE(commit(one, 2));
  struct Counts {
    std::uint64_t captures, publishes, snapshots, upkeeps;
  };
  const auto count = [](const Watched& one) {
    return Counts{one.fake.capture_count(), one.fake.publish_count(), one.fake.snapshot_step_count(),
                  one.fake.upkeep_count()};
  };
  std::vector<Counts> before;
  for (Watched& one : all_) before.push_back(count(one));
  for (std::uint64_t round = 3; round < 3 + kRounds; ++round) {
    for (Watched& one : all_) ASSERT_TRUE(commit(one, round));
  }
  for (std::size_t i = 0; i < all_.size(); ++i) {
    const Counts now = count(all_[i]);
    EXPECT_LE(now.captures - before[i].captures, kRounds * 3 / 2);  // a write may be heard of once more
    EXPECT_LE(now.publishes - before[i].publishes, kRounds + 1);
    EXPECT_LE(now.snapshots - before[i].snapshots, 1u);
    EXPECT_LE(now.upkeeps - before[i].upkeeps, kRounds + 1);
  }
}

// Who checkpoints waits for us, and so does who commits where the WAL has been read to its end and begins anew. What
// is heard of directories may be late, and here it is not heard at all.
TEST_F(SchedulerTest, WritesThatSomebodyMayWaitBehindAreHeardByThemselves) {
  SchedulerOptions options = only_when_woken();
  options.add_watch = [](int inotify, const char* path, std::uint32_t mask) {
    if (!std::filesystem::is_directory(path)) return ::inotify_add_watch(inotify, path, mask);
    errno = ENOENT;
    return -1;
  };
  open(options);
  Watched& one = add();
  const std::string database = one.database_path(), wal = database + "-wal";
  write(wal);
  const auto is_heard = [&](const std::string& path) {
    one.fake.commit();
    const std::uint64_t sequence = one.status().published_sequence + 1;
    return comes_true([&] {
      write(path);  // again, since it is heard only once the first step has ended
      return one.status().published_sequence == sequence;
    });
  };
  one.fake.set_hold("floor");
  drive(one, "store");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(is_heard(wal));
  one.fake.set_hold("pin");
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(is_heard(database));
  const auto captures = [&] { return one.fake.capture_count(); };
  std::uint64_t before = 0;
  do {  // what was written before
    before = captures();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  } while (captures() != before);
  for (int i = 0; i < 50; ++i) {
    write(wal);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(captures(), before) << "a WAL that goes on is not heard by itself";
  EXPECT_TRUE(is_heard(database));
}

// Somebody who checkpoints waits for what shows in shared memory only, and so does a commit of which the WAL was
// written before. A database whose commits were seen waits for little, and for nothing if its WAL has no more.
TEST_F(SchedulerTest, LooksGoOnWhileSomebodyMayWaitForThemAndBecomeRareWhenNobodyDoes) {
  SchedulerOptions options = only_when_woken();
  options.timing.busy_after_us = 3'600'000'000;
  options.timing.busy_look_us = 1'000;
  options.timing.least_gap_us = 0;
  open(options);
  Watched& seen = add();
  Watched& checkpointed = add();
  Watched& half_written = add();
  Watched& whole = add();
  whole.fake.wal_ends_with_commit = true;
  const auto write_wal = [](const Watched& one) { write(one.database_path() + "-wal"); };
  const auto is_looked_at = [](const Watched& one, std::uint64_t times) {
    const std::uint64_t from = one.fake.capture_count();
    return comes_true([&] { return one.fake.capture_count() >= from + times; });
  };
  const auto is_looked_at_often = [&](const Watched& one) { return is_looked_at(one, 15); };
  for (Watched& one : all_) {
    write_wal(one);
    drive(one, "store");
    ASSERT_TRUE(comes_true([&] { return one.fake.capture_count() > 0; }));
    write_wal(one);
    EXPECT_TRUE(is_looked_at_often(one));
    one.fake.commit();  // and no file changes any more
    ASSERT_TRUE(comes_true([&] { return one.status().published_sequence == 1; }));
  }
  const std::uint64_t before = seen.fake.capture_count();
  write(checkpointed.database_path());
  EXPECT_TRUE(is_looked_at_often(checkpointed));
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_TRUE(is_looked_at(checkpointed, 8));
  EXPECT_GT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(60)) << "each a quarter later";
  ASSERT_TRUE(comes_true([&] { return whole.status().has_snapshot; }));
  EXPECT_TRUE(is_looked_at(checkpointed, 2));  // and what that has woken has looked
  const std::uint64_t before_whole = whole.fake.capture_count();
  write_wal(half_written);
  EXPECT_TRUE(is_looked_at_often(half_written));
  EXPECT_LT(seen.fake.capture_count() - before, 10u);
  EXPECT_EQ(whole.fake.capture_count(), before_whole);
}

TEST_F(SchedulerTest, AStoreThatDoesNotAnswerDoesNotHoldUpTheOthers) {
  SchedulerOptions options = only_when_woken();
  options.store_workers = 2;
  open(options);
  std::atomic<bool> answers = false;
  for (int i = 0; i < 10; ++i) {
    Watched& one = add();
    one.fake.commit();
    one.in_publish = [&] {
      while (!answers) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
  }
  for (Watched& one : all_) drive(one, "hangs");
  Watched& other = add();
  other.fake.commit();
  drive(other, "well");
  EXPECT_TRUE(comes_true([&] { return other.status().published_sequence == 1; }));
  answers = true;
  stop_all();
  EXPECT_EQ(failed_, 0);
}

// Whoever merges for one store may be kept waiting by it: its databases are published all the same, and those of other
// stores are merged.
TEST_F(SchedulerTest, UpkeepThatHangsHoldsUpNothingElse) {
  open(only_when_woken());
  std::atomic<bool> answers = false;
  Watched& slow = add();
  slow.fake.commit();
  slow.in_upkeep = [&] {
    while (!answers) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  drive(slow, "hangs");
  EXPECT_TRUE(comes_true([&] { return slow.status().published_sequence == 1; }));
  for (const char* lane : {"well", "hangs"}) {  // nor another database of the same store
    Watched& other = add();
    other.fake.commit();
    drive(other, lane);
    EXPECT_TRUE(comes_true([&] { return other.fake.upkeep_count() > 0 && other.status().published_sequence == 1; }))
        << lane;
  }
  EXPECT_EQ(slow.fake.upkeep_count(), 0u);
  answers = true;
  stop_all();
  EXPECT_TRUE(slow.upkeep_ended);
  EXPECT_EQ(failed_, 0);
}

TEST_F(SchedulerTest, AnErrorEndsItsOwnAndNoOther) {
  open(only_when_woken());
  Watched& good = add();
  Watched& bad = add();
  bad.fake.capture_error = Error(ErrorKind::conflict, "another writer");
  drive(good, "store");
  drive(bad, "store");
  ASSERT_TRUE(comes_true([&] { return failed_ == 1; }));
  const std::uint64_t steps = bad.fake.capture_count();
  good.fake.commit();
  write(good.database_path());
  EXPECT_TRUE(comes_true([&] { return good.status().published_sequence == 1; }));
  EXPECT_EQ(bad.fake.capture_count(), steps);
}

TEST_F(SchedulerTest, OneThatAlwaysGetsOnLeavesTheOthersTheirTurn) {
  SchedulerOptions options = only_when_woken();
  options.capture_workers = 1;
  options.timing.busy_after_us = 3'600'000'000;  // so all are looked at again and again
  options.timing.busy_look_us = 0;
  options.timing.least_gap_us = 0;
  open(options);
  Watched& busy = add();
  busy.fake.capture_always_gets_on = true;
  drive(busy, "store");
  ASSERT_TRUE(comes_true([&] { return busy.fake.capture_count() > 100; }));
  Watched& other = add();
  other.fake.commit();
  drive(other, "store");
  EXPECT_TRUE(comes_true([&] { return other.status().published_sequence == 1; }));
}

// A database that sleeps whenever it may, and counts how often it was opened.
class Sleeper final : public Tended {
 public:
  explicit Sleeper(std::string path) : fake(std::move(path)) {}
  std::string database_path() const override { return fake.database_path(); }
  bool sleeps_on(const Time&, std::int64_t&) override { return at_rest && !written; }
  Result<Replicator*> open(std::stop_token stop) override {
    if (stop.stop_requested() && !at_rest) return nullptr;
    ++opened;
    written = at_rest = false;
    return &fake;
  }
  bool fall_asleep(const Time&) override {
    if (in_fall_asleep) in_fall_asleep();
    at_rest = true;
    ++slept;
    return true;
  }
  void end(const Result<void>&) override { ended = true; }

  Watched fake;
  std::atomic<bool> at_rest = false, written = false, ended = false;
  std::atomic<int> opened = 0, slept = 0;
  std::function<void()> in_fall_asleep;
};

TEST_F(SchedulerTest, WhoSleepsIsOpenedWhenItIsWrittenToAndNotBefore) {
  SchedulerOptions options = only_when_woken();
  options.timing.idle_look_us = 1'000;
  open(options);
  const std::string path = scratch_ / "sleeps.db";
  write(path);
  const auto one = std::make_shared<Sleeper>(path);
  scheduler_->tend(one, "store", stop_.get_token(), options_, 1);
  ASSERT_TRUE(comes_true([&] { return one->slept == 1; }));
  for (int round = 1; round <= 3; ++round) {
    EXPECT_EQ(one->opened, round);
    one->fake.fake.commit();
    one->written = true;
    write(path);
    ASSERT_TRUE(comes_true([&] { return one->fake.status().published_sequence == std::uint64_t(round); }));
    ASSERT_TRUE(comes_true([&] { return one->slept == round + 1; }));
  }
  stop_.request_stop();
  EXPECT_TRUE(comes_true([&] { return one->ended.load(); }));
  EXPECT_EQ(one->opened, 4);
}

// As with fs.inotify.max_user_instances used up: no descriptor is left for inotify when the scheduler is made.
TEST_F(SchedulerTest, WithoutInotifyAllAreLookedAtAndThatIsSaidOnce) {
  SchedulerOptions options = only_when_woken();
  options.timing.unwatched_look_us = 1'000;
  // UBSan looks at a type with a pipe when it sees it first. Below there is no descriptor for that.
  ASSERT_TRUE(Scheduler::open(clock_, options));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(lowest_free) + 1;  // for the bell
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  auto opened = Scheduler::open(clock_, options);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(opened) << opened.error().message();
  scheduler_ = std::move(*opened);
  Mutex mutex;
  std::vector<std::string> notices;
  options_.on_notice = [&](std::string_view notice) {
    MutexLock lock(mutex);
    notices.emplace_back(notice);
  };
  for (int i = 0; i < 3; ++i) drive(add(), "store");
  for (Watched& one : all_) {
    ASSERT_TRUE(comes_true([&] { return one.fake.capture_count() > 0; }));
    one.fake.commit();
    EXPECT_TRUE(comes_true([&] { return one.status().published_sequence == 1; }));  // no file has changed
  }
  MutexLock lock(mutex);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_NE(notices[0].find("raise fs.inotify.max_user_instances with sysctl"), std::string::npos) << notices[0];
}

// As with fs.inotify.max_user_watches used up: no watch is left for a directory.
int add_watch_but_in_one(int inotify, const char* path, std::uint32_t mask) {
  if (std::string_view(path).ends_with("/unwatched")) return errno = ENOSPC, -1;
  return ::inotify_add_watch(inotify, path, mask);
}

TEST_F(SchedulerTest, WhatNoWatchIsLeftForIsLookedAtAlsoWhileItSleepsAndThatIsSaidOnce) {
  SchedulerOptions options = only_when_woken();
  options.add_watch = add_watch_but_in_one;
  options.timing.unwatched_look_us = options.unwatched_asleep_look_us = 1'000;
  options.asleep_look_us = 3'600'000'000;
  open(options);
  Mutex mutex;
  std::vector<std::string> notices;
  options_.on_notice = [&](std::string_view notice) {
    MutexLock lock(mutex);
    notices.emplace_back(notice);
  };
  std::filesystem::create_directory(scratch_ / "unwatched");
  std::vector<std::shared_ptr<Sleeper>> sleepers;
  for (const char* name : {"unwatched/a.db", "unwatched/b.db"}) {
    write(scratch_ / name);
    sleepers.push_back(std::make_shared<Sleeper>(scratch_ / name));
    scheduler_->tend(sleepers.back(), "store", stop_.get_token(), options_, 1);
  }
  Watched& open_one = all_.emplace_back(scratch_ / "unwatched/c.db");
  drive(open_one, "store");
  Watched& watched = add();
  drive(watched, "store");
  for (int round = 1; round <= 2; ++round) {
    for (const auto& one : sleepers) {
      ASSERT_TRUE(comes_true([&] { return one->slept == round; }));
      one->fake.fake.commit();
      one->written = true;  // and nothing tells of it
    }
    open_one.fake.commit();
    for (const auto& one : sleepers) {
      EXPECT_TRUE(comes_true([&] { return one->fake.status().published_sequence == std::uint64_t(round); }));
    }
    EXPECT_TRUE(comes_true([&] { return open_one.status().published_sequence == std::uint64_t(round); }));
  }
  watched.fake.commit();
  write(watched.database_path());
  EXPECT_TRUE(comes_true([&] { return watched.status().published_sequence == 1; }));
  stop_.request_stop();
  for (const auto& one : sleepers) EXPECT_TRUE(comes_true([&] { return one->ended.load(); }));
  MutexLock lock(mutex);
  ASSERT_EQ(notices.size(), 1u);
  EXPECT_NE(notices[0].find(".db cannot be watched for changes"), std::string::npos) << notices[0];
  EXPECT_NE(notices[0].find("raise fs.inotify.max_user_watches with sysctl"), std::string::npos) << notices[0];
}

// A timer that rings while a database is closed leaves nothing in a queue that is looked at when the database has gone.
TEST_F(SchedulerTest, WhatIsDueWhileItFallsAsleepIsForgotten) {
  SchedulerOptions options = only_when_woken();
  options.store_workers = 1;
  options.timing.idle_look_us = 1'000;
  open(options);
  std::atomic<bool> falls_asleep = false, may_sleep = false, hangs = false, answers = false;
  const auto wait_for = [](const std::atomic<bool>& sign) {
    while (!sign) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  const auto one = std::make_shared<Sleeper>(scratch_ / "sleeps.db");
  write(one->database_path());
  one->fake.fake.publish_again_us = 50'000;
  one->in_fall_asleep = [&] {
    falls_asleep = true;
    wait_for(may_sleep);
  };
  scheduler_->tend(one, "store", stop_.get_token(), options_, 1);
  ASSERT_TRUE(comes_true([&] { return falls_asleep.load(); }));
  Watched& other = add();
  other.fake.commit();
  other.in_publish = [&] {
    hangs = true;
    wait_for(answers);
  };
  drive(other, "hangs");
  ASSERT_TRUE(comes_true([&] { return hangs.load(); }));  // nobody is left who would take anything out of the queue
  const std::int64_t rings_us = clock_.now().mono_us + one->fake.fake.publish_again_us;
  ASSERT_TRUE(comes_true([&] { return clock_.now().mono_us > rings_us; }));
  stop_.request_stop();
  may_sleep = true;
  EXPECT_TRUE(comes_true([&] { return one->ended.load(); }));
  answers = true;
  stop_all();
  EXPECT_EQ(failed_, 0);
}

// Who was opened for the first time and waits until it may sleep holds memory and descriptors meanwhile.
TEST_F(SchedulerTest, NewOnesThatDoNotSleepYetKeepTheNextWaiting) {
  SchedulerOptions options = only_when_woken();
  options.starting_at_once = 2;
  options.new_awake = 3;
  options.timing.idle_look_us = 1'000;
  options.many_awake = 0;
  open(options);
  std::atomic<bool> may_sleep = false;
  std::vector<std::shared_ptr<Sleeper>> all;
  for (int i = 0; i < 8; ++i) {
    all.push_back(std::make_shared<Sleeper>(scratch_ / ("new" + std::to_string(i))));
    write(all.back()->database_path());
    all.back()->fake.fake.settles = true;
    all.back()->fake.rests = &may_sleep;
  }
  for (const auto& one : all) scheduler_->tend(one, "store", stop_.get_token(), options_, 3'600'000'000);
  const auto count = [&](auto what) { return std::count_if(all.begin(), all.end(), what); };
  const auto opened = [&] { return count([](const auto& one) { return one->opened > 0; }); };
  ASSERT_TRUE(comes_true([&] { return opened() == 3; }));
  ASSERT_TRUE(comes_true([&] {
    return count([](const auto& one) { return one->fake.fake.capture_count() > 5; }) == 3;
  }));
  EXPECT_EQ(opened(), 3);
  may_sleep = true;
  EXPECT_TRUE(comes_true([&] { return opened() == 8; }));
}

TEST_F(SchedulerTest, NewOnesAreOpenedFewAtATimeAndNoStoreKeepsTheOthersWaiting) {
  SchedulerOptions options = only_when_woken();
  options.starting_at_once = 4;
  open(options);
  options_.final_limit_ms = 20;
  std::vector<std::shared_ptr<Sleeper>> all;
  for (int i = 0; i < 10; ++i) {
    all.push_back(std::make_shared<Sleeper>(scratch_ / ("new" + std::to_string(i))));
    write(all.back()->database_path());
    scheduler_->tend(all.back(), i < 9 ? "hangs" : "well", stop_.get_token(), options_, 3'600'000'000);
  }
  const auto opened = [&] {
    int count = 0;
    for (int i = 0; i < 9; ++i) count += all[i]->opened;
    return count;
  };
  EXPECT_TRUE(comes_true([&] { return all[9]->opened == 1; }));  // behind nine that are never done
  EXPECT_TRUE(comes_true([&] { return opened() == 3; }));
  stop_.request_stop();
  for (const auto& one : all) EXPECT_TRUE(comes_true([&] { return one->ended.load(); }));
  EXPECT_EQ(opened(), 3);
}

}  // namespace
}  // namespace cairn::daemon
