// When a Replicator has its past thinned, by a pruner that only takes note.
#include <gtest/gtest.h>

#include "cairn/compactor.h"
#include "support/stepped_replicator.h"

namespace cairn::replicator_test {
namespace {

constexpr std::int64_t kHour_us = 3600ll * 1'000'000;

struct NotingPruner final : Pruner {
  Result<PruneReport> prune(Store& store, std::string_view replica) override {
    ++calls;
    during(store, replica);
    if (!errors.empty()) {
      const Error error = errors.front();
      errors.erase(errors.begin());
      return error;
    }
    PruneReport report;
    report.removed_objects = 3;
    report.dropped_points = 7;
    return report;
  }
  int calls = 0;
  std::vector<Error> errors;  // what comes of the next calls
  std::function<void(Store&, std::string_view)> during = [](Store&, std::string_view) {};
};

class ThinningTest : public ReplicatorTest {
 protected:
  void begin() {
    make_database();
    app_ = std::make_unique<App>(db_path_);
    ReplicatorOptions o = options();
    o.pruner = pruner_;
    o.level_windows_ms.clear();
    o.snapshot_interval_ms = 0;
    o.prune_interval_ms = 6 * 3'600'000;
    start(o);
    must_settle();
    replicator_->upkeep_step(now_);
    commit();
  }
  void commit() {
    app_->must("INSERT INTO t (v) VALUES (1)");
    must_settle();
  }
  // Upkeep for so long, as often as it asks for it.
  void keep_up_for(std::int64_t us) {
    const std::int64_t end_us = now_.mono_us + us;
    for (int i = 0; i < 1000 && now_.mono_us < end_us; ++i) {
      const std::int64_t next_us = replicator_->upkeep_step(now_).next_us;
      now_.mono_us = std::clamp(next_us, now_.mono_us + 1'000, end_us);
    }
    replicator_->upkeep_step(now_);
  }

  std::shared_ptr<NotingPruner> pruner_ = std::make_shared<NotingPruner>();
  std::unique_ptr<App> app_;
};

TEST_F(ThinningTest, AfterAnHourAndThenOnceAnIntervalWhileThereIsSomethingNew) {
  begin();
  keep_up_for(kHour_us - 120'000'000);
  EXPECT_EQ(pruner_->calls, 0);
  keep_up_for(240'000'000);
  EXPECT_EQ(pruner_->calls, 1);
  keep_up_for(20 * kHour_us);
  EXPECT_EQ(pruner_->calls, 1) << "nothing is new: an idle database costs no requests";
  commit();
  keep_up_for(2 * kHour_us);
  EXPECT_EQ(pruner_->calls, 2);
  commit();
  keep_up_for(3 * kHour_us);
  EXPECT_EQ(pruner_->calls, 2);
  keep_up_for(4 * kHour_us);
  EXPECT_EQ(pruner_->calls, 3);
  const ReplicatorStatus status = replicator_->status();
  EXPECT_EQ(status.prunes, 3u);
  EXPECT_EQ(status.pruned_objects, 9u);
  EXPECT_EQ(status.pruned_points, 21u);
  EXPECT_EQ(status.upkeep_trouble, "");
}

TEST_F(ThinningTest, WithoutTheRightToDeleteReplicationGoesOnAndSaysSo) {
  pruner_->errors = {Error(ErrorKind::denied, "no right"), Error(ErrorKind::denied, "no right")};
  begin();
  keep_up_for(kHour_us + 60'000'000);
  EXPECT_NE(replicator_->status().upkeep_trouble.find("no right"), std::string::npos);
  EXPECT_EQ(replicator_->status().upkeep_trouble_kind, ErrorKind::denied);
  const std::uint64_t before = replicator_->status().published_sequence;
  commit();
  EXPECT_GT(replicator_->status().published_sequence, before);
  keep_up_for(3 * kHour_us);  // it is tried again, and the right is there
  EXPECT_EQ(pruner_->calls, 3);
  EXPECT_EQ(replicator_->status().upkeep_trouble, "");
}

TEST_F(ThinningTest, AStoreThatIsAwayAndAnotherPruneAreNoTrouble) {
  pruner_->errors = {Error(ErrorKind::retry_later, "away"), Error(ErrorKind::busy, "another")};
  begin();
  keep_up_for(kHour_us + 60'000'000);
  EXPECT_EQ(pruner_->calls, 1);
  EXPECT_EQ(replicator_->status().upkeep_trouble, "");
  keep_up_for(kHour_us / 2);
  EXPECT_EQ(pruner_->calls, 3);
  EXPECT_EQ(replicator_->status().prunes, 1u);
}

TEST_F(ThinningTest, AStopEndsItAtItsNextCallOfTheStore) {
  std::optional<ErrorKind> said;
  pruner_->during = [&](Store& store, std::string_view replica) {
    EXPECT_EQ(replica, "app");
    EXPECT_TRUE(store.list("app/").has_value());
    replicator_->end_upkeep();
    const auto listed = store.list("app/");
    if (!listed) said = listed.error().kind();
  };
  begin();
  keep_up_for(kHour_us + 60'000'000);
  EXPECT_EQ(said, ErrorKind::cancelled);
  keep_up_for(20 * kHour_us);
  EXPECT_EQ(pruner_->calls, 1);
}

}  // namespace
}  // namespace cairn::replicator_test
