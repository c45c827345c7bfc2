#include "segment/format.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>

namespace cairn::segment {

std::uint64_t page_hash(PageNo page, ByteView bytes) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), page.value);
}

PageNo lock_byte_page(std::uint32_t page_size) {
  constexpr std::uint32_t kLockByte = 0x40000000;
  return PageNo(kLockByte / page_size + 1);
}

bool is_valid_page_size(std::uint32_t page_size) {
  return page_size >= 512 && page_size <= 65536 && std::has_single_bit(page_size);
}

std::uint32_t pages_per_block(std::uint32_t page_size) { return std::max(1u, kBlockTarget / page_size); }

std::uint32_t frames_per_block(std::uint32_t page_size) { return std::max(1u, kBlockTarget / (page_size + 24)); }

}  // namespace cairn::segment
