// Layers that no writer would make, for tests and fuzz targets.
#pragma once


#include "base/bytes.h"
#include "layer/object_format.h"
#include "segment/zstd_block.h"

namespace cairn::layer::testing {

// An object whose checksums are all right and whose index has `records`, of `entries` entries, for its only chunk.
inline Bytes layer_around(ByteView records, std::uint64_t entries, ByteView path, std::uint64_t tar_bytes) {
  segment::BlockCompressor compressor(1);
  const Bytes tar(tar_bytes);
  const Bytes frame = compressor.compress(tar).value();
  const Bytes chunk_bytes = compressor.compress(records).value();
  layer::Chunk chunk;
  chunk.compressed_bytes = static_cast<std::uint32_t>(chunk_bytes.size());
  chunk.size_bytes = static_cast<std::uint32_t>(records.size());
  chunk.entries = entries;
  chunk.checksum = hash_of(chunk_bytes);
  chunk.first_path = as_text(path);
  Bytes directory, hashes(8), sizes(8);
  layer::append_chunk(directory, chunk);
  store_le(hashes.data(), hash_of(tar));
  store_le(sizes.data(), static_cast<std::uint32_t>(frame.size()));
  store_le(sizes.data() + 4, static_cast<std::uint32_t>(tar.size()));
  layer::IndexTail tail;
  tail.tar_bytes = tar.size();
  tail.entries = entries;
  tail.frames = 1;
  tail.chunks = 1;
  tail.chunks_bytes = chunk_bytes.size();
  tail.directory_bytes = directory.size();
  tail.hashes_checksum = hash_of(hashes);
  tail.directory_checksum = hash_of(directory);
  tail.seek_checksum = hash_of(sizes);
  const auto index_bytes = static_cast<std::uint32_t>(tail.index_bytes());
  Bytes object = frame;
  const std::uint32_t inside_bytes = index_bytes - segment::kSkippableHeaderBytes;
  append(object, segment::write_skippable_header(layer::kIndexFrameMagic, inside_bytes));
  append(object, chunk_bytes);
  append(object, hashes);
  append(object, directory);
  append(object, layer::write_index_tail(tail));
  segment::append_seek_table(object, sizes, index_bytes);
  return object;
}

}  // namespace cairn::layer::testing
