// For tests and fuzzing only: makes the checksums of a deliberately changed object right again, so that what stands
// behind them is reached.
#pragma once

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "segment/footer.h"

namespace cairn::segment {

// Where the tail of an object begins, when its seek table's trailer makes sense.
inline std::optional<std::size_t> tail_begin_of(ByteView object) {
  if (object.size() < kSeekTrailerBytes + kTailBytes) return std::nullopt;
  std::uint64_t entries = load_le<std::uint32_t>(object.data() + object.size() - kSeekTrailerBytes);
  std::uint64_t behind = kSkippableHeaderBytes + entries * kSeekEntryBytes + kSeekTrailerBytes + kTailBytes;
  if (behind > object.size()) return std::nullopt;
  return object.size() - behind;
}

inline void reseal(Bytes& object) {
  std::optional<std::size_t> begin = tail_begin_of(object);
  if (!begin) return;
  std::byte* tail = object.data() + *begin;
  const auto pages = load_le<std::uint64_t>(tail + 104);
  const auto hashes = load_le<std::uint64_t>(tail + 112);
  const auto points = load_le<std::uint64_t>(tail + 120);
  if (pages <= *begin && hashes <= *begin && points <= *begin && pages + hashes + points <= *begin) {
    const std::byte* points_begin = tail - points;
    std::byte* hashes_begin = tail - points - hashes;
    const std::byte* pages_begin = hashes_begin - pages;
    store_le(tail + 136, XXH3_64bits(points_begin, points));
    store_le(tail + 128, XXH3_64bits(pages_begin, pages));
    std::uint64_t group = 0;
    for (std::uint64_t at = 0; at + 16 <= hashes; ++group) {
      std::uint64_t size = std::min<std::uint64_t>(hashes - at, (kHashesPerGroup + 1) * 8) / 8 * 8 - 8;
      store_le(hashes_begin + at + size, hash_group_checksum(group, ByteView(hashes_begin + at, size)));
      at += size + 8;
    }
    std::size_t data_end = *begin - points - hashes - pages;
    if (data_end >= kSkippableHeaderBytes)
      store_le(tail + 144, XXH3_64bits(object.data(), data_end - kSkippableHeaderBytes));
  }
  store_le<std::uint64_t>(tail + 152, 0);
  store_le(tail + 152, XXH3_64bits(tail, kTailBytes));
}

}  // namespace cairn::segment
