// Which blocks of a snapshot are copied, and under which numbers: sizes and bits in, runs out.
#include "replicate/copy_plan.h"

#include <gtest/gtest.h>

#include "base/clock.h"

namespace cairn::replicate {
namespace {

constexpr std::uint64_t kKiB = 1024, kMiB = 1024 * kKiB;
constexpr CopyLimits kLimits{.least_bytes = 5 * kMiB, .part_bytes = 8 * kMiB, .most_parts = 1000};

// `count` blocks of 256 KiB that were compressed to `stored_bytes` each; all but `changed` are the same.
ComparedBlocks blocks_but(std::uint64_t count, std::uint32_t stored_bytes, const std::vector<std::uint64_t>& changed) {
  ComparedBlocks blocks{.page_size = 4096, .count = count, .source = {}, .same = std::vector<bool>(count, true)};
  for (std::uint64_t i = 0; i < count; ++i) blocks.source.push_back({stored_bytes, i});
  for (const std::uint64_t block : changed) blocks.same[block] = false;
  return blocks;
}

TEST(CopyPlan, OfTheSameDatabaseEveryBlockIsCopied) {
  const auto runs = runs_to_copy(blocks_but(1000, 100'000, {}), kLimits);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].first_block, 0u);
  EXPECT_EQ(runs[0].block_count, 1000u);
  EXPECT_EQ(runs[0].source_offset, 0u);
  EXPECT_EQ(runs[0].length_bytes, 100'000'000u);
  EXPECT_EQ(runs[0].stored->at(999).checksum, 999u);
}

TEST(CopyPlan, BehindAChangedBlockSoMuchIsSentThatAPartIsLongEnough) {
  const auto runs = runs_to_copy(blocks_but(1000, 100'000, {400}), kLimits);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].end_block(), 400u);
  const std::uint64_t padding = runs[1].first_block - 401;
  EXPECT_GE(padding * 100'000, kLimits.least_bytes * 3 / 2) << "also if this zstd makes the blocks a third smaller";
  EXPECT_LT((padding - 1) * 100'000, kLimits.least_bytes * 3 / 2);
  EXPECT_EQ(runs[1].source_offset, runs[1].first_block * 100'000);
  EXPECT_EQ(runs[1].end_block(), 1000u);
}

TEST(CopyPlan, WhereNothingIsLongEnoughNothingIsCopied) {
  EXPECT_TRUE(runs_to_copy(blocks_but(50, 100'000, {}), kLimits).empty()) << "5 MB are less than 5 MiB";
  std::vector<std::uint64_t> every_40th;
  for (std::uint64_t block = 0; block < 1000; block += 40) every_40th.push_back(block);
  EXPECT_TRUE(runs_to_copy(blocks_but(1000, 100'000, every_40th), kLimits).empty());
}

TEST(CopyPlan, ALongRunIsCopiedInSeveralPartsOfWhichEachIsLongEnough) {
  CopyLimits limits = kLimits;
  limits.most_copied_bytes = 10 * kMiB;
  const auto runs = runs_to_copy(blocks_but(1000, 100'000, {}), limits);
  ASSERT_EQ(runs.size(), 1u);
  EXPECT_EQ(runs[0].part_count, 10);
}

TEST(CopyPlan, OfMoreRunsThanTheStoreTakesPartsTheLongestAreCopied) {
  std::vector<std::uint64_t> changed;
  for (std::uint64_t block = 0; block < 20'000; block += 160) changed.push_back(block);
  changed.push_back(50'000);
  const ComparedBlocks blocks = blocks_but(60'000, 100'000, changed);
  CopyLimits limits = kLimits;
  limits.most_parts = 10'000;
  EXPECT_EQ(runs_to_copy(blocks, limits).size(), 126u);
  limits.part_bytes = 40 * kMiB;
  limits.most_parts = 500;
  const auto runs = runs_to_copy(blocks, limits);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[1].end_block(), 60'000u);
  limits.most_parts = 10;
  EXPECT_TRUE(runs_to_copy(blocks, limits).empty());
}

// What has to hold of every plan, of many at random.
TEST(CopyPlan, KeepsItsRules) {
  SeededRandom random(11);
  std::size_t copied = 0;
  for (int round = 0; round < 2000; ++round) {
    const std::uint64_t count = 1 + random.below(300), there = 1 + random.below(300);
    const int per_cent = static_cast<int>(random.below(30));
    ComparedBlocks blocks{.page_size = 4096, .count = count, .source = {}, .same = {}};
    for (std::uint64_t i = 0; i < there; ++i)
      blocks.source.push_back({static_cast<std::uint32_t>(20 + random.below(200'000)), random.next()});
    for (std::uint64_t i = 0; i < std::min(count, there); ++i)
      blocks.same.push_back(static_cast<int>(random.below(100)) >= per_cent);
    const CopyLimits limits{.least_bytes = 1 + random.below(kMiB),
                            .part_bytes = kMiB + random.below(kMiB),
                            .most_parts = static_cast<int>(1 + random.below(300)),
                            .most_copied_bytes = 2 * kMiB};
    const auto runs = runs_to_copy(blocks, limits);
    copied += runs.size();
    std::uint64_t block = 0, offset = 0;
    std::uint64_t copied_parts = 0;
    for (const CopiedRun& run : runs) {
      ASSERT_GE(run.first_block, block);
      ASSERT_TRUE(block == 0 || run.first_block > block) << "two runs that touch are one";
      std::uint64_t sent_again = 0;
      for (; block < run.first_block; ++block) {
        offset += blocks.source[block].compressed_bytes;
        if (blocks.same[block]) sent_again += blocks.source[block].compressed_bytes;
      }
      ASSERT_TRUE(run.first_block == 0 || sent_again >= limits.least_bytes * 3 / 2);
      ASSERT_EQ(run.source_offset, offset);
      ASSERT_EQ(run.stored->size(), run.block_count);
      for (; block < run.end_block(); ++block) {
        ASSERT_TRUE(blocks.same[block]);
        ASSERT_EQ(run.stored->at(block - run.first_block).checksum, blocks.source[block].checksum);
        offset += blocks.source[block].compressed_bytes;
      }
      ASSERT_EQ(offset - run.source_offset, run.length_bytes);
      ASSERT_GE(run.length_bytes / static_cast<std::uint64_t>(run.part_count), limits.least_bytes);
      copied_parts += static_cast<std::uint64_t>(run.part_count);
    }
    if (runs.empty()) continue;
    const std::uint64_t most_bytes = count * 256 * kKiB / 10 * 11;
    ASSERT_LE(std::max(copied_parts, most_bytes / limits.part_bytes), static_cast<std::uint64_t>(limits.most_parts));
  }
  EXPECT_GT(copied, 500u);
}

}  // namespace
}  // namespace cairn::replicate
