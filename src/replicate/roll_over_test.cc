// Rolling over beside writers that leave little room for it, and what else must go on meanwhile.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <map>
#include <utility>

#include "support/stepped_replicator.h"
#include "support/watched_disk.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::LimitedFiles;
using replicator_test::ReplicatorTest;
using replicator_test::WatchedWal;
namespace fs = std::filesystem;

class RollOverTest : public ReplicatorTest {
 protected:
  RollOverTest() {
    auto limited = std::make_unique<LimitedFiles>(std::move(files_));
    disk_ = limited.get();
    files_ = std::move(limited);
    make_database();
  }
  ~RollOverTest() override { stop(StopMode::crash); }  // as long as its files are watched
  void capture_after(std::int64_t us) {
    now_.mono_us += us;
    now_.wall_ms += us / 1000;
    const auto done = replicator_->capture_step(now_);
    ASSERT_TRUE(done) << done.error().message();
  }
  void publish() {
    ASSERT_TRUE(replicator_->publish_step(now_));
    ASSERT_TRUE(replicator_->snapshot_step(now_));
  }

  WatchedWal wal_;
  LimitedFiles* disk_ = nullptr;
};

// SIGTERM while somebody commits before every step: what was committed by then is captured, and that is said.
TEST_F(RollOverTest, AStopBesideAWriterThatNeverRestsIsAnswered) {
  App app(db_path_);
  start(rolling(20, 1000));
  must_settle();
  for (int i = 0; i < 30; ++i) {
    app.must(fill(10));
    ASSERT_FALSE(turn());
  }
  replicator_->request_capture();
  bool answered = false;
  for (int i = 0; i < 100 && !answered; ++i) {
    app.must(fill(10));
    ASSERT_FALSE(turn());
    answered = replicator_->status().captured_all;
  }
  EXPECT_TRUE(answered);
}

TEST_F(RollOverTest, ARequestBeforeTheIntervalIsOverIsNotForgotten) {
  App app(db_path_);
  start(rolling(20, 3'600'000));
  must_settle();
  app.must(fill(1));
  must_settle();
  app.must(fill(400));
  const auto before = replicator_->status();
  for (int i = 0; i < 5; ++i) ASSERT_FALSE(turn());
  ASSERT_GT(replicator_->status().captured_commits, before.captured_commits);
  ASSERT_EQ(replicator_->status().captured_sequence, before.captured_sequence);
  replicator_->request_capture();
  expect_replica_is_current();
}

// The writer commits while a rollover reads: something is always uncaptured.
TEST_F(RollOverTest, ASnapshotBesideAWriterThatNeverRestsBegins) {
  App app(db_path_);
  start(rolling(20, 1000));
  must_settle();
  const auto before = replicator_->status().snapshots_published;
  int reads = 0;
  wal_.before_scan = [&] {
    if (++reads % 3 != 0) app.run(fill(10));  // in every moment would be too often for a snapshot to find a beginning
  };
  replicator_->request_snapshot();
  bool done = false;
  for (int i = 0; i < 300 && !done; ++i) {
    app.must(fill(10));
    ASSERT_FALSE(turn());
    done = replicator_->status().snapshots_published > before;
  }
  EXPECT_TRUE(done);
  wal_.before_scan = nullptr;
}

