// A checkpoint of an application that waits for our pin in vain (docs/sqlite.md) is let by.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;

constexpr int kWrite = 0, kCheckpoint = 1, kReaders = 3, kReaderCount = 5;  // wal.c

class BesideCheckpointTest : public ReplicatorTest {
 protected:
  BesideCheckpointTest() { make_database(); }
  ~BesideCheckpointTest() override { stop(StopMode::crash); }
  void capture_after(std::int64_t us) {
    now_.mono_us += us;
    now_.wall_ms += us / 1000;
    const auto done = replicator_->capture_step(now_);
    ASSERT_TRUE(done) << done.error().message();
    next_us_ = done->next_us - now_.mono_us;
  }
  bool ask(int slot, int count, int what) const {
    sqlite3_file* file = nullptr;
    EXPECT_EQ(sqlite3_file_control(app_->handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
    return file->pMethods->xShmLock(file, slot, count, what | SQLITE_SHM_EXCLUSIVE) == SQLITE_OK;
  }
  bool may_lock(int slot, int count) const {
    return ask(slot, count, SQLITE_SHM_LOCK) && ask(slot, count, SQLITE_SHM_UNLOCK);
  }
  bool may_backfill() const { return may_lock(kReaders, 1); }
  bool may_pass_readers() const { return may_lock(kReaders + 1, kReaderCount - 1); }

  std::unique_ptr<App> app_;
  std::int64_t next_us_ = 0;  // when the last step wants the next one
};

TEST_F(BesideCheckpointTest, ItIsLetByAndThenHeldAsBefore) {
  app_ = std::make_unique<App>(db_path_);
  app_->must("PRAGMA wal_autocheckpoint=0");
  start();
  must_settle();
  app_->must("INSERT INTO t (v) VALUES ('a')");
  ASSERT_TRUE(ask(kWrite, 2, SQLITE_SHM_LOCK));  // and kCheckpoint
  ASSERT_NO_FATAL_FAILURE(capture_after(1'000));
  EXPECT_FALSE(may_pass_readers()) << "there is no pin";
  EXPECT_LT(next_us_, 50'000) << "whoever waits commits nothing that would wake us";
  ASSERT_NO_FATAL_FAILURE(capture_after(5'000));
  EXPECT_FALSE(may_pass_readers()) << "a checkpoint that just goes on would wait for lock 0";
  for (const std::int64_t aside_us : {30'000, 110'000}) {
    ASSERT_NO_FATAL_FAILURE(capture_after(110'000));
    EXPECT_TRUE(may_pass_readers());
    EXPECT_FALSE(may_backfill());
    EXPECT_EQ(next_us_, aside_us);
    ASSERT_NO_FATAL_FAILURE(capture_after(aside_us - 1'000));
    EXPECT_FALSE(may_backfill());
    ASSERT_NO_FATAL_FAILURE(capture_after(1'000));
    EXPECT_TRUE(may_backfill());
    EXPECT_FALSE(may_pass_readers());
  }
  ASSERT_TRUE(ask(kWrite, 2, SQLITE_SHM_UNLOCK));
  ASSERT_NO_FATAL_FAILURE(capture_after(200'000));
  EXPECT_FALSE(may_pass_readers()) << "nobody waits any more";
  app_->must("INSERT INTO t (v) VALUES ('b')");
  must_settle();
  expect_replica_is_current();
}

}  // namespace
}  // namespace cairn
