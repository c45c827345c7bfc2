#include "sqlite/database_copy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "base/os.h"
#include "sqlite/integrity.h"
#include "sqlite/lock_table.h"
#include "support/scratch.h"

namespace cairn::sqlite {
namespace {

class App {
 public:
  explicit App(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &connection_), SQLITE_OK);
    sqlite3_busy_timeout(connection_, 5000);
  }
  ~App() { sqlite3_close(connection_); }
  int try_run(const std::string& sql) { return sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr); }
  void run(const std::string& sql) { EXPECT_EQ(try_run(sql), SQLITE_OK) << sql << ": " << sqlite3_errmsg(connection_); }
  std::int64_t number(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(connection_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK);
    EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW);
    const std::int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
  }
  // The pages as SQLite itself sees them in one read transaction.
  std::string pages() {
    sqlite3_int64 size = 0;
    unsigned char* bytes = sqlite3_serialize(connection_, "main", &size, 0);
    std::string copy(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
    sqlite3_free(bytes);
    return copy;
  }

 private:
  sqlite3* connection_ = nullptr;
};

// All that a look at the directory tells.
using Names = std::map<std::string, std::string>;
Names look_at(const std::string& directory) {
  Names names;
  for (const auto& one : std::filesystem::directory_iterator(directory)) {
    struct stat info {};
    ::stat(one.path().c_str(), &info);
    const bool is_shm = one.path().string().ends_with("-shm");  // read marks are set in it
    names[one.path().filename()] =
        is_shm ? "" : std::to_string(info.st_size) + " " + std::to_string(info.st_mtim.tv_nsec) + " " +
                          std::to_string(info.st_ctim.tv_nsec);
  }
  return names;
}

constexpr const char* kFill =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 500) "
    "INSERT INTO t SELECT randomblob(300) FROM n";

class DatabaseCopyTest : public ::testing::Test {
 protected:
  DatabaseCopyTest() {
    std::filesystem::create_directory(scratch_ / "d");
    directory_ = FileDescriptor(::open((scratch_ / "d").c_str(), O_RDONLY | O_DIRECTORY));
  }
  std::unique_ptr<DatabaseCopy> open() {
    auto copy = DatabaseCopy::open(directory_.get(), "app.db");
    EXPECT_TRUE(copy.has_value()) << copy.error().message();
    return copy ? std::move(*copy) : nullptr;
  }
  static std::string read(DatabaseCopy& copy, std::size_t piece = 100'000) {
    std::string bytes(copy.size_bytes(), '?');
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      const auto into = std::as_writable_bytes(std::span(bytes)).subspan(at, std::min(piece, bytes.size() - at));
      EXPECT_TRUE(copy.read_at(at, into).has_value());
    }
    return bytes;
  }
  bool is_one() { return *has_contents_in_wal(directory_.get(), "app.db"); }
  int scratch_fd() {
    if (!around_.is_open()) around_ = FileDescriptor(::open(scratch_.path().c_str(), O_RDONLY | O_DIRECTORY));
    return around_.get();
  }
  // The three files of what `app` has filled elsewhere: nobody is connected to these. Copying them takes its locks
  // away, since this process opens and closes what it has locked.
  void leave_behind(App& app) {
    app.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a)");
    app.run(kFill);
    EXPECT_TRUE(is_seen_connected(scratch_fd(), "source.db"));
    for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::copy(source_ + ending, path_ + ending);
  }
  static std::string file_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  testing::Scratch scratch_{"copy"};
  FileDescriptor directory_, around_;
  const std::string path_ = scratch_ / "d/app.db", source_ = scratch_ / "source.db";
};

TEST_F(DatabaseCopyTest, IsWhatSqliteSeesInEveryStateOfTheWal) {
  App app(path_);
  app.run("PRAGMA page_size=1024; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a)");
  const auto agrees = [&] {
    const Names before = look_at(scratch_ / "d");
    {
      const auto copy = open();
      ASSERT_TRUE(copy);
      EXPECT_EQ(read(*copy), app.pages());
      EXPECT_EQ(read(*copy, 777), app.pages());  // pieces that are no pages
      EXPECT_TRUE(*copy->stands_still());
    }
    EXPECT_EQ(look_at(scratch_ / "d"), before);
  };
  EXPECT_TRUE(is_one());
  agrees();
  app.run(kFill);
  agrees();
  app.run("PRAGMA wal_checkpoint");  // all is in the file
  agrees();
  app.run("UPDATE t SET a = randomblob(300) WHERE rowid % 7 = 0");  // the WAL begins again
  agrees();
  app.run("PRAGMA wal_checkpoint(TRUNCATE)");
  agrees();
  app.run("DELETE FROM t; VACUUM");  // it shrinks, in the WAL alone
  agrees();
}

