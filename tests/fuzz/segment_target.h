// What must hold for any bytes at all that stand where an object is expected. Run by libFuzzer (segment_fuzz.cc)
// and over the golden objects by the ordinary tests (segment_fuzz_test.cc).
#pragma once

#include <algorithm>
#include <memory>

#include "base/bytes.h"
#include "base/check.h"
#include "base/executor.h"
#include "segment/merge.h"
#include "segment/reader.h"
#include "segment/reseal.h"

namespace cairn::fuzz {

// Some hundred bytes can say truthfully that they decompress to gigabytes: that is zstd, and no fault.
inline constexpr std::uint64_t kMostDataBytes = 4 << 20;

inline void check_refusal(const Error& error) {
  CAIRN_CHECK(error.kind() == ErrorKind::corrupt || error.kind() == ErrorKind::unsupported);
  CAIRN_CHECK(error.message().find("fuzzed") != std::string::npos);
}

// Whatever opens keeps the promises of reader.h. Whether all of it proved right.
inline bool read_object(ByteView bytes) {
  const BytesSource source(bytes);
  auto opened = segment::ObjectReader::open(source, "fuzzed");
  if (!opened) {
    check_refusal(opened.error());
    return false;
  }
  segment::ObjectReader& reader = **opened;
  const segment::Footer& footer = reader.footer();
  CAIRN_CHECK(!footer.points.empty() && footer.index_count > 0 && !reader.blocks().empty());
  if (footer.data_size_bytes > kMostDataBytes) return false;

  std::uint64_t data_bytes = 0;
  for (const segment::BlockInfo& block : reader.blocks()) data_bytes += block.size_bytes;
  CAIRN_CHECK(data_bytes == footer.data_size_bytes);
  for (std::uint64_t entry = 0; entry < footer.index_count; ++entry) {
    const segment::PageLocation at = reader.locate(entry);
    CAIRN_CHECK(at.block < reader.blocks().size());
    CAIRN_CHECK(at.offset + footer.page_size <= reader.blocks()[at.block].size_bytes);
  }
  const auto index = reader.index();
  if (!index) check_refusal(index.error());
  const auto blocks = reader.read_blocks(0, static_cast<std::uint32_t>(reader.blocks().size()));
  if (!blocks) check_refusal(blocks.error());

  const auto verified = segment::verify_object(reader);
  if (!verified) {
    check_refusal(verified.error());
    return false;
  }
  CAIRN_CHECK(*verified == footer && index && blocks);
  CAIRN_CHECK(index->hashes.size() == footer.index_count);
  for (std::size_t i = 0; i < blocks->size(); ++i) CAIRN_CHECK((*blocks)[i].size() == reader.blocks()[i].size_bytes);
  return true;
}

class FuzzSink final : public segment::Sink {
 public:
  Result<void> write(ByteView part) override {
    bytes.insert(bytes.end(), part.begin(), part.end());
    return {};
  }
  Bytes bytes;
};

// Whatever can be merged becomes an object without fault that says the same of its last state.
inline void merge_object(ByteView bytes) {
  const BytesSource source(bytes);
  const auto opened = segment::ObjectReader::open(source, "fuzzed");
  if (!opened || (*opened)->footer().kind == segment::ObjectKind::snapshot) return;
  const segment::Footer& footer = (*opened)->footer();
  if (footer.data_size_bytes > kMostDataBytes) return;
  InlineExecutor executor;
  segment::MergeOptions options;
  options.level = 1;
  options.memory_bytes = 5 * footer.page_size;
  for (const auto kind : {segment::ObjectKind::bundle, segment::ObjectKind::squashed}) {
    FuzzSink sink;
    const auto merged = segment::merge({opened->get()}, kind, sink, executor, options);
    if (!merged) {
      check_refusal(merged.error());
      continue;
    }
    const BytesSource output(sink.bytes);
    const auto reader = segment::ObjectReader::open(output, "merged");
    CAIRN_CHECK(reader);
    const auto verified = segment::verify_object(**reader);
    CAIRN_CHECK(verified && *verified == *merged && merged->kind == kind);
    CAIRN_CHECK(merged->hash_after() == footer.hash_after() && merged->page_count() == footer.page_count());
    CAIRN_CHECK(kind == segment::ObjectKind::squashed || merged->index_count == footer.index_count);
  }
}

// As they are, and with checksums made right: random changes would hardly ever pass those.
inline void fuzz_segment(ByteView bytes) {
  read_object(bytes);
  Bytes resealed(bytes.begin(), bytes.end());
  segment::reseal(resealed);
  merge_object(resealed);
  if (read_object(resealed)) {
    // One changed byte behind right checksums is found.
    const std::size_t at = (bytes.size() * 31 + std::to_integer<std::size_t>(bytes[0])) % resealed.size();
    resealed[at] ^= std::byte{0x20};
    CAIRN_CHECK(!read_object(resealed));
  }
}

}  // namespace cairn::fuzz
