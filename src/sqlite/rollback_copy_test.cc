#include "sqlite/rollback_copy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "base/os.h"
#include "support/scratch.h"

namespace cairn::sqlite {
namespace {

using Lock = RollbackReading::Lock;

class Writer {
 public:
  explicit Writer(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &connection_), SQLITE_OK);
  }
  ~Writer() { sqlite3_close(connection_); }
  int try_run(const std::string& sql) { return sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, nullptr); }
  void run(const std::string& sql) { EXPECT_EQ(try_run(sql), SQLITE_OK) << sql << ": " << sqlite3_errmsg(connection_); }

 private:
  sqlite3* connection_ = nullptr;
};

std::string bytes_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

std::map<std::string, FileStamp> stamps_in(const std::string& directory) {
  std::map<std::string, FileStamp> all;
  const FileDescriptor open(::open(directory.c_str(), O_RDONLY | O_DIRECTORY));
  for (const auto& one : std::filesystem::directory_iterator(directory)) {
    all[one.path().filename()] = *file_stamp(open.get(), one.path().filename());
  }
  return all;
}

constexpr const char* kMany = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 300) "
                              "INSERT INTO t SELECT x, zeroblob(300) FROM n";
// The cache has no room for it, so it is written to the file before it is committed.
constexpr const char* kSpill = "PRAGMA cache_size=1; BEGIN; UPDATE t SET b = randomblob(300)";

class RollbackCopyTest : public ::testing::Test {
 protected:
  RollbackCopyTest() {
    std::filesystem::create_directory(folder_);
    directory_ = FileDescriptor(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY));
  }
  std::unique_ptr<RollbackCopy> open(Lock lock = Lock::let_go, std::int64_t wait_ms = 60'000) {
    RollbackReading how;
    how.lock = lock;
    how.wait_ms = wait_ms;
    return open(how);
  }
  std::unique_ptr<RollbackCopy> open(const RollbackReading& how) {
    auto copy = RollbackCopy::open(directory_.get(), "app.db", how);
    EXPECT_TRUE(copy.has_value()) << copy.error().message();
    return copy ? std::move(*copy) : nullptr;
  }
  static std::string read(RollbackCopy& copy, std::size_t piece = 10'007) {
    std::string bytes(copy.size_bytes(), '?');
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      const auto into = std::as_writable_bytes(std::span(bytes)).subspan(at, std::min(piece, bytes.size() - at));
      EXPECT_TRUE(copy.read_at(at, into).has_value());
    }
    return bytes;
  }
  JournalRole role() { return *role_of_journal(directory_.get(), "app.db"); }

  // As if its writer had been killed just now.
  void leave_behind(const std::string& from) {
    std::filesystem::copy_file(from, path_, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::copy_file(from + "-journal", path_ + "-journal",
                               std::filesystem::copy_options::overwrite_existing);
  }
  // What SQLite makes of the two.
  std::string rolled_back() {
    const std::string other = scratch_ / "other.db";
    const auto replace = std::filesystem::copy_options::overwrite_existing;
    std::filesystem::copy_file(path_, other, replace);
    std::filesystem::copy_file(path_ + "-journal", other + "-journal", replace);
    Writer(other).try_run("SELECT count(*) FROM sqlite_schema");
    std::filesystem::remove(other + "-journal");
    return bytes_of(other);
  }

  testing::Scratch scratch_{"rollback"};
  std::string folder_ = scratch_ / "d", path_ = folder_ + "/app.db", source_ = scratch_ / "source.db";
  FileDescriptor directory_;
};

TEST_F(RollbackCopyTest, WhatIsCommittedIsTheFile) {
  Writer writer(path_);
  writer.run("CREATE TABLE t(a, b)");
  writer.run(kMany);
  const std::string committed = bytes_of(path_);
  writer.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (1, 2)");  // only its journal is written so far
  EXPECT_EQ(role(), JournalRole::of_a_writer);
  const auto copy = open();
  EXPECT_EQ(read(*copy), committed);
  EXPECT_TRUE(*copy->stands_still());
  EXPECT_FALSE(copy->journal());
  writer.run("COMMIT");  // and nobody keeps it out
  EXPECT_FALSE(*copy->stands_still());
  EXPECT_EQ(role(), JournalRole::none);
}

TEST_F(RollbackCopyTest, WhatIsWrittenAndTakenBackMeanwhileShows) {
  Writer writer(path_);
  writer.run("CREATE TABLE t(a, b)");
  writer.run(kMany);
  const auto copy = open();
  writer.run(kSpill);
  writer.run("ROLLBACK");  // neither its size nor its change counter is another one
  EXPECT_FALSE(*copy->stands_still());
}

