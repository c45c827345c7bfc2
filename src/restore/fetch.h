// Fetching the wanted pages of a chain into a file, in parallel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <vector>

#include "base/executor.h"
#include "base/files.h"
#include "restore/chain.h"
#include "restore/page_writer.h"
#include "restore/pages.h"
#include "restore/plan.h"

namespace cairn::restore {

// Neighbouring blocks of one link that are fetched with one request.
struct BlockRange {
  std::uint32_t link = 0;
  std::uint32_t first_block = 0, block_count = 0;
  std::uint64_t first_entry = 0, end_entry = 0;  // the wanted index entries of it lie in here
  std::uint64_t compressed_bytes = 0;
  std::uint64_t size_bytes = 0;
};

// The requests that fetch every wanted page, with some for each of `threads`. Blocks without a wanted page are skipped,
// unless they are so small that another request would cost more. corrupt: an index entry points outside of its object.
Result<std::vector<BlockRange>> group_blocks(const Chain& chain, const Selection& selection, int threads);

// Such that each of `threads` gets some ranges of all that is fetched (`size_bytes`, decompressed), and none is left
// working on the last one alone for long.
constexpr std::uint64_t longest_range_bytes(std::uint64_t size_bytes, int threads) {
  constexpr std::uint64_t kRangesOfAThread = 4;
  const std::uint64_t ranges = kRangesOfAThread * static_cast<std::uint64_t>(std::max(1, threads));
  return std::clamp(size_bytes / ranges, kRangeBytes, kLongestRangeBytes);
}

struct FetchOptions {
  std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)> progress;
  std::stop_token stop;
};

// Fetches all ranges, checks every page and writes it to its place in `file`.
Result<void> fetch_pages(const Chain& chain, const Selection& selection, const std::vector<BlockRange>& ranges,
                         File& file, Executor& executor, PageTotals& totals, const FetchOptions& options);

// --onto: of the wanted pages, those that `existing` holds already are copied from there and no longer wanted.
Result<void> reuse_pages(const Chain& chain, Selection& selection, const File& existing, File& file,
                         Executor& executor, PageTotals& totals, std::stop_token stop);

}  // namespace cairn::restore
