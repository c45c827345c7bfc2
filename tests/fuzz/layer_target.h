// What must hold for any bytes at all that stand where a tar header or a layer is expected. Run by libFuzzer
// (layer_fuzz.cc) and over the golden objects by the ordinary tests (layer_fuzz_test.cc).
#pragma once

#include <algorithm>
#include <memory>

#include "base/bytes.h"
#include "base/check.h"
#include "cairn/store.h"
#include "layer/crafted_object.h"
#include "layer/object.h"
#include "layer/tar.h"

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

// Random bytes hardly ever have the right sums, so they also stand where what the sums cover is read.
inline void fuzz_layer(ByteView bytes) {
  read_header(bytes);
  read_layer(bytes);
  if (bytes.size() < 4) return;
  const auto pick = [&](std::size_t at) { return std::to_integer<std::uint64_t>(bytes[at]); };
  const ByteView records = bytes.subspan(3);
  const ByteView path = bytes.subspan(3, std::min<std::size_t>(pick(1) % 8, records.size()));
  read_layer(layer::testing::layer_around(records, 1 + pick(0) % 4, path, 512 * (2 + pick(2) % 32)));
}

}  // namespace cairn::fuzz
