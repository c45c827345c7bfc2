// What a Replicator tells of how far behind the store is, and of what was in its way.
#include <gtest/gtest.h>

#include <numeric>

#include "replicate/write_lock_counts.h"
#include "store/faulty.h"
#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;

class Lag : public ReplicatorTest {
 public:
  Lag() : inner_(std::move(store_)) { store_ = make_faulty_store(*inner_, plan_, chance_); }
  ~Lag() override {
    replicator_.reset();
    store_ = std::move(inner_);
  }
  void away() { plan_.set_all({.before = 1000, .after = 0, .lost = 0, .denied = 0}); }
  void back() { plan_ = FaultPlan{}; }
  void turns(int count) {
    for (int i = 0; i < count; ++i) ASSERT_FALSE(turn());
  }
  ReplicatorStatus status() { return replicator_->status(); }

  FaultPlan plan_;
  SeededRandom chance_{11};
  std::unique_ptr<Store> inner_;
};

TEST_F(Lag, CountsFromTheBeginningUntilTheFirstSnapshotIsThere) {
  make_database();
  start();
  EXPECT_EQ(status().unpublished_since_ms, 0);  // no step has been made
  ASSERT_FALSE(turn());
  const std::int64_t begun_ms = now_.wall_ms;
  EXPECT_EQ(status().unpublished_since_ms, begun_ms);
  away();
  turns(10);
  EXPECT_EQ(status().unpublished_since_ms, begun_ms);
  EXPECT_EQ(status().newest_snapshot_time_ms, 0);
  back();
  must_settle();
  EXPECT_EQ(status().unpublished_since_ms, 0);
  EXPECT_EQ(status().unpublished_commits, 0u);
  EXPECT_GT(status().newest_snapshot_time_ms, 0);
}

// What a step has to do next shows in the status: who is called again for nothing wakes a thread for each database.
TEST_F(Lag, WhatIsPublishedAsksForNoStepOfTheStoreSoon) {
  constexpr std::int64_t kLong_us = 600'000'000;
  follow_new_database();
  App app(db_path_);
  app.must(fill(1));
  now_.mono_us += 1'000'000;
  ASSERT_TRUE(replicator_->capture_step(now_));
  const std::uint64_t published = status().published_segments;
  const Result<Step> publish = replicator_->publish_step(now_);
  ASSERT_EQ(status().published_segments, published + 1);
  now_.mono_us = publish->next_us;
  const Result<Step> noted = replicator_->publish_step(now_);  // that it is published, in the state directory
  ASSERT_TRUE(noted);
  EXPECT_GT(noted->next_us, now_.mono_us + kLong_us);
  const Result<Step> snapshot = replicator_->snapshot_step(now_);
  ASSERT_TRUE(snapshot);
  EXPECT_GT(snapshot->next_us, now_.mono_us + kLong_us);
}

TEST_F(Lag, IsTheAgeOfTheOldestCommitThatIsNotInTheStore) {
  follow_new_database();
  const std::uint64_t published = status().published_segments;
  away();
  App app(db_path_);
  app.must(fill(1));
  ASSERT_FALSE(turn());
  const std::int64_t first_ms = now_.wall_ms;
  EXPECT_EQ(status().unpublished_since_ms, first_ms);
  for (int i = 2; i <= 5; ++i) {
    app.must(fill(1));
    turns(5);
    EXPECT_EQ(status().unpublished_since_ms, first_ms);
    EXPECT_EQ(status().unpublished_commits, static_cast<std::uint64_t>(i));
  }
  EXPECT_GT(status().spool_segments, 1u);
  const ErrorCounts errors = status().store_errors;
  EXPECT_GT(errors[static_cast<std::size_t>(ErrorKind::retry_later)], 0u);
  EXPECT_EQ(std::accumulate(errors.begin(), errors.end(), std::uint64_t{0}),
            errors[static_cast<std::size_t>(ErrorKind::retry_later)]);
  back();
  must_settle();
  EXPECT_EQ(status().unpublished_since_ms, 0);
  EXPECT_EQ(status().unpublished_commits, 0u);
  EXPECT_EQ(status().published_segments, published + 4u + 1u);
  EXPECT_GE(status().published_time_ms, first_ms);
}

TEST_F(Lag, WhatIsNotDueYetCountsFromWhenItWasSeen) {
  make_database();
  ReplicatorOptions slow = options();
  slow.interval_ms = 60'000;
  start(slow);
  must_settle();
  App app(db_path_);
  app.must(fill(1));
  must_settle();  // the first after quiet
  app.must(fill(1));
  ASSERT_FALSE(turn());
  const std::int64_t seen_ms = now_.wall_ms;
  turns(20);
  EXPECT_EQ(status().unpublished_since_ms, seen_ms);
  EXPECT_EQ(status().spool_segments, 0u);
  must_settle();
  EXPECT_EQ(status().unpublished_since_ms, 0);
}

TEST_F(Lag, ASpoolOfAnEarlierProcessCountsFromWhenItWasCaptured) {
  follow_new_database();
  away();
  App app(db_path_);
  app.must(fill(1));
  ASSERT_FALSE(turn());
  const std::int64_t captured_ms = now_.wall_ms;
  turns(10);
  stop(StopMode::crash);
  now_.wall_ms += 1'000'000;
  start();
  turns(150);  // until what is remembered is presumed
  EXPECT_EQ(status().unpublished_since_ms, captured_ms);
  EXPECT_EQ(status().unpublished_commits, 1u);
  back();
  must_settle();
  EXPECT_EQ(status().unpublished_since_ms, 0);
}

TEST_F(Lag, ADatabaseThatCannotBeReadCountsFromThen) {
  follow_new_database();
  namespace fs = std::filesystem;
  for (const char* suffix : {"", "-wal", "-shm"}) fs::rename(db_path_ + suffix, db_path_ + suffix + ".away");
  turns(3);
  const std::int64_t since_ms = status().unpublished_since_ms;
  EXPECT_NE(since_ms, 0);
  turns(100);
  EXPECT_EQ(status().unpublished_since_ms, since_ms);
  const ErrorCounts errors = status().database_errors;
  EXPECT_GT(errors[static_cast<std::size_t>(ErrorKind::io)], 0u);
  for (const char* suffix : {"", "-wal", "-shm"}) fs::rename(db_path_ + suffix + ".away", db_path_ + suffix);
  must_settle();
  EXPECT_EQ(status().unpublished_since_ms, 0);
}

TEST_F(Lag, TheWalsFileIsMeasured) {
  follow_new_database();
  App app(db_path_);
  app.must(fill(3000));
  turns(100);
  EXPECT_EQ(status().wal_bytes, std::filesystem::file_size(db_path_ + "-wal"));
}

TEST(WriteLockCounts, ATimeIsCountedAtTheFirstBoundThatItDoesNotPass) {
  EXPECT_EQ(replicate::write_lock_place(0), 0u);
  EXPECT_EQ(replicate::write_lock_place(100), 0u);
  EXPECT_EQ(replicate::write_lock_place(101), 1u);
  EXPECT_EQ(replicate::write_lock_place(250), 1u);
  EXPECT_EQ(replicate::write_lock_place(1'000'000), kWriteLockBounds_us.size() - 1);
  EXPECT_EQ(replicate::write_lock_place(1'000'001), kWriteLockBounds_us.size());
}

}  // namespace
}  // namespace cairn
