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
    o.boot = std::string(31, '0') + "1";
    options_ = o;
    start(o);
    must_settle();
    replicator_->upkeep_step(now_);
    commit();
  }
  std::optional<Rest> sleep() {
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(replicator_->capture_step(now_));
      (void)replicator_->may_rest(now_);
      now_.mono_us += 2'100'000;
      now_.wall_ms += 2'100;
    }
    auto rest = replicator_->rest(now_);
    replicator_.reset();
    return rest;
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

  ReplicatorOptions options_;
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

// A database with a commit an hour sleeps in between, and is a new Replicator each time.
TEST_F(ThinningTest, OneThatSleepsInBetweenIsThinnedAllTheSame) {
  begin();
  keep_up_for(kHour_us + 60'000'000);
  ASSERT_EQ(pruner_->calls, 1);
  std::optional<Rest> rest;
  for (int hour = 0; hour < 7; ++hour) {
    commit();
    replicator_->upkeep_step(now_);
    rest = sleep();
    ASSERT_TRUE(rest);
    EXPECT_LE(rest->due_us, now_.mono_us + 6 * kHour_us) << "it wakes for it";
    now_.mono_us += kHour_us;
    now_.wall_ms += kHour_us / 1000;
    ReplicatorOptions o = options_;
    o.known = rest->known;
    start(o);
    must_settle();
    replicator_->upkeep_step(now_);
    if (hour < 4) {
      EXPECT_EQ(pruner_->calls, 1) << hour;
    }
  }
  EXPECT_EQ(pruner_->calls, 2);
  keep_up_for(6 * kHour_us);
  ASSERT_TRUE(rest = sleep());
  EXPECT_GT(rest->due_us, now_.mono_us + 1000 * kHour_us) << "nothing is new";
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
