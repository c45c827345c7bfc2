// The WAL file: a header of 32 bytes, then frames of 24 + page size bytes, all numbers big-endian.
//
//   header  0 magic   4 version   8 page size   12 checkpoint sequence   16 salts   24 sum of bytes 0..23
//   frame   0 page    4 commit    8 salts       16 sum of bytes 0..7 and of the page, carried on from the frame before
//
// A frame belongs to the WAL when it bears the header's salts and its sum continues the chain that began in the header.
// Whatever lies behind the first frame that does not is a leftover: of the WAL before a restart (other salts), of a
// write that did not finish (wrong sum), or of a transaction that was rolled back and partly overwritten.
#include "wal/wal.h"

#include <fmt/format.h>

#include <bit>

#include "base/bytes.h"
#include "base/check.h"

namespace cairn::wal {
namespace {

constexpr std::uint32_t kMagicLittle = 0x377f0682;  // with ByteOrder::little; the lowest bit set: big
constexpr std::uint32_t kVersion = 3007000;
constexpr std::size_t kHeaderSummed = 24;  // bytes of the header that its sum covers
constexpr std::size_t kFrameSummed = 8;    // bytes of a frame's header that its sum covers

bool is_page_size(std::uint32_t size) { return size >= 512 && size <= 65536 && std::has_single_bit(size); }

Error bad_header(std::string why) {
  return Error(ErrorKind::corrupt, fmt::format("the WAL header is not valid: {}", why));
}

void store_pair(std::byte* p, std::uint32_t first, std::uint32_t second) {
  store_be32(p, first);
  store_be32(p + 4, second);
}

Checksum frame_sum(ByteOrder order, Checksum before, ByteView frame_header, ByteView page) {
  return checksum(order, checksum(order, before, frame_header.first(kFrameSummed)), page);
}

}  // namespace

Result<Header> parse_header(ByteView bytes) {
  if (bytes.size() < kHeaderSize) return bad_header(fmt::format("{} bytes instead of {}", bytes.size(), kHeaderSize));
  const std::byte* p = bytes.data();
  const std::uint32_t magic = load_be32(p);
  if ((magic & ~1u) != kMagicLittle) return bad_header(fmt::format("magic number {:#010x}", magic));
  const std::uint32_t version = load_be32(p + 4);
  if (version != kVersion) return bad_header(fmt::format("format version {} instead of {}", version, kVersion));

  Header header;
  header.order = (magic & 1u) != 0 ? ByteOrder::big : ByteOrder::little;
  header.page_size = load_be32(p + 8);
  if (!is_page_size(header.page_size)) return bad_header(fmt::format("page size {}", header.page_size));
  header.checkpoint_sequence = load_be32(p + 12);
  header.salts = {load_be32(p + 16), load_be32(p + 20)};
  header.sum = checksum(header.order, {}, bytes.first(kHeaderSummed));
  if (header.sum != Checksum{load_be32(p + 24), load_be32(p + 28)}) return bad_header("its checksum does not match");
  return header;
}

std::array<std::byte, kHeaderSize> write_header(const Header& header) {
  std::array<std::byte, kHeaderSize> bytes;
  std::byte* p = bytes.data();
  store_be32(p, header.order == ByteOrder::big ? kMagicLittle | 1u : kMagicLittle);
  store_be32(p + 4, kVersion);
  store_be32(p + 8, header.page_size);
  store_be32(p + 12, header.checkpoint_sequence);
  store_pair(p + 16, header.salts.first, header.salts.second);
  const Checksum sum = checksum(header.order, {}, ByteView(bytes).first(kHeaderSummed));
  store_pair(p + 24, sum.first, sum.second);
  return bytes;
}

FrameHeader parse_frame_header(std::span<const std::byte, kFrameHeaderSize> bytes) {
  const std::byte* p = bytes.data();
  return FrameHeader{.page = PageNo(load_be32(p)),
                     .commit_page_count = load_be32(p + 4),
                     .salts = {load_be32(p + 8), load_be32(p + 12)},
                     .sum = {load_be32(p + 16), load_be32(p + 20)}};
}

std::optional<FrameHeader> check_frame(const Header& header, Checksum before, ByteView frame) {
  if (frame.size() != std::size_t{kFrameHeaderSize} + header.page_size) return std::nullopt;
  const FrameHeader found = parse_frame_header(frame.first<kFrameHeaderSize>());
  // Cheap tests first: behind a restart every frame fails at the salts, and its page need not be summed.
  if (found.salts != header.salts || found.page.value == 0) return std::nullopt;
  if (frame_sum(header.order, before, frame, frame.subspan(kFrameHeaderSize)) != found.sum) return std::nullopt;
  return found;
}

std::optional<FrameHeader> check_indexed_frame(const Header& header, Checksum before, ByteView frame) {
  for (const Checksum base : {before, Checksum()}) {
    if (auto checked = check_frame(header, base, frame)) return checked;
  }
  if (frame.size() != std::size_t{kFrameHeaderSize} + header.page_size) return std::nullopt;
  FrameHeader found = parse_frame_header(frame.first<kFrameHeaderSize>());
  const bool has_none = found.salts == Salts() && found.sum == Checksum() && header.salts != Salts();
  if (!has_none || found.page.value == 0) return std::nullopt;
  found.salts = header.salts;
  found.sum = before;
  return found;
}

std::array<std::byte, kFrameHeaderSize> write_frame_header(const Header& header, PageNo page,
                                                           std::uint32_t commit_page_count, ByteView page_bytes,
                                                           Checksum& sum) {
  CAIRN_CHECK(page.value != 0 && page_bytes.size() == header.page_size);
  std::array<std::byte, kFrameHeaderSize> bytes;
  std::byte* p = bytes.data();
  store_pair(p, page.value, commit_page_count);
  store_pair(p + 8, header.salts.first, header.salts.second);
  sum = frame_sum(header.order, sum, bytes, page_bytes);
  store_pair(p + 16, sum.first, sum.second);
  return bytes;
}

std::uint64_t frame_offset(FrameNo frame, std::uint32_t page_size) {
  CAIRN_CHECK(frame.value != 0);
  return kHeaderSize + std::uint64_t{frame.value - 1} * (std::uint64_t{kFrameHeaderSize} + page_size);
}

}  // namespace cairn::wal
