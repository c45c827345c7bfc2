// The last 24 bytes of every footer, whatever the object and the version: how a reader tells "newer" from "damaged".
//
//     0 checksum u64 (XXH3 of the whole tail, these 8 bytes as 0) · 8 tail bytes u32 · 12 0 u16 · 14 version u16
//    16 magic
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::segment {

inline constexpr std::uint32_t kTailEndBytes = 24;
using TailMagic = std::array<char, 8>;

struct TailEnd {
  std::uint32_t tail_bytes = 0;
  std::uint16_t version = 0;
};

// Fills the last kTailEndBytes of a tail whose other bytes are there already.
void seal_tail(std::span<std::byte> tail, std::uint16_t version, const TailMagic& magic);
// corrupt: no such magic there, or a size that cannot be.
Result<TailEnd> parse_tail_end(std::span<const std::byte, kTailEndBytes> end, const TailMagic& magic);
// A whole tail: its checksum, then its version. corrupt; unsupported: a version after `newest`.
Result<TailEnd> check_tail_end(ByteView tail, std::uint16_t newest, const TailMagic& magic);

}  // namespace cairn::segment
