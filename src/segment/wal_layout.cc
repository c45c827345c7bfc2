// The format is SQLite's, from https://www.sqlite.org/walformat.html:
//
//   header   magic u32 · version u32 = 3007000 · page size u32 · checkpoint sequence u32 · salt u32 x 2 ·
//            checksum u32 x 2, all big-endian
//   frame    page number u32 · commit page count u32 · the header's salts u32 x 2 · checksum u32 x 2 · the page
//
// The magic's lowest bit says how checksums read the file: 0x377f0682 as little-endian words. The checksum runs over
// the first 24 bytes of the header, then over the first 8 bytes of each frame header and its page.

#include "segment/wal_layout.h"

#include <xxhash.h>

#include <cstring>

#include "base/bytes.h"

namespace cairn::segment {
namespace {

constexpr std::uint32_t kMagicLittleEndianSums = 0x377f0682;
constexpr std::uint32_t kWalVersion = 3007000;

// A segment's salts follow from what it is, so that equal input gives equal bytes; they differ from one segment to
// the next, so that SQLite does not take frames left over from another segment's file for its own.
std::uint64_t salts_of(const Id128& lineage, Sequence first) {
  std::array<std::byte, 24> input;
  std::memcpy(input.data(), lineage.bytes.data(), 16);
  store_le(input.data() + 16, first.value);
  return XXH3_64bits(input.data(), input.size());
}

}  // namespace

WalLayout::WalLayout(const Id128& lineage, Sequence first, std::uint32_t page_size) {
  std::uint64_t salts = salts_of(lineage, first);
  std::byte* h = header_.data();
  store_be32(h, kMagicLittleEndianSums);
  store_be32(h + 4, kWalVersion);
  store_be32(h + 8, page_size);
  store_be32(h + 12, static_cast<std::uint32_t>(first.value));
  store_be32(h + 16, static_cast<std::uint32_t>(salts >> 32));
  store_be32(h + 20, static_cast<std::uint32_t>(salts));
  add_to_checksum(ByteView(header_).first(24));
  store_be32(h + 24, sum_first_);
  store_be32(h + 28, sum_second_);
}

WalFrameHeaderBytes WalLayout::next_frame(PageNo page, std::uint32_t commit_page_count, ByteView page_bytes) {
  WalFrameHeaderBytes frame;
  store_be32(frame.data(), page.value);
  store_be32(frame.data() + 4, commit_page_count);
  std::memcpy(frame.data() + 8, header_.data() + 16, 8);
  add_to_checksum(ByteView(frame).first(8));
  add_to_checksum(page_bytes);
  store_be32(frame.data() + 16, sum_first_);
  store_be32(frame.data() + 20, sum_second_);
  return frame;
}

void WalLayout::add_to_checksum(ByteView bytes) {
  std::uint32_t first = sum_first_;
  std::uint32_t second = sum_second_;
  for (std::size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    first += load_le<std::uint32_t>(bytes.data() + i) + second;
    second += load_le<std::uint32_t>(bytes.data() + i + 4) + first;
  }
  sum_first_ = first;
  sum_second_ = second;
}

}  // namespace cairn::segment
