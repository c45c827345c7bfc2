// The one implementation of ObjectReader. Opening (reader.cc) finds and checks the end of an object; verify.cc
// reads the rest.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "segment/footer.h"
#include "segment/object_input.h"
#include "segment/reader.h"

namespace cairn::segment {

class BlockDecompressor;
class EndWindow;

class ObjectReaderImpl final : public ObjectReader {
 public:
  static Result<std::unique_ptr<ObjectReader>> open(std::unique_ptr<ObjectInput> input, std::string name,
                                                    std::uint64_t first_read_bytes);

  const std::string& name() const override { return name_; }
  const Footer& footer() const override { return footer_; }
  std::uint64_t object_size_bytes() const override { return input_->size_bytes(); }
  const std::vector<BlockInfo>& blocks() const override { return blocks_; }
  std::uint32_t entries_per_block() const override { return tail_.entries_per_block; }
  Result<PageIndex> index(std::uint64_t first, std::optional<std::uint64_t> count) override;
  const PageIndex& segment_index() const override { return index_; }
  PageLocation locate(std::uint64_t entry) const override;
  Result<std::vector<StoredBlock>> stored_blocks() override;
  Result<std::vector<Bytes>> read_blocks(std::uint32_t first, std::uint32_t count) override;
  using ObjectReader::visit_blocks;
  Result<void> visit_blocks(std::uint32_t first, std::uint32_t count, const BlockVisitor& visit,
                            BlockScratch& scratch) override;
  Result<Footer> verify() override;

 private:
  ObjectReaderImpl(std::unique_ptr<ObjectInput> input, std::string name)
      : input_(std::move(input)), name_(std::move(name)) {}

  // The steps of open, in order.
  Result<void> read_footer(std::uint64_t first_read_bytes);
  Result<void> read_tail(EndWindow& end);
  Result<void> read_seek_table(EndWindow& end);
  Result<void> read_points(EndWindow& end);
  Result<void> read_segment_index(EndWindow& end);
  Result<void> check_name() const;

  // The public calls but for the sentence around their errors: see about().
  Result<PageIndex> read_index(std::uint64_t first, std::uint64_t count);
  Result<std::vector<std::uint64_t>> read_hashes(std::uint64_t first, std::uint64_t count);
  // Another reading may give other bytes.
  bool may_be_garbled(const Result<void>& result) const {
    return !result && result.error().kind() == ErrorKind::corrupt && input_->readings() > 1;
  }
  // Reads, hands it to `take`, and reads again while that finds it damaged, up to the input's number of readings.
  Result<void> read_until_good(std::uint64_t offset, std::uint64_t length,
                               const std::function<Result<void>(ByteView)>& take);
  // Calls `take` with one block after the other of [first, first + count), as it is stored.
  Result<void> stream_blocks(std::uint32_t first, std::uint32_t count,
                             const std::function<Result<void>(std::uint32_t block, ByteView stored)>& take);
  // A block decompressed; read again while that finds it damaged.
  Result<void> decompress_good(std::uint32_t block, ByteView stored, BlockScratch& scratch);
  Result<void> decompress(std::uint32_t block, ByteView stored, BlockDecompressor& decompressor, Bytes& into) const;
  Result<void> verify_data();
  Result<void> check_footer_header();

  // "<name> is damaged: <what>. <what to do>", for what decoding found; errors of the store keep their sentence.
  Error about(const Error& error) const;

  // Offsets in the object.
  std::uint64_t hashes_begin() const { return footer_begin_ + kSkippableHeaderBytes + tail_.pages_bytes; }
  std::uint64_t block_sums_begin() const { return hashes_begin() + tail_.hashes_bytes; }
  std::uint64_t points_begin() const { return block_sums_begin() + tail_.block_sums_bytes; }

  std::unique_ptr<ObjectInput> input_;
  const std::string name_;
  Footer footer_;
  Tail tail_;
  std::uint64_t footer_begin_ = 0;      // of its skippable frame: the end of the data
  std::uint64_t seek_table_begin_ = 0;  // the end of the footer
  std::vector<BlockInfo> blocks_;
  PageIndex index_;                     // of a segment; empty of a snapshot
};

}  // namespace cairn::segment
