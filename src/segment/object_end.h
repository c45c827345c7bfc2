// Writes what stands behind the blocks of an object: footer and seek table. Shared by both writers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "segment/block_pipeline.h"
#include "segment/footer.h"
#include "segment/writer.h"

namespace cairn::segment {

// The blocks of an object on their way to the sink, and what the end of the object has to say of them. Keeps 12
// bytes a block.
class BlockLog {
 public:
  Result<void> write(Sink& sink, const PackedBlock& block);

  const std::vector<std::uint32_t>& compressed_bytes() const { return compressed_bytes_; }
  ByteView checksums() const { return std::as_bytes(std::span(checksums_)); }

 private:
  std::vector<std::uint32_t> compressed_bytes_;
  std::vector<std::uint64_t> checksums_;
};

// Copies the hashes of index entries [first, first + into.size()) to `into`.
using HashSource = std::function<Result<void>(std::uint64_t first, std::span<std::uint64_t> into)>;

// The page list of a segment, which has one for each run.
struct PageListSource {
  std::uint64_t size_bytes = 0;
  std::function<Result<void>(const std::function<Result<void>(ByteView piece)>& take)> each_piece;
};

// Writes footer frame and seek table in pieces of at most 64 KiB. `page_list`: empty for a snapshot. Returns the
// XOR of all hashes in `xor_of_hashes` before the tail is written: the caller may refuse by `accept`, and the
// object then stays without an end. invalid: the footer breaks a rule of the format.
Result<void> write_object_end(Sink& sink, const Footer& footer, std::uint32_t entries_per_block,
                              const PageListSource& page_list, const HashSource& hashes, const BlockLog& blocks,
                              const std::function<Result<void>(std::uint64_t xor_of_hashes)>& accept = {});

// The footer's fields that a head says; the rest follows from what is written.
Footer footer_of(const ObjectHead& head);

}  // namespace cairn::segment
