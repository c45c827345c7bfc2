// What the page indexes of a merge's inputs say of the states that they lead through, checked before a page is read.
#pragma once

#include <cstdint>
#include <span>

#include "segment/merge_order.h"

namespace cairn::segment {

// That each run holds every page by which the database has grown in it, and that the pages of a run make the database
// hash of its restore point from that of the one before, as far as the hashes of the pages that it replaces or cuts off
// are known: from `hashes_before` (of the state before the first run; may be empty) or from earlier runs.
// Returns how many runs were proven so. corrupt: names the input.
Result<std::uint64_t> check_states(std::span<ObjectReader* const> inputs, std::span<const MergeRun> runs,
                                   std::span<const std::uint64_t> hashes_before);

}  // namespace cairn::segment
