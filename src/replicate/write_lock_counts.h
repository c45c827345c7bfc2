// Where a time that the write lock was held is counted in the status.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cairn/replicator.h"

namespace cairn::replicate {

inline std::size_t write_lock_place(std::int64_t held_us) {
  const auto bound = std::ranges::lower_bound(kWriteLockBounds_us, held_us);
  return static_cast<std::size_t>(bound - kWriteLockBounds_us.begin());
}

}  // namespace cairn::replicate
