// When a commit becomes a segment: at once after quiet, within an interval while commits go on; and the file of a small
// one.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>

#include "support/stepped_replicator.h"
#include "support/watched_disk.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::LimitedFiles;
using replicator_test::ReplicatorTest;
namespace fs = std::filesystem;

class Interval : public ReplicatorTest {
 protected:
  static constexpr std::int64_t kInterval_ms = 1000;

  Interval() {
    auto limited = std::make_unique<LimitedFiles>(std::move(files_));
    disk_ = limited.get();
    files_ = std::move(limited);
    make_database();
    auto slow = options();
    slow.interval_ms = kInterval_ms;
    start(slow);
    must_settle();
    pass(10'000);
  }
  ~Interval() override { stop(StopMode::crash); }

  void pass(std::int64_t ms) {
    for (std::int64_t turns = ms / 20; turns > 0; --turns) ASSERT_FALSE(turn());
  }
  // The last two of three, which are segment 2.
  void let_two_go_together(const std::function<void()>& commit) {
    commit();
    pass(600);
    commit();
    pass(500);
    commit();
    pass(540);
    ASSERT_EQ(published(), 2u);
  }
  std::uint64_t published() const { return replicator_->status().published_sequence; }
  fs::path spool() const { return dir_ / "state" / "spool"; }
  bool spool_is_empty() const { return fs::directory_iterator(spool()) == fs::directory_iterator(); }

  LimitedFiles* disk_ = nullptr;
};

TEST_F(Interval, ACommitAfterQuietIsPublishedAtOnce) {
  App app(db_path_);
  app.must(fill(1));
  pass(40);
  EXPECT_EQ(published(), 1u);
  pass(1'020);  // longer than an interval: that is quiet
  app.must(fill(1));
  pass(40);
  EXPECT_EQ(published(), 2u);
}

TEST_F(Interval, WhileCommitsGoOnTheFirstWaitsAnIntervalForOthers) {
  App app(db_path_);
  app.must(fill(1));
  pass(40);
  ASSERT_EQ(published(), 1u);
  pass(600);
  app.must(fill(1));  // seen within 20 ms
  pass(500);
  app.must(fill(1));
  pass(460);
  EXPECT_EQ(published(), 1u);
  pass(80);
  EXPECT_EQ(published(), 2u) << "no longer than an interval";
  EXPECT_EQ(replicator_->status().unpublished_commits, 0u) << "the other has gone with it";
  expect_replica_is_current();
}

TEST_F(Interval, AfterASegmentThatOthersCameToItIsQuietAfterTwo) {
  App app(db_path_);
  const auto commit = [&] { app.must(fill(1)); };
  let_two_go_together(commit);
  pass(1'400);
  commit();
  pass(960);
  EXPECT_EQ(published(), 2u) << "it waits, as commits go on";
  pass(80);
  EXPECT_EQ(published(), 3u) << "no longer than an interval";
  pass(1'400);
  commit();
  pass(40);
  EXPECT_EQ(published(), 4u) << "nobody has come to the one before";
  pass(1'400);
  commit();
  pass(40);
  EXPECT_EQ(published(), 5u) << "and this one waited for nobody";
}

TEST_F(Interval, AfterTwoItIsQuietInAnyCase) {
  App app(db_path_);
  const auto commit = [&] { app.must(fill(1)); };
  let_two_go_together(commit);
  pass(2'040);
  commit();
  pass(40);
  EXPECT_EQ(published(), 3u);
}

TEST_F(Interval, NoCommitOfManyWaitsLonger) {
  App app(db_path_);
  std::int64_t behind_ms = 0, most_ms = 0;
  for (int i = 0; i < 400; ++i) {
    app.must(fill(1));
    pass(20);
    behind_ms = replicator_->status().unpublished_commits == 0 ? 0 : behind_ms + 20;
    most_ms = std::max(most_ms, behind_ms);
  }
  EXPECT_LE(most_ms, kInterval_ms + 40);
  EXPECT_LE(published(), 9u) << "one an interval";
  EXPECT_GE(published(), 7u);
}

TEST_F(Interval, WhatIsAskedForDoesNotWait) {
  App app(db_path_);
  app.must(fill(1));
  pass(40);
  app.must(fill(1));
  replicator_->request_capture();
  pass(40);
  EXPECT_EQ(published(), 2u);
}

TEST_F(Interval, ASmallSegmentIsPutAlthoughTheDiskHasLostItsFile) {
  App app(db_path_);
  app.must(fill(1));
  ASSERT_TRUE(replicator_->capture_step(now_));
  ASSERT_EQ(replicator_->status().spool_segments, 1u);
  ASSERT_TRUE(fs::remove(spool() / "front"));
  pass(40);
  EXPECT_EQ(published(), 1u);
  expect_replica_is_current();
}

TEST_F(Interval, OfASmallSegmentNothingIsLeftOnAFullDisk) {
  App app(db_path_);
  disk_->room = 100;
  app.must(fill(1));
  pass(40);
  EXPECT_EQ(replicator_->status().database_trouble, "the disk is full");
  EXPECT_GT(disk_->written, 0u);
  EXPECT_TRUE(spool_is_empty());
  disk_->room = ~0ull;
  expect_replica_is_current();
}

// Killed in the middle of writing it: it has its name, and not all of its bytes.
TEST_F(Interval, HalfASmallSegmentIsNotBelieved) {
  App app(db_path_);
  app.must(fill(1));
  ASSERT_TRUE(replicator_->capture_step(now_));
  stop(StopMode::crash);
  const fs::path file = spool() / "front";
  ASSERT_TRUE(fs::exists(file));
  fs::resize_file(file, fs::file_size(file) / 2);
  start();
  expect_replica_is_current();
  EXPECT_EQ(published(), 1u);
}

}  // namespace
}  // namespace cairn
