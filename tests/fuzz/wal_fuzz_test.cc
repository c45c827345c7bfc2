// The fuzz target over its seeds and over simple changes of them, for builds without libFuzzer.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "wal_target.h"

namespace cairn::fuzz {
namespace {

TEST(WalFuzz, HoldsForEverySeedAndForItsBeginnings) {
  int seeds = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(CAIRN_SOURCE_DIR) / "tests/data/wal")) {
    std::ifstream in(entry.path() / "wal", std::ios::binary);
    if (!in) continue;
    ++seeds;
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const ByteView bytes = as_bytes(text);
    fuzz_wal(bytes);
    for (std::size_t size = 0; size < std::min<std::size_t>(bytes.size(), 200); ++size) fuzz_wal(bytes.first(size));
  }
  EXPECT_GT(seeds, 0);
}

TEST(WalFuzz, HoldsForNoise) {
  std::uint32_t state = 1;
  for (int run = 0; run < 2000; ++run) {
    Bytes bytes(16 + run % 500);
    for (auto& b : bytes) {
      state = state * 1664525 + 1013904223;
      b = static_cast<std::byte>(state >> 24);
    }
    fuzz_wal(bytes);
  }
}

}  // namespace
}  // namespace cairn::fuzz
