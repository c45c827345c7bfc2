// Snapshots that nobody at this process asks for: on a schedule, and by other processes.
#include <gtest/gtest.h>

#include "replicate/requests.h"
#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicate::SnapshotRequest;
using replicator_test::App;
using replicator_test::ReplicatorTest;

constexpr std::int64_t kHour_ms = 3'600'000;
constexpr std::int64_t kOneDay_ms = 24 * kHour_ms;

class Snapshots : public ReplicatorTest {
 public:
  void begin() {
    make_database();
    app_ = std::make_unique<App>(db_path_);
    start();
    must_settle();
  }
  void publish() {
    app_->must(fill(3));
    must_settle();
  }
  void pass(std::int64_t ms) {
    now_.mono_us += ms * 1000;
    now_.wall_ms += ms;
  }
  void keep_up() {
    (void)replicator_->upkeep_step(now_);
    must_settle();
    (void)replicator_->upkeep_step(now_);  // whoever drives it is woken by what is published
  }
  std::size_t snapshots() { return store_->list("app/snapshots/")->objects.size(); }
  std::string state() { return options().state_directory; }

  std::unique_ptr<App> app_;
};

TEST_F(Snapshots, OneADayWhileThereIsSomethingNew) {
  begin();
  keep_up();
  ASSERT_EQ(snapshots(), 1u);
  publish();
  pass(23 * kHour_ms);
  keep_up();
  EXPECT_EQ(snapshots(), 1u);
  pass(2 * kHour_ms);
  keep_up();
  EXPECT_EQ(snapshots(), 2u);
  pass(3 * kOneDay_ms);
  keep_up();
  EXPECT_EQ(snapshots(), 2u) << "nothing is new";
  publish();
  keep_up();
  EXPECT_EQ(snapshots(), 3u);
  publish();
  keep_up();
  EXPECT_EQ(snapshots(), 3u);
  expect_replica_is_current();
}

TEST_F(Snapshots, ANextProcessGoesByTheAgeOfTheLastOne) {
  begin();
  pass(20 * kHour_ms);
  publish();
  stop();
  start();
  must_settle();
  keep_up();
  EXPECT_EQ(snapshots(), 1u);
  pass(5 * kHour_ms);
  keep_up();
  EXPECT_EQ(snapshots(), 2u);
}

TEST_F(Snapshots, AClockThatIsSetMakesNone) {
  begin();
  publish();
  for (const std::int64_t jump_ms : {3 * kOneDay_ms, -6 * kOneDay_ms, 3 * kOneDay_ms}) {
    now_.wall_ms += jump_ms;
    keep_up();
    EXPECT_EQ(snapshots(), 1u);
  }
}

TEST_F(Snapshots, AnIntervalOfNothingIsNever) {
  make_database();
  app_ = std::make_unique<App>(db_path_);
  ReplicatorOptions o = options();
  o.snapshot_interval_ms = 0;
  start(o);
  must_settle();
  publish();
  pass(30 * kOneDay_ms);
  keep_up();
  EXPECT_EQ(snapshots(), 1u);
}

TEST_F(Snapshots, AnotherProcessAsksForOne) {
  begin();
  publish();
  auto request = SnapshotRequest::put(*files_, state(), "one");
  ASSERT_TRUE(request) << request.error().message();
  EXPECT_FALSE(request->look()->is_taken);
  pass(1000);
  must_settle();
  pass(1000);
  must_settle();
  const auto progress = request->look();
  ASSERT_TRUE(progress) << progress.error().message();
  ASSERT_TRUE(progress->sequence);
  EXPECT_EQ(*progress->sequence, replicator_->status().published_sequence);
  EXPECT_EQ(snapshots(), 2u);
  EXPECT_TRUE(files_->list(state() + "/requests")->empty());
}

TEST_F(Snapshots, ARequestOutlivesTheProcessThatItWasPutTo) {
  begin();
  publish();
  auto request = SnapshotRequest::put(*files_, state(), "one");
  ASSERT_TRUE(request);
  pass(1000);
  ASSERT_TRUE(replicator_->capture_step(now_));
  EXPECT_TRUE(request->look()->is_taken);
  stop(StopMode::crash);
  start();
  for (int i = 0; i < 3; ++i) {
    must_settle();
    pass(1000);
  }
  must_settle();
  const auto progress = request->look();
  ASSERT_TRUE(progress && progress->sequence);
  EXPECT_EQ(snapshots(), 2u);
}

TEST_F(Snapshots, WhoAsksIsToldThatNobodyIsThere) {
  begin();
  auto request = SnapshotRequest::put(*files_, state(), "one");
  ASSERT_TRUE(request);
  stop();
  const auto progress = request->look();
  ASSERT_FALSE(progress);
  EXPECT_EQ(progress.error().kind(), ErrorKind::not_found);
  EXPECT_TRUE(files_->list(state() + "/requests")->empty());
  const auto other = SnapshotRequest::put(*files_, state(), "two");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().kind(), ErrorKind::not_found);
}

}  // namespace
}  // namespace cairn
