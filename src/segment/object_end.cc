#include "segment/object_end.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"
#include "segment/running_hash.h"

namespace cairn::segment {
namespace {

// Hash groups, each written as soon as it is made. Returns the XOR of all hashes.
Result<std::uint64_t> write_hashes(Sink& sink, std::uint64_t count, const HashSource& hashes) {
  std::vector<std::uint64_t> group(std::min<std::uint64_t>(count, kHashesPerGroup) + 1);
  std::uint64_t xor_of_hashes = 0;
  for (std::uint64_t first = 0; first < count; first += kHashesPerGroup) {
    std::size_t in_group = std::min<std::uint64_t>(count - first, kHashesPerGroup);
    std::span<std::uint64_t> values(group.data(), in_group);
    CAIRN_TRY(hashes(first, values));
    for (std::uint64_t hash : values) xor_of_hashes ^= hash;
    group[in_group] = hash_group_checksum(first / kHashesPerGroup, std::as_bytes(values));
    CAIRN_TRY(sink.write(std::as_bytes(std::span(group.data(), in_group + 1))));
  }
  return xor_of_hashes;
}

// Returns the checksum.
Result<std::uint64_t> write_page_list(Sink& sink, const PageListSource& page_list) {
  RunningHash hash;
  std::uint64_t written = 0;
  const auto write_piece = [&](ByteView piece) -> Result<void> {
    hash.add(piece);
    written += piece.size();
    return sink.write(piece);
  };
  if (page_list.size_bytes > 0) CAIRN_TRY(page_list.each_piece(write_piece));
  if (written != page_list.size_bytes) {
    return Error(ErrorKind::io, fmt::format("an object's list of pages has {} bytes, and not the {} that were counted: "
                                            "its disk does not give back what was written; try again",
                                            written, page_list.size_bytes));
  }
  return hash.value();
}

Result<void> write_seek_table(Sink& sink, const Tail& tail, const std::vector<std::uint32_t>& blocks) {
  auto table_bytes = static_cast<std::uint32_t>(seek_table_bytes(blocks.size()) - kSkippableHeaderBytes);
  auto header = write_skippable_header(kSeekTableFrameMagic, table_bytes);
  Bytes piece(header.begin(), header.end());
  auto add_entry = [&piece](std::uint32_t compressed, std::uint32_t raw) {
    piece.resize(piece.size() + kSeekEntryBytes);
    store_le(piece.data() + piece.size() - 8, compressed);
    store_le(piece.data() + piece.size() - 4, raw);
  };
  const Footer& footer = tail.footer;
  std::uint64_t data_left = footer.data_size_bytes;
  const std::uint64_t full = tail.entries_per_block * entry_bytes(footer.kind, footer.page_size);
  const std::uint64_t wal_header = data_bytes(footer.kind, footer.page_size, 0);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    std::uint64_t raw = std::min(full + (i == 0 ? wal_header : 0), data_left);
    data_left -= raw;
    add_entry(blocks[i], static_cast<std::uint32_t>(raw));
    if (piece.size() >= 64 * 1024) {
      CAIRN_TRY(sink.write(piece));
      piece.clear();
    }
  }
  CAIRN_CHECK(data_left == 0);
  add_entry(static_cast<std::uint32_t>(kSkippableHeaderBytes + tail.footer_bytes()), 0);
  piece.resize(piece.size() + kSeekTrailerBytes);
  std::byte* trailer = piece.data() + piece.size() - kSeekTrailerBytes;
  store_le(trailer, static_cast<std::uint32_t>(blocks.size() + 1));
  store_le(trailer + 5, kSeekableMagic);
  return sink.write(piece);
}

}  // namespace

Result<void> BlockLog::write(Sink& sink, const PackedBlock& block) {
  if (block.elsewhere) {
    for (const StoredBlock& stored : *block.elsewhere) {
      compressed_bytes_.push_back(stored.compressed_bytes);
      checksums_.push_back(stored.checksum);
    }
    return {};
  }
  compressed_bytes_.push_back(static_cast<std::uint32_t>(block.bytes.size()));
  checksums_.push_back(block_checksum(block.bytes));
  return sink.write(block.bytes);
}

Result<void> write_object_end(Sink& sink, const Footer& footer, std::uint32_t entries_per_block,
                              const PageListSource& page_list, const HashSource& hashes, const BlockLog& blocks,
                              const std::function<Result<void>(std::uint64_t)>& accept) {
  if (Result<void> checked = check_footer(footer); !checked)
    return checked.error().as(ErrorKind::invalid).with("an object cannot be written");
  Bytes points = write_points(footer.points);
  Tail tail;
  tail.footer = footer;
  tail.footer.points.clear();
  tail.entries_per_block = entries_per_block;
  tail.point_count = static_cast<std::uint32_t>(footer.points.size());
  tail.pages_bytes = page_list.size_bytes;
  tail.hashes_bytes = hashes_section_bytes(footer.index_count);
  tail.block_sums_bytes = blocks.checksums().size();
  tail.points_bytes = points.size();
  tail.points_checksum = XXH3_64bits(points.data(), points.size());
  tail.block_sums_checksum = XXH3_64bits(blocks.checksums().data(), blocks.checksums().size());
  if (tail.footer_bytes() > kMaxFooterBytes - kSkippableHeaderBytes)
    return Error(ErrorKind::unsupported, fmt::format("an object cannot list {} pages: the limit is near {} million",
                                                     footer.index_count, kMaxIndexEntries / 1'000'000));

  CAIRN_TRY(sink.write(write_skippable_header(kFooterFrameMagic, static_cast<std::uint32_t>(tail.footer_bytes()))));
  CAIRN_ASSIGN(tail.pages_checksum, write_page_list(sink, page_list));
  CAIRN_ASSIGN(std::uint64_t xor_of_hashes, write_hashes(sink, footer.index_count, hashes));
  if (accept) CAIRN_TRY(accept(xor_of_hashes));
  CAIRN_TRY(sink.write(blocks.checksums()));
  CAIRN_TRY(sink.write(points));
  CAIRN_TRY(sink.write(write_tail(tail)));
  return write_seek_table(sink, tail, blocks.compressed_bytes());
}

Footer footer_of(const ObjectHead& head) {
  Footer footer;
  footer.kind = head.kind;
  footer.page_size = head.page_size;
  footer.lineage = head.lineage;
  footer.writer = head.writer;
  footer.first = head.first;
  footer.last = head.last;
  footer.first_time_ms = head.first_time_ms;
  footer.last_time_ms = head.last_time_ms;
  footer.hash_before = head.hash_before;
  return footer;
}

}  // namespace cairn::segment
