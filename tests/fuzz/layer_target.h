// What must hold for any bytes at all that stand where a tar header or a layer is expected. Run by libFuzzer
// (layer_fuzz.cc) and over the golden objects by the ordinary tests (layer_fuzz_test.cc).
#pragma once

#include <xxhash.h>

#include <algorithm>
#include <memory>

#include "base/bytes.h"
#include "base/check.h"
#include "cairn/store.h"
#include "layer/object.h"
#include "layer/object_format.h"
#include "layer/tar.h"
#include "segment/zstd_block.h"

namespace cairn::fuzz {

// Some hundred bytes can say truthfully that they decompress to gigabytes: that is zstd, and no fault.
inline constexpr std::uint64_t kMostTarBytes = 4 << 20;

inline void check_layer_refusal(const Error& error) {
  CAIRN_CHECK(error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::unsupported);
}

// A header that is taken is an entry that keeps the rules, and these bytes are the only ones for it.
inline void read_header(ByteView bytes) {
  const auto header = layer::parse_tar_header(bytes);
  if (!header) return check_layer_refusal(header.error());
  if (!*header) return;
  const layer::Entry& entry = (*header)->entry;
  CAIRN_CHECK(layer::is_valid_path(entry.path));
  CAIRN_CHECK(entry.kind != layer::EntryKind::hard_link || layer::in_order(entry.link_target, entry.path));
  const auto again = layer::write_tar_header(entry);
  CAIRN_CHECK(again && std::ranges::equal(*again, bytes.first((*header)->header_bytes)));
}

// Walks all entries and all frames. Whether all of it proved right.
inline bool read_layer(ByteView bytes) {
  const auto store = make_memory_store();
  CAIRN_CHECK(store->put_new("fuzzed", BytesSource(bytes)));
  const auto opened = layer::LayerReader::open(*store, "fuzzed");
  if (!opened) {
    check_layer_refusal(opened.error());
    return false;
  }
  const layer::LayerReader& reader = **opened;
  bool sound = true;
  const auto cursor = reader.entries();
  std::string before;
  for (std::uint64_t count = 0;; ++count) {
    const auto entry = cursor->next();
    if (!entry) {
      check_layer_refusal(entry.error());
      sound = false;
      break;
    }
    if (!*entry) {
      CAIRN_CHECK(count == reader.entry_count());
      break;
    }
    CAIRN_CHECK(count == 0 || !layer::in_order((*entry)->entry.path, before));
    CAIRN_CHECK((*entry)->data_offset + (*entry)->entry.size_bytes < reader.tar_size_bytes());
    before = (*entry)->entry.path;
  }
  const auto skipping = reader.entries();
  if (const auto skipped = skipping->skip_to("d/f"); !skipped) check_layer_refusal(skipped.error());
  if (reader.tar_size_bytes() > kMostTarBytes) return false;
  const auto visited = reader.visit_frames(0, reader.frames().size(), [](auto, ByteView) { return Result<void>(); });
  if (!visited) check_layer_refusal(visited.error());
  return sound && visited;
}

// An object whose checksums are all right and whose index has `records`, of `entries` entries, for its only chunk.
inline Bytes layer_around(ByteView records, std::uint64_t entries, ByteView path, std::uint64_t tar_bytes) {
  segment::BlockCompressor compressor(1);
  const auto hash_of = [](ByteView bytes) { return XXH3_64bits(bytes.data(), bytes.size()); };
  const auto append = [](Bytes& to, ByteView more) { to.insert(to.end(), more.begin(), more.end()); };
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

// Random bytes hardly ever have the right sums, so they also stand where what the sums cover is read.
inline void fuzz_layer(ByteView bytes) {
  read_header(bytes);
  read_layer(bytes);
  if (bytes.size() < 4) return;
  const auto pick = [&](std::size_t at) { return std::to_integer<std::uint64_t>(bytes[at]); };
  const ByteView records = bytes.subspan(3);
  const ByteView path = bytes.subspan(3, std::min<std::size_t>(pick(1) % 8, records.size()));
  read_layer(layer_around(records, 1 + pick(0) % 4, path, 512 * (2 + pick(2) % 32)));
}

}  // namespace cairn::fuzz