TEST_F(RollbackCopyTest, KeptLockKeepsWritersOutUntilItGoes) {
  Writer writer(path_);
  writer.run("CREATE TABLE t(a, b)");
  writer.run(kMany);
  const std::string committed = bytes_of(path_);
  auto copy = open(Lock::keep);
  writer.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (1, 2)");
  EXPECT_EQ(writer.try_run("COMMIT"), SQLITE_BUSY);
  EXPECT_EQ(read(*copy), committed);
  EXPECT_TRUE(*copy->stands_still());
  copy.reset();
  writer.run("COMMIT");
}

// Nobody reads meanwhile: where the pages go may have stalled.
TEST_F(RollbackCopyTest, LockIsNotKeptForLongerThanIsSaid) {
  Writer writer(path_);
  writer.run("CREATE TABLE t(a, b)");
  RollbackReading how;
  how.lock = Lock::keep;
  how.longest_lock_ms = 1'500;
  const auto copy = open(how);
  writer.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (1, 2)");
  EXPECT_EQ(writer.try_run("COMMIT"), SQLITE_BUSY);
  EXPECT_TRUE(*copy->stands_still());
  writer.run("PRAGMA busy_timeout=60000; COMMIT");
  EXPECT_FALSE(*copy->stands_still());
  EXPECT_EQ(read(*copy).size(), copy->size_bytes());  // it can be read still: that it is no state is known by then
}

TEST_F(RollbackCopyTest, EachCopyHasALimitOfItsOwn) {
  Writer writer(path_);
  writer.run("CREATE TABLE t(a, b)");
  RollbackReading how;
  how.lock = Lock::keep;
  for (int round = 0; round < 3; ++round) {
    how.longest_lock_ms = 20;
    const auto first = open(how);
    how.longest_lock_ms = 600'000;
    const auto second = open(how);  // what the first one gives back is not this one's
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    EXPECT_EQ(writer.try_run("INSERT INTO t VALUES (1, 2)"), SQLITE_BUSY);
  }
  writer.run("INSERT INTO t VALUES (1, 2)");
}

TEST_F(RollbackCopyTest, TransactionThatHasWrittenIsWaitedFor) {
  Writer writer(path_);
  writer.run("CREATE TABLE t(a, b)");
  writer.run(kMany);
  const std::string committed = bytes_of(path_);
  writer.run(kSpill);
  ASSERT_NE(bytes_of(path_), committed);
  EXPECT_EQ(role(), JournalRole::of_a_writer);
  const auto torn = open(Lock::keep, 0);  // it does not end
  EXPECT_EQ(torn->size_bytes(), bytes_of(path_).size());
  EXPECT_FALSE(*torn->stands_still());

  std::atomic<bool> begun = false;
  std::thread ending([&] {
    while (!begun) std::this_thread::yield();
    writer.run("ROLLBACK");
  });
  begun = true;
  const auto copy = open();
  ending.join();
  EXPECT_EQ(read(*copy), committed);
  EXPECT_TRUE(*copy->stands_still());
}

// locking_mode=EXCLUSIVE: the lock is never to be had.
TEST_F(RollbackCopyTest, WhoKeepsTheLockIsReadWhileHeIsAtRest) {
  Writer writer(path_);
  writer.run("PRAGMA locking_mode=EXCLUSIVE; CREATE TABLE t(a, b)");
  writer.run(kMany);
  RollbackReading how;
  how.at_rest_ms = 20;
  how.wait_ms = 60'000;
  const auto copy = open(how);
  EXPECT_EQ(read(*copy), bytes_of(path_));
  EXPECT_TRUE(*copy->stands_still());
  writer.run(kSpill);
  EXPECT_FALSE(*copy->stands_still());
  how.wait_ms = 100;
  EXPECT_FALSE(*open(how)->stands_still());
  writer.run("COMMIT");
}

