// Layout of a tail (format 1), little-endian, offsets from its start:
//
//     0 kind u8, 0 u8, 0 u16 · 4 page size u32 · 8 lineage · 24 writer · 40 first u64 · 48 last u64
//    56 first time i64 · 64 last time i64 · 72 hash before u64 · 80 index count u64 · 88 data size u64
//    96 entries per block u32 · 100 point count u32
//   104 pages bytes u64 · 112 hashes bytes u64 · 120 block sums bytes u64 · 128 points bytes u64
//   136 pages checksum u64 · 144 block sums checksum u64 · 152 points checksum u64
//   160 tail checksum u64 · 168 tail bytes u32 · 172 0 u16 · 174 version u16 · 176 magic
//
// The last 24 bytes keep place and meaning in every version, so that an old reader can tell "newer" from "damaged".

#include "segment/footer.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/errors.h"
#include "segment/wal_layout.h"

namespace cairn::segment {
namespace {

constexpr TailMagic kTailMagic = {'C', 'A', 'I', 'R', 'N', 'O', 'B', 'J'};

Result<void> check_runs(const Footer& footer) {
  std::uint64_t frames = 0;
  const RestorePoint* before = nullptr;
  for (const RestorePoint& point : footer.points) {
    if (point.page_count == 0) return damaged("a restore point says that the database has no pages");
    const bool ascends = !before || before->sequence < point.sequence;
    if (!ascends || point.sequence < footer.first || footer.last < point.sequence)
      return damaged("its restore points are not in the order of their sequences");
    if (point.frame_end <= frames) return damaged("a run without frames");
    if (point.frame_end - frames > point.page_count)
      return damaged("a run has more frames than the database has pages");
    frames = point.frame_end;
    before = &point;
  }
  if (frames != footer.index_count) return damaged("its restore points do not cover its frames");
  if (footer.points.back().sequence != footer.last) return damaged("its last restore point is not its last sequence");
  return {};
}

Result<void> check_snapshot(const Footer& footer) {
  const RestorePoint& point = footer.points.front();
  if (footer.points.size() != 1 || footer.first != footer.last || point.sequence != footer.last ||
      point.frame_end != 0 || footer.hash_before != 0)
    return damaged("its footer is not that of a snapshot");
  if (point.page_count == 0) return damaged("it says that the database has no pages");
  if (footer.index_count != point.page_count) return damaged("its page index does not have one entry a page");
  return {};
}

// What the tail says of lengths and counts, one against the other. Everything that is allocated or multiplied later
// on is bounded here.
Result<void> check_tail(const Tail& tail) {
  const Footer& footer = tail.footer;
  if (footer.kind < ObjectKind::snapshot || footer.kind > ObjectKind::squashed) return damaged("its kind is unknown");
  if (!is_valid_page_size(footer.page_size)) return damaged("its page size cannot be");
  if (footer.index_count == 0 || footer.index_count > kMaxIndexEntries)
    return damaged("its page index cannot be so long");
  bool snapshot = footer.kind == ObjectKind::snapshot;
  // At least one byte a page of a segment, five at most (32 bits, 7 a byte); nothing for a snapshot.
  if (snapshot ? tail.pages_bytes != 0
               : tail.pages_bytes < footer.index_count || tail.pages_bytes > footer.index_count * 5)
    return damaged("the length of its page list cannot be");
  if (tail.hashes_bytes != hashes_section_bytes(footer.index_count)) return damaged("its page index is incomplete");
  if (tail.point_count == 0 || tail.points_bytes != std::uint64_t{tail.point_count} * kPointBytes)
    return damaged("the length of its list of restore points cannot be");
  if (footer.data_size_bytes != data_bytes(footer.kind, footer.page_size, footer.index_count))
    return damaged("its size is not that of its pages");
  if (tail.entries_per_block == 0 ||
      tail.entries_per_block > kMaxBlockBytes / entry_bytes(footer.kind, footer.page_size))
    return damaged("the size of its blocks cannot be");
  if (tail.block_sums_bytes != tail.block_count() * 8) return damaged("its list of block checksums is incomplete");
  return {};
}

}  // namespace

std::uint64_t entry_bytes(ObjectKind kind, std::uint32_t page_size) {
  return kind == ObjectKind::snapshot ? page_size : page_size + kWalFrameHeaderBytes;
}

std::uint64_t data_bytes(ObjectKind kind, std::uint32_t page_size, std::uint64_t entries) {
  return (kind == ObjectKind::snapshot ? 0 : kWalHeaderBytes) + entries * entry_bytes(kind, page_size);
}

std::uint64_t hashes_section_bytes(std::uint64_t entries) {
  return entries * 8 + (entries + kHashesPerGroup - 1) / kHashesPerGroup * 8;
}

std::array<std::byte, kTailBytes> write_tail(const Tail& tail) {
  const Footer& footer = tail.footer;
  std::array<std::byte, kTailBytes> bytes{};
  std::byte* p = bytes.data();
  store_le(p, static_cast<std::uint8_t>(footer.kind));
  store_le(p + 4, footer.page_size);
  std::memcpy(p + 8, footer.lineage.bytes.data(), 16);
  std::memcpy(p + 24, footer.writer.bytes.data(), 16);
  store_le(p + 40, footer.first.value);
  store_le(p + 48, footer.last.value);
  store_le(p + 56, footer.first_time_ms);
  store_le(p + 64, footer.last_time_ms);
  store_le(p + 72, footer.hash_before);
  store_le(p + 80, footer.index_count);
  store_le(p + 88, footer.data_size_bytes);
  store_le(p + 96, tail.entries_per_block);
  store_le(p + 100, tail.point_count);
  store_le(p + 104, tail.pages_bytes);
  store_le(p + 112, tail.hashes_bytes);
  store_le(p + 120, tail.block_sums_bytes);
  store_le(p + 128, tail.points_bytes);
  store_le(p + 136, tail.pages_checksum);
  store_le(p + 144, tail.block_sums_checksum);
  store_le(p + 152, tail.points_checksum);
  seal_tail(bytes, kFormatVersion, kTailMagic);
  return bytes;
}

Result<TailEnd> parse_tail_end(std::span<const std::byte, kTailEndBytes> end) {
  return parse_tail_end(end, kTailMagic);
}

Result<Tail> parse_tail(ByteView bytes) {
  const std::byte* p = bytes.data();
  CAIRN_ASSIGN(const TailEnd end, check_tail_end(bytes, kFormatVersion, kTailMagic));
  if (end.tail_bytes != kTailBytes || bytes.size() != kTailBytes) return damaged("its footer is of no known format");
  Tail tail;
  Footer& footer = tail.footer;
  footer.kind = static_cast<ObjectKind>(load_le<std::uint8_t>(p));
  footer.page_size = load_le<std::uint32_t>(p + 4);
  std::memcpy(footer.lineage.bytes.data(), p + 8, 16);
  std::memcpy(footer.writer.bytes.data(), p + 24, 16);
  footer.first = Sequence(load_le<std::uint64_t>(p + 40));
  footer.last = Sequence(load_le<std::uint64_t>(p + 48));
  footer.first_time_ms = load_le<std::int64_t>(p + 56);
  footer.last_time_ms = load_le<std::int64_t>(p + 64);
  footer.hash_before = load_le<std::uint64_t>(p + 72);
  footer.index_count = load_le<std::uint64_t>(p + 80);
  footer.data_size_bytes = load_le<std::uint64_t>(p + 88);
  tail.entries_per_block = load_le<std::uint32_t>(p + 96);
  tail.point_count = load_le<std::uint32_t>(p + 100);
  tail.pages_bytes = load_le<std::uint64_t>(p + 104);
  tail.hashes_bytes = load_le<std::uint64_t>(p + 112);
  tail.block_sums_bytes = load_le<std::uint64_t>(p + 120);
  tail.points_bytes = load_le<std::uint64_t>(p + 128);
  tail.pages_checksum = load_le<std::uint64_t>(p + 136);
  tail.block_sums_checksum = load_le<std::uint64_t>(p + 144);
  tail.points_checksum = load_le<std::uint64_t>(p + 152);
  CAIRN_TRY(check_tail(tail));
  return tail;
}

Result<void> check_footer(const Footer& footer) {
  if (footer.kind < ObjectKind::snapshot || footer.kind > ObjectKind::squashed) return damaged("its kind is unknown");
  if (!is_valid_page_size(footer.page_size)) return damaged("its page size cannot be");
  if (footer.index_count == 0 || footer.index_count > kMaxIndexEntries)
    return damaged("it has no pages, or more than an object can list");
  if (footer.points.empty()) return damaged("it has no restore point");
  if (footer.last < footer.first) return damaged("its last sequence is before its first");
  if (footer.kind == ObjectKind::snapshot) return check_snapshot(footer);
  if (footer.first.value == 0) return damaged("its sequence is 0: only a snapshot can have that");
  if (footer.kind == ObjectKind::segment && footer.first != footer.last)
    return damaged("it holds several sequences, which only merged objects do");
  if (footer.kind != ObjectKind::bundle && footer.points.size() != 1)
    return damaged("it has several restore points, which only bundles have");
  return check_runs(footer);
}

Bytes write_points(std::span<const RestorePoint> points) {
  Bytes bytes(points.size() * kPointBytes);
  std::byte* p = bytes.data();
  for (const RestorePoint& point : points) {
    store_le(p, point.sequence.value);
    store_le(p + 8, point.time_ms);
    store_le(p + 16, point.frame_end);
    store_le(p + 24, point.hash_after);
    store_le(p + 32, point.page_count);
    store_le(p + 36, point.commit_count);
    p += kPointBytes;
  }
  return bytes;
}

Result<std::vector<RestorePoint>> parse_points(ByteView bytes, std::uint32_t count) {
  if (bytes.size() != std::uint64_t{count} * kPointBytes) return damaged("its list of restore points is cut short");
  std::vector<RestorePoint> points(count);
  const std::byte* p = bytes.data();
  for (RestorePoint& point : points) {
    point.sequence = Sequence(load_le<std::uint64_t>(p));
    point.time_ms = load_le<std::int64_t>(p + 8);
    point.frame_end = load_le<std::uint64_t>(p + 16);
    point.hash_after = load_le<std::uint64_t>(p + 24);
    point.page_count = load_le<std::uint32_t>(p + 32);
    point.commit_count = load_le<std::uint32_t>(p + 36);
    p += kPointBytes;
  }
  return points;
}

std::uint64_t block_checksum(ByteView stored) { return XXH3_64bits(stored.data(), stored.size()); }

std::uint64_t hash_group_checksum(std::uint64_t group, ByteView hashes) {
  return XXH3_64bits_withSeed(hashes.data(), hashes.size(), group);
}

Result<void> parse_hash_groups(ByteView bytes, std::uint64_t first_group, std::vector<std::uint64_t>& hashes) {
  for (std::uint64_t group = first_group; !bytes.empty(); ++group) {
    std::size_t size = std::min<std::size_t>(bytes.size(), (kHashesPerGroup + 1) * 8);
    if (size < 16 || size % 8 != 0) return damaged("its page hashes are cut short");
    ByteView values = bytes.first(size - 8);
    if (hash_group_checksum(group, values) != load_le<std::uint64_t>(bytes.data() + size - 8))
      return damaged("the checksum of its page hashes is wrong");
    std::size_t old_count = hashes.size();
    hashes.resize(old_count + values.size() / 8);
    std::memcpy(hashes.data() + old_count, values.data(), values.size());
    bytes = bytes.subspan(size);
  }
  return {};
}

}  // namespace cairn::segment
