// How long the locks that others wait for are held when the WAL is rolled over, and what is done under them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <utility>

#include "support/stepped_replicator.h"
#include "support/watched_disk.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::LimitedFiles;
using replicator_test::ReplicatorTest;
using replicator_test::WatchedWal;

class RollOverLocksTest : public ReplicatorTest {
 protected:
  RollOverLocksTest() {
    auto disk = std::make_unique<LimitedFiles>(std::move(files_));
    disk_ = disk.get();
    files_ = std::move(disk);
    make_database("PRAGMA auto_vacuum=INCREMENTAL");
  }
  ~RollOverLocksTest() override { stop(StopMode::crash); }  // as long as its files are watched
  void capture_after(std::int64_t us) {
    now_.mono_us += us;
    now_.wall_ms += us / 1000;
    in_cairn_ = true;
    const auto done = replicator_->capture_step(now_);
    in_cairn_ = false;
    ASSERT_TRUE(done) << done.error().message();
  }
  void publish() {
    ASSERT_TRUE(replicator_->publish_step(now_));
    ASSERT_TRUE(replicator_->snapshot_step(now_));
  }

  bool in_cairn_ = false;  // and not in a call of the application's own
  WatchedWal wal_;
  LimitedFiles* disk_ = nullptr;
};

// A reader of an old state keeps frames from being backfilled; it ends when the write lock has just been taken, if it
// ever is: there is nothing to be had beside it.
TEST_F(RollOverLocksTest, WhatAnOldReaderLeavesIsNotBackfilledUnderTheWriteLock) {
  App app(db_path_), reader(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  start(rolling(1000, 10));
  must_settle();
  app.must(fill(10));
  reader.must("BEGIN");
  reader.ask("SELECT count(*) FROM t");
  app.must(fill(20'000));
  const auto gates = replicator_->status().write_lock_count;
  int written = 0;
  bool reads = true;
  wal_.before_database_write = [&] { written += wal_.write_locked; };
  wal_.before_look = [&] {
    if (wal_.write_locked && std::exchange(reads, false)) reader.must("COMMIT");
    if (reads) app.run("INSERT INTO t (v) VALUES ('a')");
  };
  for (int i = 0; i < 300 && reads; ++i) {
    ASSERT_NO_FATAL_FAILURE(capture_after(1'000));
    ASSERT_NO_FATAL_FAILURE(publish());
  }
  wal_.before_look = wal_.before_database_write = nullptr;
  EXPECT_LT(written, 300) << "pages were copied while nobody could write";
  EXPECT_EQ(replicator_->status().write_lock_count, gates);
  if (reads) reader.must("COMMIT");
  const auto before = replicator_->status().rollovers;
  for (int i = 0; i < 200; ++i) ASSERT_FALSE(turn());
  EXPECT_GT(replicator_->status().rollovers, before) << "what the reader was in the way of";
  expect_replica_is_current();
}

// Another's checkpoint keeps ours from running at all, and ends without having got far.
TEST_F(RollOverLocksTest, WhatAnotherCheckpointLeavesIsNotBackfilledUnderTheWriteLock) {
  App app(db_path_), other(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  other.ask("SELECT count(*) FROM t");
  start(rolling(1000, 10));
  must_settle();
  sqlite3_file* file = nullptr;
  sqlite3_file_control(other.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  constexpr int kCheckpointLock = 1;
  const auto lock = [&](int what) {
    return file->pMethods->xShmLock(file, kCheckpointLock, 1, what | SQLITE_SHM_EXCLUSIVE);
  };
  app.must(fill(10));
  ASSERT_EQ(lock(SQLITE_SHM_LOCK), SQLITE_OK);
  app.must(fill(20'000));
  for (int i = 0; i < 8; ++i) ASSERT_NO_FATAL_FAILURE(capture_after(1'000));
  int written = 0;
  wal_.before_database_write = [&] { written += wal_.write_locked; };
  wal_.before_look = [&] {
    if (in_cairn_ && !wal_.write_locked) app.run("INSERT INTO t (v) VALUES ('a')");
  };
  ASSERT_EQ(lock(SQLITE_SHM_UNLOCK), SQLITE_OK);
  const auto before = replicator_->status().rollovers;
  for (int i = 0; i < 2000 && replicator_->status().rollovers == before; ++i) {
    ASSERT_NO_FATAL_FAILURE(capture_after(1'000));
  }
  wal_.before_look = wal_.before_database_write = nullptr;
  EXPECT_GT(replicator_->status().rollovers, before);
  EXPECT_LT(written, 300) << "pages were copied while nobody could write";
  expect_replica_is_current();
}

// A tail is read under the write lock, and there are more pages by then than may be in memory.
TEST_F(RollOverLocksTest, NoScratchFileIsWrittenUnderTheWriteLock) {
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  ReplicatorOptions o = rolling(30, 60'000);
  o.pages_in_memory = 100;
  start(o);
  must_settle();
  disk_->scratch_files = 0;
  int written = 0;
  disk_->before_write = [&] { written += in_cairn_ && wal_.write_locked; };
  wal_.before_look = [&] {
    if (in_cairn_ && !wal_.write_locked) app.run(fill(3, 3000));
  };
  const auto gates = replicator_->status().write_lock_count;
  for (int i = 0; i < 400; ++i) {
    ASSERT_NO_FATAL_FAILURE(capture_after(5'000));
    ASSERT_NO_FATAL_FAILURE(publish());
  }
  wal_.before_look = disk_->before_write = nullptr;
  EXPECT_GT(replicator_->status().write_lock_count, gates + 20);
  EXPECT_GT(disk_->scratch_files, 0u);
  EXPECT_EQ(written, 0);
  expect_replica_is_current();
}

// As a RESTART or TRUNCATE on a slow disk: when its sync is over it waits for Cairn, and no file is written to then.
class BesideASlowCheckpoint : public RollOverLocksTest {
 protected:
  void checkpoint_that_syncs_twice_for(std::int64_t us) {
    App app(db_path_);
    app.must("PRAGMA wal_autocheckpoint=0");
    start(rolling(1000, 10));
    must_settle();
    app.must(fill(50));
    for (int i = 0; i < 20; ++i) ASSERT_NO_FATAL_FAILURE(capture_after(20'000));  // all of it, and nothing goes on
    ASSERT_EQ(replicator_->status().hold, "pin");
    wal_.before_sync = [&] {
      for (const std::int64_t until_us = now_.mono_us + us; now_.mono_us < until_us; ++looks_) {
        const auto step = replicator_->capture_step(now_);
        ASSERT_TRUE(step) << step.error().message();
        longest_us_ = std::max(longest_us_, step->next_us - now_.mono_us);
        now_.mono_us = std::max(step->next_us, now_.mono_us + 100);
      }
    };
    sqlite3_busy_handler(app.handle(), [](void* self, int) {
      return static_cast<BesideASlowCheckpoint*>(self)->turn_in_handler() ? 1 : 0;
    }, this);
    EXPECT_EQ(app.ask("PRAGMA wal_checkpoint(TRUNCATE)"), "0");
    wal_.before_sync = nullptr;
    EXPECT_GT(looks_, 0);
    const auto step = replicator_->capture_step(now_);
    ASSERT_TRUE(step);
    EXPECT_GT(step->next_us - now_.mono_us, 1'000'000) << "nobody is at work any more";
    expect_replica_is_current();
  }
  int looks_ = 0;
  std::int64_t longest_us_ = 0;
};

TEST_F(BesideASlowCheckpoint, LooksOften) {
  checkpoint_that_syncs_twice_for(3'000'000);
  EXPECT_LE(longest_us_, 50'000);
}

// It may be stopped for good, in a debugger or by a disk.
TEST_F(BesideASlowCheckpoint, LooksLessOftenWhenItTakesVeryLong) {
  checkpoint_that_syncs_twice_for(120'000'000);
  EXPECT_LE(longest_us_, 100'000);
  EXPECT_LT(looks_, 4'000);
}

// One that died left its mark in shared memory, which nobody takes back.
TEST_F(RollOverLocksTest, LooksNoOftenerForACheckpointThatDied) {
  App app(db_path_), other(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  other.ask("SELECT count(*) FROM t");
  start(rolling(1000, 10));
  must_settle();
  app.must(fill(50));
  for (int i = 0; i < 20; ++i) ASSERT_NO_FATAL_FAILURE(capture_after(20'000));
  sqlite3_file* file = nullptr;
  sqlite3_file_control(other.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  void volatile* shared = nullptr;
  ASSERT_EQ(file->pMethods->xShmMap(file, 0, 32768, 0, &shared), SQLITE_OK);
  static_cast<volatile std::uint32_t*>(shared)[32] = 10;
  const std::int64_t until_us = now_.mono_us + 60'000'000;
  int looks = 0;
  for (; now_.mono_us < until_us; ++looks) {
    const auto step = replicator_->capture_step(now_);
    ASSERT_TRUE(step) << step.error().message();
    now_.mono_us = std::max(step->next_us, now_.mono_us + 100);
  }
  EXPECT_LT(looks, 40);
  expect_replica_is_current();
}

// The WAL is cut under Cairn's feet, by somebody who does not ask SQLite, while it has the write lock.
TEST_F(RollOverLocksTest, FramesThatAreGoneUnderTheWriteLockEndNothing) {
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  start(rolling(30, 60'000));
  must_settle();
  bool done = false;
  wal_.before_look = [&] {
    if (!wal_.write_locked) app.run("INSERT INTO t (v) VALUES (hex(randomblob(3000)))");
  };
  wal_.before_scan = [&] {
    if (!wal_.write_locked || std::exchange(done, true)) return;
    const int wal = ::open((db_path_ + "-wal").c_str(), O_WRONLY);
    ASSERT_EQ(::ftruncate(wal, 32 + (24 + 4096) * 2), 0);
    ::close(wal);
  };
  for (int i = 0; i < 200 && !done; ++i) {
    app.must(fill(10));
    ASSERT_NO_FATAL_FAILURE(capture_after(5'000));
  }
  EXPECT_TRUE(done);
  wal_.before_look = wal_.before_scan = nullptr;
  EXPECT_FALSE(wal_.write_locked);
  EXPECT_FALSE(wal_.checkpoint_locked);
}

// After a rollover it is kept for a moment, in which a segment may be due, a sync of the spool, a slice of a snapshot.
TEST_F(RollOverLocksTest, NothingLongIsDoneUnderTheCheckpointLock) {
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=5");
  start(rolling(50, 60));
  must_settle();
  int read = 0, written = 0, synced = 0;
  const auto count = [this](int& what) {
    return [this, &what] { what += in_cairn_ && wal_.checkpoint_locked && !wal_.write_locked; };
  };
  wal_.before_database_read = count(read);
  disk_->before_write = count(written);
  disk_->before_sync = count(synced);
  for (int i = 0; i < 2000; ++i) {
    if (i % 10 == 0) app.must("UPDATE t SET v = hex(randomblob(200)) WHERE id < 500");
    if (i % 500 == 250) replicator_->request_snapshot();
    ASSERT_NO_FATAL_FAILURE(capture_after(700));
    if (i % 200 == 0 || i % 500 > 250) {
      ASSERT_NO_FATAL_FAILURE(publish());
    }
  }
  wal_.before_database_read = disk_->before_write = disk_->before_sync = nullptr;
  EXPECT_GT(replicator_->status().rollovers, 20u);
  EXPECT_LT(read, static_cast<int>(replicator_->status().rollovers));  // a pin reads the first page
  EXPECT_EQ(written, 0);
  EXPECT_EQ(synced, 0);
  expect_replica_is_current();
}

// What is committed between two looks is not of the snapshot that the first of them allowed.
TEST_F(RollOverLocksTest, ACommitBetweenTwoLooksDoesNotSpoilASnapshot) {
  App app(db_path_);
  start(rolling(1000, 100));
  must_settle();
  int looks = 0;
  const auto before = replicator_->status().reconciles;
  wal_.before_look = [&] {
    if (++looks % 5 == 0) app.run("INSERT INTO t (v) VALUES (hex(randomblob(3000)))");
  };
  for (int i = 0; i < 400; ++i) {
    if (i % 20 == 0) replicator_->request_snapshot();
    ASSERT_FALSE(turn());
  }
  wal_.before_look = nullptr;
  EXPECT_EQ(replicator_->status().reconciles, before);
  expect_replica_is_current();
}

// The write lock is not to be had, and would not help.
TEST_F(RollOverLocksTest, SeeksLittleBesideALongTransactionAndAnOldReader) {
  App app(db_path_), reader(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  start(rolling(100, 10));
  must_settle();
  app.must(fill(10));
  reader.must("BEGIN");
  reader.ask("SELECT count(*) FROM t");
  app.must(fill(3'000));
  app.must("BEGIN IMMEDIATE");
  int steps = 0, locked = 0;
  const std::int64_t until_us = now_.mono_us + 10'000'000;
  while (now_.mono_us < until_us) {
    const auto step = replicator_->capture_step(now_);
    ASSERT_TRUE(step);
    ASSERT_NO_FATAL_FAILURE(publish());
    ++steps;
    locked += wal_.checkpoint_locked;
    now_.mono_us = std::max(step->next_us, now_.mono_us + 100);
  }
  app.must("COMMIT");
  reader.must("COMMIT");
  EXPECT_LT(locked, steps / 10);
  expect_replica_is_current();
}

}  // namespace
}  // namespace cairn