// Whatever is left behind, in each mode, with torn ends: the pages are those that SQLite makes of it, and it is only
// looked at.
TEST_F(RollbackCopyTest, LeftBehindJournalIsPlayedBackAsSqliteWould) {
  std::mt19937 random(7);
  const auto below = [&](std::size_t end) { return std::uniform_int_distribution<std::size_t>(0, end - 1)(random); };
  int modes = 0, played_back = 0, torn_and_played_back = 0;
  for (const int page_size : {512, 4096, 65536}) {
    for (const char* mode : {"DELETE", "TRUNCATE", "PERSIST"}) {
      const char* const synchronous = ++modes % 2 == 0 ? "OFF" : "FULL";
      SCOPED_TRACE(std::string(mode) + " " + synchronous + " " + std::to_string(page_size));
      std::filesystem::remove(source_);
      std::filesystem::remove(source_ + "-journal");
      Writer writer(source_);
      writer.run("PRAGMA page_size=" + std::to_string(page_size) + "; PRAGMA auto_vacuum=FULL; PRAGMA journal_mode=" +
                 mode + "; PRAGMA synchronous=" + synchronous + "; CREATE TABLE t(a, b)");
      writer.run(kMany);
      writer.run("UPDATE t SET b = randomblob(200)");  // a longer journal may be there already
      writer.run("PRAGMA cache_size=1; BEGIN; UPDATE t SET b = randomblob(500) WHERE a % 3 = 0");
      writer.run("DELETE FROM t WHERE a > 150");
      writer.run("SAVEPOINT s; UPDATE t SET b = randomblob(900); ROLLBACK TO s; UPDATE t SET a = a + 1");
      leave_behind(source_);
      const std::string whole = bytes_of(path_ + "-journal");
      for (int damage = 0; damage < 4; ++damage) {
        if (damage > 0) {
          std::string cut = whole;
          if (damage % 2 == 1) cut.resize(1 + below(cut.size()));
          const std::size_t from = below(cut.size());
          for (std::size_t i = from; i < std::min(cut.size(), from + 600); ++i) cut[i] ^= 1;
          std::ofstream(path_ + "-journal", std::ios::binary | std::ios::trunc) << cut;
          if (cut[0] == 0) continue;
        }
        const auto before = stamps_in(folder_);
        EXPECT_EQ(role(), JournalRole::left_behind);
        const auto copy = open();
        const std::string pages = read(*copy);
        EXPECT_TRUE(*copy->stands_still());
        ASSERT_TRUE(copy->journal());
        EXPECT_EQ(stamps_in(folder_), before);
        ASSERT_TRUE(pages == rolled_back()) << "damage " << damage;
        if (pages == bytes_of(path_)) continue;
        ++played_back;
        if (damage > 0) ++torn_and_played_back;
      }
    }
  }
  EXPECT_GE(played_back, 9);
  EXPECT_GT(torn_and_played_back, 5);
}

TEST_F(RollbackCopyTest, WhoChangesWhatWasLeftBehindShows) {
  {
    Writer writer(source_);
    writer.run("CREATE TABLE t(a, b)");
    writer.run(kMany);
    writer.run(kSpill);
    leave_behind(source_);
  }
  auto copy = open();
  EXPECT_TRUE(*copy->stands_still());
  std::ofstream(path_ + "-journal", std::ios::binary | std::ios::app) << "more";
  EXPECT_FALSE(*copy->stands_still());
  copy = open();
  EXPECT_TRUE(*copy->stands_still());
  Writer(path_).run("SELECT count(*) FROM t");
  EXPECT_FALSE(*copy->stands_still());
}

// Only the super-journal says whether it was committed, and that may not be seen from here.
TEST_F(RollbackCopyTest, TransactionInSeveralDatabasesIsNotGuessed) {
  Writer writer(source_);
  writer.run("CREATE TABLE t(a, b)");
  writer.run(kMany);
  writer.run(kSpill);
  leave_behind(source_);
  const std::string journal = bytes_of(path_ + "-journal");
  std::ofstream end(path_ + "-journal", std::ios::binary | std::ios::app);
  const std::string name = "/somewhere/app.db-mj0123";
  std::uint32_t sum = 0;
  for (const char letter : name) sum += static_cast<unsigned char>(letter);
  const auto number = [&](std::uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) end.put(static_cast<char>(value >> shift));
  };
  number(0x40000000 / 4096 + 1);
  end << name;
  number(static_cast<std::uint32_t>(name.size()));
  number(sum);
  end << journal.substr(0, 8);
  end.close();
  const auto copy = open();
  ASSERT_TRUE(copy);
  EXPECT_FALSE(*copy->stands_still());
}

TEST_F(RollbackCopyTest, OthersAreFiles) {
  std::ofstream(path_) << std::string(4096, 'x');
  std::ofstream(path_ + "-journal") << "its own";
  EXPECT_FALSE(open());
  EXPECT_EQ(role(), JournalRole::none);
  std::filesystem::remove(path_);
  EXPECT_FALSE(open());
  EXPECT_EQ(role(), JournalRole::none);
  std::filesystem::remove(path_ + "-journal");
  {
    Writer writer(path_);
    writer.run("PRAGMA journal_mode=WAL; CREATE TABLE t(a, b)");
    EXPECT_FALSE(open());
  }
  EXPECT_FALSE(open());
}

TEST_F(RollbackCopyTest, JournalOfATransactionThatIsOverIsAFile) {
  for (const char* mode : {"TRUNCATE", "PERSIST"}) {
    Writer writer(path_);
    writer.run(std::string("PRAGMA journal_mode=") + mode + "; CREATE TABLE IF NOT EXISTS t(a, b)");
    writer.run("INSERT INTO t VALUES (1, 2)");
    ASSERT_TRUE(std::filesystem::exists(path_ + "-journal"));
    EXPECT_EQ(role(), JournalRole::none) << mode;
    EXPECT_FALSE(open()->journal()) << mode;
  }
}

}  // namespace
}  // namespace cairn::sqlite
