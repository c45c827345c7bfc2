// Another file under the database's name, or another database in its file: noticed, compared page by page, followed.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>

#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::read_all;
using replicator_test::ReplicatorTest;
namespace fs = std::filesystem;

class ReplacedFile : public ReplicatorTest {
 protected:
  // Another database, in a file of its own.
  fs::path make_another(int rows) {
    const fs::path path = dir_ / "another.db";
    App app(path.string());
    app.must("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); " + fill(rows));
    return path;
  }
  void remove_wal() {
    for (const char* suffix : {"-wal", "-shm"}) fs::remove(db_path_ + suffix);
  }
};

class ReplacedUnderAPin : public ReplacedFile {
 protected:
  void follow(ReplicatorOptions options) {
    make_database();
    app_.emplace(db_path_);
    start(std::move(options));
    must_settle();
    app_->must(fill(1));
    must_settle();
    ASSERT_EQ(replicator_->status().hold, "pin");
  }
  std::uint64_t reconciles() const { return replicator_->status().reconciles; }

  std::optional<App> app_;
};

TEST_F(ReplacedFile, ByAMove) {
  follow_new_database();
  fs::rename(make_another(50), db_path_);
  remove_wal();
  expect_replica_is_current();
  App app(db_path_);
  app.must(fill(50));
  expect_replica_is_current();
}

