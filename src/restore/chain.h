// The objects of a plan, opened and checked against each other: one history, without a hole, up to the target.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/executor.h"
#include "restore/history.h"
#include "segment/reader.h"

namespace cairn::restore {

// One object and the part of it that is used. Of a snapshot: all of it, and the frame numbers are 0.
struct ChainLink {
  std::unique_ptr<segment::ObjectReader> reader;
  StoredObject object;
  std::size_t first_point = 0, end_point = 0;  // runs [first_point, end_point) of a segment
  bool restates = false;  // the page size differs from what came before: it holds every page, the older ones are void

  const segment::Footer& footer() const { return reader->footer(); }
  // Frames [begin, end) of run `point`.
  std::uint64_t frames_begin(std::size_t point) const { return point == 0 ? 0 : footer().points[point - 1].frame_end; }
  std::uint64_t frames_end(std::size_t point) const { return footer().points[point].frame_end; }
};

struct Chain {
  Id128 lineage;
  std::uint32_t page_size = 0;    // at the target
  segment::RestorePoint point;    // the target
  std::vector<ChainLink> links;   // the snapshot first
};

// What is wanted of the objects of a chain: then small ones are fetched whole at once.
enum class Wanted { indexes, pages };

// Opens every object of `cover` (footers in parallel) and checks the chain. `claimed`, the lineage that metadata.json
// names, is compared too when it is known.
// conflict: an object belongs to another lineage. corrupt: an object is damaged, or does not continue the one before.
Result<Chain> open_chain(Store& store, const std::vector<StoredObject>& cover, Sequence target,
                         const std::optional<Id128>& claimed, Wanted wanted, Executor& executor);

}  // namespace cairn::restore
