// What is seen of others' locks, and that a checkpoint is let by that waits for a pin in vain. The application's
// checkpoint is played by its locks: only so it stands where it is to stand.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <string>
#include <thread>

#include "sqlite/database.h"
#include "support/scratch.h"

namespace cairn::sqlite {
namespace {

constexpr int kWrite = 0, kCheckpoint = 1, kReaders = 3, kReaderCount = 5;  // wal.c

class LocksOfOthers : public ::testing::Test {
 protected:
  LocksOfOthers() {
    EXPECT_EQ(sqlite3_open(path_.c_str(), &app_), SQLITE_OK);
    run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(v)");
    auto opened = Database::open(path_, WalSwitch::refuse);
    EXPECT_TRUE(opened);
    database_ = std::move(*opened);
    EXPECT_TRUE(database_->take_hold());
  }
  ~LocksOfOthers() override {
    database_.reset();
    sqlite3_close(app_);
  }
  void run(const std::string& sql) {
    EXPECT_EQ(sqlite3_exec(app_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(app_);
  }
  void commit() { run("INSERT INTO t VALUES ('x')"); }
  // The application's own, exclusively.
  bool lock(int slot) { return lock(slot, app_); }
  void unlock(int slot) { unlock(slot, app_); }
  static bool lock(int slot, sqlite3* by) { return ask(slot, SQLITE_SHM_LOCK, by) == SQLITE_OK; }
  static void unlock(int slot, sqlite3* by) { ask(slot, SQLITE_SHM_UNLOCK, by); }
  bool may_lock(int slot) {
    const bool may = lock(slot);
    if (may) unlock(slot);
    return may;
  }
  // A checkpoint needs each of them once. Lock 0 only to backfill.
  bool may_lock_readers() {
    bool may = true;
    for (int slot = kReaders + 1; slot < kReaders + kReaderCount; ++slot) may = may_lock(slot) && may;
    return may;
  }
  bool advance() {
    const auto moved = database_->advance(now_us_);
    EXPECT_TRUE(moved);
    return moved && *moved;
  }
  bool may_be_waited_for_in_vain() { return database_->pin_may_be_waited_for_in_vain(*database_->look()); }

  testing::Scratch scratch_{"locks-of-others"};
  const std::string path_ = scratch_ / "app.db";
  sqlite3* app_ = nullptr;
  std::unique_ptr<Database> database_;
  std::int64_t now_us_ = 1'000'000;

 private:
  static int ask(int slot, int what, sqlite3* by) {
    sqlite3_file* file = nullptr;
    EXPECT_EQ(sqlite3_file_control(by, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
    return file->pMethods->xShmLock(file, slot, 1, what | SQLITE_SHM_EXCLUSIVE);
  }
};

TEST_F(LocksOfOthers, AreSeenAlsoOfThisProcess) {
  EXPECT_FALSE(database_->checkpointer_at_work());
  ASSERT_TRUE(lock(kCheckpoint));
  EXPECT_TRUE(database_->checkpointer_at_work());
  EXPECT_FALSE(database_->checkpointer_keeps_writers_waiting());
  ASSERT_TRUE(lock(kWrite));
  EXPECT_TRUE(database_->checkpointer_keeps_writers_waiting());
  unlock(kCheckpoint);
  EXPECT_FALSE(database_->checkpointer_at_work());
  EXPECT_FALSE(database_->checkpointer_keeps_writers_waiting());
  unlock(kWrite);
}

TEST_F(LocksOfOthers, APinThatCameBesideACheckpointStepsAsideAndComesBack) {
  commit();
  ASSERT_TRUE(lock(kCheckpoint) && lock(kWrite));
  ASSERT_TRUE(advance());
  EXPECT_FALSE(may_lock_readers());
  ASSERT_TRUE(may_be_waited_for_in_vain());
  ASSERT_TRUE(*database_->step_aside());
  EXPECT_TRUE(database_->is_aside());
  EXPECT_TRUE(may_lock_readers());
  EXPECT_FALSE(may_lock(kReaders)) << "somebody could backfill";
  ASSERT_TRUE(advance());
  EXPECT_FALSE(database_->is_aside());
  EXPECT_TRUE(may_lock(kReaders));
  EXPECT_FALSE(may_lock_readers()) << "somebody could begin the WAL anew";
  unlock(kCheckpoint);
  unlock(kWrite);
  EXPECT_FALSE(may_be_waited_for_in_vain());
}

TEST_F(LocksOfOthers, APinIsNotWaitedForInVainIfItWasThereFirstOrTheCheckpointGoesOn) {
  commit();
  ASSERT_TRUE(advance());
  ASSERT_TRUE(lock(kCheckpoint) && lock(kWrite));
  EXPECT_FALSE(may_be_waited_for_in_vain()) << "it was there first, and its mark is read as it is";
  ASSERT_TRUE(advance());
  ASSERT_TRUE(may_be_waited_for_in_vain());
  wal::IndexHeader past = *database_->look();
  past.attempted = past.max_frame;
  EXPECT_FALSE(database_->pin_may_be_waited_for_in_vain(past));
  unlock(kCheckpoint);
  unlock(kWrite);
}

TEST_F(LocksOfOthers, NothingStepsAsideWhileSomebodyBackfills) {
  commit();
  ASSERT_TRUE(advance());
  ASSERT_TRUE(lock(kReaders));
  EXPECT_FALSE(*database_->step_aside());
  EXPECT_FALSE(database_->is_aside());
  EXPECT_FALSE(may_lock_readers());
  unlock(kReaders);
}

TEST_F(LocksOfOthers, WhatIsCommittedWhileItStandsAsideStays) {
  commit();
  ASSERT_TRUE(advance());
  ASSERT_TRUE(*database_->step_aside());
  for (int i = 0; i < 5; ++i) commit();
  const auto before = *database_->look();
  int frames = 0, backfilled = 0;
  EXPECT_EQ(sqlite3_wal_checkpoint_v2(app_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, &frames, &backfilled), SQLITE_BUSY);
  const auto after = *database_->look();
  EXPECT_EQ(after.backfilled, before.backfilled);
  EXPECT_EQ(after.salts, before.salts);
  ASSERT_TRUE(advance());
  EXPECT_EQ(database_->pinned_frame(), after.max_frame);
}

// SQLite answers SQLITE_BUSY to whoever does not get that lock, and asks no busy handler.
TEST_F(LocksOfOthers, NoCheckpointOfAnApplicationIsRefusedForAProofThatNoneIsAtWork) {
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "SELECT * FROM t", nullptr, nullptr, nullptr), SQLITE_OK);
  std::atomic<bool> ends = false, takes_pin = false;
  std::atomic<int> begun = 0, refused = 0;
  std::thread checkpointer([&] {
    while (!ends) {
      const bool before = takes_pin;
      const bool has_it = lock(kCheckpoint, other);
      if (has_it) unlock(kCheckpoint, other);
      if (!before || !takes_pin) continue;
      ++begun;
      if (!has_it) ++refused;
    }
  });
  for (int i = 0; i < 300; ++i) {
    commit();  // and the WAL begins anew, under the floor
    takes_pin = true;
    while (!advance()) now_us_ += 1'000;
    takes_pin = false;
    while (sqlite3_wal_checkpoint_v2(app_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr) != SQLITE_OK) continue;
    const auto index = *database_->look();
    while (!*database_->try_floor(index.salts, index.max_frame)) continue;
  }
  ends = true;
  checkpointer.join();
  sqlite3_close(other);
  EXPECT_GT(begun, 0);
  EXPECT_EQ(refused, 0);
}

}  // namespace
}  // namespace cairn::sqlite