// While commits come a pin moves without a look at the names; a rollover would write.
TEST_F(ReplacedUnderAPin, NothingIsWrittenToFilesThatAreNotInPlace) {
  follow(rolling(40, 10'000));  // no segment is due, which would look as well
  const std::string before = read_all(db_path_);
  fs::rename(db_path_ + "-wal", dir_ / "moved-wal");
  app_->must("PRAGMA wal_autocheckpoint=0");
  for (int i = 0; i < 20; ++i) {
    app_->must(fill(20));
    ASSERT_FALSE(turn());
    ASSERT_TRUE(read_all(db_path_) == before) << i;
  }
}

// The WAL is still the one that was opened.
TEST_F(ReplacedUnderAPin, NothingIsReadBehindAnotherDatabase) {
  follow(rolling(100'000, 100));
  const std::uint64_t captured = replicator_->status().captured_sequence;
  fs::rename(make_another(50), db_path_);
  app_->must(fill(1));
  for (int turns = 0; turns < 20 && reconciles() == 0; ++turns) {
    ASSERT_EQ(replicator_->status().captured_sequence, captured);
    ASSERT_FALSE(turn());
  }
  EXPECT_EQ(reconciles(), 1u);
}

TEST_F(ReplacedUnderAPin, IsNoticedInTwoSecondsWhileCommitsCome) {
  follow(rolling(100'000, 100));
  const std::uint64_t before = reconciles();
  fs::rename(make_another(50), db_path_);
  remove_wal();
  for (int turns = 0; turns < 2'100 / 20; ++turns) {
    app_->must(fill(1));
    ASSERT_FALSE(turn());
  }
  EXPECT_EQ(reconciles(), before + 1);
  expect_replica_is_current();
}

TEST_F(ReplacedUnderAPin, IsNoticedAtOnceWhileNoCommitComes) {
  follow(rolling(100'000, 100));
  fs::rename(make_another(50), db_path_);
  remove_wal();
  for (int turns = 0; turns < 3; ++turns) ASSERT_FALSE(turn());
  EXPECT_EQ(reconciles(), 1u);
}

// Who closes last removes the WAL by its name: not one that others have put there.
TEST_F(ReplacedUnderAPin, AStopLeavesAWalThatItHasNotOpened) {
  follow(options());
  app_.reset();
  fs::rename(db_path_ + "-wal", dir_ / "moved-wal");
  std::ofstream(db_path_ + "-wal") << "another's";
  stop();
  EXPECT_EQ(read_all(db_path_ + "-wal"), "another's");
}

// Whoever waits for what is committed now is answered after a look at the names.
TEST_F(ReplacedUnderAPin, IsNoticedBeforeARequestIsAnswered) {
  follow(rolling(100'000, 100));
  fs::rename(make_another(50), db_path_);
  remove_wal();
  replicator_->request_capture();
  while (replicator_->status().answered_request < 1) ASSERT_FALSE(turn());
  EXPECT_EQ(reconciles(), 1u);
  must_settle();
  EXPECT_TRUE(committed() == restored());
}

TEST_F(ReplacedFile, DeletedAndMadeAgain) {
  follow_new_database();
  fs::remove(db_path_);
  remove_wal();
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(turn());
  EXPECT_FALSE(replicator_->status().settled);
  EXPECT_NE(replicator_->status().database_trouble, "");
  make_database();
  now_.mono_us += 5'000'000;
  expect_replica_is_current();
}

TEST_F(ReplacedFile, ByACopyUnderTheSameInode) {
  follow_new_database();
  // What "cp backup.db app.db; rm app.db-wal app.db-shm" does.
  fs::copy_file(make_another(70), db_path_, fs::copy_options::overwrite_existing);
  remove_wal();
  for (int i = 0; i < 3; ++i) ASSERT_FALSE(turn());  // in one process, SQLite would share the old -shm with us
  App app(db_path_);
  app.must("PRAGMA journal_mode=WAL; " + fill(5));
  expect_replica_is_current();
}

TEST_F(ReplacedFile, ByAnOlderCopyWhileDownIsComparedNotTrusted) {
  make_database();
  fs::copy_file(db_path_, dir_ / "old.db");
  {
    App app(db_path_);
    start();
    must_settle();
    app.must("UPDATE t SET v='changed'");
    app.must("PRAGMA wal_checkpoint(PASSIVE)");
    app.must(fill(3));
    must_settle();
    stop(StopMode::crash);
    fs::copy_file(db_path_ + "-wal", dir_ / "kept-wal");
  }
  fs::copy_file(dir_ / "old.db", db_path_, fs::copy_options::overwrite_existing);
  fs::copy_file(dir_ / "kept-wal", db_path_ + "-wal", fs::copy_options::overwrite_existing);
  start();
  App app(db_path_);
  expect_replica_is_current();
  EXPECT_GE(replicator_->status().reconciles, 1u);
}

// In place, by somebody who takes no lock: what is committed from then on continues the copy, not what was captured.
TEST_F(ReplacedFile, ByAnOlderCopyUnderAFloorIsCompared) {
  make_database();
  fs::copy_file(db_path_, dir_ / "old.db");
  {
    App app(db_path_);
    start();
    must_settle();
    app.must("UPDATE t SET v='changed'");
    must_settle();
    app.must("PRAGMA wal_checkpoint(TRUNCATE)");
    must_settle();
  }
  ASSERT_EQ(replicator_->status().hold, "floor");
  std::ofstream(db_path_, std::ios::binary | std::ios::in) << read_all(dir_ / "old.db");
  {
    App app(db_path_);
    app.must(fill(3));
    ASSERT_EQ(app.ask("SELECT count(*) FROM t WHERE v='changed'"), "0");
  }
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().reconciles, 1u);
}

// Times that change by themselves are not followed by one comparison after the other.
TEST_F(ReplacedFile, IsNotWhatATimeThatMeansNothingSaysTwice) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  for (int i = 1; i <= 3; ++i) {
    app.must("PRAGMA wal_checkpoint(TRUNCATE)");
    must_settle();
    ASSERT_EQ(replicator_->status().hold, "floor");
    fs::last_write_time(db_path_, fs::last_write_time(db_path_) + std::chrono::seconds(1));
    must_settle();
    EXPECT_EQ(replicator_->status().reconciles, 1u) << i;
    app.must(fill(3));
    must_settle();  // a floor gives way to a pin, under which a checkpoint can do something
  }
  expect_replica_is_current();
}

}  // namespace
}  // namespace cairn
