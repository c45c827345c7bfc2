// For tests and fuzzing only: makes the checksums of a deliberately changed object right again, so that what stands
// behind them is reached.
#pragma once

#include <xxhash.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <span>

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

inline void reseal_hashes(std::span<std::byte> hashes) {
  std::uint64_t group = 0;
  for (std::size_t at = 0; at + 16 <= hashes.size(); ++group) {
    std::size_t size = std::min<std::size_t>(hashes.size() - at, (kHashesPerGroup + 1) * 8) / 8 * 8 - 8;
    store_le(hashes.data() + at + size, hash_group_checksum(group, hashes.subspan(at, size)));
    at += size + 8;
  }
}

// Where the blocks lie is taken from the seek table, which stands behind the tail.
inline void reseal_block_sums(const Bytes& object, std::size_t tail_begin, std::span<std::byte> sums) {
  const std::byte* entry = object.data() + tail_begin + kTailBytes + kSkippableHeaderBytes;
  const std::byte* table_end = object.data() + object.size() - kSeekTrailerBytes;
  std::uint64_t offset = 0;
  for (; sums.size() >= 8 && entry + kSeekEntryBytes <= table_end; sums = sums.subspan(8), entry += kSeekEntryBytes) {
    auto size = load_le<std::uint32_t>(entry);
    if (offset + size > tail_begin) return;
    store_le(sums.data(), block_checksum(ByteView(object).subspan(offset, size)));
    offset += size;
  }
}

inline void reseal(Bytes& object) {
  std::optional<std::size_t> begin = tail_begin_of(object);
  if (!begin) return;
  std::byte* tail = object.data() + *begin;
  const auto pages = load_le<std::uint64_t>(tail + 104);
  const auto hashes = load_le<std::uint64_t>(tail + 112);
  const auto sums = load_le<std::uint64_t>(tail + 120);
  const auto points = load_le<std::uint64_t>(tail + 128);
  std::uint64_t left = *begin;
  bool fits = true;
  for (std::uint64_t section : {points, sums, hashes, pages}) {
    fits = fits && section <= left;
    left -= fits ? section : 0;
  }
  if (fits) {
    reseal_hashes(std::span(tail - points - sums - hashes, hashes));
    reseal_block_sums(object, *begin, std::span(tail - points - sums, sums));
    store_le(tail + 136, XXH3_64bits(tail - points - sums - hashes - pages, pages));
    store_le(tail + 144, XXH3_64bits(tail - points - sums, sums));
    store_le(tail + 152, XXH3_64bits(tail - points, points));
  }
  store_le<std::uint64_t>(tail + 160, 0);
  store_le(tail + 160, XXH3_64bits(tail, kTailBytes));
}

// Of a format that nobody can read yet.
inline void make_newer(Bytes& object) {
  const auto tail = tail_begin_of(object);
  if (!tail) return;
  store_le<std::uint16_t>(object.data() + *tail + kTailBytes - 10, 999);  // docs/format.md: the version
  reseal(object);
}

}  // namespace cairn::segment
