// Which objects a restore needs: a pure function of what the store holds.
#pragma once

#include <cstdint>
#include <vector>

#include "restore/history.h"

namespace cairn::restore {

// What asking for one more object costs, in bytes: about what arrives while a request is under way.
inline constexpr std::uint64_t kRequestCostBytes = 256 * 1024;

// The cheapest cover (bytes and requests) that reaches the state at `target` exactly: the newest snapshot at or before
// it, then segments, each continuing or overlapping what came before. Empty sizes are allowed; order of the inputs
// does not matter. Of two equally cheap covers it is always the same one, whatever the order of the inputs.
//
// A segment may be used
//   whole, when it ends at or before the target: applied to any state from first - 1 on it gives the state at its last
//     sequence, because it holds the newest version of every page that changed in between;
//   up to one of its `stops`, the last one before or at the target. A squashed segment has none: it is never used when
//     it ends past the target.
//
// not_found: no snapshot at or before the target; the target is newer than everything; or it is no restore point any
// more (only inside a squashed segment). corrupt: a segment is missing; the message says which and what is there.
Result<std::vector<StoredObject>> cheapest_cover(const std::vector<StoredObject>& snapshots,
                                                 const std::vector<StoredObject>& segments, Sequence target);

}  // namespace cairn::restore
