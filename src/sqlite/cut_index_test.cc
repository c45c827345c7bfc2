// The -shm is cut under those who have it mapped. The application is another process: connections of one process share
// a mapping.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "base/bytes.h"
#include "base/cut_mappings.h"
#include "base/os.h"
#include "sqlite/database.h"
#include "support/scratch.h"

namespace cairn::sqlite {
namespace {

constexpr const char* kPrepare = "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; "
                                 "CREATE TABLE IF NOT EXISTS t(a, b)";
constexpr const char* kManyFrames = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1500) "
                                    "INSERT INTO t SELECT x, zeroblob(3900) FROM n";

// It is killed at the end, as a container is.
class Program {
 public:
  explicit Program(const std::string& path) {
    int ends[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    ours_ = FileDescriptor(ends[0]);
    process_ = ::fork();
    if (process_ == 0) live(path, ends[1]);
    ::close(ends[1]);
  }
  ~Program() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void run(const std::string& sql) {
    EXPECT_GT(::send(ours_.get(), sql.data(), sql.size(), 0), 0);
    int code = -1;
    EXPECT_EQ(::recv(ours_.get(), &code, sizeof code, 0), static_cast<ssize_t>(sizeof code));
    EXPECT_EQ(code, SQLITE_OK) << sql;
  }

 private:
  [[noreturn]] static void live(const std::string& path, int theirs) {
    sqlite3* connection = nullptr;
    sqlite3_open(path.c_str(), &connection);
    sqlite3_busy_timeout(connection, 10'000);
    for (char sql[1000];;) {
      const ssize_t got = ::recv(theirs, sql, sizeof sql - 1, 0);
      if (got <= 0) ::_exit(0);
      sql[got] = 0;
      const int code = sqlite3_exec(connection, sql, nullptr, nullptr, nullptr);
      if (::send(theirs, &code, sizeof code, 0) < 0) ::_exit(0);
    }
  }

  FileDescriptor ours_;
  pid_t process_ = -1;
};

class CutIndexTest : public ::testing::Test {
 protected:
  CutIndexTest() { survive_cut_shm_files(); }
  void cut(std::uintmax_t size) { std::filesystem::resize_file(path_ + "-shm", size); }
  std::unique_ptr<Database> open() {
    auto opened = Database::open(path_, WalSwitch::refuse);
    EXPECT_TRUE(opened.has_value()) << opened.error().message();
    return opened ? std::move(*opened) : nullptr;
  }
  template <class T>
  void expect_cut(const Result<T>& result) {
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().kind(), ErrorKind::io);
    EXPECT_NE(result.error().message().find("app.db-shm was cut"), std::string::npos) << result.error().message();
  }
  static std::string bytes_in(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  }

  testing::Scratch scratch_{"cut-index"};
  std::string path_ = scratch_ / "app.db";
};

TEST_F(CutIndexTest, NothingIsBelievedUntilItIsOpenedAnew) {
  auto program = std::make_unique<Program>(path_);
  program->run(kPrepare);
  program->run("INSERT INTO t VALUES (1, 2)");
  auto database = open();
  ASSERT_TRUE(database->take_hold());
  const FrameNo before = database->look()->max_frame;
  cut(0);
  expect_cut(database->look());
  // SQLite would make an index of its own in the memory that is there now.
  expect_cut(database->checkpoint(Checkpoint::passive));
  expect_cut(database->advance(0));
  expect_cut(database->try_floor({}, before));
  program.reset();
  program = std::make_unique<Program>(path_);
  program->run(kPrepare);
  program->run("INSERT INTO t VALUES (3, 4)");
  expect_cut(database->look());
  database->close(CloseMode::tidy);
  database = open();
  EXPECT_TRUE(database->take_hold());
  EXPECT_GT(database->look()->max_frame, before);
  program->run("INSERT INTO t VALUES (5, 6)");
  EXPECT_TRUE(*database->checkpoint(Checkpoint::passive));
}

// A connection of this process keeps the memory that was exchanged, and another one would share it.
TEST_F(CutIndexTest, OpenedBesideOneThatHasSeenItIsRefused) {
  Program program(path_);
  program.run(kPrepare);
  const auto first = open();
  cut(0);
  expect_cut(first->look());
  const auto second = Database::open(path_, WalSwitch::refuse);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind(), ErrorKind::io);
}

TEST_F(CutIndexTest, OtherDatabasesGoOn) {
  Program program(path_), other(scratch_ / "other.db");
  program.run(kPrepare);
  other.run(kPrepare);
  other.run(kManyFrames);
  const auto database = open();
  auto spared = Database::open(scratch_ / "other.db", WalSwitch::refuse);
  ASSERT_TRUE(spared.has_value());
  ASSERT_TRUE((*spared)->take_hold());
  cut(0);
  expect_cut(database->look());
  EXPECT_TRUE((*spared)->look());
  EXPECT_TRUE(*(*spared)->checkpoint(Checkpoint::passive));
  EXPECT_TRUE((*spared)->look()->all_backfilled());
}

// The header is there still, and says that there is much to be checkpointed; which pages those are is zeros. Whoever
// believed that would tell everybody that they are in the database file, and the WAL would be written over.
TEST_F(CutIndexTest, CheckpointThatMeetsItHalfWayHasDoneNothing) {
  Program program(path_);
  program.run(kPrepare);
  program.run(kManyFrames);
  auto database = open();
  ASSERT_TRUE(database->take_hold());
  const auto index = database->look();
  ASSERT_GT(index->max_frame.value, 1400u);
  ASSERT_EQ(index->backfilled.value, 0u);
  const std::string file = bytes_in(path_), wal = bytes_in(path_ + "-wal");
  cut(4096);
  ASSERT_TRUE(database->look());
  expect_cut(database->checkpoint(Checkpoint::passive));
  database->close(CloseMode::tidy);
  EXPECT_TRUE(bytes_in(path_) == file);
  EXPECT_TRUE(bytes_in(path_ + "-wal") == wal);
  const std::string shm = bytes_in(path_ + "-shm");
  ASSERT_GE(shm.size(), 4096u);
  EXPECT_EQ(shm.substr(96, 4), std::string(4, 0));  // nBackfill
}

}  // namespace
}  // namespace cairn::sqlite
