// What of a snapshot need not be sent: runs of blocks that lie in the last snapshot as they would be made again, for
// the store to copy. Which these are follows from page hashes and sizes alone, before a page is read; so a process that
// goes on with the upload of one that was killed comes to the same plan.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "segment/format.h"

namespace cairn::replicate {

struct CopiedRun {
  enum class State {
    waits,   // for the store
    copied,  // it has them
    ours,    // it could not: they are compressed and sent like any other
  };
  std::uint64_t first_block = 0, block_count = 0;
  std::uint64_t source_offset = 0, length_bytes = 0;  // of the blocks as they are stored
  int part_count = 0;                                 // into which it is cut
  std::shared_ptr<const std::vector<segment::StoredBlock>> stored;
  std::atomic<State> state{State::waits};

  std::uint64_t end_block() const { return first_block + block_count; }
};

struct CopyPlan {
  std::string source_key, source_etag;
  std::deque<CopiedRun> runs;  // ascending; blocks between two, in front or behind are sent
};

// A snapshot's blocks, held against those of the last one.
struct ComparedBlocks {
  std::uint32_t page_size = 0;
  std::uint64_t count = 0;                    // of the new snapshot
  std::vector<segment::StoredBlock> source;   // of the last one
  std::vector<bool> same;                     // block i of both; no longer than either
};

struct CopyLimits {
  std::uint64_t least_bytes = 0;  // of a part that is not the last
  std::uint64_t part_bytes = 0;   // of those that are sent
  int most_parts = 0;             // of an upload
  std::uint64_t most_copied_bytes = 256ull << 20;  // of one copied part: several go at once, and none takes long
};

// The runs that are copied. Each, and what is sent between two of them, is at least as long as a part has to be: of
// what is the same, the blocks behind a changed one are sent until that is certain. There are never more parts than the
// store takes, also if some of the runs are sent after all.
std::deque<CopiedRun> runs_to_copy(const ComparedBlocks& blocks, const CopyLimits& limits);

}  // namespace cairn::replicate
