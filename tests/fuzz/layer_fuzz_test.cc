// The fuzz target over the golden objects, their tars, and simple changes of both, for builds without libFuzzer.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "base/clock.h"
#include "layer_target.h"

namespace cairn::fuzz {
namespace {

TEST(LayerFuzz, HoldsForEveryGoldenObjectAndForChangesOfThem) {
  int seeds = 0;
  SeededRandom random(7);
  const auto folder = std::filesystem::path(CAIRN_SOURCE_DIR) / "tests/data/layer/v1";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".zst") continue;
    ++seeds;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const ByteView bytes = as_bytes(text);
    EXPECT_TRUE(read_layer(bytes)) << entry.path();
    fuzz_layer(bytes);
    for (int round = 0; round < 1000; ++round) {
      Bytes changed(bytes.begin(), bytes.end());
      // Mostly in the last bytes, where lengths and counts are.
      const std::size_t reach = random.chance(3, 4) ? std::min<std::size_t>(changed.size(), 200) : changed.size();
      for (std::uint64_t n = 1 + random.below(3); n > 0; --n) {
        changed[changed.size() - 1 - random.below(reach)] = static_cast<std::byte>(random.next());
      }
      fuzz_layer(changed);
    }
  }
  EXPECT_GT(seeds, 0);
}

// Headers that are nearly right, as records of an index that is right.
TEST(LayerFuzz, HoldsForChangedHeaders) {
  SeededRandom random(9);
  layer::Entry entry;
  entry.path = "d/n\xc3\xbc";
  entry.kind = layer::EntryKind::file;
  entry.mtime_ns = 5;
  entry.xattrs = {{"user.a", "value"}};
  const Bytes header = layer::write_tar_header(entry).value();
  Bytes records(layer::kRecordBytes);
  records.insert(records.end(), header.begin(), header.end());
  const std::uint64_t tar_bytes = header.size() + layer::kTarEndBytes;
  EXPECT_TRUE(read_layer(layer::testing::layer_around(records, 1, as_bytes(entry.path), tar_bytes)));
  for (int round = 0; round < 5000; ++round) {
    Bytes changed = records;
    for (std::uint64_t n = 1 + random.below(3); n > 0; --n) {
      changed[random.below(changed.size())] = static_cast<std::byte>(random.next());
    }
    read_header(ByteView(changed).subspan(layer::kRecordBytes));
    read_layer(layer::testing::layer_around(changed, 1, as_bytes(entry.path), tar_bytes));
  }
}

TEST(LayerFuzz, HoldsForNoise) {
  SeededRandom random(8);
  for (int run = 0; run < 1000; ++run) {
    Bytes bytes(1 + random.below(600));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
    fuzz_layer(bytes);
  }
}

}  // namespace
}  // namespace cairn::fuzz
