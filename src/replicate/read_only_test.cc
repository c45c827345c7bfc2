// A database that Cairn may read but not write: it is followed as far as its WAL allows, and nobody is in its way.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

#include "support/nobody.h"
#include "support/stepped_replicator.h"
#include "support/watched_disk.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;
using replicator_test::WatchedWal;

class ReadOnlyTest : public ReplicatorTest {
 protected:
  ReadOnlyTest() { testing::set_mode(dir_.string(), 0777); }
  ~ReadOnlyTest() override { stop(StopMode::crash); }  // as long as its files are watched

  // The WAL-index may be written: a lock that Cairn asked for would be had.
  void take_rights() {
    ASSERT_TRUE(testing::set_mode(db_path_, 0444));
    ASSERT_TRUE(testing::set_mode(db_path_ + "-wal", 0444));
    ASSERT_TRUE(testing::set_mode(db_path_ + "-shm", 0666));
  }
  void start_as_nobody(ReplicatorOptions o) {
    const testing::Nobody nobody;
    start(std::move(o));
  }
  void turn_as_nobody() {
    const testing::Nobody nobody;
    in_cairn_ = true;
    const auto error = turn();
    in_cairn_ = false;
    ASSERT_FALSE(wal_.checkpoint_locked) << "the application's checkpoints are kept out";
    ASSERT_FALSE(error) << error->message();
    ASSERT_EQ(replicator_->status().database_trouble, "");
  }
  void turn_until(const std::function<bool(const ReplicatorStatus&)>& done) {
    for (int i = 0; i < 4000 && !done(replicator_->status()); ++i) ASSERT_NO_FATAL_FAILURE(turn_as_nobody());
    ASSERT_TRUE(done(replicator_->status()));
  }
  void publish_all() {
    const auto looks = replicator_->status().looks;
    turn_until([&](const ReplicatorStatus& s) { return s.settled && s.looks > looks + 1; });
  }

  bool in_cairn_ = false;
  WatchedWal wal_;
};

TEST_F(ReadOnlyTest, IsFollowedWithoutAWriteLockOrACheckpoint) {
  make_database();
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  app.must(fill(10));
  ASSERT_NO_FATAL_FAILURE(take_rights());
  int locks = 0, writes = 0;
  wal_.before_write_lock = [&] { locks += in_cairn_; };
  wal_.before_database_write = [&] { writes += in_cairn_; };
  ASSERT_NO_FATAL_FAILURE(start_as_nobody(rolling(30, 10)));
  ASSERT_NO_FATAL_FAILURE(publish_all());
  const std::string file = replicator_test::read_all(db_path_);
  for (int i = 0; i < 20; ++i) {  // each one is enough for a rollover
    app.must(fill(300));
    ASSERT_NO_FATAL_FAILURE(publish_all());
  }
  for (int i = 0; i < 100; ++i) ASSERT_NO_FATAL_FAILURE(turn_as_nobody());
  EXPECT_EQ(locks, 0);
  EXPECT_EQ(writes, 0);
  EXPECT_TRUE(replicator_test::read_all(db_path_) == file) << "the database file was written to";
  EXPECT_GT(replicator_->status().published_sequence, 10u);
  EXPECT_TRUE(committed() == restored());

  // The application's own checkpoints go through, and its WAL starts anew.
  const auto restarts = replicator_->status().wal_restarts;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(app.ask("PRAGMA wal_checkpoint"), "0") << "busy";
    ASSERT_NO_FATAL_FAILURE(publish_all());
    app.must(fill(10));
    ASSERT_NO_FATAL_FAILURE(publish_all());
  }
  EXPECT_GT(replicator_->status().wal_restarts, restarts);
  EXPECT_EQ(locks, 0);
  EXPECT_EQ(writes, 0);
  EXPECT_TRUE(committed() == restored());
}

}  // namespace
}  // namespace cairn
