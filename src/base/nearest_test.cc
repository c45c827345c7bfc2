#include "base/nearest.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(Nearest, FindsWhatWasMeantAndNothingWhenNothingIsLikeIt) {
  const std::vector<std::string> known{"replicate", "restore", "verify", "interval"};
  EXPECT_EQ(nearest("restor", known), "restore");
  EXPECT_EQ(nearest("intervall", known), "interval");
  EXPECT_EQ(nearest("rep", known), "replicate");
  EXPECT_EQ(nearest("quite_another_word", known), "");
  EXPECT_EQ(nearest("x", {}), "");
}

}  // namespace
}  // namespace cairn
