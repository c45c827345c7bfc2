// The bytes behind the data: page index, block checksums, restore points, the tail that binds them, and the seek
// table. Encoding and decoding only; docs/format.md is the specification. What is decoded comes from disk or
// network: every length is checked against the bytes that are really there before anything is allocated, and errors
// are `corrupt` with a message that completes "<key> is damaged: ...".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "segment/format.h"
#include "segment/tail_end.h"

namespace cairn::segment {

inline constexpr std::uint32_t kFooterFrameMagic = 0x184D2A5C;     // a zstd skippable frame
inline constexpr std::uint32_t kSeekTableFrameMagic = 0x184D2A5E;  // given by the zstd seekable format
inline constexpr std::uint32_t kSeekableMagic = 0x8F92EAB1;
inline constexpr std::uint32_t kSkippableHeaderBytes = 8;
inline constexpr std::uint32_t kSeekEntryBytes = 8;
inline constexpr std::uint32_t kSeekTrailerBytes = 9;
inline constexpr std::uint32_t kTailBytes = 184;
inline constexpr std::uint32_t kPointBytes = 40;
inline constexpr std::uint32_t kHashesPerGroup = 8192;  // 64 KiB, and 8 bytes of checksum behind them
inline constexpr std::uint32_t kMaxBlockBytes = 16u << 20;
inline constexpr std::uint64_t kMaxFooterBytes = 0xFFFFFFFF;  // a skippable frame's size is a u32
// Bounds every product below; an index with more entries would not fit into a skippable frame.
inline constexpr std::uint64_t kMaxIndexEntries = kMaxFooterBytes / 8;

// The fixed part at the end of the footer: the Footer's fields but for the points, and what it takes to find and
// check everything in front of it.
struct Tail {
  Footer footer;  // points is empty
  std::uint32_t entries_per_block = 0;
  std::uint32_t point_count = 0;
  // The sections in front of the tail, in this order. The hashes have checksums of their own.
  std::uint64_t pages_bytes = 0, hashes_bytes = 0, block_sums_bytes = 0, points_bytes = 0;
  std::uint64_t pages_checksum = 0, block_sums_checksum = 0, points_checksum = 0;

  std::uint64_t footer_bytes() const {
    return pages_bytes + hashes_bytes + block_sums_bytes + points_bytes + kTailBytes;
  }
  std::uint64_t block_count() const { return (footer.index_count + entries_per_block - 1) / entries_per_block; }
};

std::array<std::byte, kTailBytes> write_tail(const Tail& tail);
// What the unchanging end of a tail says. corrupt: no magic there, or a size that cannot be.
Result<TailEnd> parse_tail_end(std::span<const std::byte, kTailEndBytes> end);
// `bytes` is the whole tail. unsupported: a newer version (its checksum is right). corrupt: everything else.
Result<Tail> parse_tail(ByteView bytes);

// How many bytes a page of index entries occupies: what one block holds of them, and how large the data is.
std::uint64_t entry_bytes(ObjectKind kind, std::uint32_t page_size);
std::uint64_t data_bytes(ObjectKind kind, std::uint32_t page_size, std::uint64_t entries);
std::uint64_t hashes_section_bytes(std::uint64_t entries);

// The rules that hold between the fields of one footer, points included, on writing and on reading. The error is
// `corrupt`; a writer that is fed such a thing returns it as `invalid`.
Result<void> check_footer(const Footer& footer);

Bytes write_points(std::span<const RestorePoint> points);
Result<std::vector<RestorePoint>> parse_points(ByteView bytes, std::uint32_t count);

// The pages of a run, delta-coded: the first page number, then the distance to the next, each as LEB128.
class PageListWriter {
 public:
  void add(PageNo page);
  void end_run() { previous_ = 0; }
  const Bytes& bytes() const { return bytes_; }
  // What has been added so far is taken; what follows continues it.
  void clear() { bytes_.clear(); }

 private:
  Bytes bytes_;
  std::uint32_t previous_ = 0;
};
// Ascending within each run, inside the database as it is after the run, never the lock-byte page.
Result<std::vector<PageNo>> parse_page_list(ByteView bytes, const Footer& footer);

// A group of the hashes section: up to kHashesPerGroup hashes, then a checksum seeded with the group's number.
std::uint64_t hash_group_checksum(std::uint64_t group, ByteView hashes);
// Appends the hashes of the groups that `bytes` holds, the first of which is `first_group`.
Result<void> parse_hash_groups(ByteView bytes, std::uint64_t first_group, std::vector<std::uint64_t>& hashes);

// The checksum of one block as stored. Not seeded with its place: a store can copy a range of blocks from one
// object to another, and their checksums are copied with them.
std::uint64_t block_checksum(ByteView stored);

struct SeekTable {
  std::vector<std::uint32_t> compressed_bytes;  // of each block
  std::uint64_t data_end = 0;                   // their sum: where the footer frame begins
};
std::array<std::byte, kSkippableHeaderBytes> write_skippable_header(std::uint32_t magic, std::uint32_t size_bytes);
bool is_skippable_header(std::span<const std::byte, kSkippableHeaderBytes> header, std::uint32_t magic,
                         std::uint64_t size_bytes);
// Bytes of the whole seek table frame of an object with `blocks` blocks.
std::uint64_t seek_table_bytes(std::uint64_t blocks);
// Appends a whole seek table: `entries` for the data (8 bytes each), one for the footer in front of it.
void append_seek_table(Bytes& object_end, ByteView entries, std::uint32_t footer_frame_bytes);
// From the last 9 bytes of an object: how many blocks it has, when these bytes end a seek table.
Result<std::uint64_t> parse_seek_trailer(std::span<const std::byte, kSeekTrailerBytes> trailer);
// `frame` is the whole seek table frame. Checks each block's decompressed size against `tail`.
Result<SeekTable> parse_seek_table(ByteView frame, const Tail& tail);

}  // namespace cairn::segment
