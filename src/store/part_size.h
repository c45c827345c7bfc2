// Into how many parts an object can be cut: all but the last are of one size, which is decided before the first one is
// sent.
#pragma once

#include <cstdint>
#include <string_view>

#include "cairn/store.h"

namespace cairn {

// What every store takes that takes parts at all. Some take no more (Swift), and do not say so before they are tried.
inline constexpr int kPartsThatAllTake = 1000;

// How many parts of an upload the store takes: what capabilities() say, tried by an upload of `key` that is given up
// again (three requests), if that is more than all take.
Result<int> most_parts(Store& store, std::string_view key);

// The least size, at least `least_bytes`, with which `object_bytes` are no more than `most` parts.
constexpr std::uint64_t part_bytes_for(std::uint64_t object_bytes, std::uint64_t least_bytes, int most) {
  const std::uint64_t parts = most > 1 ? static_cast<std::uint64_t>(most) : 1;
  const std::uint64_t needed_bytes = object_bytes / parts + (object_bytes % parts == 0 ? 0 : 1);
  return needed_bytes > least_bytes ? needed_bytes : least_bytes;
}

}  // namespace cairn
