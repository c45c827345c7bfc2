#include "layer/room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/scratch.h"

namespace cairn::layer {
namespace {

TEST(Room, WhatDoesNotFitIsRefusedInOneSentence) {
  EXPECT_TRUE(check_room("there", 100, 100));
  const auto refused = check_room("there", 3u << 20, (3u << 20) - 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::io);
  EXPECT_THAT(refused.error().message(), ::testing::StartsWith("there: 3.0 MiB are to be written"));
}

TEST(Room, OfATargetWhoseDirectoriesAreNotThereYetItIsThatOfTheNearestThatIs) {
  const cairn::testing::Scratch scratch("room");
  const auto here = free_bytes_for(scratch / "target");
  const auto below = free_bytes_for(scratch / "a/b/c/target");
  ASSERT_TRUE(here && below);
  EXPECT_GT(*here, 0u);
  EXPECT_GT(*below, 0u);
  EXPECT_TRUE(free_bytes_for("target"));
  EXPECT_TRUE(free_bytes_for("/target/below"));
}

}  // namespace
}  // namespace cairn::layer
