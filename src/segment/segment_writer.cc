// A frame's header carries its commit mark, and SQLite's checksum covers the mark: so each frame is sealed only
// when it is known whether it is the last of its run, that is when the next page or the end of the run comes. Until
// then its header in the block is blank.
//
// Blocks have a fixed number of frames, whatever runs they belong to, so that a frame's place follows from its
// number.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "base/errors.h"
#include "segment/block_pipeline.h"
#include "segment/footer.h"
#include "segment/object_end.h"
#include "segment/wal_layout.h"
#include "segment/writer.h"
#include "segment/zstd_block.h"

namespace cairn::segment {
namespace {

class SegmentWriterImpl final : public SegmentWriter {
 public:
  SegmentWriterImpl(const ObjectHead& head, Sink& sink, Executor& executor, int level)
      : sink_(sink), footer_(footer_of(head)), layout_(head.lineage, head.first, head.page_size),
        frames_per_block_(frames_per_block(head.page_size)), lock_page_(lock_byte_page(head.page_size)),
        window_blocks_(static_cast<std::size_t>(2 * executor.width() + 2)), blocks_(executor, level) {
    append(layout_.header());
  }

  Result<void> add_page(PageNo page, ByteView bytes, std::uint64_t hash) override;
  Result<void> end_run(const RestorePoint& point) override;
  Result<Footer> finish() override;

 private:
  void append(ByteView bytes) { block_.insert(block_.end(), bytes.begin(), bytes.end()); }
  Result<void> seal_frame(std::uint32_t commit_page_count);
  Result<void> push_block();
  Result<void> write_oldest();

  Sink& sink_;
  Footer footer_;
  WalLayout layout_;
  const std::uint32_t frames_per_block_;
  const PageNo lock_page_;
  const std::size_t window_blocks_;
  BlockPipeline blocks_;
  BlockLog log_;
  Bytes block_;
  std::uint32_t frames_in_block_ = 0;
  PageNo last_page_;         // of the run under way; 0: none yet
  bool has_open_frame_ = false;
  PageListWriter pages_;
  // A deque: a vector that grows would hold everything twice for a moment.
  std::deque<std::uint64_t> hashes_;
};

Result<void> SegmentWriterImpl::add_page(PageNo page, ByteView bytes, std::uint64_t hash) {
  CAIRN_CHECK(bytes.size() == footer_.page_size);
  if (page <= last_page_)
    return invalid(fmt::format("a segment's pages ascend within a run: {} follows {}", page.value, last_page_.value));
  if (page == lock_page_) return invalid(fmt::format("page {} holds SQLite's locks and no data", page.value));
  CAIRN_TRY(seal_frame(0));
  last_page_ = page;
  pages_.add(page);
  hashes_.push_back(hash);
  append(WalFrameHeaderBytes{});
  append(bytes);
  ++frames_in_block_;
  ++footer_.index_count;
  has_open_frame_ = true;
  return {};
}

Result<void> SegmentWriterImpl::end_run(const RestorePoint& point) {
  if (last_page_.value == 0) return invalid("a run of a segment needs at least one page");
  if (last_page_.value > point.page_count)
    return invalid(fmt::format("page {} of a database of {} pages", last_page_.value, point.page_count));
  CAIRN_TRY(seal_frame(point.page_count));
  footer_.points.push_back(point);
  footer_.points.back().frame_end = footer_.index_count;
  pages_.end_run();
  last_page_ = PageNo();
  return {};
}

Result<Footer> SegmentWriterImpl::finish() {
  if (last_page_.value != 0) return invalid("a segment ends with the end of a run");
  footer_.data_size_bytes = data_bytes(footer_.kind, footer_.page_size, footer_.index_count);
  if (frames_in_block_ > 0) CAIRN_TRY(push_block());
  while (blocks_.pending() > 0) CAIRN_TRY(write_oldest());
  auto copy_hashes = [this](std::uint64_t first, std::span<std::uint64_t> into) {
    std::copy_n(hashes_.begin() + static_cast<std::ptrdiff_t>(first), into.size(), into.begin());
  };
  CAIRN_TRY(write_object_end(sink_, footer_, frames_per_block_, pages_.bytes(), copy_hashes, log_));
  return footer_;
}

// Fills in the header of the newest frame, and lets its block go when that is full.
Result<void> SegmentWriterImpl::seal_frame(std::uint32_t commit_page_count) {
  if (!has_open_frame_) return {};
  has_open_frame_ = false;
  const std::size_t frame_bytes = kWalFrameHeaderBytes + footer_.page_size;
  std::byte* frame = block_.data() + block_.size() - frame_bytes;
  WalFrameHeaderBytes header =
      layout_.next_frame(last_page_, commit_page_count, ByteView(frame + kWalFrameHeaderBytes, footer_.page_size));
  std::memcpy(frame, header.data(), header.size());
  return frames_in_block_ == frames_per_block_ ? push_block() : Result<void>{};
}

Result<void> SegmentWriterImpl::push_block() {
  blocks_.push(std::exchange(block_, {}));
  // Small segments, the most frequent ones, never get here with more pages to come, and stay small in memory too.
  if (frames_in_block_ == frames_per_block_)
    block_.reserve(std::size_t{frames_per_block_} * (footer_.page_size + kWalFrameHeaderBytes));
  frames_in_block_ = 0;
  while (blocks_.pending() > window_blocks_) CAIRN_TRY(write_oldest());
  return {};
}

Result<void> SegmentWriterImpl::write_oldest() {
  CAIRN_ASSIGN(std::optional<PackedBlock> block, blocks_.pop());
  CAIRN_CHECK(block.has_value());
  return log_.write(sink_, *block);
}

}  // namespace

ObjectHead head_of(const Footer& footer) {
  ObjectHead head;
  head.kind = footer.kind;
  head.page_size = footer.page_size;
  head.lineage = footer.lineage;
  head.writer = footer.writer;
  head.first = footer.first;
  head.last = footer.last;
  head.first_time_ms = footer.first_time_ms;
  head.last_time_ms = footer.last_time_ms;
  head.hash_before = footer.hash_before;
  return head;
}

Result<std::unique_ptr<SegmentWriter>> SegmentWriter::open(const ObjectHead& head, Sink& sink, Executor& executor,
                                                           int level) {
  if (head.kind == ObjectKind::snapshot) return invalid("a snapshot is not written as a segment");
  if (!is_valid_page_size(head.page_size)) return invalid(fmt::format("page size {} cannot be", head.page_size));
  if (!is_valid_level(level)) return invalid(fmt::format("zstd has no compression level {}", level));
  return std::make_unique<SegmentWriterImpl>(head, sink, executor, level);
}

}  // namespace cairn::segment
