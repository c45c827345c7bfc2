#include "base/clock.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <set>

namespace cairn {
namespace {

std::int64_t parsed(std::string_view text) {
  const auto ms = parse_time(text);
  EXPECT_TRUE(ms) << text << ": " << (ms ? "" : ms.error().message());
  return ms ? *ms : -1;
}

TEST(Clock, TimesAreWrittenInUtcWithMilliseconds) {
  EXPECT_EQ(format_time(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(format_time(1795248000123), "2026-11-21T08:00:00.123Z");
  EXPECT_EQ(format_time(-1), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(format_compact_time(1795248000123), "20261121_080000");
  EXPECT_EQ(format_compact_time(-1), "19691231_235959");
}

TEST(Clock, EveryFormOfATimeMeansTheSame) {
  constexpr std::int64_t kEight = 1795248000000;
  EXPECT_EQ(parsed("2026-11-21T08:00:00Z"), kEight);
  EXPECT_EQ(parsed("2026-11-21T08:00:00.0Z"), kEight);
  EXPECT_EQ(parsed("2026-11-21 08:00:00"), kEight);
  EXPECT_EQ(parsed("2026-11-21T10:00:00+02:00"), kEight);
  EXPECT_EQ(parsed("2026-11-21 04:30:00-0330"), kEight);
  EXPECT_EQ(parsed("2026-11-21t08:00:00z"), kEight);
  EXPECT_EQ(parsed("2026-11-21"), kEight - 8 * 3600 * 1000);
  EXPECT_EQ(parsed("2026-11-21T08:00:00.1Z"), kEight + 100);
  EXPECT_EQ(parsed("2026-11-21T08:00:00.123999999Z"), kEight + 123);
  EXPECT_EQ(parsed("2026-11-22T00:30:00+01:00"), parsed("2026-11-21T23:30:00Z"));
}

TEST(Clock, WhatIsNoTimeIsInvalid) {
  for (const char* text : {"",
                           "now",
                           "2026",
                           "2026-11",
                           "2026-13-01",
                           "2026-02-29",
                           "2026-11-21T",
                           "2026-11-21T08",
                           "2026-11-21T08:00",
                           "2026-11-21T24:00:00Z",
                           "2026-11-21T08:60:00Z",
                           "2026-11-21T08:00:60Z",
                           "2026-11-21T08:00:00.Z",
                           "2026-11-21T08:00:00.1234567891Z",
                           "2026-11-21T08:00:00ZZ",
                           "2026-11-21T08:00:00+2",
                           "2026-11-21T08:00:00+24:00",
                           "2026-11-21Z",
                           " 2026-11-21",
                           "2026-11-21T08:00:00Z ",
                           "-026-11-21",
                           "2026-11-21T08:00:00+02:60"}) {
    const auto time = parse_time(text);
    ASSERT_FALSE(time) << text;
    EXPECT_EQ(time.error().kind(), ErrorKind::invalid) << text;
  }
  for (const char* text :
       {"", "20261121", "20261121_08000", "20261121_0800000", "20261321_080000", "20261121-080000"}) {
    EXPECT_FALSE(parse_compact_time(text)) << text;
  }
}

TEST(Clock, WrittenTimesAreReadBack) {
  SeededRandom random(7);
  for (int i = 0; i < 10000; ++i) {
    const auto ms = static_cast<std::int64_t>(random.below(253402300799999));  // until the end of 9999
    ASSERT_EQ(parsed(format_time(ms)), ms);
    const auto compact = parse_compact_time(format_compact_time(ms));
    ASSERT_TRUE(compact);
    ASSERT_EQ(*compact, ms - ms % 1000);
  }
}

TEST(Clock, SystemTimeGoesForward) {
  SystemClock clock;
  const Time first = clock.now();
  const Time second = clock.now();
  EXPECT_GE(second.mono_us, first.mono_us);
  EXPECT_NEAR(static_cast<double>(first.wall_ms), static_cast<double>(std::time(nullptr)) * 1000.0, 5000.0);
}

TEST(Random, OneSeedGivesOneSequence) {
  SeededRandom a(1), b(1), c(2);
  EXPECT_EQ(a.next(), 0x910a2dec89025cc1u);  // splitmix64's first number for seed 1
  EXPECT_EQ(b.next(), 0x910a2dec89025cc1u);
  EXPECT_NE(c.next(), 0x910a2dec89025cc1u);
  for (int i = 0; i < 1000; ++i) ASSERT_LT(a.below(7), 7u);
  EXPECT_EQ(a.below(0), 0u);
  EXPECT_FALSE(a.chance(0, 10));
  EXPECT_TRUE(a.chance(10, 10));
}

TEST(Random, FillsBytesEightANumber) {
  SeededRandom random(1);
  const std::uint64_t first = random.next(), second = random.next();
  const std::string bytes = SeededRandom(1).bytes(13);
  ASSERT_EQ(bytes.size(), 13u);
  EXPECT_EQ(std::memcmp(bytes.data(), &first, 8), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + 8, &second, 5), 0);
  std::array<std::byte, 13> halves{};
  SeededRandom(1).fill(halves, 0x0F0F0F0F0F0F0F0F);
  for (std::size_t i = 0; i < halves.size(); ++i) {
    EXPECT_EQ(halves[i], static_cast<std::byte>(bytes[i]) & std::byte{0x0F}) << i;
  }
  EXPECT_EQ(SeededRandom(1).bytes(0), "");
}

TEST(Random, IdsDoNotRepeat) {
  SystemRandom random;
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random.id().hex());
  EXPECT_EQ(seen.size(), 1000u);
}

}  // namespace
}  // namespace cairn
