// Whether the WAL has more than the newest commit: what tells that somebody's commit may come without a write to it.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>

#include "sqlite/database.h"
#include "support/scratch.h"

namespace cairn::sqlite {
namespace {

class WalHasMore : public ::testing::Test {
 protected:
  WalHasMore() {
    EXPECT_EQ(sqlite3_open(path_.c_str(), &app_), SQLITE_OK);
    run("PRAGMA page_size=1024; PRAGMA journal_mode=WAL; PRAGMA cache_size=2; CREATE TABLE t(v)");
    auto opened = Database::open(path_, WalSwitch::refuse);
    EXPECT_TRUE(opened);
    database_ = std::move(*opened);
  }
  ~WalHasMore() override {
    database_.reset();
    sqlite3_close(app_);
  }
  void run(const std::string& sql) {
    EXPECT_EQ(sqlite3_exec(app_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(app_);
  }
  void fill(int rows) {
    run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " + std::to_string(rows) +
        ") INSERT INTO t SELECT randomblob(900) FROM n");
  }
  wal::IndexHeader look() {
    const auto index = database_->look();
    EXPECT_TRUE(index);
    return *index;
  }
  bool has_more_than(const wal::IndexHeader& index) {
    const auto more = database_->has_more_than(index);
    EXPECT_TRUE(more);
    return more && *more;
  }

  testing::Scratch scratch_{"more-than"};
  const std::string path_ = scratch_ / "app.db";
  sqlite3* app_ = nullptr;
  std::unique_ptr<Database> database_;
};

TEST_F(WalHasMore, NotBehindACommit) {
  for (int i = 0; i < 20; ++i) {
    fill(1 + i % 3);
    EXPECT_FALSE(has_more_than(look())) << i;
  }
}

TEST_F(WalHasMore, WhenItWasCommittedAfterTheLook) {
  fill(1);
  const auto before = look();
  fill(1);
  EXPECT_TRUE(has_more_than(before));
}

TEST_F(WalHasMore, WhileATransactionThatIsLargerThanItsCacheIsWritten) {
  fill(1);
  run("BEGIN");
  fill(50);
  EXPECT_TRUE(has_more_than(look()));
  run("COMMIT");
  EXPECT_FALSE(has_more_than(look()));
}

TEST_F(WalHasMore, OfWhatWasRolledBackUntilItIsWrittenOver) {
  fill(1);
  run("BEGIN");
  fill(50);
  run("ROLLBACK");
  EXPECT_TRUE(has_more_than(look()));
  fill(100);
  EXPECT_FALSE(has_more_than(look()));
}

TEST_F(WalHasMore, WhenItHasBegunAnew) {
  fill(5);
  run("PRAGMA wal_checkpoint(RESTART)");
  const auto before = look();
  fill(1);
  EXPECT_TRUE(has_more_than(before));
  EXPECT_FALSE(has_more_than(look()));
  run("PRAGMA wal_checkpoint(TRUNCATE)");
  EXPECT_FALSE(has_more_than(look())) << "there is nothing at all";
}

}  // namespace
}  // namespace cairn::sqlite
