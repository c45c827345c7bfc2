// Death at every call. One short life of a replicator changes its disk and its store in some hundred calls; it is lived
// again once for each of them, to die there, by kill and by power loss. After each death the application goes on alone,
// checkpoints away what the dead one had not seen, and the next replicator has to come to an exact replica.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "fmt/format.h"
#include "support/application.h"
#include "support/simulation.h"

namespace cairn::testing {
namespace {

class ShortLife {
 public:
  explicit ShortLife(std::uint64_t seed)
      : random_(seed), host_(*store_, scratch_ / "app.db", scratch_ / "host", random_) {
    host_.store_is_folder(seed % 2 == 1);
    host_.options().interval_ms = 0;
    host_.options().rollover_frames = 12;
    host_.options().level_windows_ms = {1'000, 5'000, 20'000};
    host_.options().merged_limit_bytes = host_.options().kept_limit_bytes = 1 << 20;
    host_.options().replaced_grace_ms = 3'000;
    host_.options().snapshot_interval_ms = 0;
    commit("PRAGMA journal_mode=WAL");
    commit("PRAGMA wal_autocheckpoint=0");
    commit("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    insert(5, 3000);
  }

  // Everything that a replicator does in peace. Ends early when it dies.
  void live() {
    if (!start() || !settle()) return;
    insert(3, 100);
    if (!step(&Replicator::capture_step)) return;
    insert(8, 5000);
    if (!step(&Replicator::capture_step) || !step(&Replicator::publish_step)) return;
    commit("DELETE FROM t WHERE id > 4");
    if (!settle()) return;
    host_.replicator().request_snapshot();
    insert(2, 9000);
    if (!settle()) return;
    checkpoint(SQLITE_CHECKPOINT_RESTART);
    insert(1, 10);
    if (!settle()) return;
    commit("VACUUM");
    if (settle()) rest();
  }

  // What was published is merged, and what that replaces removed.
  bool rest() {
    for (int i = 0; i < 200; ++i) {
      (void)host_.replicator().upkeep_step(now_);
      if (is_dead()) return false;
      const ReplicatorStatus status = host_.replicator().status();
      if (i > 2 && status.kept_objects == 0 && status.replacing_objects == 0) return true;
      now_.mono_us += 700'000;
      now_.wall_ms += 700;
    }
    trouble_ = "it never rests: " + host_.replicator().status().upkeep_trouble;
    return false;
  }

  void die(CrashKind kind) { host_.die(kind); }

  void go_on_alone() {
    insert(2, 700);
    checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
    insert(1, 50);
  }

  // "" when the next life ends with an exact replica.
  std::string recover() {
    if (!start()) return "it cannot be started";
    if (!settle()) return "it does not settle: " + trouble_;
    if (std::string problem = oracle_.check(model_); !problem.empty()) return problem;
    if (oracle_.points().back().hash != model_.at(model_.newest()).hash) return "the replica is not the database";
    if (oracle_.newest_sequence() < published_) return "what was called published is missing";
    if (!rest()) return trouble_;
    return oracle_.check(model_);
  }

  Host& host() { return host_; }

 private:
  bool is_dead() { return host_.life().is_over(); }

  void commit(const std::string& sql) {
    ASSERT_EQ(application_.run(sql), SqlResult::done);
    ASSERT_TRUE(model_.observe(application_.handle()));
  }
  void insert(int rows, int size) {
    commit(fmt::format("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{})"
                       " INSERT INTO t(v) SELECT noise({}) FROM n", rows, size));
  }
  void checkpoint(int mode) {
    application_.checkpoint(mode, 50, [this] {
      now_.mono_us += 1000;
      if (host_.is_up() && !is_dead()) step(&Replicator::capture_step);
    });
  }

  bool start() {
    const auto started = host_.start();
    if (!started) trouble_ = started.error().message();
    return started.has_value() && !is_dead();
  }

  // False: it has died, or given up.
  bool step(Result<Step> (Replicator::*function)(const Time&)) {
    const auto step = (host_.replicator().*function)(now_);
    if (is_dead()) return false;
    published_ = std::max(published_, host_.replicator().status().published_sequence);
    if (!step) trouble_ = step.error().message();
    return step.has_value();
  }

  bool settle() {
    for (int i = 0; i < 300; ++i) {
      if (!step(&Replicator::capture_step) || !step(&Replicator::publish_step) || !step(&Replicator::snapshot_step)) {
        return false;
      }
      const ReplicatorStatus status = host_.replicator().status();
      if (status.settled) return true;
      trouble_ = status.database_trouble + status.store_trouble;
      now_.mono_us += 50'000;
      now_.wall_ms += 50;
    }
    return false;
  }

  Scratch scratch_{"every"};
  SeededRandom random_;
  Time now_{.wall_ms = 1'790'000'000'000, .mono_us = 1'000'000};
  std::unique_ptr<Store> store_ = make_memory_store();
  PageModel model_;
  Application application_{scratch_ / "app.db", [this] { return random_.next(); }};
  Host host_;
  ReplicaOracle oracle_{*store_, "replica"};
  std::uint64_t published_ = 0;
  std::string trouble_;
};

// How many calls change something in a life without a death.
std::uint64_t calls_of_a_life() {
  ShortLife life(1);
  life.live();
  EXPECT_FALSE(life.host().life().is_over());
  EXPECT_GE(life.host().replicator().status().published_sequence, 5u);
  EXPECT_GE(life.host().replicator().status().snapshots_published, 2u);
  EXPECT_GE(life.host().replicator().status().merged_objects, 1u);
  EXPECT_GE(life.host().replicator().status().replaced_objects, 3u);
  return life.host().files().changing_calls() + life.host().store_calls();
}

class EveryCall : public ::testing::TestWithParam<CrashKind> {};

TEST_P(EveryCall, ADeathAtItLeavesOneExactHistory) {
  const std::uint64_t calls = calls_of_a_life();
  EXPECT_GT(calls, 60u);
  for (std::uint64_t at = 0; at < calls; ++at) {
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
      ShortLife life(seed + 100 * at);
      life.host().life().end_after(at);
      life.live();
      life.die(GetParam());
      life.go_on_alone();
      const std::string problem = life.recover();
      ASSERT_EQ(problem, "") << "death at call " << at << " of " << calls << ", seed " << seed + 100 * at;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Deaths, EveryCall, ::testing::Values(CrashKind::kill, CrashKind::power_loss),
                         [](const auto& kind) { return kind.param == CrashKind::kill ? "Kill" : "PowerLoss"; });

}  // namespace
}  // namespace cairn::testing
