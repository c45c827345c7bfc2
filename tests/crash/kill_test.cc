// Real processes, really killed: `cairn replicate` dies of SIGKILL at random moments, again and again, while an
// application goes on committing and checkpointing. Afterwards the replica holds exactly what was committed, and every
// state that it ever held restores to a moment of the application's life.
//
// The application counts: each transaction adds the row n+1, and tells n in shared memory once it is committed. So any
// state is right if it holds 1..n without a hole, and a later one never holds fewer.
#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "base/clock.h"
#include "base/executor.h"
#include "base/files.h"
#include "cairn/restore.h"
#include "cairn/store.h"
#include "crash/program.h"
#include "fmt/format.h"
#include "support/page_model.h"
#include "support/scratch.h"

namespace cairn::testing {
namespace {

std::string cairn_command() {
  if (const char* path = std::getenv("CAIRN_COMMAND_PATH")) return path;
#ifdef CAIRN_COMMAND
  return CAIRN_COMMAND;
#else
  return "";
#endif
}

void sleep_us(std::uint64_t us) { std::this_thread::sleep_for(std::chrono::microseconds(us)); }

// What parent and application share.
struct Shared {
  std::atomic<std::int64_t> committed{0};
  std::atomic<bool> enough{false};
};

bool run_sql(sqlite3* db, const std::string& sql) {
  return sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
}

std::int64_t number(sqlite3* db, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  std::int64_t value = -1;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, nullptr) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW) {
    value = sqlite3_column_int64(statement, 0);
  }
  sqlite3_finalize(statement);
  return value;
}

