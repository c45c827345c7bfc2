#include "cairn/shared_spool.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(SharedSpools, TheTurnsOfAStoreThatIsBackDelayNoOther) {
  SharedSpools spools;
  spools.set_limits({.size_bytes = 100, .drain_bytes_per_s = 1'000});
  SharedSpool& back = spools.of("s3://back");
  EXPECT_EQ(&spools.of("s3://back"), &back);
  EXPECT_EQ(back.next_turn_us(0, 60'000), 60'000'000);
  EXPECT_EQ(back.next_turn_us(0, 1'000), 61'000'000);  // of whatever database
  EXPECT_EQ(spools.of("s3://well").next_turn_us(0, 1'000), 1'000'000);
  spools.set_limits({.size_bytes = 100, .drain_bytes_per_s = 0});
  EXPECT_EQ(back.next_turn_us(5, 1'000), 5);
}

TEST(SharedSpools, WhatAllStoresHoldCountsTogether) {
  SharedSpools spools;
  spools.set_limits({.size_bytes = 100, .drain_bytes_per_s = 1'000});
  SharedSpool& one = spools.of("one");
  SharedSpool& other = spools.of("other");
  one.grow(60);
  EXPECT_FALSE(other.is_full());
  other.grow(40);
  EXPECT_TRUE(one.is_full());
  EXPECT_TRUE(other.is_full());
  EXPECT_EQ(one.size_bytes(), 100u);
  other.shrink(1);
  EXPECT_FALSE(one.is_full());
}

}  // namespace
}  // namespace cairn
