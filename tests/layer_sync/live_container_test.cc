// A container at work: a program of its own writes to a database through the overlay mount, while its upper directory
// is synced again and again. Its locks lie on the mount's inodes. Who opened the database in the upper directory as if
// nobody were there would cut the WAL-index that the program has mapped (SIGBUS), and copy two states into one.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "store/memory_store.h"
#include "support/layer_world.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using testing::LayerWorld;

std::int64_t number(sqlite3* database, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  std::int64_t value = -1;
  if (sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW) {
    value = sqlite3_column_int64(statement, 0);
  }
  sqlite3_finalize(statement);
  return value;
}

std::string word(sqlite3* database, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  std::string text;
  if (sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW) {
    text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
  }
  sqlite3_finalize(statement);
  return text;
}

// Every transaction keeps this true.
constexpr const char* kIsWhole = "SELECT (SELECT count(*) FROM log) = (SELECT n FROM total) AND "
                                 "(SELECT n FROM total) = (SELECT ifnull(max(n), 0) FROM log)";

// The program in the container: 0 when nothing ever went wrong.
int write_until_told(const std::string& path, const std::string& mode, const std::string& stop) {
  sqlite3* database = nullptr;
  if (sqlite3_open(path.c_str(), &database) != SQLITE_OK) return 2;
  sqlite3_busy_timeout(database, 10'000);
  const auto run = [&](const std::string& sql) {
    return sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
  };
  if (!run("PRAGMA journal_mode=" + mode + "; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=200;"
           "CREATE TABLE log(n INTEGER PRIMARY KEY, pad); CREATE TABLE total(n); INSERT INTO total VALUES (0)")) {
    return 3;
  }
  // Of rollback mode without its locks only what is not written to for a moment is one state.
  const auto pause_us = mode == "WAL" ? 3'000u : 100'000u;
  for (int i = 1; !fs::exists(stop); ++i) {
    if (!run("BEGIN IMMEDIATE; UPDATE total SET n = n + 1;"
             "INSERT INTO log SELECT n, randomblob(900) FROM total; COMMIT")) {
      return 4;
    }
    if (i % 8 == 0) ::usleep(pause_us);
  }
  const bool is_well = number(database, kIsWhole) == 1 && word(database, "PRAGMA integrity_check") == "ok";
  sqlite3_close(database);
  return is_well ? 0 : 5;
}

enum class Mount { seen, in_a_namespace_of_its_own };

class LiveContainer : public ::testing::TestWithParam<std::tuple<Mount, const char*>> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root may mount an overlay";
    for (const char* name : {"lower", "work", "merged"}) fs::create_directory(world_.beside(name));
    if (std::get<0>(GetParam()) == Mount::seen && !mount_overlay()) GTEST_SKIP() << "no overlay can be mounted here";
    program_ = ::fork();
    if (program_ != 0) return;
    if (std::get<0>(GetParam()) != Mount::seen) {
      const bool can = ::unshare(CLONE_NEWNS) == 0 && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
      if (!can || !mount_overlay()) ::_exit(77);
    }
    ::_exit(write_until_told(world_.beside("merged") + "/app.db", std::get<1>(GetParam()), world_.beside("stop")));
  }
  void TearDown() override {
    if (program_ > 0) {
      ::kill(program_, SIGKILL);
      ::waitpid(program_, nullptr, 0);
    }
    ::umount2(world_.beside("merged").c_str(), MNT_DETACH);
  }
  bool mount_overlay() const {
    const std::string options = "lowerdir=" + world_.beside("lower") + ",upperdir=" + world_.upper() +
                                ",workdir=" + world_.beside("work");
    return ::mount("overlay", world_.beside("merged").c_str(), "overlay", 0, options.c_str()) == 0;
  }
  bool is_at_work() {
    int status = 0;
    if (::waitpid(program_, &status, WNOHANG) == 0) return true;
    program_ = 0;
    ended_without_a_mount_ = WIFEXITED(status) && WEXITSTATUS(status) == 77;
    EXPECT_TRUE(ended_without_a_mount_) << "the program ended with status " << status;
    return false;
  }
  void expect_whole(const std::string& path) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(word(database, "PRAGMA integrity_check"), "ok");
    EXPECT_EQ(number(database, kIsWhole), 1);
    const std::int64_t rows = number(database, "SELECT n FROM total");
    EXPECT_GE(rows, rows_);
    rows_ = rows;
    sqlite3_close(database);
  }

  LayerWorld world_;
  std::unique_ptr<Store> store_ = make_memory_store();
  pid_t program_ = 0;
  bool ended_without_a_mount_ = false;
  std::int64_t rows_ = 0;
};

TEST_P(LiveContainer, GoesOnAndItsDatabaseIsSyncedAsOneState) {
  const auto manager = world_.open(*store_);
  while (!fs::exists(world_ / "app.db") || fs::file_size(world_ / "app.db") < 100'000) {
    if (!is_at_work()) {
      if (ended_without_a_mount_) GTEST_SKIP() << "no mount namespace, or no overlay in it";
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  int whole = 0;
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(is_at_work());
    const auto synced = manager->sync_layer("web");
    ASSERT_TRUE(synced) << synced.error().message();
    ASSERT_TRUE(*synced || i > 0);
    if (*synced && (*synced)->torn_files > 0) continue;  // it says so
    const std::string target = world_.beside("restored-" + std::to_string(i));
    const auto restored = manager->restore_layer("web", target);
    ASSERT_TRUE(restored) << restored.error().message();
    expect_whole(target + "/app.db");
    EXPECT_FALSE(fs::exists(target + "/app.db-shm"));
    ++whole;
  }
  EXPECT_GT(whole, 0);
  ASSERT_TRUE(is_at_work());
  world_.write("../stop", "");
  int status = 0;
  ASSERT_EQ(::waitpid(std::exchange(program_, 0), &status, 0) >= 0, true);
  EXPECT_EQ(status, 0);
}

INSTANTIATE_TEST_SUITE_P(Modes, LiveContainer,
                         ::testing::Combine(::testing::Values(Mount::seen, Mount::in_a_namespace_of_its_own),
                                            ::testing::Values("WAL", "DELETE")));

}  // namespace
}  // namespace cairn
