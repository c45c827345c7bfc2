#include "layer/object_format.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <cstring>

#include "base/bytes.h"
#include "base/errors.h"

namespace cairn::layer {
namespace {

// The eleven numbers behind the digest, in their order.
template <class Tail, class Visit>
void each_number(Tail& tail, Visit visit) {
  visit(tail.tar_bytes);
  visit(tail.entries);
  visit(tail.torn);
  visit(tail.hard_links);
  visit(tail.frames);
  visit(tail.chunks);
  visit(tail.chunks_bytes);
  visit(tail.directory_bytes);
  visit(tail.hashes_checksum);
  visit(tail.directory_checksum);
  visit(tail.seek_checksum);
}

}  // namespace

std::uint64_t hash_of(ByteView bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::array<std::byte, kIndexTailBytes> write_index_tail(const IndexTail& tail) {
  std::array<std::byte, kIndexTailBytes> bytes{};
  std::memcpy(bytes.data(), tail.digest.data(), tail.digest.size());
  std::byte* p = bytes.data() + tail.digest.size();
  each_number(tail, [&p](std::uint64_t number) {
    store_le(p, number);
    p += sizeof number;
  });
  segment::seal_tail(bytes, kLayerFormatVersion, kLayerMagic);
  return bytes;
}

Result<IndexTail> parse_index_tail(ByteView bytes, std::uint64_t object_bytes) {
  CAIRN_ASSIGN(const auto end, segment::check_tail_end(bytes, kLayerFormatVersion, kLayerMagic));
  if (end.tail_bytes != kIndexTailBytes || bytes.size() != kIndexTailBytes)
    return damaged("its index is of no known format");
  IndexTail tail;
  std::memcpy(tail.digest.data(), bytes.data(), tail.digest.size());
  const std::byte* p = bytes.data() + tail.digest.size();
  each_number(tail, [&p](std::uint64_t& number) {
    number = load_le<std::uint64_t>(p);
    p += sizeof number;
  });
  if (tail.frames == 0 || tail.frames > kMaxFrames) return damaged("it cannot have so many frames");
  if (tail.chunks_bytes > object_bytes || tail.directory_bytes > object_bytes || tail.index_bytes() > object_bytes ||
      tail.index_bytes() - segment::kSkippableHeaderBytes > kMaxIndexBytes)
    return damaged("it is shorter than its index");
  if (tail.chunks > tail.directory_bytes / kChunkFixedBytes) return damaged("its index has no room for its chunks");
  if (tail.tar_bytes < kTarEndBytes || tail.tar_bytes % kTarBlockBytes != 0)
    return damaged("the size of its tar cannot be");
  return tail;
}

void append_chunk(Bytes& directory, const Chunk& chunk) {
  const std::size_t at = directory.size();
  directory.resize(at + kChunkFixedBytes);
  std::byte* p = directory.data() + at;
  store_le(p, chunk.compressed_bytes);
  store_le(p + 4, chunk.size_bytes);
  store_le(p + 8, chunk.entries);
  store_le(p + 16, chunk.tar_offset);
  store_le(p + 24, chunk.checksum);
  store_le(p + 32, static_cast<std::uint16_t>(chunk.first_path.size()));
  const ByteView path = as_bytes(chunk.first_path);
  directory.insert(directory.end(), path.begin(), path.end());
}

Result<std::vector<Chunk>> parse_directory(ByteView directory, const IndexTail& tail) {
  std::vector<Chunk> chunks;
  chunks.reserve(tail.chunks);
  std::uint64_t offset = 0, entries = 0, tar_offset = 0;
  while (chunks.size() < tail.chunks) {
    if (directory.size() < kChunkFixedBytes) return damaged("the directory of its index is cut short");
    const std::byte* p = directory.data();
    Chunk chunk;
    chunk.offset = offset;
    chunk.compressed_bytes = load_le<std::uint32_t>(p);
    chunk.size_bytes = load_le<std::uint32_t>(p + 4);
    chunk.entries = load_le<std::uint64_t>(p + 8);
    chunk.tar_offset = load_le<std::uint64_t>(p + 16);
    chunk.checksum = load_le<std::uint64_t>(p + 24);
    const auto path_bytes = load_le<std::uint16_t>(p + 32);
    directory = directory.subspan(kChunkFixedBytes);
    if (path_bytes > directory.size()) return damaged("the directory of its index is cut short");
    chunk.first_path = as_text(directory.first(path_bytes));
    directory = directory.subspan(path_bytes);

    if (chunk.size_bytes == 0 || chunk.size_bytes > kMaxChunkBytes) return damaged("the size of a chunk cannot be");
    // Each entry takes at least a record and a block of its chunk, and a block of the tar.
    if (chunk.entries == 0 || chunk.entries > chunk.size_bytes / (kRecordBytes + kTarBlockBytes))
      return damaged("a chunk of its index cannot have so many entries");
    const bool ascends = chunks.empty() ? chunk.tar_offset == 0 : chunk.tar_offset > tar_offset;
    if (!ascends || chunk.tar_offset >= tail.tar_bytes) return damaged("the chunks of its index are not in order");
    if (!is_valid_path(chunk.first_path)) return damaged("a chunk of its index begins with no path");
    if (!chunks.empty() && in_order(chunk.first_path, chunks.back().first_path))
      return damaged("the chunks of its index are not in order");
    offset += chunk.compressed_bytes;
    entries += chunk.entries;
    tar_offset = chunk.tar_offset;
    chunks.push_back(std::move(chunk));
  }
  if (!directory.empty() || offset != tail.chunks_bytes || entries != tail.entries)
    return damaged("its index and the directory of its index do not agree");
  return chunks;
}

Error about_object(const std::string& key, const Error& error) {
  if (error.kind() == ErrorKind::corrupt) return error.with(fmt::format("{} is damaged", key));
  if (error.kind() == ErrorKind::unsupported) {
    return Error(error.kind(), fmt::format("{} {}", key, error.message()));
  }
  return error;
}

}  // namespace cairn::layer
