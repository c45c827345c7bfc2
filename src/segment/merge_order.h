// In which order the frames of a merge's inputs go into its output, worked out from page numbers alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "segment/reader.h"

namespace cairn::segment {

// One run of one input.
struct MergeRun {
  std::uint32_t input = 0;
  std::uint64_t begin = 0, end = 0;  // its entries in the input's page index
  RestorePoint point;
};

std::vector<MergeRun> runs_of(std::span<ObjectReader* const> inputs);

struct MergeFrame {
  std::uint32_t run = 0;    // an index into the runs
  std::uint64_t entry = 0;  // of the input's page index
};

class MergeOrder {
 public:
  virtual ~MergeOrder() = default;
  virtual std::optional<MergeFrame> next() = 0;
};

// What they are made of must outlive them. Every frame, as it stands:
std::unique_ptr<MergeOrder> all_frames(std::span<const MergeRun> runs);
// Of each page the newest version, ascending by page, unless the database was cut below it later on. 16 bytes a run.
std::unique_ptr<MergeOrder> newest_frames(std::span<ObjectReader* const> inputs, std::span<const MergeRun> runs);

}  // namespace cairn::segment
