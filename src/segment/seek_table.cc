// The seek table of the zstd seekable format (contrib/seekable_format in the zstd sources): a skippable frame at
// the very end of an object with one entry (compressed size u32, decompressed size u32) for every frame in front of
// it, then the number of entries u32, a descriptor u8 and a magic number u32. The footer is an entry too, of
// decompressed size 0, so that the sum of the compressed sizes is the table's own offset for every reader of the
// format.
//
// The table has no checksum of its own. It needs none: the decompressed sizes follow from the footer, the compressed
// ones must add up to where the footer begins, and each block is a zstd frame of exactly its size.

#include <fmt/format.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/errors.h"
#include "segment/footer.h"
#include "segment/wal_layout.h"

namespace cairn::segment {
namespace {

}  // namespace

std::array<std::byte, kSkippableHeaderBytes> write_skippable_header(std::uint32_t magic, std::uint32_t size_bytes) {
  std::array<std::byte, kSkippableHeaderBytes> header;
  store_le(header.data(), magic);
  store_le(header.data() + 4, size_bytes);
  return header;
}

bool is_skippable_header(std::span<const std::byte, kSkippableHeaderBytes> header, std::uint32_t magic,
                         std::uint64_t size_bytes) {
  return load_le<std::uint32_t>(header.data()) == magic && load_le<std::uint32_t>(header.data() + 4) == size_bytes;
}

std::uint64_t seek_table_bytes(std::uint64_t blocks) {
  return kSkippableHeaderBytes + (blocks + 1) * kSeekEntryBytes + kSeekTrailerBytes;
}

void append_seek_table(Bytes& object_end, ByteView entries, std::uint32_t footer_frame_bytes) {
  const std::uint64_t table_bytes = seek_table_bytes(entries.size() / kSeekEntryBytes);
  const auto header =
      write_skippable_header(kSeekTableFrameMagic, static_cast<std::uint32_t>(table_bytes - kSkippableHeaderBytes));
  object_end.insert(object_end.end(), header.begin(), header.end());
  object_end.insert(object_end.end(), entries.begin(), entries.end());
  object_end.resize(object_end.size() + kSeekEntryBytes + kSeekTrailerBytes);
  std::byte* footer_entry = object_end.data() + object_end.size() - kSeekTrailerBytes - kSeekEntryBytes;
  store_le(footer_entry, footer_frame_bytes);
  std::byte* trailer = footer_entry + kSeekEntryBytes;
  store_le(trailer, static_cast<std::uint32_t>(entries.size() / kSeekEntryBytes + 1));
  store_le(trailer + 5, kSeekableMagic);
}

Result<std::uint64_t> parse_seek_trailer(std::span<const std::byte, kSeekTrailerBytes> trailer) {
  if (load_le<std::uint32_t>(trailer.data() + 5) != kSeekableMagic)
    return damaged("it does not end as an object of Cairn does: it was cut short, or something was appended to it, "
                   "or it is some other file");
  auto frames = load_le<std::uint32_t>(trailer.data());
  if (frames < 2 || trailer[4] != std::byte{0}) return damaged("its seek table is not one of Cairn");
  return frames - 1;
}

Result<SeekTable> parse_seek_table(ByteView frame, const Tail& tail) {
  const Footer& footer = tail.footer;
  const std::uint64_t blocks = tail.block_count();
  if (frame.size() != seek_table_bytes(blocks)) return damaged("its seek table and its footer name different sizes");
  if (!is_skippable_header(frame.first<kSkippableHeaderBytes>(), kSeekTableFrameMagic,
                           frame.size() - kSkippableHeaderBytes))
    return damaged("its seek table cannot be read");

  SeekTable table;
  table.compressed_bytes.reserve(blocks);
  const std::byte* p = frame.data() + kSkippableHeaderBytes;
  std::uint64_t data_left = footer.data_size_bytes;
  for (std::uint64_t block = 0; block < blocks; ++block, p += kSeekEntryBytes) {
    std::uint64_t wal_header = block == 0 && footer.kind != ObjectKind::snapshot ? kWalHeaderBytes : 0;
    std::uint64_t full = tail.entries_per_block * entry_bytes(footer.kind, footer.page_size) + wal_header;
    std::uint64_t expected = std::min(full, data_left);
    if (load_le<std::uint32_t>(p + 4) != expected)
      return damaged(fmt::format("its seek table gives block {} a wrong size", block));
    data_left -= expected;
    table.compressed_bytes.push_back(load_le<std::uint32_t>(p));
    table.data_end += table.compressed_bytes.back();
  }
  if (load_le<std::uint32_t>(p) != kSkippableHeaderBytes + tail.footer_bytes() || load_le<std::uint32_t>(p + 4) != 0)
    return damaged("its seek table does not have its footer");
  return table;
}

}  // namespace cairn::segment
