// What a prune owes, told by somebody who knows the rules of retention as docs/operations.md and
// src/compact/retention.h state them, but none of the code behind them: by trying all ways, one point after the
// other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cairn/compactor.h"
#include "cairn/store.h"

namespace cairn::testing {

struct PrunePromise {
  std::vector<std::uint64_t> each;                 // sequences that stay, ascending
  std::vector<std::vector<std::uint64_t>> one_of;  // of each of these at least one stays
  std::uint64_t newest = 0;                        // what is published behind it stays, too
};

// What a prune is shown. `late`: perhaps not what was put last. It then decides as it would have before that was put,
// so what stays only because a later object says that a clock was set back is not owed.
enum class Listing { whole, late };

// Of a prune by `policy` of what is in the store now; nothing when an object cannot be read.
Result<PrunePromise> promise_of(Store& store, const std::string& replica, const PrunePolicy& policy,
                                std::int64_t now_ms, Listing listing);

}  // namespace cairn::testing
