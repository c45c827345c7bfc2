// The WAL-reset bug of SQLite 3.7.0 to 3.51.2: that it is real on this machine's library, and what keeps it away.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "interleaving.h"
#include "sqlite/database.h"
#include "wal/wal.h"

namespace cairn::walreset {
namespace {

class WalReset : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "cairn-walreset-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return folder_ / "database"; }

  std::filesystem::path folder_;
};

bool library_is_vulnerable() { return wal::has_wal_reset_bug(static_cast<std::uint32_t>(sqlite3_libversion_number())); }

TEST_F(WalReset, WithoutAHoldAVulnerableLibraryLosesCommitsAndASoundOneDoesNot) {
  const Outcome outcome = run_interleaving(path(), {});
  ASSERT_EQ(outcome.windows, kRounds);
  ASSERT_EQ(outcome.committed, kRounds * kUpdates);
  if (library_is_vulnerable()) {
    EXPECT_GT(outcome.restarts_in_window, 0);
    EXPECT_GT(outcome.lost, 0);
    EXPECT_EQ(outcome.integrity, "ok");  // nothing tells
  } else {
    EXPECT_EQ(outcome.lost, 0);
  }
  RecordProperty("sqlite", sqlite3_libversion());
  RecordProperty("lost", outcome.lost);
}

// A read transaction that is replaced by a newer one: what Cairn's holds are made of, without Cairn.
class Hold {
 public:
  explicit Hold(const std::string& path) : first_(path), second_(path) {}
  void take() {
    Connection& next = *next_;
    next.run("BEGIN; SELECT count(*) FROM t");
    if (held_ != nullptr) held_->run("COMMIT");
    next_ = held_ != nullptr ? held_ : &second_;
    held_ = &next;
  }
  void end() {
    if (held_ != nullptr) held_->run("COMMIT");
    held_ = nullptr;
    next_ = &first_;
  }

 private:
  Connection first_;
  Connection second_;
  Connection* held_ = nullptr;
  Connection* next_ = &first_;
};

TEST_F(WalReset, UnderAFloorTheSameRestartsAreHarmless) {
  std::unique_ptr<Hold> hold;
  Hooks hooks;
  hooks.begin = [&] { hold = std::make_unique<Hold>(path()); };
  hooks.before_window = [&] { hold->take(); };  // all is backfilled: the read mark is 0
  hooks.after_window = [&] { hold->end(); };
  hooks.end = [&] { hold.reset(); };
  const Outcome outcome = run_interleaving(path(), hooks);
  EXPECT_EQ(outcome.windows, kRounds);
  EXPECT_EQ(outcome.restarts_in_window, kRounds);
  EXPECT_EQ(outcome.lost, 0);
  EXPECT_EQ(outcome.integrity, "ok");
}

TEST_F(WalReset, UnderAPinNothingRestarts) {
  std::unique_ptr<Hold> hold;
  Hooks hooks;
  hooks.begin = [&] {
    hold = std::make_unique<Hold>(path());
    hold->take();
  };
  hooks.after_commit = [&] { hold->take(); };  // the newest commit, not backfilled: one of the read marks 1 to 4
  hooks.end = [&] { hold.reset(); };
  const Outcome outcome = run_interleaving(path(), hooks);
  EXPECT_EQ(outcome.windows, kRounds);
  EXPECT_EQ(outcome.restarts_in_window, 0);
  EXPECT_EQ(outcome.lost, 0);
  EXPECT_EQ(outcome.integrity, "ok");
}

// Why a floor under which the WAL was restarted stays until the checkpointers from before are gone: a pin would let
// such a one backfill up to it, but going by a header that counts frames which nobody has committed. Here it passes
// over the pinned version of a page, because a newer one stands behind it, which is then rolled back.
TEST_F(WalReset, APinTakenWhileAStaleCheckpointerIsAtWorkIsNotEnough) {
  if (!library_is_vulnerable()) GTEST_SKIP() << "SQLite " << sqlite3_libversion() << " does not have the bug";
  WindowVfs window;
  Connection application(path());
  application.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF");
  application.run("CREATE TABLE t(id INTEGER PRIMARY KEY, value INTEGER, filler BLOB)");
  application.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<100) "
                  "INSERT INTO t SELECT i, 0, zeroblob(3000) FROM n");
  Connection checkpointer(path(), window.name());
  checkpointer.column("SELECT count(*) FROM t");
  application.run("UPDATE t SET value = 1");
  checkpointer.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  Hold hold(path());
  hold.take();  // a floor
  bool in_window = false;
  window.arm([&] {
    in_window = true;
    application.run("UPDATE t SET value = 2 WHERE id = 1");  // restarts the WAL
    hold.take();                                             // a pin, and the floor is gone
    application.run("PRAGMA cache_size=1; BEGIN; UPDATE t SET value = 3 WHERE id < 20");  // written early
  });
  checkpointer.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  application.run("ROLLBACK");
  hold.end();
  Connection fresh(path());
  EXPECT_TRUE(in_window);
  EXPECT_EQ(fresh.number("SELECT value FROM t WHERE id = 1"), 1);  // 2 was committed
}