sqlite3* open_database(const std::string& path) {
  sqlite3* db = nullptr;
  if (sqlite3_open(path.c_str(), &db) != SQLITE_OK) ::_exit(2);
  sqlite3_busy_timeout(db, 20'000);
  run_sql(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; "
              "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, v)");
  return db;
}

// The application's whole life, in a process of its own. Exits with 0 when it was told that it is enough.
[[noreturn]] void live(const std::string& path, std::uint64_t seed, Shared& shared) {
  SeededRandom random(seed);
  sqlite3* db = open_database(path);
  std::int64_t n = number(db, "SELECT count(*) FROM t");
  shared.committed = n;
  while (!shared.enough) {
    const std::uint64_t size = random.chance(1, 30) ? 100'000 : random.below(2000);
    if (!run_sql(db, fmt::format("INSERT INTO t VALUES({}, randomblob({}))", n + 1, size))) ::_exit(3);
    shared.committed = ++n;
    const std::uint64_t choice = random.below(60);
    if (choice < 4) {  // PASSIVE, FULL, RESTART, TRUNCATE; one that is in somebody's way is no failure
      sqlite3_wal_checkpoint_v2(db, "main", static_cast<int>(choice), nullptr, nullptr);
    } else if (choice == 4) {
      sqlite3_close(db);
      db = open_database(path);
    } else if (choice == 5) {
      run_sql(db, "UPDATE t SET v = randomblob(50) WHERE n % 7 = 0");
    } else if (choice == 6) {
      run_sql(db, "VACUUM");
    }
    sleep_us(random.below(1500));
  }
  sqlite3_close(db);
  ::_exit(0);
}

class ApplicationProcess {
 public:
  ApplicationProcess(const std::string& path, std::uint64_t seed, Shared& shared) : shared_(shared) {
    pid_ = ::fork();
    if (pid_ == 0) live(path, seed, shared);
  }
  ~ApplicationProcess() {
    if (pid_ > 0) kill();
  }
  ApplicationProcess(const ApplicationProcess&) = delete;
  ApplicationProcess& operator=(const ApplicationProcess&) = delete;

  void kill() {
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  int end() {
    shared_.enough = true;
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  Shared& shared_;
  pid_t pid_ = -1;
};

class KillNine : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cairn_command().empty() || !std::filesystem::exists(cairn_command())) {
      GTEST_SKIP() << "the cairn command was not built";
    }
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    shared_ = new (memory) Shared;
  }
  void TearDown() override {
    if (shared_ != nullptr) ::munmap(shared_, sizeof(Shared));
  }

  std::vector<std::string> replicate(std::vector<std::string> more = {}) const {
    std::vector<std::string> words{cairn_command(), "replicate", database_, "--to", store_, "--state-dir",
                                   scratch_ / "state", "--interval", "20ms"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  Ending run(std::vector<std::string> words) { return Program(std::move(words), log_).wait(); }

  // It had not given up by itself.
  void expect_killed(Program& cairn) {
    const Ending ending = cairn.kill();
    EXPECT_EQ(ending.status, 128 + SIGKILL) << ending.said;
  }

  void wait_for_commits(std::int64_t count) const {
    while (shared_->committed < count) sleep_us(1000);
  }

  // With nobody writing: published whole, restored, compared; and the same for states of the past.
  void expect_replica_is_exact() {
    const Ending once = run(replicate({"--once", "--timeout", "60s"}));
    ASSERT_EQ(once.status, 0) << once.said;
    const std::string restored = scratch_ / "restored.db";
    const Ending restore = run({cairn_command(), "restore", store_, "-o", restored});
    ASSERT_EQ(restore.status, 0) << restore.said;
    const Bytes expected = committed_image_by_copy(database_, scratch_.path());
    const auto files = make_real_file_system();
    const auto got = read_file(*files, restored);
    ASSERT_TRUE(got);
    EXPECT_EQ(content_hash(*got), content_hash(expected)) << describe_difference(expected, *got);
    const Ending verify = run({cairn_command(), "verify", store_, "--deep"});
    EXPECT_EQ(verify.status, 0) << verify.said;
    expect_every_state_is_a_prefix(*files);
  }

  // About forty states, the newest among them.
  void expect_every_state_is_a_prefix(FileSystem& files) {
    const auto store = open_store(store_);
    ASSERT_TRUE(store);
    const auto points = list_restore_points(**store, "");
    ASSERT_TRUE(points) << points.error().message();
    ASSERT_FALSE(points->empty());
    InlineExecutor executor;
    std::int64_t before = -1;
    const std::size_t stride = points->size() / 40 + 1;
    for (std::size_t i = (points->size() - 1) % stride; i < points->size(); i += stride) {
      RestoreOptions options;
      options.target.sequence = (*points)[i].sequence;
      options.overwrite = Overwrite::replace;
      const std::string output = scratch_ / "past.db";
      const auto restored = run_restore(**store, "", output, options, files, executor);
      ASSERT_TRUE(restored) << restored.error().message();
      sqlite3* db = nullptr;
      ASSERT_EQ(sqlite3_open(output.c_str(), &db), SQLITE_OK);
      const std::int64_t rows = std::max<std::int64_t>(0, number(db, "SELECT count(*) FROM t"));
      EXPECT_EQ(number(db, "SELECT coalesce(max(n), 0) FROM t"), rows) << "of segment " << (*points)[i].sequence;
      sqlite3_close(db);
      EXPECT_GE(rows, before) << "of segment " << (*points)[i].sequence;
      before = rows;
    }
    EXPECT_EQ(before, shared_->committed);
  }

  Scratch scratch_{"kill"};
  std::string database_ = scratch_ / "app.db";
  std::string store_ = scratch_ / "backup";
  std::string log_ = scratch_ / "log";
  Shared* shared_ = nullptr;
  SeededRandom random_{SystemRandom().next()};  // the moments differ anyway
};

TEST_F(KillNine, OfTheReplicatorAtRandomMoments) {
  ApplicationProcess application(database_, random_.next(), *shared_);
  wait_for_commits(5);
  for (int round = 0; round < 30; ++round) {
    Program cairn(replicate(), log_);
    sleep_us(random_.below(round % 3 == 0 ? 300'000 : 60'000));
    expect_killed(cairn);
    sleep_us(random_.below(30'000));
  }
  EXPECT_EQ(application.end(), 0);
  expect_replica_is_exact();
}

TEST_F(KillNine, OfApplicationAndReplicator) {
  for (int round = 0; round < 12; ++round) {
    ApplicationProcess application(database_, random_.next(), *shared_);
    Program cairn(replicate(), log_);
    sleep_us(20'000 + random_.below(120'000));
    if (random_.chance(1, 2)) cairn.kill();
    application.kill();
    sleep_us(random_.below(20'000));
    // What was told to be committed still is: a killed process takes nothing with it.
    sqlite3* db = open_database(database_);
    const std::int64_t rows = number(db, "SELECT count(*) FROM t");
    EXPECT_GE(rows, shared_->committed);
    shared_->committed = rows;
    sqlite3_close(db);
  }
  expect_replica_is_exact();
}

TEST_F(KillNine, InTheFirstSnapshot) {
  sqlite3* db = open_database(database_);
  ASSERT_TRUE(run_sql(db, "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i<8000)"
                          " INSERT INTO t SELECT i, randomblob(4000) FROM c"));
  sqlite3_close(db);
  ApplicationProcess application(database_, random_.next(), *shared_);
  wait_for_commits(8001);
  for (int round = 0; round < 10; ++round) {
    Program cairn(replicate(), log_);
    sleep_us(5'000 + random_.below(150'000));
    expect_killed(cairn);
  }
  EXPECT_EQ(application.end(), 0);
  expect_replica_is_exact();
}

TEST_F(KillNine, OfOneThatPublishesWhatWasSpooled) {
  // The store is away (its parent is a file), so that everything goes to the spool; then it is back.
  const std::string parent = scratch_ / "mount";
  store_ = parent + "/backup";
  std::filesystem::create_directory(parent);
  ApplicationProcess application(database_, random_.next(), *shared_);
  wait_for_commits(5);
  const Ending first = run(replicate({"--once", "--timeout", "60s"}));
  ASSERT_EQ(first.status, 0) << first.said;
  for (int round = 0; round < 5; ++round) {
    std::filesystem::rename(parent, parent + ".away");
    std::ofstream(parent) << "not a directory";
    {
      Program cairn(replicate(), log_);
      sleep_us(100'000 + random_.below(100'000));
      cairn.kill();
    }
    std::filesystem::remove(parent);
    std::filesystem::rename(parent + ".away", parent);
    Program cairn(replicate(), log_);
    sleep_us(random_.below(80'000));
    expect_killed(cairn);
  }
  EXPECT_EQ(application.end(), 0);
  expect_replica_is_exact();
}

}  // namespace
}  // namespace cairn::testing
