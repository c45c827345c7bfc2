// What an object says about itself: the footer, as a value, and its bytes. docs/format.md is the specification.
//
// An object is: data (independent zstd frames, "blocks", of about 256 KiB before compression) · one zstd skippable
// frame with the footer · one zstd skippable frame with the seek table of the zstd seekable format. Decompressed by
// any zstd, a snapshot is the database file and a segment is a SQLite WAL file.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::segment {

inline constexpr std::uint16_t kFormatVersion = 1;
inline constexpr std::uint32_t kBlockTarget = 256 * 1024;

enum class ObjectKind : std::uint8_t {
  snapshot = 1,  // all pages of a database
  segment = 2,   // level 0: one run, each page at most once, ascending
  bundle = 3,    // merged: several runs, each its own commit and restore point
  squashed = 4,  // merged: the newest version of each page; one restore point
};

// One state that can be restored from an object: the end of a run. A snapshot has one, with frame_end 0.
struct RestorePoint {
  Sequence sequence;
  std::int64_t time_ms = 0;        // when its newest commit was seen
  std::uint32_t commit_count = 0;  // SQLite commits in the run
  std::uint64_t frame_end = 0;     // frames of the object up to and with this run
  std::uint32_t page_count = 0;    // pages of the database at this point
  std::uint64_t hash_after = 0;    // database hash at this point
  bool operator==(const RestorePoint&) const = default;
};

struct Footer {
  ObjectKind kind = ObjectKind::segment;
  std::uint32_t page_size = 0;
  Id128 lineage;
  Id128 writer;                     // the state directory that made it
  Sequence first, last;             // a snapshot: both the sequence whose state it holds
  std::int64_t first_time_ms = 0;   // of its oldest and newest commit
  std::int64_t last_time_ms = 0;
  std::uint64_t hash_before = 0;    // database hash before the first run; of a snapshot: 0
  std::uint64_t index_count = 0;    // entries of the page index: frames of a segment, pages of a snapshot
  std::uint64_t data_size_bytes = 0;  // decompressed
  std::vector<RestorePoint> points;  // ascending, at least one

  std::uint64_t hash_after() const { return points.back().hash_after; }
  std::uint32_t page_count() const { return points.back().page_count; }
  bool operator==(const Footer&) const = default;
};

// The page index: entry i is page `pages[i]` with hash `hashes[i]`, in frame order. A snapshot's pages are
// 1..page_count and `pages` stays empty.
struct PageIndex {
  std::vector<PageNo> pages;
  std::vector<std::uint64_t> hashes;
};

// A block as it lies in an object: what the end of an object says of it, beside its place.
struct StoredBlock {
  std::uint32_t compressed_bytes = 0;
  std::uint64_t checksum = 0;  // of these bytes
};

// The hash of a page: XXH3 (64 bits) of its bytes, seeded with its number.
std::uint64_t page_hash(PageNo page, ByteView bytes);

// The page that holds SQLite's lock bytes at 1 GiB: never part of a WAL, never hashed (its hash counts as 0),
// zeros in a snapshot. It exists when page_count reaches it.
PageNo lock_byte_page(std::uint32_t page_size);

// 512 to 65536, a power of two.
bool is_valid_page_size(std::uint32_t page_size);

// Blocks are cut so that no frame and no page straddles two of them.
std::uint32_t pages_per_block(std::uint32_t page_size);   // snapshots
std::uint32_t frames_per_block(std::uint32_t page_size);  // segments; block 0 has the 32-byte WAL header in front

}  // namespace cairn::segment
