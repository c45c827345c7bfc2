// The first snapshot is of one moment, whatever is committed and checkpointed while it is read.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>

#include "replicate/frozen_view.h"
#include "sqlite/database.h"
#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;
namespace fs = std::filesystem;

class FirstSnapshot : public ReplicatorTest {
 protected:
  // Of 5000 rows more, a block a step: it is being read, and far from its end.
  void begin_to_read(App& app) {
    app.must(fill(5000));
    auto o = options();
    o.slice_bytes = 1;
    start(o);
    for (int i = 0; i < 2; ++i) ASSERT_FALSE(turn());
    ASSERT_EQ(replicator_->status().phase, Phase::first_snapshot);
  }
};

// A begun hold is a floor; a writer restarts the WAL under it before the first page is read.
TEST_F(FirstSnapshot, HasWhatIsCommittedBetweenTheFirstHoldAndTheFirstPage) {
  make_database();
  App app(db_path_);
  app.must("PRAGMA wal_checkpoint(FULL)");
  auto opened = sqlite::Database::open(db_path_, sqlite::WalSwitch::refuse);
  ASSERT_TRUE(opened);
  ASSERT_TRUE((*opened)->take_hold());
  ASSERT_EQ((*opened)->hold(), sqlite::Hold::floor);
  app.must("UPDATE t SET v='behind the floor' WHERE id=1");
  const auto index = (*opened)->look();
  ASSERT_TRUE(index);
  auto view = replicate::FrozenView::open(**opened, *index, *files_, (dir_ / "scratch").string(), {});
  ASSERT_TRUE(view) << view.error().message();
  std::string all(std::size_t{(*view)->page_count()} * (*view)->page_size(), '\0');
  ASSERT_TRUE((*view)->read_next({reinterpret_cast<std::byte*>(all.data()), all.size()}));
  EXPECT_TRUE(all == committed());
}

// What is committed meanwhile must not bind the WAL.
TEST_F(FirstSnapshot, LetsAnApplicationsCheckpointsPass) {
  make_database();
  App app(db_path_);
  begin_to_read(app);
  const auto turn_while_waiting = [](void* test, int) {
    return int{static_cast<ReplicatorTest*>(test)->turn_in_handler()};
  };
  sqlite3_busy_handler(app.handle(), turn_while_waiting, this);
  for (const char* mode : {"FULL", "RESTART", "TRUNCATE"}) {
    app.must(fill(20));
    handler_calls_ = 0;
    EXPECT_EQ(app.ask(fmt::format("PRAGMA wal_checkpoint({})", mode)), "0") << mode;
    EXPECT_LT(handler_calls_, 4) << mode;
    EXPECT_EQ(replicator_->status().phase, Phase::first_snapshot);
  }
  sqlite3_busy_handler(app.handle(), nullptr, nullptr);
  expect_replica_is_current();
  EXPECT_GE(replicator_->status().published_sequence, 3u);
  EXPECT_EQ(replicator_->status().reconciles, 0u);
}

// A commit that makes the database shorter has no frames for the pages behind its end, and a checkpoint cuts them off.
TEST_F(FirstSnapshot, IsWholeAlthoughTheDatabaseShrinks) {
  make_database("PRAGMA auto_vacuum=FULL");
  App app(db_path_);
  begin_to_read(app);
  const std::string before = committed();
  app.must("DELETE FROM t WHERE id > 100");
  for (int i = 0; i < 2; ++i) ASSERT_FALSE(turn());
  app.must("PRAGMA wal_checkpoint(FULL)");
  ASSERT_LT(fs::file_size(db_path_), before.size() / 4);
  ASSERT_EQ(replicator_->status().phase, Phase::first_snapshot);
  expect_replica_is_current();
  RestoreTarget target;
  target.sequence = 0;
  EXPECT_TRUE(restored(target) == before);
}

}  // namespace
}  // namespace cairn
