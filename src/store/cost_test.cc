#include "store/cost.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

StoreUsage day_of_writes() {
  StoreUsage usage;
  usage.writes = 86'400;  // one a second
  usage.lists = 10;
  usage.reads = 1'000;
  usage.deletes = 5'000;
  usage.unanswered = 1'000'000;
  usage.sent_bytes = 2'000'000'000;
  usage.received_bytes = 3'000'000'000;
  return usage;
}

TEST(Cost, RequestsAndBytesHavePricesByKind) {
  const Cost cost = cost_of(day_of_writes(), *parse_prices("s3"));
  EXPECT_NEAR(cost.requests_usd, 86.4 * 0.005 + 0.01 * 0.005 + 0.0004, 1e-9);
  EXPECT_NEAR(cost.received_usd, 3 * 0.09, 1e-9);
  EXPECT_NEAR(cost.stored_month_usd, 2 * 0.023, 1e-9);
  EXPECT_NEAR(cost.usd(), cost.requests_usd + cost.received_usd, 1e-12);
}

TEST(Cost, ProvidersDiffer) {
  EXPECT_NEAR(cost_of(day_of_writes(), *parse_prices("r2")).usd(), 86.41 * 0.0045 + 0.00036, 1e-9);
  EXPECT_NEAR(cost_of(day_of_writes(), *parse_prices("b2")).usd(), 0.01 * 0.004 + 0.0004 + 0.03, 1e-9);
}

TEST(Cost, OwnPricesAreTakenAsGiven) {
  const Result<PriceList> prices = parse_prices("write=1,read=0.5,received=2e-1,stored=0.01,list=3,delete=4");
  ASSERT_TRUE(prices);
  EXPECT_EQ(prices->write, 1);
  EXPECT_EQ(prices->read, 0.5);
  EXPECT_EQ(prices->received_gb, 0.2);
  EXPECT_EQ(prices->stored_gb_month, 0.01);
  EXPECT_EQ(prices->list, 3);
  EXPECT_EQ(prices->remove, 4);
  EXPECT_EQ(parse_prices("read=0.5")->write, 0);
}

TEST(Cost, WhatIsNoPriceIsRefused) {
  for (const char* text : {"", "s4", "write", "write=", "write=x", "write=1;read=2", "write=-1", "write=inf",
                           "write=nan", "put=1", "write=1$"}) {
    EXPECT_EQ(parse_prices(text).error().kind(), ErrorKind::invalid) << text;
  }
}

TEST(Cost, ServicesAreKnownByTheirHosts) {
  EXPECT_EQ(prices_of_service("s3.eu-central-1.amazonaws.com")->name, "S3 Standard in us-east-1");
  EXPECT_EQ(prices_of_service("b.s3.cn-north-1.amazonaws.com.cn")->name, "S3 Standard in us-east-1");
  EXPECT_EQ(prices_of_service("abc.r2.cloudflarestorage.com")->name, "Cloudflare R2");
  EXPECT_EQ(prices_of_service("s3.us-west-002.backblazeb2.com")->name, "Backblaze B2");
  EXPECT_FALSE(prices_of_service("127.0.0.1"));
  EXPECT_FALSE(prices_of_service("evilamazonaws.com"));
  EXPECT_FALSE(prices_of_service(""));
}

TEST(Cost, SmallAmountsKeepTwoDigits) {
  EXPECT_EQ(usd_text(0), "$0");
  EXPECT_EQ(usd_text(12.345), "$12.35");
  EXPECT_EQ(usd_text(1), "$1.00");
  EXPECT_EQ(usd_text(0.43), "$0.43");
  EXPECT_EQ(usd_text(0.0123), "$0.012");
  EXPECT_EQ(usd_text(0.000005), "$0.0000050");
}

}  // namespace
}  // namespace cairn
