// What a restore has to fetch: which frames of which layers, in the order in which they are needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "cairn/error.h"
#include "layer/merge.h"

namespace cairn::layer {

// One request: frames [first, first + count) of a layer.
struct FrameRun {
  std::size_t layer = 0;
  std::uint64_t first = 0, count = 0;
  std::uint64_t compressed_bytes = 0;
  std::uint64_t uses = 0;  // frames of it that are wanted: between two of them may lie some that are not
};

// A frame becomes the current one of its layer; the one that was before is not needed any more.
struct FrameUse {
  std::uint32_t layer = 0;
  std::uint32_t frame = 0;
  std::uint32_t run = 0;
};

struct RestorePlan {
  std::vector<FrameRun> runs;  // in the order in which they are needed first
  std::vector<FrameUse> uses;
  std::uint64_t entries = 0;
  std::uint64_t size_bytes = 0;   // of all files
  std::uint64_t disk_bytes = 0;   // the same without their holes
  std::uint64_t fetch_bytes = 0;  // of all runs
};

// Frames that hold the contents of an entry: [first, last].
struct FrameRange {
  std::uint64_t first = 0, last = 0;
};
FrameRange frames_of(const LayerReader& layer, const IndexedEntry& entry);

// Many connections make up for the size of one request, and each keeps memory of about twice that for itself.
inline constexpr std::uint64_t kMaxRunBytes = 4u << 20;

// Walks the merged chain once. 12 bytes a frame stay in memory.
Result<RestorePlan> plan_restore(const std::vector<const LayerReader*>& layers, const std::optional<std::string>& path,
                                 const std::stop_token& stop);

}  // namespace cairn::layer