// A writer that has the write lock all the time but for a moment between two transactions of some 300 frames, one of
// which it commits each time that Cairn puts something aside.
TEST_F(RollOverTest, MiddlingTransactionsAreRolledOver) {
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  start(rolling(100, 1000));
  must_settle();
  bool open = false;
  const auto commit = [&] {
    if (open) app.must("COMMIT");
    open = false;
  };
  wal_.before_scan = commit;
  for (int i = 0; i < 200; ++i) {
    app.must("BEGIN IMMEDIATE");
    app.must(fill(2400));
    open = true;
    ASSERT_NO_FATAL_FAILURE(capture_after(5'000));
    commit();
    if (i % 4 == 0) {
      ASSERT_NO_FATAL_FAILURE(publish());
    }
  }
  wal_.before_scan = nullptr;
  EXPECT_GT(replicator_->status().rollovers, 5u);
  EXPECT_LT(replicator_->status().wal_frames, 20'000u);
}

TEST_F(RollOverTest, WithoutAnIntervalTheWalIsRolledOverToo) {
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  start(rolling(100, 0));
  must_settle();
  wal_.before_scan = [&] { app.run(fill(10)); };
  for (int i = 0; i < 1000; ++i) {
    app.must(fill(10));
    ASSERT_NO_FATAL_FAILURE(capture_after(500));
    if (i % 10 == 0) {
      ASSERT_NO_FATAL_FAILURE(publish());
    }
  }
  wal_.before_scan = nullptr;
  EXPECT_GT(replicator_->status().rollovers, 10u);
  EXPECT_LT(replicator_->status().wal_frames, 10'000u);
}

TEST_F(RollOverTest, ADiskThatIsFullIsNotWrittenFullAgainAndAgain) {
  App app(db_path_);
  start(rolling(20, 100));
  must_settle();
  app.must(fill(1));
  must_settle();
  disk_->room = 1 << 20;
  disk_->written = 0;
  app.must(fill(3'000, 700));
  const auto looks = replicator_->status().looks;
  for (int i = 0; i < 400; ++i) ASSERT_NO_FATAL_FAILURE(capture_after(5'000));
  EXPECT_GT(disk_->written, 0u);
  EXPECT_LT(disk_->written, 4 * disk_->room);
  EXPECT_GT(replicator_->status().looks, looks + 200);
  EXPECT_EQ(replicator_->status().database_trouble, "the disk is full");
  EXPECT_FALSE(fs::exists(dir_ / "state" / "spool" / "partial")) << "what fills the disk is still there";
  disk_->room = ~0ull;
  replicator_->request_capture();
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().database_trouble, "");
}

// What a rollover has read ahead lies in the database file by the time that the WAL is cut, or written over by a
// transaction that is not committed.
TEST_F(RollOverTest, WhatWasReadAheadIsPublishedAlthoughTheWalIsGone) {
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=10");
  start(rolling(20, 1000));
  for (const bool is_cut : {true, false}) {
    must_settle();
    app.must(fill(1));
    must_settle();
    const auto before = replicator_->status();
    app.must(fill(200));
    app.must("DELETE FROM t WHERE id % 3 = 1");
    for (int i = 0; i < 50 && replicator_->status().rollovers == before.rollovers; ++i) {
      ASSERT_NO_FATAL_FAILURE(capture_after(5'000));
    }
    ASSERT_EQ(replicator_->status().hold, "floor");
    ASSERT_NO_FATAL_FAILURE(capture_after(5'000));  // lets go of the checkpoint lock
    const std::string state = committed();
    if (is_cut) {
      ASSERT_EQ(app.ask("PRAGMA wal_checkpoint(TRUNCATE)"), "0");
      ASSERT_EQ(fs::file_size(db_path_ + "-wal"), 0u);
    } else {
      app.must("BEGIN");
      app.must(fill(3000));
    }
    ASSERT_EQ(replicator_->status().captured_sequence, before.captured_sequence);
    for (int i = 0; i < 100; ++i) ASSERT_FALSE(turn());
    EXPECT_EQ(replicator_->status().published_sequence, before.published_sequence + 1);
    EXPECT_TRUE(restored() == state);
    if (!is_cut) app.must("COMMIT");
    expect_replica_is_current();
  }
}

// What a rollover has read ahead is read again when the segment ends, out of a database file to which an application
// backfills at every moment. In each state that is published all rows are of one transaction.
TEST_F(RollOverTest, EachStateIsACommittedOneHoweverMuchIsBackfilledMeanwhile) {
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=1; CREATE TABLE sums (id INTEGER PRIMARY KEY, n INTEGER, filler TEXT)");
  app.must("INSERT INTO sums SELECT id, 0, hex(randomblob(1500)) FROM t WHERE id <= 40");
  start(rolling(30, 200));
  must_settle();
  int writes = 0;
  const auto write = [&] {
    ++writes;
    // Each time other pages, and all of them now and then.
    app.run(fmt::format("BEGIN IMMEDIATE; UPDATE sums SET n = {0} WHERE id % 4 = {0} % 4 OR {0} % 7 = 0; "
                        "UPDATE sums SET n = {0} WHERE id = 1; COMMIT",
                        writes));
    app.run("ROLLBACK");
  };
  std::map<std::string, std::string> committed;  // the first row, which tells the transaction, and all of them
  const auto remember = [&](App& one) {
    return std::pair(one.ask("SELECT n FROM sums WHERE id = 1"), one.ask("SELECT group_concat(n) FROM sums"));
  };
  wal_.before_look = wal_.before_scan = wal_.before_page = [&] {
    write();
    committed.insert(remember(app));
  };
  committed.insert(remember(app));
  for (int i = 0; i < 200; ++i) {
    write();
    committed.insert(remember(app));
    ASSERT_NO_FATAL_FAILURE(capture_after(5'000));
    ASSERT_NO_FATAL_FAILURE(publish());
  }
  wal_.before_look = wal_.before_scan = wal_.before_page = nullptr;
  must_settle();
  const auto status = replicator_->status();
  ASSERT_GT(status.rollovers, 5u);
  ASSERT_GT(status.published_sequence, 5u);
  for (std::uint64_t sequence = 1; sequence <= status.published_sequence; ++sequence) {
    RestoreTarget target;
    target.sequence = sequence;
    const std::string image = restored(target);
    std::ofstream(dir_ / "look.db", std::ios::binary) << image;
    App restored_one((dir_ / "look.db").string());
    const auto [first, all] = remember(restored_one);
    ASSERT_TRUE(committed.contains(first)) << sequence;
    EXPECT_EQ(all, committed[first]) << "segment " << sequence;
  }
}

// A writer is killed between the two copies of the WAL-index header while Cairn keeps other checkpointers out. Recovery
// needs the checkpoint lock.
TEST_F(RollOverTest, ATornIndexIsRepairedAlthoughTheCheckpointLockWasHeld) {
  App app(db_path_);
  start(rolling(20, 10));
  must_settle();
  app.must("PRAGMA wal_autocheckpoint=0");
  app.must(fill(300));
  const auto before = replicator_->status().rollovers;
  for (int i = 0; i < 50 && replicator_->status().rollovers == before; ++i) ASSERT_FALSE(turn());
  ASSERT_GT(replicator_->status().rollovers, before);
  ASSERT_EQ(app.ask("PRAGMA wal_checkpoint(PASSIVE)"), "1") << "the lock is not held";
  sqlite3_file* file = nullptr;
  sqlite3_file_control(app.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file);
  volatile void* index = nullptr;
  ASSERT_EQ(file->pMethods->xShmMap(file, 0, 32768, 0, &index), SQLITE_OK);
  auto* in_second_copy = static_cast<volatile unsigned char*>(index) + 56;
  *in_second_copy = static_cast<unsigned char>(*in_second_copy ^ 1);
  for (int i = 0; i < 45; ++i) ASSERT_FALSE(turn());
  app.must("INSERT INTO t (v) VALUES ('goes on')");
  expect_replica_is_current();
}

// The database's own disk is full: captured and published all the same.
TEST_F(RollOverTest, ACheckpointThatFailsKeepsNothingElseFromGoingOn) {
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  start(rolling(20, 10));
  must_settle();
  app.must("PRAGMA wal_checkpoint(TRUNCATE)");
  for (int i = 0; i < 10; ++i) ASSERT_FALSE(turn());
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit low = before;
  low.rlim_cur = fs::file_size(db_path_);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  const bool committed = app.run(fill(100)) == SQLITE_OK;
  const auto looks = replicator_->status().looks;
  int all = 0;
  for (int i = 0; i < 400 && committed; ++i) {
    now_.mono_us += 5'000;
    ASSERT_TRUE(replicator_->capture_step(now_));
    all += replicator_->status().captured_all ? 1 : 0;
  }
  const auto looked = replicator_->status().looks - looks;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_TRUE(committed) << "the WAL did not fit either";
  EXPECT_GT(looked, 100u);
  EXPECT_GT(all, 100);
  expect_replica_is_current();
}

// A pin that moved with each look would let an application whose WAL is long checkpoint a little with each commit.
TEST_F(RollOverTest, AnApplicationThatCommitsOnCheckpointsInFewPieces) {
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=10");
  start(rolling(100'000, 1000));
  must_settle();
  app.must(fill(10));
  int copied = 0, synced = 0;
  bool in_application = false;
  wal_.before_database_write = [&] { copied += in_application; };
  wal_.before_sync = [&] { synced += in_application; };
  constexpr int kCommits = 300;
  for (int i = 0; i < kCommits; ++i) {
    in_application = true;
    app.must(fill(1));
    in_application = false;
    ASSERT_NO_FATAL_FAILURE(capture_after(5'000));
  }
  wal_.before_database_write = wal_.before_sync = nullptr;
  EXPECT_EQ(replicator_->status().hold, "pin");
  EXPECT_GT(copied, 0) << "the pin never moved";
  EXPECT_LT(copied, kCommits / 2);
  EXPECT_LT(synced - kCommits, kCommits / 4) << "beside the one of each commit";
  expect_replica_is_current();
}

// An application that asks for FULL checkpoints, and waits for the pin to move.
class FullCheckpoints : public RollOverTest {
 protected:
  void begin(std::uint32_t rollover_frames) {
    app_.must("PRAGMA wal_autocheckpoint=0");
    start(rolling(rollover_frames, 1000));
    must_settle();
    sqlite3_busy_handler(app_.handle(), [](void* self, int) { return static_cast<FullCheckpoints*>(self)->wait(); },
                         this);
  }
  void commit(int times) {
    for (int i = 0; i < times; ++i) {
      app_.must(fill(1));
      ASSERT_NO_FATAL_FAILURE(capture_after(1'000));
    }
  }
  // How often it looked again.
  int checkpoint() {
    waits_ = 0;
    EXPECT_EQ(app_.ask("PRAGMA wal_checkpoint(FULL)"), "0");
    return waits_;
  }
  std::uint64_t frames() { return replicator_->status().wal_frames; }
  std::uint64_t rollovers() { return replicator_->status().rollovers; }

  App app_{db_path_};

 private:
  int wait() {
    capture_after(1'000);
    return ++waits_ < 50;
  }
  int waits_ = 0;
};

// It holds the write lock while it waits: then nothing is committed, and the pin goes.
TEST_F(FullCheckpoints, WaitForTwoLooksAtMost) {
  begin(100'000);
  for (int i = 0; i < 20; ++i) {
    commit(7);
    EXPECT_LE(checkpoint(), 2);
  }
  expect_replica_is_current();
}

// SQLite does not let it wait while a checkpoint of ours is at work, but answers SQLITE_BUSY.
TEST_F(FullCheckpoints, AreLeftToTheApplicationThatAsksForThem) {
  begin(100);
  while (frames() < 700) {
    commit(7);
    checkpoint();
    commit(1);
    ASSERT_EQ(rollovers(), 0u) << frames();
  }
  for (int i = 0; i < 200 && rollovers() == 0; ++i) commit(7);
  EXPECT_EQ(rollovers(), 1u) << "it is not left to grow for ever";
  expect_replica_is_current();
}

TEST_F(FullCheckpoints, OnceTheyAreNotAskedForAnyMoreTheWalIsRolledOver) {
  begin(100);
  commit(7);
  checkpoint();
  while (frames() < 300) commit(7);
  ASSERT_EQ(rollovers(), 0u);
  now_.mono_us += 10'000'000;
  for (int i = 0; i < 50 && rollovers() == 0; ++i) commit(1);
  EXPECT_EQ(rollovers(), 1u);
  expect_replica_is_current();
}

TEST_F(RollOverTest, AnOldReaderBesideAnIdleApplicationCostsLittle) {
  App app(db_path_), reader(db_path_);
  start(rolling(1000, 10));
  must_settle();
  app.must("PRAGMA wal_autocheckpoint=0");
  app.must(fill(10));
  reader.must("BEGIN");
  reader.ask("SELECT count(*) FROM t");
  app.must(fill(10'000));
  const auto gates = replicator_->status().write_lock_count;
  const std::int64_t until_us = now_.mono_us + 20'000'000;
  int steps = 0;
  while (now_.mono_us < until_us) {
    const auto step = replicator_->capture_step(now_);
    ASSERT_TRUE(step);
    ASSERT_NO_FATAL_FAILURE(publish());
    now_.mono_us = std::max(step->next_us, now_.mono_us + 100);
    ++steps;
  }
  EXPECT_LT(replicator_->status().write_lock_count - gates, 40u);
  EXPECT_LT(steps, 400);
  reader.must("COMMIT");
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(turn());
  expect_replica_is_current();
}

TEST_F(RollOverTest, BesideAnotherCheckpointerKeepsTheHold) {
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=7");
  start(rolling(30, options().interval_ms));
  must_settle();
  for (int i = 0; i < 400; ++i) {
    app.must(fill(4));
    if (i % 2) {
      ASSERT_FALSE(turn());
      EXPECT_NE(replicator_->status().hold, "none");
    }
  }
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().reconciles, 0u);
}

// However often the WAL is rolled over meanwhile, an interval makes one segment.
TEST_F(RollOverTest, ManyInAnIntervalMakeOneSegment) {
  App app(db_path_);
  start(rolling(20, 1000));
  must_settle();
  const auto before = replicator_->status();
  constexpr int kTurns = 250;  // of 20 ms: five intervals
  for (int i = 0; i < kTurns; ++i) {
    app.must(fill(4));
    if (i % 50 == 10) app.must("DELETE FROM t WHERE id % 3 = 0");
    if (i == 120) app.must("VACUUM");
    ASSERT_FALSE(turn());
  }
  const auto after = replicator_->status();
  EXPECT_GT(after.wal_restarts - before.wal_restarts, 20u);
  EXPECT_LE(after.captured_sequence - before.captured_sequence, 7u);
  EXPECT_GE(after.captured_sequence - before.captured_sequence, 4u);
  EXPECT_EQ(after.reconciles, 0u);
  expect_replica_is_current();
}

// Nothing is committed any more: what was read before its segment was due is published all the same.
TEST_F(RollOverTest, WhatItHasReadIsPublishedWhenTheWriterFallsSilent) {
  App app(db_path_);
  start(rolling(20, 1000));
  must_settle();
  app.must(fill(4));
  for (int i = 0; i < 3; ++i) ASSERT_FALSE(turn());
  const auto first = replicator_->status().captured_sequence;
  app.must(fill(400));
  for (int i = 0; i < 5; ++i) ASSERT_FALSE(turn());
  ASSERT_EQ(replicator_->status().captured_sequence, first) << "the interval is not over";
  ASSERT_FALSE(replicator_->status().captured_all) << "nothing was rolled over";
  for (int i = 0; i < 60; ++i) ASSERT_FALSE(turn());
  EXPECT_EQ(replicator_->status().published_sequence, first + 1);
  expect_replica_is_current();
}

// A crash takes it: the next start finds the difference in the database.
TEST_F(RollOverTest, WhatItHasReadSurvivesAKillInTheDatabase) {
  App app(db_path_);
  start(rolling(20, 1000));
  must_settle();
  for (int i = 0; i < 10; ++i) {
    app.must(fill(40));
    ASSERT_FALSE(turn());
  }
  ASSERT_GT(replicator_->status().captured_commits, replicator_->status().captured_sequence);
  stop(StopMode::crash);
  app.must(fill(3));
  start(rolling(20, 1000));
  expect_replica_is_current();
}

// With a store that is away, what waits for its segment stays within the limit, and the WAL keeps the rest.
TEST_F(RollOverTest, WhatWaitsForTheEndOfAnIntervalIsBounded) {
  App app(db_path_);
  auto o = rolling(20, 3'600'000);
  o.spool_limit_bytes = 1 << 20;
  start(o);
  must_settle();
  app.must(fill(1));
  must_settle();
  for (int i = 0; i < 300; ++i) {
    app.must(fill(100));
    ASSERT_FALSE(turn());
  }
  EXPECT_GT(replicator_->status().captured_sequence, 10u);
  replicator_->request_capture();
  expect_replica_is_current();
}

}  // namespace
}  // namespace cairn
