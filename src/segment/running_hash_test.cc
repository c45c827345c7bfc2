#include "segment/running_hash.h"

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/clock.h"

namespace cairn::segment {
namespace {

// XXH3 works in stripes of 64 bytes, blocks of 1,024 and a buffer of 256: cuts around all of them.
TEST(RunningHash, GoesOnFromASavedState) {
  SeededRandom random(3);
  Bytes bytes(200'000);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
  RunningHash whole;
  whole.add(bytes);
  for (const std::size_t cut : {0, 1, 64, 239, 240, 241, 255, 256, 257, 1023, 1024, 1025, 100'000, 200'000}) {
    RunningHash first;
    first.add(ByteView(bytes).first(cut));
    auto second = RunningHash::restore(first.save());
    ASSERT_TRUE(second);
    second->add(ByteView(bytes).subspan(cut));
    EXPECT_EQ(second->value(), whole.value()) << cut;
  }
}

TEST(RunningHash, StateOfAnotherVersionIsRefused) {
  Bytes saved = RunningHash().save();
  saved.front() ^= std::byte{1};
  EXPECT_FALSE(RunningHash::restore(saved));
  saved.pop_back();
  EXPECT_FALSE(RunningHash::restore(saved));
}

}  // namespace
}  // namespace cairn::segment
