#include "replicate/lock_times.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace cairn::replicate {
namespace {

TEST(LockTimes, NoneIsZero) { EXPECT_EQ(LockTimes().at_most_us(999), 0); }

TEST(LockTimes, OneTimeIsEveryPercentile) {
  LockTimes times;
  times.add(5);
  EXPECT_EQ(times.at_most_us(1), 5);
  EXPECT_EQ(times.at_most_us(999), 5);
}

TEST(LockTimes, OneInAThousandIsBehindThe999ThOneInAHundredIsNot) {
  LockTimes rare, often;
  for (int i = 0; i < 999; ++i) rare.add(3);
  rare.add(1'000'000);
  EXPECT_EQ(rare.at_most_us(999), 3);
  for (int i = 0; i < 990; ++i) often.add(3);
  for (int i = 0; i < 10; ++i) often.add(1'000'000);
  EXPECT_GE(often.at_most_us(999), 1'000'000);
  EXPECT_LE(often.at_most_us(999), 1'125'000);
}

TEST(LockTimes, NeverLessThanTheTruthAndAtMostAnEighthMore) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) {
    const auto us = static_cast<std::int64_t>(random() >> (24 + random() % 40));
    LockTimes times;
    times.add(us);
    EXPECT_GE(times.at_most_us(500), us);
    EXPECT_LE(times.at_most_us(500), us + us / 8);
  }
}

TEST(LockTimes, TimesOutOfRangeAreCounted) {
  LockTimes times;
  times.add(-1);
  EXPECT_EQ(times.at_most_us(999), 0);
  times.add(INT64_MAX);
  EXPECT_GE(times.at_most_us(1000), (std::int64_t{1} << 40) - 1);
}

}  // namespace
}  // namespace cairn::replicate
