// The layout of a layer's index, for the code that writes it and the code that reads it. docs/format.md specifies it.
//
//   index     = skippable header · chunk* · hash* · directory · tail
//   chunk     = a zstd frame of records: content hash u64 · flags u8 · tar header
//   hash      = u64 for each data frame: XXH3 of its bytes before compression
//   directory = for each chunk: its place, and the path that it begins with
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "layer/object.h"
#include "layer/tar.h"
#include "segment/footer.h"

namespace cairn::layer {

inline constexpr std::uint16_t kLayerFormatVersion = 1;
inline constexpr std::uint32_t kIndexFrameMagic = 0x184D2A5D;  // a skippable frame; a replica's footer is ..5C
inline constexpr segment::TailMagic kLayerMagic = {'C', 'A', 'I', 'R', 'N', 'L', 'Y', 'R'};

inline constexpr std::uint64_t kChunkTarget = 1u << 20;  // a chunk ends with the entry that reaches it
inline constexpr std::uint64_t kRecordBytes = 9;         // in front of each header
inline constexpr std::uint8_t kTornFlag = 1;
inline constexpr std::uint64_t kMaxChunkBytes = kChunkTarget + kRecordBytes + kMaxTarHeaderBytes;

// Bounds what a reader allocates: 32 bytes a frame, for a tar of 16 TiB.
inline constexpr std::uint64_t kMaxFrames = 1u << 24;
inline constexpr std::uint64_t kMaxIndexBytes = 0xFFFFFFFF;  // a skippable frame's size is a u32

struct Chunk {
  std::uint64_t offset = 0;  // in the chunks section; follows from the sizes of those before
  std::uint32_t compressed_bytes = 0;
  std::uint32_t size_bytes = 0;
  std::uint64_t entries = 0;
  std::uint64_t tar_offset = 0;  // of its first header
  std::uint64_t checksum = 0;    // XXH3 of the chunk as stored
  std::string first_path;
};
inline constexpr std::uint64_t kChunkFixedBytes = 34;  // of a directory entry, in front of the path

inline constexpr std::uint32_t kIndexTailBytes = 144;
struct IndexTail {
  std::array<std::uint8_t, 32> digest{};
  std::uint64_t tar_bytes = 0;
  std::uint64_t entries = 0;
  std::uint64_t torn = 0;        // entries flagged so
  std::uint64_t hard_links = 0;  // entries of that kind
  std::uint64_t frames = 0;
  std::uint64_t chunks = 0;
  std::uint64_t chunks_bytes = 0, directory_bytes = 0;
  std::uint64_t hashes_checksum = 0, directory_checksum = 0;
  std::uint64_t seek_checksum = 0;  // of the seek table's entries for the data frames

  // The whole index frame, its header included.
  std::uint64_t index_bytes() const {
    return segment::kSkippableHeaderBytes + chunks_bytes + frames * 8 + directory_bytes + kIndexTailBytes;
  }
};

std::array<std::byte, kIndexTailBytes> write_index_tail(const IndexTail& tail);
// corrupt, unsupported. Every length in it is bounded by `object_bytes` afterwards.
Result<IndexTail> parse_index_tail(ByteView bytes, std::uint64_t object_bytes);

void append_chunk(Bytes& directory, const Chunk& chunk);
// Checks everything that the chunks must be to one another, and to the tail.
Result<std::vector<Chunk>> parse_directory(ByteView directory, const IndexTail& tail);

// "<key> is damaged: ...", or "<key> was written by a newer Cairn ...".
Error about_object(const std::string& key, const Error& error);

}  // namespace cairn::layer
