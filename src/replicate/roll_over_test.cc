// Rolling over beside writers that leave little room for it, and what else must go on meanwhile.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <functional>

#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;
namespace fs = std::filesystem;

// Tells before each write to the backlog, and may refuse it.
class HookedFiles final : public FileSystem {
 public:
  explicit HookedFiles(std::unique_ptr<FileSystem> inner) : inner_(std::move(inner)) {}
  std::function<Result<void>(std::uint64_t offset, ByteView bytes)> before_write;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, int permissions) override {
    CAIRN_ASSIGN(auto file, inner_->open(path, mode, permissions));
    if (!path.ends_with("/backlog")) return file;
    return std::unique_ptr<File>(new HookedFile(std::move(file), *this));
  }
  Result<std::unique_ptr<MappedFile>> map(const std::string& path, std::uint64_t size) override {
    return inner_->map(path, size);
  }
  Result<FileInfo> info(const std::string& path) override { return inner_->info(path); }
  Result<void> rename(const std::string& from, const std::string& to) override { return inner_->rename(from, to); }
  Result<void> link_new(const std::string& from, const std::string& to) override {
    return inner_->link_new(from, to);
  }
  Result<void> remove(const std::string& path) override { return inner_->remove(path); }
  Result<void> make_directories(const std::string& path, int permissions) override {
    return inner_->make_directories(path, permissions);
  }
  Result<void> sync_directory(const std::string& path) override { return inner_->sync_directory(path); }
  Result<std::vector<std::string>> list(const std::string& path) override { return inner_->list(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return inner_->lock(path); }

 private:
  class HookedFile final : public File {
   public:
    HookedFile(std::unique_ptr<File> file, HookedFiles& hooks) : file_(std::move(file)), hooks_(hooks) {}
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
      return file_->read_at(offset, into);
    }
    Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
      if (hooks_.before_write) CAIRN_TRY(hooks_.before_write(offset, bytes));
      return file_->write_at(offset, bytes);
    }
    Result<std::uint64_t> size() const override { return file_->size(); }
    Result<void> truncate(std::uint64_t size) override { return file_->truncate(size); }
    Result<void> sync() override { return file_->sync(); }
    void start_writeback(std::uint64_t from, std::uint64_t to) override { file_->start_writeback(from, to); }

   private:
    std::unique_ptr<File> file_;
    HookedFiles& hooks_;
  };

  std::unique_ptr<FileSystem> inner_;
};

class RollOverTest : public ReplicatorTest {
 protected:
  RollOverTest() {
    auto hooked = std::make_unique<HookedFiles>(std::move(files_));
    hooks_ = hooked.get();
    files_ = std::move(hooked);
    make_database();
  }
  ReplicatorOptions rolling(std::uint32_t frames, std::int64_t interval_ms) {
    ReplicatorOptions o = options();
    o.rollover_frames = frames;
    o.interval_ms = interval_ms;
    return o;
  }
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

  HookedFiles* hooks_ = nullptr;
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
  for (int i = 0; i < 5; ++i) ASSERT_FALSE(turn());
  ASSERT_TRUE(fs::exists(dir_ / "state" / "backlog"));
  replicator_->request_capture();
  expect_replica_is_current();
}

// The writer commits while a rollover puts aside what it has read: something is always uncaptured.
TEST_F(RollOverTest, ASnapshotBesideAWriterThatNeverRestsBegins) {
  App app(db_path_);
  start(rolling(20, 1000));
  must_settle();
  const auto before = replicator_->status().snapshots_published;
  hooks_->before_write = [&](std::uint64_t, ByteView) -> Result<void> {
    app.run(fill(10));
    return {};
  };
  replicator_->request_snapshot();
  bool done = false;
  for (int i = 0; i < 300 && !done; ++i) {
    app.must(fill(10));
    ASSERT_FALSE(turn());
    done = replicator_->status().snapshots_published > before;
  }
  EXPECT_TRUE(done);
  hooks_->before_write = nullptr;
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
  hooks_->before_write = [&](std::uint64_t, ByteView) -> Result<void> {
    commit();
    return {};
  };
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
  hooks_->before_write = nullptr;
  EXPECT_GT(replicator_->status().rollovers, 5u);
  EXPECT_LT(replicator_->status().wal_frames, 20'000u);
}

TEST_F(RollOverTest, WithoutAnIntervalTheWalIsRolledOverToo) {
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  start(rolling(100, 0));
  must_settle();
  hooks_->before_write = [&](std::uint64_t, ByteView) -> Result<void> {
    app.run(fill(10));
    return {};
  };
  for (int i = 0; i < 1000; ++i) {
    app.must(fill(10));
    ASSERT_NO_FATAL_FAILURE(capture_after(500));
    if (i % 10 == 0) {
      ASSERT_NO_FATAL_FAILURE(publish());
    }
  }
  hooks_->before_write = nullptr;
  EXPECT_GT(replicator_->status().rollovers, 10u);
  EXPECT_LT(replicator_->status().wal_frames, 10'000u);
}

TEST_F(RollOverTest, ADiskThatIsFullIsNotWrittenFullAgainAndAgain) {
  App app(db_path_);
  start(rolling(20, 60'000));
  must_settle();
  app.must(fill(1));
  must_settle();
  constexpr std::uint64_t kRoom = 1 << 20;
  std::uint64_t written = 0;
  hooks_->before_write = [&](std::uint64_t at, ByteView bytes) -> Result<void> {
    written += bytes.size();
    return at + bytes.size() > kRoom ? Error(ErrorKind::io, "the disk is full") : Result<void>();
  };
  app.must(fill(12'000));
  const auto looks = replicator_->status().looks;
  for (int i = 0; i < 200; ++i) ASSERT_NO_FATAL_FAILURE(capture_after(5'000));
  EXPECT_LT(written, 4 * kRoom);
  EXPECT_GT(replicator_->status().looks, looks + 100);
  EXPECT_EQ(replicator_->status().database_trouble, "the disk is full");
  const fs::path backlog = dir_ / "state" / "backlog";
  EXPECT_LT(fs::exists(backlog) ? fs::file_size(backlog) : 0, 100'000u) << "what fills the disk is still there";
  hooks_->before_write = nullptr;
  replicator_->request_capture();
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().database_trouble, "");
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

}  // namespace
}  // namespace cairn