TEST_F(DatabaseCopyTest, StaysTheSameWhileTheDatabaseGoesOn) {
  App app(path_);
  app.run("PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
  for (const bool checkpointed : {false, true}) {
    app.run(kFill);
    if (checkpointed) app.run("PRAGMA wal_checkpoint");
    const std::string then = app.pages();
    const auto copy = open();
    ASSERT_TRUE(copy);
    for (int i = 0; i < 5; ++i) {
      app.run("UPDATE t SET a = randomblob(301)");
      app.run("PRAGMA wal_checkpoint");
    }
    EXPECT_EQ(read(*copy), then);
    EXPECT_NE(app.pages(), then);
  }
}

TEST_F(DatabaseCopyTest, HoldsNothingOnceItIsGone) {
  App app(path_);
  app.run("PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
  app.run(kFill);
  {
    const auto copy = open();
    EXPECT_EQ(app.number("PRAGMA wal_checkpoint(TRUNCATE)"), 1);  // busy, like under any reader
  }
  EXPECT_EQ(app.number("PRAGMA wal_checkpoint(TRUNCATE)"), 0);
  EXPECT_EQ(std::filesystem::file_size(path_ + "-wal"), 0u);
}

// A -wal that a dead program left, with and without a -shm: what is committed counts, what is behind it does not.
TEST_F(DatabaseCopyTest, LeftBehind) {
  const std::string source = scratch_ / "source.db";
  App app(source);
  app.run("PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
  app.run(kFill);
  const std::string committed = app.pages();
  app.run("PRAGMA cache_size=1; BEGIN");
  app.run(kFill);  // spills frames that are never committed
  std::filesystem::copy(source, path_);
  std::filesystem::copy(source + "-wal", path_ + "-wal");
  app.run("ROLLBACK");
  const Names before = look_at(scratch_ / "d");
  EXPECT_TRUE(is_one());
  {
    const auto copy = open();
    ASSERT_TRUE(copy);
    EXPECT_EQ(read(*copy), committed);
    EXPECT_TRUE(*copy->stands_still());
    EXPECT_EQ(look_at(scratch_ / "d"), before);
    App somebody(path_);
    somebody.run("INSERT INTO t VALUES ('behind it')");
    EXPECT_TRUE(*copy->stands_still());
    somebody.run("PRAGMA wal_checkpoint");  // puts over the file what the copy does not have
    EXPECT_FALSE(*copy->stands_still());
  }
}

// A -shm that nobody is seen connected to is left as it is: who is connected through an overlay mount has it mapped.
TEST_F(DatabaseCopyTest, WithoutALockThatIsSeenTheIndexIsNotTouched) {
  App app(source_);
  leave_behind(app);
  EXPECT_FALSE(is_seen_connected(directory_.get(), "app.db"));
  const std::string index = file_of(path_ + "-shm");
  const auto copy = open();
  ASSERT_TRUE(copy);
  EXPECT_EQ(read(*copy), app.pages());
  EXPECT_TRUE(*copy->stands_still());
  EXPECT_EQ(file_of(path_ + "-shm"), index);
}

// By the index it has been committed, by the checksums it has not: which is right is not to be known here.
TEST_F(DatabaseCopyTest, WithoutALockThatIsSeenAnIndexThatPromisesMoreIsNotPassedOver) {
  App app(source_);
  leave_behind(app);
  std::filesystem::resize_file(path_ + "-wal", std::filesystem::file_size(path_ + "-wal") - 1);
  const auto copy = open();
  ASSERT_TRUE(copy);
  EXPECT_FALSE(*copy->stands_still());
}

TEST_F(DatabaseCopyTest, WithoutALockThatIsSeenAWalThatBeginsAgainShows) {
  App app(source_);
  leave_behind(app);
  const auto copy = open();
  ASSERT_TRUE(copy);
  app.run("PRAGMA wal_checkpoint(RESTART)");
  app.run("INSERT INTO t VALUES (1)");
  const std::string begun_again = file_of(source_ + "-wal");
  std::fstream(path_ + "-wal", std::ios::in | std::ios::out | std::ios::binary)
      .write(begun_again.data(), static_cast<std::streamsize>(begun_again.size()));
  EXPECT_FALSE(*copy->stands_still());
}

// Nor is an index believed: who has one of his own (locking_mode=EXCLUSIVE) leaves another's as it is.
TEST_F(DatabaseCopyTest, WithoutALockThatIsSeenAFileThatIsWrittenToShows) {
  App app(source_);
  leave_behind(app);
  const auto copy = open();
  ASSERT_TRUE(copy);
  EXPECT_TRUE(*copy->stands_still());
  std::fstream(path_, std::ios::in | std::ios::out | std::ios::binary).seekp(5000).put('x');
  EXPECT_FALSE(*copy->stands_still());
}

// A commit that was written and came to nothing, with the next one over it: under the same header.
TEST_F(DatabaseCopyTest, WithoutALockThatIsSeenAFrameThatIsOverwrittenShows) {
  App app(source_);
  leave_behind(app);
  const auto copy = open();
  ASSERT_TRUE(copy);
  const auto end = static_cast<std::streamoff>(std::filesystem::file_size(path_ + "-wal"));
  std::fstream(path_ + "-wal", std::ios::in | std::ios::out | std::ios::binary).seekp(end - 3 * 4120 + 100).put('x');
  EXPECT_FALSE(*copy->stands_still());
}

// What is no whole database is kept as it is, and said to be no state.
TEST_F(DatabaseCopyTest, WithoutALockThatIsSeenAFileOfLessThanAPageIsNotLeftOut) {
  {
    App app(path_);
    app.run("PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
  }
  std::filesystem::resize_file(path_, 1000);
  std::ofstream(path_ + "-wal");
  std::ofstream(path_ + "-shm") << std::string(32768, '\0');
  EXPECT_TRUE(is_one());
  const auto copy = open();
  ASSERT_TRUE(copy);
  EXPECT_EQ(read(*copy), file_of(path_));
  EXPECT_FALSE(*copy->stands_still());
}

// A hold that binds nobody: the mount it was taken in is gone, and another one in its place.
TEST_F(DatabaseCopyTest, UnderAFloorAFileThatIsWrittenToShows) {
  App app(path_);
  app.run("PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
  app.run(kFill);
  app.run("PRAGMA wal_checkpoint");
  const auto copy = open();
  ASSERT_TRUE(copy);
  EXPECT_TRUE(*copy->stands_still());
  const int file = ::open(path_.c_str(), O_WRONLY);  // and not closed: that would drop locks
  ASSERT_EQ(::pwrite(file, "x", 1, 5000), 1);
  EXPECT_FALSE(*copy->stands_still());
}

// A program that is at work all the time is copied too, as long as no checkpoint comes in between.
TEST_F(DatabaseCopyTest, WithoutALockThatIsSeenWhatIsWrittenBehindIsNoHarm) {
  App app(source_);
  leave_behind(app);
  const std::string then = app.pages();
  const auto copy = open();
  ASSERT_TRUE(copy);
  app.run("INSERT INTO t VALUES ('behind it')");
  const std::string more = file_of(source_ + "-wal");
  std::fstream(path_ + "-wal", std::ios::in | std::ios::out | std::ios::binary)
      .write(more.data(), static_cast<std::streamsize>(more.size()));
  EXPECT_EQ(read(*copy), then);
  EXPECT_TRUE(*copy->stands_still());
}

// A transaction that has spilled, or was rolled back, of one who has his WAL-index in memory: his next commits go
// there, and would be replayed over an older copy of the file if the -wal were kept as a file of its own.
TEST_F(DatabaseCopyTest, WithoutALockThatIsSeenAWalWithoutACommitIsNoFileOfItsOwn) {
  App app(source_);
  app.run("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a)");
  app.run(kFill);
  app.run("PRAGMA wal_checkpoint(RESTART); PRAGMA cache_size=1; BEGIN");
  app.run("UPDATE t SET a = randomblob(400)");
  ASSERT_FALSE(std::filesystem::exists(source_ + "-shm"));
  for (const char* ending : {"", "-wal"})
    std::ofstream(path_ + ending, std::ios::binary) << file_of(source_ + ending);
  ::usleep(1000 * kSettleMs);
  EXPECT_TRUE(is_one());
  const auto copy = open();
  ASSERT_TRUE(copy);
  app.run("ROLLBACK");
  EXPECT_EQ(read(*copy), app.pages());
  EXPECT_TRUE(*copy->stands_still());
}

// Behind a frame that has no checksum lie commits that only who is connected can read (docs/sqlite.md, "Savepoints").
TEST_F(DatabaseCopyTest, WithoutALockThatIsSeenAFrameWithoutAChecksumIsNotPassedOver) {
  for (const bool has_none : {false, true}) {
    SCOPED_TRACE(has_none);
    App app(source_);
    leave_behind(app);
    std::filesystem::remove(path_ + "-shm");
    std::string frame(24 + 4096, has_none ? '\0' : 'x');
    frame[3] = 2;  // of page 2
    std::ofstream(path_ + "-wal", std::ios::binary | std::ios::app) << frame;
    const auto copy = open();
    ASSERT_TRUE(copy);
    EXPECT_EQ(read(*copy), app.pages());
    EXPECT_EQ(*copy->stands_still(), !has_none);
    for (const char* ending : {"", "-wal", "-shm"}) std::filesystem::remove(path_ + ending);
    app.run("DROP TABLE t");
  }
}

TEST_F(DatabaseCopyTest, UnderAPinACheckpointUpToThereIsNoHarm) {
  App app(path_);
  app.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a)");
  app.run(kFill);
  app.run("PRAGMA wal_checkpoint");
  app.run("INSERT INTO t VALUES (1)");
  const auto copy = open();
  ASSERT_TRUE(copy);
  app.run("INSERT INTO t VALUES (2)");
  EXPECT_TRUE(*copy->stands_still());
  app.run("PRAGMA wal_checkpoint");
  EXPECT_TRUE(*copy->stands_still());
}

// The same of a pin: an index that was made anew does not say that more was written to the file than up to there.
TEST_F(DatabaseCopyTest, UnderAPinAFileThatIsWrittenToWithoutACheckpointShows) {
  App app(path_);
  app.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a)");
  app.run(kFill);
  const auto copy = open();
  ASSERT_TRUE(copy);
  EXPECT_TRUE(*copy->stands_still());
  ::usleep(1000 * kSettleMs);
  const int file = ::open(path_.c_str(), O_WRONLY);  // and not closed: that would drop locks
  ASSERT_EQ(::pwrite(file, "x", 1, 5000), 1);
  EXPECT_FALSE(*copy->stands_still());
}

// Anybody who may write there can put one, and SQLite would wait at it for ever.
TEST_F(DatabaseCopyTest, AJournalThatIsNoFileIsNotOpened) {
  App app(path_);
  app.run("PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
  app.run(kFill);
  for (const bool is_fifo : {true, false}) {
    SCOPED_TRACE(is_fifo);
    const std::string journal = path_ + "-journal";
    ASSERT_EQ(is_fifo ? ::mkfifo(journal.c_str(), 0600) : ::mkdir(journal.c_str(), 0700), 0);
    const auto copy = open();
    ASSERT_TRUE(copy);
    EXPECT_EQ(read(*copy), app.pages());
    EXPECT_TRUE(*copy->stands_still());
    std::filesystem::remove(journal);
  }
}

// One that SQLite cannot make sense of, though somebody is connected: all else in the layer does not wait for it.
TEST_F(DatabaseCopyTest, OneThatCannotBeReadUnderLocksIsCopiedAndKnownForTorn) {
  const pid_t program = ::fork();
  if (program == 0) {
    sqlite3* connection = nullptr;
    sqlite3_open(path_.c_str(), &connection);
    sqlite3_exec(connection, "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1)", nullptr, nullptr,
                 nullptr);
    ::truncate((path_ + "-wal").c_str(), 100);
    std::ofstream(scratch_ / "ready");
    while (true) ::pause();
  }
  while (!std::filesystem::exists(scratch_ / "ready")) ::usleep(1000);
  EXPECT_TRUE(is_seen_connected(directory_.get(), "app.db"));
  const auto copy = open();
  ASSERT_TRUE(copy);
  EXPECT_EQ(read(*copy).size(), copy->size_bytes());
  EXPECT_FALSE(*copy->stands_still());
  ::kill(program, SIGKILL);
  ::waitpid(program, nullptr, 0);
}

TEST_F(DatabaseCopyTest, WhatIsNoSuchDatabase) {
  EXPECT_FALSE(is_one());
  EXPECT_EQ(open(), nullptr);
  {
    App app(path_);
    app.run("CREATE TABLE t(a)");
    EXPECT_FALSE(is_one());
  }
  // In rollback mode, with files that seem to be of a WAL: SQLite must not even look, for it would roll back a journal.
  for (const char* ending : {"-wal", "-shm"}) std::ofstream(path_ + ending) << std::string(64, 'x');
  const Names before = look_at(scratch_ / "d");
  EXPECT_FALSE(is_one());
  EXPECT_EQ(open(), nullptr);
  std::ofstream(path_) << "no database at all, and longer than its header would be: " << std::string(200, 'x');
  EXPECT_FALSE(is_one());
  EXPECT_EQ(open(), nullptr);
  EXPECT_EQ(look_at(scratch_ / "d").size(), before.size());
}

TEST_F(DatabaseCopyTest, HotJournalIsNotTouched) {
  const std::string source = scratch_ / "source.db";
  App app(source);
  app.run("CREATE TABLE t(a); PRAGMA cache_size=1; BEGIN");
  app.run(kFill);
  for (const char* ending : {"", "-journal"}) std::filesystem::copy(source + ending, path_ + ending);
  app.run("ROLLBACK");
  for (const char* ending : {"-wal", "-shm"}) std::ofstream(path_ + ending) << "";
  const Names before = look_at(scratch_ / "d");
  ASSERT_GT(std::filesystem::file_size(path_ + "-journal"), 0u);
  EXPECT_FALSE(is_one());
  EXPECT_EQ(open(), nullptr);
  EXPECT_EQ(look_at(scratch_ / "d"), before);
}

TEST_F(DatabaseCopyTest, LinksLeadNowhere) {
  const std::string outside = scratch_ / "outside.db";
  App app(outside);
  app.run("PRAGMA journal_mode=WAL; CREATE TABLE t(a)");
  app.run(kFill);
  std::filesystem::create_symlink(outside, path_);
  for (const char* ending : {"-wal", "-shm"}) std::filesystem::copy(outside + ending, path_ + ending);
  EXPECT_FALSE(is_one());
  const auto copy = DatabaseCopy::open(directory_.get(), "app.db");
  EXPECT_TRUE(!copy || *copy == nullptr);
}

// Copies one after the other while somebody else writes and checkpoints as fast as it can: each is whole, and each of
// a state that was committed, which its two counters and the sum of its rows tell.
TEST_F(DatabaseCopyTest, EachIsACommittedStateUnderAWriter) {
  App app(path_);
  app.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=10; CREATE TABLE t(a); CREATE TABLE n(count, again); "
          "INSERT INTO n VALUES (0, 0)");
  std::atomic<bool> stop = false;
  std::atomic<int> committed = 0;
  std::thread writer([&] {
    App own(path_);
    own.run("PRAGMA wal_autocheckpoint=10");
    while (!stop) {
      own.run("BEGIN IMMEDIATE; UPDATE n SET count = count + 1; INSERT INTO t VALUES (randomblob(700)); "
              "UPDATE n SET again = again + 1; COMMIT");
      if (++committed % 50 == 0) (void)own.try_run("PRAGMA wal_checkpoint(TRUNCATE)");
    }
  });
  std::int64_t newest = 0;
  for (int i = 0; i < 15; ++i) {
    const int least = committed;
    while (committed < least + 3) std::this_thread::yield();
    const auto copy = open();
    ASSERT_TRUE(copy);
    const std::string bytes = read(*copy);
    const std::string kept = scratch_ / "kept.db";
    std::ofstream(kept, std::ios::binary | std::ios::trunc) << bytes;
    const auto complaints = integrity_check(kept);
    ASSERT_TRUE(complaints);
    EXPECT_TRUE(complaints->empty()) << complaints->front();
    App reader(kept);
    const std::int64_t count = reader.number("SELECT count FROM n");
    EXPECT_EQ(reader.number("SELECT again FROM n"), count);
    EXPECT_EQ(reader.number("SELECT count(*) FROM t"), count);
    EXPECT_GE(count, least);
    EXPECT_GT(count, newest);
    newest = count;
  }
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace cairn::sqlite
