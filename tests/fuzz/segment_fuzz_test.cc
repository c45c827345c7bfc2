// The fuzz target over the golden objects and over simple changes of them, for builds without libFuzzer.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/clock.h"
#include "segment_target.h"

namespace cairn::fuzz {
namespace {

TEST(SegmentFuzz, HoldsForEveryGoldenObjectAndForChangesOfThem) {
  int seeds = 0;
  SeededRandom random(7);
  const auto folder = std::filesystem::path(CAIRN_SOURCE_DIR) / "tests/data/segment/v1";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".zst") continue;
    ++seeds;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const ByteView bytes = as_bytes(text);
    EXPECT_TRUE(read_object(bytes)) << entry.path();
    fuzz_segment(bytes);
    for (int round = 0; round < (bytes.size() < 1000 ? 2000 : 50); ++round) {
      Bytes changed(bytes.begin(), bytes.end());
      // Mostly in the last bytes, where lengths and counts are.
      const std::size_t reach = random.chance(3, 4) ? std::min<std::size_t>(changed.size(), 300) : changed.size();
      for (std::uint64_t n = 1 + random.below(3); n > 0; --n) {
        changed[changed.size() - 1 - random.below(reach)] = static_cast<std::byte>(random.next());
      }
      fuzz_segment(changed);
    }
  }
  EXPECT_GT(seeds, 0);
}

TEST(SegmentFuzz, HoldsForNoise) {
  SeededRandom random(8);
  for (int run = 0; run < 1000; ++run) {
    Bytes bytes(1 + random.below(600));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
    fuzz_segment(bytes);
  }
}

}  // namespace
}  // namespace cairn::fuzz
