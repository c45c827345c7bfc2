// Days of steady publishing. `bench/run days` does the same at one publish a second for thirty days.
#include "support/long_run.h"

#include <gtest/gtest.h>

namespace cairn::testing {
namespace {

constexpr std::uint64_t kMostRequests = 40;

void expect_few_requests(const LongRunReport& report) {
  EXPECT_EQ(report.upkeep_trouble, "");
  EXPECT_LE(report.most_requests, kMostRequests) << report.most_requests_what;
  EXPECT_LE(report.most_requests_by_time, kMostRequests) << report.most_requests_by_time_what;
}

// A publish every 20 seconds instead of one a second, and all in proportion.
TEST(LongRun, WhatIsKeptOfDaysIsLittleMoreThanOneDay) {
  LongRunOptions options;
  options.days = 2.5;
  options.every_ms = 20'000;
  options.policy.hourly = 0;
  options.restores = 150;
  const LongRunReport report = run_for_long(options);
  ASSERT_EQ(report.failure, "");
  EXPECT_GE(report.prunes, 9u);
  const Amount all = report.total();
  EXPECT_LE(all.bytes - report.left.at("snapshots").bytes, report.day_bytes * 3 / 2);
  EXPECT_LE(all.objects, 10'000u * 20'000 / options.every_ms / 20);  // 10,000 at one a second
  EXPECT_GE(report.restore_points, 4'320u);
  expect_few_requests(report);
}

// One a second: the last hour has thousands of objects, and the time has to be found among them.
TEST(LongRun, AnyStateOfABusyHourTakesFewRequests) {
  LongRunOptions options;
  options.days = 1.3 / 24;
  const LongRunReport report = run_for_long(options);
  ASSERT_EQ(report.failure, "");
  EXPECT_GE(report.restore_points, 4'600u);
  expect_few_requests(report);
}

TEST(LongRun, WithoutTheRightToDeleteAllOfItStaysAndReplicationGoesOn) {
  LongRunOptions options;
  options.days = 1.2;
  options.every_ms = 300'000;
  options.policy.keep_all_ms = 3'600'000;
  options.may_delete = false;
  options.restores = 20;
  const LongRunReport report = run_for_long(options);
  ASSERT_EQ(report.failure, "");
  EXPECT_NE(report.upkeep_trouble.find("may not delete"), std::string::npos) << report.upkeep_trouble;
  EXPECT_FALSE(report.left.at("level 0").objects < report.publishes);
  EXPECT_GE(report.restore_points, report.publishes);
}

TEST(LongRun, EachKeptStateOfAMonthIsWhatItWas) {
  LongRunOptions options;
  options.days = 30;
  options.every_ms = 1'200'000;
  options.rows = 40;
  options.policy.keep_all_ms = 12 * 3'600'000;
  options.policy.hourly = 100;
  options.policy.daily = 20;
  options.restores = 0;
  const LongRunReport report = run_for_long(options);
  ASSERT_EQ(report.failure, "");
  EXPECT_GE(report.restore_points, 36u + 80 + 15);
  EXPECT_LE(report.restore_points, 400u);
  expect_few_requests(report);
}

}  // namespace
}  // namespace cairn::testing
