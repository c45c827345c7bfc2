// SQLite's WAL and WAL-index formats: pure functions from bytes to facts. Nothing here reads a file or knows SQLite's
// library. Sources of every fact: docs/sqlite.md.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/ids.h"
#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::wal {

inline constexpr std::uint32_t kHeaderSize = 32;
inline constexpr std::uint32_t kFrameHeaderSize = 24;

struct Salts {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  bool operator==(const Salts&) const = default;
};

// SQLite's running checksum: two words, carried from the header through every frame.
struct Checksum {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  bool operator==(const Checksum&) const = default;
};

// Of the 32-bit words that the checksum adds up: magic 0x377f0682 little, ..83 big.
enum class ByteOrder { little, big };

// Adds `bytes` (a multiple of 8 long) to `sum`.
Checksum checksum(ByteOrder order, Checksum sum, ByteView bytes);

struct Header {
  ByteOrder order = ByteOrder::little;
  std::uint32_t page_size = 0;
  std::uint32_t checkpoint_sequence = 0;
  Salts salts;
  Checksum sum;  // of the header's first 24 bytes: the seed of frame 1
  bool operator==(const Header&) const = default;
};

// The header at the start of a WAL file. corrupt: wrong magic, version, page size or checksum, or fewer than 32
// bytes (a WAL that is being born or was truncated looks like that too: the caller decides).
Result<Header> parse_header(ByteView bytes);
std::array<std::byte, kHeaderSize> write_header(const Header& header);  // header.sum is computed, not used

struct FrameHeader {
  PageNo page;
  std::uint32_t commit_page_count = 0;  // of a commit frame: pages of the database after it; else 0
  Salts salts;
  Checksum sum;
};

FrameHeader parse_frame_header(std::span<const std::byte, kFrameHeaderSize> bytes);

// Checks one frame (24-byte header and page) against the running checksum `before`; returns the header, whose .sum is
// the seed of the next frame; nothing when salts or checksum differ: the frame is not part of this WAL (left over from
// before a restart, or not written whole). A page number of 0 is not valid either.
std::optional<FrameHeader> check_frame(const Header& header, Checksum before, ByteView frame);

// The same for a frame that the WAL-index promises. SQLite may have committed it without salts and checksum,
// which are zeros then; the frame behind goes on from the running checksum as it was before, or from these zeros
// (docs/sqlite.md, "Frames without a checksum"). Nothing but the index vouches for such a frame.
std::optional<FrameHeader> check_indexed_frame(const Header& header, Checksum before, ByteView frame);

// Writes frame header and returns it; `sum` is advanced. header.order says how words are added.
std::array<std::byte, kFrameHeaderSize> write_frame_header(const Header& header, PageNo page,
                                                           std::uint32_t commit_page_count, ByteView page_bytes,
                                                           Checksum& sum);

std::uint64_t frame_offset(FrameNo frame, std::uint32_t page_size);  // of the frame's header, in the file

// The WAL-index header (48 bytes, kept twice) and the checkpoint information behind it, in the first 136 bytes of the
// -shm file, in the machine's byte order.
inline constexpr std::size_t kIndexBytes = 136;

struct IndexHeader {
  std::uint32_t change = 0;  // counts transactions
  std::uint32_t page_size = 0;
  FrameNo max_frame;         // last valid frame: always a commit
  std::uint32_t page_count = 0;
  Checksum frame_sum;        // running checksum of max_frame
  Salts salts;
  FrameNo backfilled;        // nBackfill: frames that are in the database file
  FrameNo attempted;         // nBackfillAttempted: frames that a checkpointer has begun to bring there
  std::array<std::uint32_t, 5> read_marks{};
  // nBackfill can be the larger one: for a moment in a restart, and for good after the WAL-reset bug has struck.
  bool all_backfilled() const { return backfilled >= max_frame; }
  // Somebody copies or syncs, or has died doing so, or has recovered the WAL. An SQLite from before 3.10 does not tell.
  bool is_backfill_begun() const { return attempted > backfilled; }
  bool operator==(const IndexHeader&) const = default;
};

enum class IndexState {
  ok,
  not_ready,  // the two copies differ or the checksum is wrong: someone is writing it, or recovery is due. Look again.
};

// Reads the index out of mapped shared memory that other processes write to: copies header, information, header
// again, with barriers; not_ready unless all agree. Salts are returned as they appear in the WAL file (big-endian
// words read as numbers), so that they compare equal with Header::salts.
IndexState read_index(const volatile void* shared, IndexHeader& out);

// What stands in the first 100 bytes of a database file.
struct DatabaseHeader {
  std::uint32_t page_size = 0;
  bool wal_mode = false;              // bytes 18 and 19 are 2
  std::uint32_t page_count = 0;       // bytes 28..31
  std::uint32_t sqlite_version = 0;   // bytes 96..99: the library that wrote last, e.g. 3040001
};
// invalid: not a SQLite database (or encrypted): the magic string or the page size is wrong.
Result<DatabaseHeader> parse_database_header(ByteView bytes);

// The WAL-reset bug: 3.7.0 to 3.51.2, except the fixed branches 3.44.6+ and 3.50.7+.
bool has_wal_reset_bug(std::uint32_t sqlite_version);

}  // namespace cairn::wal
