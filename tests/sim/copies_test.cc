// Death at every call of a snapshot that is copied from the last one, by kill and by power loss; and a store that fails
// at any of its calls. Whatever happens, the next life ends with an exact replica.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "fmt/format.h"
#include "support/application.h"
#include "support/part_rules_store.h"
#include "support/simulation.h"

namespace cairn::testing {
namespace {

class CopyingLife {
 public:
  explicit CopyingLife(std::uint64_t seed, bool leaves_out_parts = false)
      : random_(seed), host_(rules_, scratch_ / "app.db", scratch_ / "host", random_) {
    host_.store_is_folder(false);  // its looks would fail as well, and each costs up to 30 s
    rules_.min_part_bytes = 100 << 10;  // of twelve blocks five or six are copied
    rules_.leaves_out_parts = leaves_out_parts;
    host_.options().part_bytes = 200 << 10;
    host_.options().interval_ms = 0;
    host_.options().snapshot_interval_ms = 0;
    host_.options().rollover_frames = 1000;
    host_.options().spool_limit_bytes = 100 << 20;
    commit("PRAGMA journal_mode=WAL");
    commit("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    commit("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<750) "
           "INSERT INTO t(v) SELECT noise(3800) FROM n");
    application_.checkpoint(SQLITE_CHECKPOINT_TRUNCATE, 0, [] {});
  }

  // Up to where there is something to copy from.
  bool begin() { return start() && settle(); }
  // Ends early when it dies.
  bool copy() {
    commit("UPDATE t SET v=noise(3800) WHERE id=400");
    now_.wall_ms += 2'000;
    host_.replicator().request_snapshot();
    return settle();
  }
  void go_on_alone(CrashKind kind) {
    host_.die(kind);
    if (random_.chance(1, 2)) commit("UPDATE t SET v=noise(3800) WHERE id=400");
    application_.checkpoint(SQLITE_CHECKPOINT_TRUNCATE, 0, [] {});
  }
  // "" when this life ends with an exact replica.
  std::string recover() {
    if (!start()) return "it cannot be started: " + trouble_;
    return end_well();
  }
  std::string end_well() {
    if (!settle()) return "it does not settle: " + trouble_;
    if (!copy()) return "no other snapshot: " + trouble_;
    if (std::string problem = oracle_.check(model_); !problem.empty()) return problem;
    if (oracle_.points().back().hash != model_.at(model_.newest()).hash) return "the replica is not the database";
    if (!store_->list_uploads("replica/")->empty()) return "an upload was left behind";
    return "";
  }

  Host& host() { return host_; }
  const std::string& trouble() const { return trouble_; }
  std::uint64_t calls() { return host_.files().changing_calls() + host_.store_calls(); }
  PartRulesStore& rules() { return rules_; }

 private:
  bool is_dead() { return host_.life().is_over(); }
  void commit(const std::string& sql) {
    ASSERT_EQ(application_.run(sql), SqlResult::done);
    ASSERT_TRUE(model_.observe(application_.handle()));
  }
  bool start() {
    const auto started = host_.start();
    if (!started) trouble_ = started.error().message();
    return started.has_value() && !is_dead();
  }
  bool settle() {
    for (int i = 0; i < 1000; ++i) {
      for (auto step : {&Replicator::capture_step, &Replicator::publish_step, &Replicator::snapshot_step}) {
        const auto done = (host_.replicator().*step)(now_);
        if (!done) trouble_ = done.error().message();
        if (is_dead() || !done) return false;
      }
      const ReplicatorStatus status = host_.replicator().status();
      if (status.settled) return true;
      trouble_ = status.database_trouble + status.store_trouble;
      now_.mono_us += 50'000;
      now_.wall_ms += 50;
    }
    return false;
  }

  Scratch scratch_{"copying"};
  SeededRandom random_;
  Time now_{.wall_ms = 1'790'000'000'000, .mono_us = 1'000'000};
  std::unique_ptr<Store> store_ = make_memory_store();
  PartRulesStore rules_{*store_};
  PageModel model_;
  Application application_{scratch_ / "app.db", [this] { return random_.next(); }};
  Host host_;
  ReplicaOracle oracle_{*store_, "replica"};
  std::string trouble_;
};

class CopiesAtEveryCall : public ::testing::TestWithParam<CrashKind> {};

TEST_P(CopiesAtEveryCall, ADeathLeavesOneExactHistory) {
  std::uint64_t calls = 0, copies = 0;
  {
    CopyingLife life(1);
    ASSERT_TRUE(life.begin());
    const std::uint64_t before = life.calls();
    ASSERT_TRUE(life.copy());
    calls = life.calls() - before;
    copies = life.rules().count(Operation::copy_part);
  }
  ASSERT_GE(copies, 2u);
  EXPECT_GT(calls, 20u);
  for (std::uint64_t at = 0; at < calls; ++at) {
    CopyingLife life(7 + at, at % 2 == 0);
    ASSERT_TRUE(life.begin());
    life.host().life().end_after(at);
    EXPECT_FALSE(life.copy());
    life.go_on_alone(GetParam());
    ASSERT_EQ(life.recover(), "") << "death at call " << at << " of " << calls;
  }
}
INSTANTIATE_TEST_SUITE_P(Deaths, CopiesAtEveryCall, ::testing::Values(CrashKind::kill, CrashKind::power_loss),
                         [](const auto& kind) { return kind.param == CrashKind::kill ? "Kill" : "PowerLoss"; });

TEST(Copies, AStoreThatFailsAtAnythingCostsNoMoreThanTime) {
  std::uint64_t copied = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CopyingLife life(seed, seed % 2 == 0);
    ASSERT_TRUE(life.begin());
    life.host().store_faults().set_all({.before = 100, .after = 50, .lost = 30, .denied = 0});
    ASSERT_TRUE(life.copy()) << seed << ": " << life.trouble();
    copied += life.host().replicator().status().snapshot_copied_bytes;
    life.host().heal();
    ASSERT_EQ(life.end_well(), "") << seed;
  }
  EXPECT_GT(copied, 0u);
}

}  // namespace
}  // namespace cairn::testing
