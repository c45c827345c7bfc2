// Going to rest, and being known again: what is told by a look at two files has to be so.
#include <fcntl.h>
#include <sys/stat.h>

#include <fstream>
#include <limits>

#include "replicate/rest.h"
#include "store/counting.h"
#include "support/stepped_replicator.h"

namespace cairn::replicator_test {
namespace {

std::size_t open_descriptors() {
  const fs::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

class RestTest : public ReplicatorTest {
 public:
  ReplicatorOptions resting() {
    ReplicatorOptions o = options();
    o.boot = boot_;
    o.level_windows_ms.clear();
    o.snapshot_interval_ms = 0;
    if (rest_) o.known = rest_->known;
    return o;
  }
  void wake() { start(resting()); }

  // What is written from now on has a later time than what was written before.
  void let_file_clock_tick() {
    const auto changed = [&] {
      std::ofstream(dir_ / "tick") << "tick";
      struct stat info {};
      ::stat((dir_ / "tick").c_str(), &info);
      return std::pair(info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
    };
    const auto before = changed();
    while (changed() == before) {
    }
  }
  void pass(std::int64_t us) {
    now_.mono_us += us;
    now_.wall_ms += us / 1000;
  }
  bool may_rest() {
    for (int i = 0; i < 3; ++i) {  // it may write itself, the first time
      EXPECT_TRUE(replicator_->capture_step(now_));
      (void)replicator_->may_rest(now_);
      pass(2'100'000);
    }
    let_file_clock_tick();
    return replicator_->may_rest(now_);
  }
  void go_to_rest() {
    must_settle();
    (void)replicator_->upkeep_step(now_);
    ASSERT_TRUE(may_rest());
    rest_ = replicator_->rest(now_);
    ASSERT_TRUE(rest_);
    replicator_.reset();
  }
  bool is_found() {
    ReplicatorOptions o = resting();
    o.known.reset();
    return Replicator::find_at_rest(*files_, o, now_).value().has_value();
  }
  void expect_known() {
    EXPECT_TRUE(rest_->goes_on(now_));
    EXPECT_TRUE(is_found());
  }
  void expect_unknown() {
    EXPECT_FALSE(rest_->goes_on(now_));
    EXPECT_FALSE(is_found());
  }

  std::string boot_ = std::string(31, '0') + "1";
  std::optional<Rest> rest_;
};

TEST_F(RestTest, NothingIsOpenWhileItRests) {
  make_database();
  const std::size_t before = open_descriptors();
  wake();
  must_settle();
  EXPECT_GT(open_descriptors(), before);
  go_to_rest();
  EXPECT_EQ(open_descriptors(), before);
  expect_known();
  EXPECT_EQ(rest_->due_us, std::numeric_limits<std::int64_t>::max());
  EXPECT_FALSE(fs::exists(db_path_ + "-wal"));
}

TEST_F(RestTest, ACommitIsNoticedAndPublishedWithoutAComparison) {
  make_database();
  wake();
  go_to_rest();
  App app(db_path_);
  app.must("INSERT INTO t(v) VALUES ('while it rests')");
  expect_unknown();
  wake();
  must_settle();
  EXPECT_EQ(replicator_->status().reconciles, 0u);
  EXPECT_EQ(replicator_->status().captured_sequence, 1u);
  expect_replica_is_current();
}

// As with an application that keeps it open, the WAL stays; it may be begun anew, and folded into the file, unseen.
TEST_F(RestTest, AWalThatIsRestartedMeanwhileIsPublishedExactly) {
  make_database();
  App app(db_path_);
  app.must("INSERT INTO t(v) VALUES ('before')");
  wake();
  go_to_rest();
  EXPECT_TRUE(fs::exists(db_path_ + "-wal"));
  expect_known();
  app.must("INSERT INTO t(v) VALUES ('restarts the WAL')");
  expect_unknown();
  app.must("PRAGMA wal_checkpoint(RESTART)");
  app.must("UPDATE t SET v = 'again' WHERE id = 3");
  app.must("PRAGMA wal_checkpoint(TRUNCATE)");
  app.must("INSERT INTO t(v) VALUES ('and again')");
  expect_unknown();
  wake();
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().reconciles, 1u);
}

TEST_F(RestTest, AnOldCopyInItsPlaceIsNoticed) {
  make_database();
  fs::copy_file(db_path_, dir_ / "old.db");
  {
    App app(db_path_);
    app.must("INSERT INTO t(v) VALUES ('newer')");
  }
  wake();
  go_to_rest();
  fs::rename(dir_ / "old.db", db_path_);
  expect_unknown();
  wake();
  expect_replica_is_current();
}

// The same inode, the same size, and the time of the last write put back: what tells is when the inode was changed.
TEST_F(RestTest, OldBytesInTheSameFileAreNoticed) {
  make_database();
  const std::string old = read_all(db_path_);
  {
    App app(db_path_);
    app.must("UPDATE t SET v = upper(v) || '' WHERE id = 7");
    app.must("UPDATE t SET v = 'x' WHERE id = 7");
  }
  wake();
  go_to_rest();
  struct stat info {};
  ASSERT_EQ(::stat(db_path_.c_str(), &info), 0);
  ASSERT_EQ(old.size(), static_cast<std::size_t>(info.st_size));
  std::fstream(db_path_, std::ios::in | std::ios::out | std::ios::binary) << old;
  const timespec times[] = {info.st_atim, info.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, db_path_.c_str(), times, 0), 0);
  expect_unknown();
  wake();
  expect_replica_is_current();
}

TEST_F(RestTest, ADatabaseThatIsGoneDoesNotRest) {
  make_database();
  wake();
  go_to_rest();
  fs::remove(db_path_);
  expect_unknown();
}

TEST_F(RestTest, AClockThatWasSetBackProvesNothing) {
  make_database();
  wake();
  go_to_rest();
  now_.wall_ms += 3'600'000;
  expect_known();
  now_.wall_ms -= 7'200'000;
  expect_unknown();
}

TEST_F(RestTest, AnotherBootProvesNothing) {
  make_database();
  wake();
  go_to_rest();
  boot_.back() = '2';
  EXPECT_FALSE(is_found());
  boot_.clear();
  EXPECT_FALSE(is_found());
}

// Without a boot that is known, nothing can be told later.
TEST_F(RestTest, WithoutABootItStaysOpen) {
  make_database();
  boot_.clear();
  wake();
  must_settle();
  EXPECT_FALSE(may_rest());
  EXPECT_FALSE(replicator_->rest(now_));
  expect_replica_is_current();
}

TEST_F(RestTest, AFileThatHasNotStoodStillDoesNotRest) {
  make_database();
  wake();
  must_settle();
  ASSERT_TRUE(may_rest());
  fs::permissions(db_path_, fs::perms::owner_all);  // a change of the inode
  ASSERT_FALSE(replicator_->rest(now_));
  App app(db_path_);
  app.must("INSERT INTO t(v) VALUES ('goes on')");
  expect_replica_is_current();
}

// Of the captured state a mark speaks, and of no later one: here the WAL is lost that had it.
TEST_F(RestTest, WhatIsCapturedAfterItEndsTheRestForAnotherProcessToo) {
  make_database();
  App app(db_path_);
  app.must("INSERT INTO t(v) VALUES ('before')");
  wake();
  go_to_rest();
  app.must("INSERT INTO t(v) VALUES ('after')");
  wake();
  must_settle();
  stop(StopMode::crash);
  sqlite3_db_config(app.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  app.close();
  fs::remove(db_path_ + "-wal");
  fs::remove(db_path_ + "-shm");
  EXPECT_FALSE(is_found());
  rest_.reset();
  wake();
  expect_replica_is_current();
}

TEST_F(RestTest, IsNoneForWhoMayNot) {
  make_database();
  wake();
  go_to_rest();
  ReplicatorOptions o = resting();
  o.known.reset();
  ASSERT_TRUE(Replicator::find_at_rest(*files_, o, now_).value());
  o.may_rest = false;
  EXPECT_FALSE(Replicator::find_at_rest(*files_, o, now_).value());
  start(o);
  must_settle();
  EXPECT_FALSE(may_rest());
}

TEST_F(RestTest, WhatIsDueEndsIt) {
  make_database();
  ReplicatorOptions o = resting();
  o.snapshot_interval_ms = 60'000;
  start(o);
  must_settle();
  {
    App app(db_path_);
    app.must("INSERT INTO t(v) VALUES ('newer than the snapshot')");
  }
  go_to_rest();
  EXPECT_LT(rest_->due_us, now_.mono_us + 60'000'000);
  expect_known();
  pass(60'000'000);
  EXPECT_FALSE(rest_->goes_on(now_));
}

// The store was heard from a moment ago; what it held then it holds now, or the put is refused.
TEST_F(RestTest, WhoWakesSoonAsksTheStoreForNothingButItsPut) {
  make_database();
  App app(db_path_);
  wake();
  must_settle();
  app.must("INSERT INTO t(v) VALUES ('before, with the summary that is written now and then')");
  go_to_rest();
  app.must("INSERT INTO t(v) VALUES ('newer')");
  CountingStore counting(*store_);
  auto opened = Replicator::open(counting, *files_, executor_, random_, resting());
  ASSERT_TRUE(opened);
  replicator_ = std::move(*opened);
  must_settle();
  EXPECT_EQ(counting.counts().of(Operation::put_new).calls, 1u);
  EXPECT_EQ(counting.counts().of(Operation::list).calls, 0u);
  EXPECT_EQ(counting.counts().of(Operation::get).calls, 0u);
  replicator_->close(StopMode::tidy);
  replicator_.reset();
}

}  // namespace
}  // namespace cairn::replicator_test
