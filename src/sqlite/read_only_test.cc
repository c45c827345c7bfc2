// A database that may be read but not written: what its WAL allows, and what is said where it does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>

#include "sqlite/database.h"
#include "support/nobody.h"
#include "support/scratch.h"
#include "support/whole_file.h"

namespace cairn::sqlite {
namespace {

using ::testing::HasSubstr;
using testing::set_mode;

class DatabaseReadOnly : public ::testing::Test {
 protected:
  ~DatabaseReadOnly() override {
    sqlite3_close(app_);
    set_mode(scratch_.path(), 0700);
  }
  void make(const char* mode) {
    ASSERT_TRUE(set_mode(scratch_.path(), 0755));  // nothing can be made in it by others
    ASSERT_EQ(sqlite3_open(path_.c_str(), &app_), SQLITE_OK);
    run(std::string("PRAGMA journal_mode=") + mode + "; CREATE TABLE t(v); INSERT INTO t VALUES (1)");
  }
  void run(const std::string& sql) {
    ASSERT_EQ(sqlite3_exec(app_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(app_);
  }
  void close_app() {
    sqlite3_close(app_);
    app_ = nullptr;
  }
  Result<std::unique_ptr<Database>> open() const {
    const testing::Nobody nobody;
    return Database::open(path_, WalSwitch::allow);
  }

  testing::Scratch scratch_{"read-only"};
  std::string path_ = scratch_ / "app.db";
  sqlite3* app_ = nullptr;
};

TEST_F(DatabaseReadOnly, NoWriteLockAndNoCheckpointIsTried) {
  make("WAL");
  ASSERT_TRUE(set_mode(path_, 0444));
  const auto opened = open();
  ASSERT_TRUE(opened) << opened.error().message();
  Database& database = **opened;
  ASSERT_EQ(database.access(), Access::read_only);
  const std::string before = testing::whole_file(path_);
  const auto gate = database.try_gate();
  ASSERT_TRUE(gate) << gate.error().message();
  EXPECT_FALSE(*gate);
  for (const Checkpoint mode : {Checkpoint::passive, Checkpoint::truncate}) {
    const auto ran = database.checkpoint(mode);
    ASSERT_TRUE(ran) << ran.error().message();
    EXPECT_FALSE(*ran);
  }
  run("INSERT INTO t VALUES (2)");  // nobody has the lock
  EXPECT_TRUE(testing::whole_file(path_) == before);
}

TEST_F(DatabaseReadOnly, RollbackModeIsForTheOwnerToChange) {
  make("DELETE");
  ASSERT_TRUE(set_mode(path_, 0444));
  const std::string before = testing::whole_file(path_);
  const auto database = open();
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().kind(), ErrorKind::denied);
  EXPECT_EQ(database.error().message(),
            path_ + " is in rollback mode (journal_mode=delete) and may not be written: run \"PRAGMA "
                    "journal_mode=WAL\" on it as its owner");
  EXPECT_TRUE(testing::whole_file(path_) == before);
}

TEST_F(DatabaseReadOnly, WithoutAWriterThereIsNoWalToRead) {
  make("WAL");
  close_app();
  ASSERT_TRUE(set_mode(path_, 0444));
  ASSERT_TRUE(set_mode(scratch_.path(), 0555));
  const auto database = open();
  ASSERT_FALSE(database);
  EXPECT_EQ(database.error().kind(), ErrorKind::denied);
  EXPECT_THAT(database.error().message(),
              HasSubstr("start that, or let Cairn write to the file and its folder"));
  EXPECT_FALSE(std::filesystem::exists(path_ + "-wal"));
}

}  // namespace
}  // namespace cairn::sqlite