// The same interleaving with Cairn's own holds. Nothing is captured here: what is committed counts as captured at once.
class WithCairn : public WalReset {
 protected:
  void open() {
    auto opened = sqlite::Database::open(path(), sqlite::WalSwitch::refuse);
    ASSERT_TRUE(opened) << opened.error().message();
    database_ = std::move(*opened);
    ASSERT_TRUE(database_->take_hold());
  }
  bool advance() {
    now_us_ += 1;
    const auto moved = database_->advance(now_us_);
    EXPECT_TRUE(moved);
    return moved.value_or(false);
  }
  bool try_floor() {
    const auto index = database_->look();
    EXPECT_TRUE(index);
    const auto taken = database_->try_floor(index->salts, index->max_frame);
    EXPECT_TRUE(taken);
    return taken.value_or(false);
  }

  std::unique_ptr<sqlite::Database> database_;
  std::int64_t now_us_ = 0;
};

TEST_F(WithCairn, TheSameInterleavingLosesNothing) {
  int kept_floors = 0;
  Hooks hooks;
  hooks.begin = [&] { open(); };
  hooks.before_window = [&] { EXPECT_TRUE(try_floor()); };
  hooks.in_window = [&] {
    // Rule 3: the checkpointer from before the restart is still at work.
    kept_floors += !advance() && database_->hold() == sqlite::Hold::floor;
  };
  hooks.after_commit = [&] { EXPECT_TRUE(advance()); };
  hooks.end = [&] { database_->close(sqlite::CloseMode::abandon); };
  const Outcome outcome = run_interleaving(path(), hooks);
  EXPECT_EQ(outcome.windows, kRounds);
  EXPECT_EQ(outcome.restarts_in_window, kRounds);
  EXPECT_EQ(kept_floors, kRounds);
  EXPECT_EQ(outcome.lost, 0);
  EXPECT_EQ(outcome.integrity, "ok");
}

TEST_F(WithCairn, APinKeepsTheWalFromRestarting) {
  Hooks hooks;
  hooks.begin = [&] { open(); };
  hooks.after_commit = [&] { EXPECT_TRUE(advance()); };
  hooks.end = [&] { database_->close(sqlite::CloseMode::abandon); };
  const Outcome outcome = run_interleaving(path(), hooks);
  EXPECT_EQ(outcome.windows, kRounds);
  EXPECT_EQ(outcome.restarts_in_window, 0);
  EXPECT_EQ(outcome.lost, 0);
  EXPECT_EQ(outcome.integrity, "ok");
}

// A hold that began while a checkpointer from before a restart is at work would protect too late: the pin or the floor
// would stand, and that one would still store its stale backfill count.
TEST_F(WithCairn, NoHoldBeginsWhileACheckpointerIsAtWork) {
  for (const char* restart : {"UPDATE t SET value = 2 WHERE id = 1",
                              "PRAGMA cache_size=1; BEGIN; UPDATE t SET value = 2 WHERE id < 20"}) {
    const std::string database_path = folder_ / (std::string("database") + restart[0]);
    WindowVfs window;
    Connection application(database_path);
    application.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF");
    application.run("CREATE TABLE t(id INTEGER PRIMARY KEY, value INTEGER, filler BLOB)");
    application.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<100) "
                    "INSERT INTO t SELECT i, 0, zeroblob(3000) FROM n");
    Connection checkpointer(database_path, window.name());
    checkpointer.column("SELECT count(*) FROM t");
    application.run("UPDATE t SET value = 1");
    checkpointer.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
    auto opened = sqlite::Database::open(database_path, sqlite::WalSwitch::refuse);
    ASSERT_TRUE(opened) << opened.error().message();
    bool in_window = false;
    window.arm([&] {
      in_window = true;
      application.run(restart);
      const auto taken = (*opened)->take_hold();
      ASSERT_FALSE(taken);
      EXPECT_EQ(taken.error().kind(), ErrorKind::busy);
    });
    checkpointer.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
    EXPECT_TRUE(in_window);
    const auto later = (*opened)->take_hold();
    EXPECT_TRUE(later) << restart << ": " << later.error().message();
  }
}

}  // namespace
}  // namespace cairn::walreset
