#include "replicate/copy_plan.h"

#include <algorithm>

namespace cairn::replicate {
namespace {

std::deque<CopiedRun> runs_of(const ComparedBlocks& blocks, const CopyLimits& limits, std::uint64_t least_run_bytes) {
  // Another version of zstd could make the same blocks smaller than they are in the source.
  const std::uint64_t padding_bytes = limits.least_bytes + limits.least_bytes / 2;
  std::deque<CopiedRun> runs;
  std::uint64_t offset = 0, padded_bytes = 0;  // padded: what is the same, and is sent since the last run
  bool is_behind_own = false;
  for (std::uint64_t block = 0; block < blocks.same.size();) {
    if (!blocks.same[block]) {
      offset += blocks.source[block++].compressed_bytes;
      is_behind_own = true;
      continue;
    }
    for (; block < blocks.same.size() && blocks.same[block] && is_behind_own && padded_bytes < padding_bytes; ++block) {
      padded_bytes += blocks.source[block].compressed_bytes;
      offset += blocks.source[block].compressed_bytes;
    }
    std::uint64_t end = block, length = 0;
    for (; end < blocks.same.size() && blocks.same[end]; ++end) length += blocks.source[end].compressed_bytes;
    if (length >= least_run_bytes) {
      CopiedRun& run = runs.emplace_back();
      run.first_block = block;
      run.block_count = end - block;
      run.source_offset = offset;
      run.length_bytes = length;
      padded_bytes = 0;
      is_behind_own = false;
    } else if (end > block) {
      padded_bytes += length;
      is_behind_own = true;
    }
    offset += length;
    block = end;
  }
  return runs;
}

// The most parts that it can become, with each run copied or sent. Sets into how many a run is cut.
std::uint64_t most_parts_of(std::deque<CopiedRun>& runs, const ComparedBlocks& blocks, const CopyLimits& limits) {
  const std::uint64_t block_bytes = std::uint64_t{segment::pages_per_block(blocks.page_size)} * blocks.page_size;
  const auto sent = [&](std::uint64_t count) {
    const std::uint64_t bytes = count * block_bytes;
    return count == 0 ? 0 : (bytes + bytes / 10) / limits.part_bytes + 1;
  };
  const std::uint64_t most_bytes = std::max(limits.most_copied_bytes, limits.part_bytes);
  std::uint64_t parts = 0, block = 0;
  for (CopiedRun& run : runs) {
    const std::uint64_t copied = (run.length_bytes + most_bytes - 1) / most_bytes;
    run.part_count = static_cast<int>(copied);
    parts += sent(run.first_block - block) + std::max(copied, sent(run.block_count));
    block = run.end_block();
  }
  // Behind the blocks: a hash a page, a checksum and a size a block, and what every object has.
  const std::uint64_t end_bytes = blocks.count * (block_bytes / blocks.page_size * 9 + 16) + 4096;
  return parts + sent(blocks.count - block) + end_bytes / limits.part_bytes + 1;
}

}  // namespace

std::deque<CopiedRun> runs_to_copy(const ComparedBlocks& blocks, const CopyLimits& limits) {
  std::deque<CopiedRun> runs;
  // Many short runs may be more parts than the store takes: then the shortest are sent.
  for (std::uint64_t least = std::max<std::uint64_t>(limits.least_bytes, 1);; least *= 2) {
    runs = runs_of(blocks, limits, least);
    if (most_parts_of(runs, blocks, limits) <= static_cast<std::uint64_t>(limits.most_parts) || runs.empty()) break;
  }
  for (CopiedRun& run : runs) {
    const auto begin = blocks.source.begin() + static_cast<std::ptrdiff_t>(run.first_block);
    run.stored = std::make_shared<const std::vector<segment::StoredBlock>>(
        begin, begin + static_cast<std::ptrdiff_t>(run.block_count));
  }
  return runs;
}

}  // namespace cairn::replicate
