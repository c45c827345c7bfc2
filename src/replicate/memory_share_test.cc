#include "replicate/memory_share.h"

#include <gtest/gtest.h>

#include <deque>

namespace cairn::replicate {
namespace {

TEST(MemoryShare, OfOneIsBounded) {
  MemoryShare share;
  EXPECT_TRUE(share.take(MemoryShare::kMost_bytes - 1));
  EXPECT_FALSE(share.take(2));
  EXPECT_TRUE(share.take(1));
  share.give_back(10);
  EXPECT_TRUE(share.take(10));
  share.give_back(2 * MemoryShare::kMost_bytes);  // more than it has
  EXPECT_TRUE(share.take(MemoryShare::kMost_bytes));
}

TEST(MemoryShare, OfAllIsBoundedAndComesBack) {
  std::deque<MemoryShare> shares(MemoryShare::kMostOfAll_bytes / MemoryShare::kMost_bytes);
  for (MemoryShare& share : shares) ASSERT_TRUE(share.take(MemoryShare::kMost_bytes));
  MemoryShare one_more;
  EXPECT_FALSE(one_more.take(1));
  shares.front().give_back(5);
  EXPECT_FALSE(one_more.take(6));
  EXPECT_TRUE(one_more.take(5));
  shares.pop_back();
  EXPECT_TRUE(one_more.take(MemoryShare::kMost_bytes - 5));
  EXPECT_TRUE(shares.front().take(5));
  MemoryShare another;
  EXPECT_FALSE(another.take(1));
  one_more.give_all_back();
  EXPECT_TRUE(another.take(1));
}

}  // namespace
}  // namespace cairn::replicate
