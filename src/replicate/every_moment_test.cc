// An application that does anything at all in every moment of a step: commits, shrinks, checkpoints, reads.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <array>
#include <fstream>
#include <map>

#include "support/stepped_replicator.h"
#include "support/watched_disk.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;
using replicator_test::WatchedWal;

constexpr const char* kContent =
    "SELECT count(*) || ' ' || total(length(v)) || ' ' || coalesce(group_concat(id || substr(v, 1, 6)), '') FROM t";

class EveryMomentTest : public ReplicatorTest, public ::testing::WithParamInterface<std::uint64_t> {
 protected:
  EveryMomentTest() {
    make_database(fmt::format("PRAGMA auto_vacuum={}", below(3)));
    App(db_path_).must("CREATE TABLE version (n INTEGER); INSERT INTO version VALUES (0)");
  }
  ~EveryMomentTest() override { stop(StopMode::crash); }  // as long as its files are watched
  int below(int limit) { return static_cast<int>(dice_.below(static_cast<std::uint64_t>(limit))); }

  void commit(App& app, const std::string& sql) {
    if (!open_ && app.run("BEGIN IMMEDIATE") != SQLITE_OK) return;
    app.run(sql);
    app.run(fmt::format("UPDATE version SET n = {}", ++version_));
    if (app.run("COMMIT") != SQLITE_OK) app.run("ROLLBACK");
    open_ = false;
    remember(app);
  }
  void remember(App& app) { states_[app.ask("SELECT n FROM version")] = app.ask(kContent); }
  void act(App& app, App& other, App& reader) {
    static constexpr std::array kModes{"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
    const int what = below(14);
    if (what < 3) return commit(app, fill(1 + below(8), 50 + below(3000)));
    if (what < 5) {
      return commit(app, fmt::format("UPDATE t SET v = hex(randomblob(100 + id % 500)) WHERE id % 7 = {}", below(7)));
    }
    if (what == 5) {
      return commit(app, fmt::format("DELETE FROM t WHERE id % 3 = {} OR id > (SELECT max(id) - {} FROM t)", below(3),
                                     below(200)));
    }
    if (what < 10) {
      other.run(fmt::format("PRAGMA wal_checkpoint({})", kModes[static_cast<std::size_t>(below(4))]));
    } else if (what == 10 && !open_) {
      app.run(below(3) == 0 ? "VACUUM" : fmt::format("PRAGMA incremental_vacuum({})", 1 + below(100)));
    } else if (what == 11) {
      if (reading_ || below(4) == 0) reader.run(reading_ ? "COMMIT" : "BEGIN; SELECT count(*) FROM t");
      reading_ = sqlite3_get_autocommit(reader.handle()) == 0;
    } else if (what == 12 && !open_ && app.run("BEGIN IMMEDIATE") == SQLITE_OK) {
      open_ = true;
      app.run(fill(1 + below(60), 500));
    } else if (what == 13 && open_) {
      app.run("ROLLBACK");
      open_ = false;
    }
  }
  void expect_all_are_committed_states() {
    for (std::uint64_t sequence = 1; sequence <= replicator_->status().published_sequence; ++sequence) {
      RestoreTarget target;
      target.sequence = sequence;
      std::ofstream(dir_ / "look.db", std::ios::binary) << restored(target);
      App one((dir_ / "look.db").string());
      ASSERT_EQ(one.ask("PRAGMA integrity_check"), "ok") << "segment " << sequence;
      const std::string version = one.ask("SELECT n FROM version");
      ASSERT_TRUE(states_.contains(version)) << "segment " << sequence;
      ASSERT_EQ(one.ask(kContent), states_[version]) << "segment " << sequence;
    }
  }

  SeededRandom dice_{GetParam()};
  WatchedWal wal_;
  std::map<std::string, std::string> states_;  // by version
  int version_ = 0;
  bool open_ = false, reading_ = false;
};

TEST_P(EveryMomentTest, EachRestorePointIsACommittedState) {
  App app(db_path_), other(db_path_), reader(db_path_);
  app.must(fmt::format("PRAGMA wal_autocheckpoint={}; PRAGMA cache_size={}", below(2) * below(40), 5 + below(2) * 500));
  remember(app);
  ReplicatorOptions o = options();
  o.rollover_frames = static_cast<std::uint32_t>(10 + below(60));
  o.interval_ms = 5 + below(400);
  o.slice_bytes = below(2) == 0 ? 1 : 4 << 20;
  start(o);
  must_settle();
  const int rate = 1 + below(12);
  bool in_step = false;
  const auto maybe = [&] {
    if (in_step && below(rate) == 0) act(app, other, reader);
  };
  wal_.before_look = wal_.before_scan = wal_.before_page = wal_.before_database_read = maybe;
  for (int i = 0; i < 150; ++i) {
    act(app, other, reader);
    now_.mono_us += 200 + below(6'000);
    now_.wall_ms += 3;
    in_step = true;
    ASSERT_TRUE(replicator_->capture_step(now_));
    in_step = false;
    ASSERT_TRUE(replicator_->publish_step(now_));
    ASSERT_TRUE(replicator_->snapshot_step(now_));
    if (below(60) == 0) replicator_->request_snapshot();
  }
  app.run("ROLLBACK");
  reader.run("COMMIT");
  expect_replica_is_current();
  expect_all_are_committed_states();
}

INSTANTIATE_TEST_SUITE_P(Seeds, EveryMomentTest, ::testing::Range<std::uint64_t>(1, 9));

}  // namespace
}  // namespace cairn
