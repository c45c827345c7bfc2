// Which objects a restore needs: a pure function of what the store holds.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cairn/restore.h"
#include "restore/history.h"

namespace cairn::restore {

// What asking for one more object costs, in bytes: about what arrives while a request is under way.
inline constexpr std::uint64_t kRequestCostBytes = 256 * 1024;

// A request fetches no more than this, compressed or not, of a restore that is so small that all threads have enough
// to do only with small ranges: at 8 MiB a request's own cost hardly matters.
inline constexpr std::uint64_t kRangeBytes = 8u << 20;
// Of a large one no more than this: each request waits once for its answer, which on a fast wire is as long as many
// MiB take. A range is written to its place as it comes, so its size costs no memory.
inline constexpr std::uint64_t kLongestRangeBytes = 64u << 20;

// What a request and a byte cost, in a unit of the caller's: seconds, or money.
struct Prices {
  std::uint64_t request = RestoreTarget().request_costs_bytes;
  std::uint64_t byte = 1;
};

// What is fetched of a cover, at most.
struct CoverTotals {
  std::uint64_t objects = 0, requests = 0, size_bytes = 0;
  bool operator==(const CoverTotals&) const = default;
};

// What using an object for `target` costs at most: one request for its end, which is all of a small one, and as many as
// its data takes; its bytes, or those up to its last stop before the target when it ends behind that. Nothing: it is
// of no use for this target.
std::optional<std::uint64_t> cost_of(const StoredObject& object, Sequence target, const Prices& prices);

// The cheapest cover that reaches the state at `target` exactly: a snapshot, then segments, each continuing or
// overlapping what came before. Empty sizes are allowed; order of the inputs does not matter. Of equally cheap covers
// it is one of the fewest objects, and always the same one, whatever the order of the inputs.
//
// A segment may be used
//   whole, when it ends at or before the target: applied to any state from first - 1 on it gives the state at its last
//     sequence, because it holds the newest version of every page that changed in between;
//   up to one of its `stops`, the last one before or at the target. A squashed segment has none: it is never used when
//     it ends past the target.
// So a bundle can be entered at any state from first - 1 on, and left at any of its restore points.
//
// not_found: no snapshot at or before the target; the target is newer than everything; or it is no restore point any
// more (only inside a squashed segment). corrupt: a segment is missing; the message says which and what is there.
Result<std::vector<StoredObject>> cheapest_cover(const std::vector<StoredObject>& snapshots,
                                                 const std::vector<StoredObject>& segments, Sequence target,
                                                 const Prices& prices = {});

// What a restore of each target takes: the totals of its cheapest_cover, among the segments that a restore looks at,
// those that end behind the newest snapshot at or before it. Nothing: it cannot be reached. `targets` must ascend.
// About n log n for all of them together; only inside of squashed runs of bundles it is more.
std::vector<std::optional<CoverTotals>> cover_totals(const std::vector<StoredObject>& snapshots,
                                                     const std::vector<StoredObject>& segments,
                                                     const std::vector<Sequence>& targets, const Prices& prices = {});

// The newest state at or before `target` that can be reached at all; nothing without a snapshot that old.
std::optional<Sequence> newest_reachable(const std::vector<StoredObject>& snapshots,
                                         const std::vector<StoredObject>& segments, Sequence target);

}  // namespace cairn::restore
