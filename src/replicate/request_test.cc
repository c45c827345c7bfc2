// request_capture() and is_durable(): what was committed before the one is in the store when the other says so.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "store/around.h"
#include "support/stepped_replicator.h"

namespace cairn::replicator_test {
namespace {

// Slow, and away at times.
class UnsteadyStore final : public StoreAround<UnsteadyStore> {
 public:
  explicit UnsteadyStore(Store& inner) : inner_(inner) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall& call, const Call& make) -> decltype(make()) {
    if (slow) std::this_thread::sleep_for(std::chrono::microseconds(200));
    if (away) return Error(ErrorKind::retry_later, "the store is away");
    auto result = make();
    // The answer is lost on its way.
    if (call.operation == Operation::put_new && away) return Error(ErrorKind::maybe_done, "no answer");
    return result;
  }
  std::atomic<bool> slow = true, away = false;

 private:
  Store& inner_;
};

class RequestTest : public ReplicatorTest {
 protected:
  std::string value_in_store() {
    const std::string out = (dir_ / "restored.db").string();
    fs::remove(out);
    const auto done = run_restore(*store_, "app", out, {}, *files_, executor_);
    EXPECT_TRUE(done) << done.error().message();
    App app(out);
    return app.ask("SELECT max(v) FROM n");
  }
  void make_numbers() {
    App app(db_path_);
    app.must("PRAGMA journal_mode=WAL; CREATE TABLE n(v INTEGER); INSERT INTO n VALUES (0)");
  }
};

TEST_F(RequestTest, IsAnsweredAtOnceAndNotByAStepThatHadLookedBefore) {
  make_numbers();
  ReplicatorOptions o = options();
  o.interval_ms = 3'600'000;
  start(o);
  must_settle();
  App app(db_path_);
  for (int i = 1; i < 20; ++i) {
    app.must("INSERT INTO n VALUES (" + std::to_string(i) + ")");
    ASSERT_FALSE(turn());  // looks, and is not due
    const std::uint64_t request = replicator_->request_capture();
    EXPECT_EQ(request, static_cast<std::uint64_t>(i));
    EXPECT_FALSE(is_durable(replicator_->status(), request));
    for (int turns = 0; turns < 100 && !is_durable(replicator_->status(), request); ++turns) ASSERT_FALSE(turn());
    ASSERT_TRUE(is_durable(replicator_->status(), request));
    EXPECT_EQ(value_in_store(), std::to_string(i));
  }
}

TEST_F(RequestTest, OfADatabaseInWhichNothingIsNewIsAnsweredToo) {
  make_numbers();
  start();
  must_settle();
  const std::uint64_t request = replicator_->request_capture();
  EXPECT_FALSE(is_durable(replicator_->status(), request));
  ASSERT_FALSE(turn());
  EXPECT_TRUE(is_durable(replicator_->status(), request));
}

TEST_F(RequestTest, IsNotAnsweredBeforeThereIsASnapshotOrWhileTheStoreIsAway) {
  make_numbers();
  UnsteadyStore unsteady(*store_);
  unsteady.slow = false;
  auto opened = Replicator::open(unsteady, *files_, executor_, random_, options());
  ASSERT_TRUE(opened);
  replicator_ = std::move(*opened);
  const std::uint64_t first = replicator_->request_capture();
  while (!is_durable(replicator_->status(), first)) ASSERT_FALSE(turn());
  EXPECT_TRUE(replicator_->status().has_snapshot);
  EXPECT_EQ(value_in_store(), "0");
  unsteady.away = true;
  App(db_path_).must("INSERT INTO n VALUES (1)");
  const std::uint64_t second = replicator_->request_capture();
  for (int i = 0; i < 200; ++i) {
    ASSERT_FALSE(turn());
    ASSERT_FALSE(is_durable(replicator_->status(), second));
  }
  unsteady.away = false;
  now_.mono_us += 60'000'000;
  while (!is_durable(replicator_->status(), second)) ASSERT_FALSE(turn());
  EXPECT_EQ(value_in_store(), "1");
}

// Whoever commits all the time is always ahead of the store.
TEST_F(RequestTest, IsAnsweredThoughTheStoreNeverCatchesUpWithTheWriter) {
  make_numbers();
  start();
  must_settle();
  App app(db_path_);
  const auto commit = [&](int number) {
    app.must("INSERT INTO n VALUES (" + std::to_string(number) + ")");
    now_.mono_us += 20'000;
    ASSERT_TRUE(replicator_->capture_step(now_));
  };
  commit(1);
  const std::uint64_t request = replicator_->request_capture();
  commit(2);
  commit(3);
  EXPECT_FALSE(is_durable(replicator_->status(), request));
  bool was_answered = false;
  for (int number = 4; number < 20; ++number) {
    ASSERT_TRUE(replicator_->publish_step(now_));
    was_answered = is_durable(replicator_->status(), request);
    commit(number);
    EXPECT_LT(replicator_->status().published_sequence, replicator_->status().captured_sequence);
    EXPECT_EQ(is_durable(replicator_->status(), request), was_answered);
  }
  EXPECT_TRUE(was_answered);
  EXPECT_GE(std::stoi("0" + value_in_store()), 2);
}

// One thread commits without end, one captures, one speaks to a store that is slow and now and then away; and each time
// that a request is durable, the store alone has what had been committed before it.
TEST_F(RequestTest, RacesACommitter) {
  make_numbers();
  UnsteadyStore unsteady(*store_);
  ReplicatorOptions o = options();
  o.interval_ms = 5;
  o.rollover_frames = 50;
  SystemClock clock;
  SystemRandom random;
  auto opened = Replicator::open(unsteady, *files_, executor_, random, o);
  ASSERT_TRUE(opened);
  replicator_ = std::move(*opened);
  std::atomic<bool> ends = false;
  std::atomic<int> committed = 0, failed = 0;
  const auto note = [&](const Error& error) {
    if (failed++ == 0) ADD_FAILURE() << error.message();
  };
  std::thread writer([&] {
    App app(db_path_);
    sqlite3_busy_timeout(app.handle(), 30'000);
    for (int i = 1; !ends; ++i) {
      if (app.run("INSERT INTO n VALUES (" + std::to_string(i) + ")") == SQLITE_OK) committed = i;
    }
  });
  const auto loop = [&](Result<Step> (Replicator::*step)(const Time&)) {
    while (!ends) {
      const auto stepped = (replicator_.get()->*step)(clock.now());
      if (!stepped) note(stepped.error());
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  };
  std::thread capture([&] { loop(&Replicator::capture_step); });
  std::thread store([&] {
    while (!ends) {
      for (auto step : {&Replicator::publish_step, &Replicator::snapshot_step}) {
        const auto stepped = (replicator_.get()->*step)(clock.now());
        if (!stepped) note(stepped.error());
      }
      std::this_thread::sleep_for(std::chrono::microseconds(300));
    }
  });
  for (int round = 0; round < 120 && failed == 0; ++round) {
    const int before = committed;
    const std::uint64_t request = replicator_->request_capture();
    if (round % 10 == 3) unsteady.away = true;
    for (int looks = 0; !is_durable(replicator_->status(), request) && looks < 30'000 && failed == 0; ++looks) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (looks == 5) unsteady.away = false;
    }
    unsteady.away = false;
    EXPECT_TRUE(is_durable(replicator_->status(), request)) << round;
    if (HasFailure()) break;
    EXPECT_GE(std::stoi("0" + value_in_store()), before) << round;
  }
  ends = true;
  writer.join();
  capture.join();
  store.join();
  EXPECT_EQ(failed, 0);
  EXPECT_GT(committed, 100);
}

}  // namespace
}  // namespace cairn::replicator_test
