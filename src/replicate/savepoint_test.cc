// SQLite (3.40.1 and 3.46.1 at least) now and then commits frames without a checksum, after a rollback to a savepoint
// (docs/sqlite.md, "Frames without a checksum"). Its readers go by the WAL-index and see the commit; who goes by
// checksums, as a recovery does, sees none from there on.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>

#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;
namespace fs = std::filesystem;

class Savepoints : public ReplicatorTest {
 protected:
  Savepoints() {
    make_database("PRAGMA page_size=512");
    app_ = std::make_unique<App>(db_path_);
    app_->must("PRAGMA wal_autocheckpoint=0");
    start();
    must_settle();
  }

  void change() {
    for (std::uint64_t n = 1 + chance_.below(4); n > 0; --n) {
      const std::uint64_t first = 1 + chance_.below(400);
      app_->must(fmt::format("UPDATE t SET v=hex(randomblob(50)) WHERE id BETWEEN {} AND {}", first,
                             first + chance_.below(200)));
    }
  }
  // One transaction whose pages spill into the WAL.
  void commit() {
    app_->must(fmt::format("PRAGMA cache_size={}; BEGIN", 2 + 4 * chance_.below(3)));
    change();
    app_->must("SAVEPOINT one");
    change();
    app_->must("ROLLBACK TO one");
    change();
    app_->must("COMMIT");
    must_settle();
  }
  void expect_restores_what_is_seen() {
    ASSERT_FALSE(restored().empty());
    App copy((dir_ / "restored.db").string());
    EXPECT_EQ(copy.ask("PRAGMA integrity_check"), "ok");
    constexpr const char* kRows = "SELECT group_concat(v) FROM t";
    EXPECT_TRUE(copy.ask(kRows) == app_->ask(kRows));
  }
  // A recovery would lose the newest commit.
  bool met_the_fault() { return committed() != restored(); }

  std::unique_ptr<App> app_;
  SeededRandom chance_{1};
};

TEST_F(Savepoints, EachCommitIsPublishedAsReadersSeeIt) {
  int met = 0;
  for (int i = 0; i < 200 && met < 2 && !HasFailure(); ++i) {
    SCOPED_TRACE(i);
    commit();
    const bool now = met_the_fault();
    met += now;
    if (now || i % 20 == 0) expect_restores_what_is_seen();
    if (i % 50 == 49) app_->must("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  EXPECT_EQ(replicator_->status().reconciles, 0u);
  const int wanted = sqlite3_libversion_number() <= 3'046'001 ? 1 : 0;
  EXPECT_GE(met, wanted) << "another seed is needed";
}

// The machine loses what SQLite cannot recover. The replica has it, and goes on to what the database is now.
TEST_F(Savepoints, ACommitThatSqliteLosesInACrashStaysRestorable) {
  bool met = false;
  for (int i = 0; i < 400 && !met; ++i) {
    commit();
    met = met_the_fault();
  }
  if (!met) GTEST_SKIP() << "this SQLite gives each frame its checksum";
  const std::string before = restored();
  const std::uint64_t sequence = replicator_->status().published_sequence;
  fs::create_directory(dir_ / "crash");
  const std::string kept = (dir_ / "crash" / "app.db").string();
  for (const char* suffix : {"", "-wal"}) fs::copy_file(db_path_ + suffix, kept + suffix);
  stop(StopMode::crash);
  app_->close();
  for (const char* suffix : {"", "-wal"}) {
    fs::copy_file(kept + suffix, db_path_ + suffix, fs::copy_options::overwrite_existing);
  }
  start();
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().published_sequence, sequence + 1);
  RestoreTarget target;
  target.sequence = sequence;
  EXPECT_TRUE(restored(target) == before);
}

}  // namespace
}  // namespace cairn
