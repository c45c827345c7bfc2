// The fuzz target over its seeds and over simple changes of them, for builds without libFuzzer.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "config_target.h"

namespace cairn::fuzz {
namespace {

TEST(ConfigFuzz, HoldsForEverySeedItsBeginningsAndWithOneByteChanged) {
  int seeds = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(CAIRN_SOURCE_DIR) / "tests/data/config")) {
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    ++seeds;
    fuzz_config(as_bytes(text));
    for (std::size_t at = 0; at < text.size(); ++at) {
      fuzz_config(as_bytes(text).first(at));
      std::string changed = text;
      changed[at] = "\"'[]{}=.$*/\n\0\xff 1"[at % 17];
      fuzz_config(as_bytes(changed));
    }
  }
  EXPECT_GT(seeds, 0);
}

}  // namespace
}  // namespace cairn::fuzz
