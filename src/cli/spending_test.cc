#include "cli/spending.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// A database that changes all the time: a write a second.
StoreUsage busy_day() {
  StoreUsage usage;
  usage.writes = 86'400;
  usage.lists = 3;
  usage.reads = 20;
  usage.sent_bytes = 100'000'000'000;
  usage.received_bytes = 2'000;
  return usage;
}

PriceList prices() { return *parse_prices("write=0.005,list=0.005,read=0.0004,received=0.09,stored=0.023"); }

TEST(SpendingText, TellsWhatADayCost) {
  const std::string text = spending_text({busy_day(), "127.0.0.1:9000", kDayMs}, prices());
  EXPECT_THAT(text, HasSubstr("86400 writes, 3 lists, 20 reads"));
  EXPECT_THAT(text, HasSubstr("; $0.43 at list prices (the prices that were given), $0.43 a day at this rate"));
  EXPECT_THAT(text, HasSubstr("; keeping what was sent: $2.30 a month"));
}

TEST(SpendingText, ReckonsADayFromAnHour) {
  const std::string text = spending_text({busy_day(), "127.0.0.1:9000", kDayMs / 24}, prices());
  EXPECT_THAT(text, HasSubstr("$0.43 at list prices"));
  EXPECT_THAT(text, HasSubstr("$10.37 a day at this rate"));
}

TEST(SpendingText, SaysNothingOfADayBeforeAMinute) {
  EXPECT_THAT(spending_text({busy_day(), "127.0.0.1:9000", 59'999}, prices()), Not(HasSubstr("a day")));
  EXPECT_THAT(spending_text({busy_day(), "127.0.0.1:9000", 60'000}, prices()), HasSubstr("a day"));
}

TEST(SpendingText, NamesNoDollarsWithoutPrices) {
  EXPECT_THAT(spending_text({busy_day(), "127.0.0.1:9000", kDayMs}, {}), Not(HasSubstr("$")));
  EXPECT_THAT(spending_text({busy_day(), "bucket.s3.amazonaws.com", kDayMs}, {}), HasSubstr("S3 Standard"));
}

TEST(Difference, IsOfEveryKind) {
  StoreUsage before = busy_day(), now = busy_day();
  now.writes += 1;
  now.lists += 2;
  now.reads += 3;
  now.deletes += 4;
  now.unanswered += 5;
  now.sent_bytes += 6;
  now.received_bytes += 7;
  const StoreUsage since = difference(now, before);
  EXPECT_EQ(since.writes, 1u);
  EXPECT_EQ(since.lists, 2u);
  EXPECT_EQ(since.reads, 3u);
  EXPECT_EQ(since.deletes, 4u);
  EXPECT_EQ(since.unanswered, 5u);
  EXPECT_EQ(since.sent_bytes, 6u);
  EXPECT_EQ(since.received_bytes, 7u);
}

TEST(Days, AreToldOfOnceEachWhenTheyAreOver) {
  Days days(1000);
  EXPECT_EQ(days.end_ms(), 1000 + kDayMs);
  EXPECT_EQ(days.take(1000), 0);
  EXPECT_EQ(days.take(999 + kDayMs), 0);
  EXPECT_EQ(days.take(1000 + kDayMs), 1);
  EXPECT_EQ(days.take(1000 + kDayMs), 0);
  EXPECT_EQ(days.end_ms(), 1000 + 2 * kDayMs);
  // Told of late, they still end when they do; and of several that are over at once it is told at once.
  EXPECT_EQ(days.take(1500 + 2 * kDayMs), 1);
  EXPECT_EQ(days.end_ms(), 1000 + 3 * kDayMs);
  EXPECT_EQ(days.take(999 + 6 * kDayMs), 3);
  EXPECT_EQ(days.end_ms(), 1000 + 6 * kDayMs);
}

TEST(StoreJson, HasTheDayInDollars) {
  StoreStatus status;
  status.service = "127.0.0.1:9000";
  status.usage = busy_day();
  const Json day = store_json(status, kDayMs, prices());
  EXPECT_NEAR(day["day_usd"].get<double>(), 0.432023, 1e-6);
  EXPECT_DOUBLE_EQ(day["day_usd"].get<double>(), day["cost_usd"].get<double>());
  EXPECT_NEAR(day["stored_month_usd"].get<double>(), 2.3, 1e-9);
  EXPECT_TRUE(store_json(status, 59'999, prices())["day_usd"].is_null());
  EXPECT_TRUE(store_json(status, kDayMs, {})["day_usd"].is_null());
}

}  // namespace
}  // namespace cairn::cli
