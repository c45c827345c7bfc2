// A frame's header carries its commit mark, and SQLite's checksum covers the mark: so each frame is sealed only
// when it is known whether it is the last of its run, that is when the next page or the end of the run comes. Until
// then its header in the block is blank.
//
// Blocks have a fixed number of frames, whatever runs they belong to, so that a frame's place follows from its
// number.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
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

constexpr std::uint64_t kIndexPiece = 8192;  // five bytes a page of a list are less than 64 KiB

class SegmentWriterImpl final : public SegmentWriter {
 public:
  SegmentWriterImpl(const ObjectHead& head, Sink& sink, Executor& executor, int level, ScratchSpace scratch)
      : sink_(sink), footer_(footer_of(head)), layout_(head.lineage, head.first, head.page_size),
        frames_per_block_(frames_per_block(head.page_size)), lock_page_(lock_byte_page(head.page_size)),
        window_blocks_(static_cast<std::size_t>(2 * executor.width() + 2)), blocks_(executor, level),
        index_(std::move(scratch)) {
    append(layout_.header());
  }

  Result<void> add_page(PageNo page, ByteView bytes, std::uint64_t hash) override;
  Result<void> end_run(const RestorePoint& point) override;
  Result<Footer> finish() override;
  Result<void> each_page_hash(const std::function<void(PageNo page, std::uint64_t hash)>& take) const override;

 private:
  // 12 bytes: with the hash in one piece it would be 16.
  struct IndexEntry {
    PageNo page;
    std::uint32_t hash_low = 0, hash_high = 0;
    std::uint64_t hash() const { return std::uint64_t{hash_high} << 32 | hash_low; }
  };
  void append(ByteView bytes) { block_.insert(block_.end(), bytes.begin(), bytes.end()); }
  Result<void> seal_frame(std::uint32_t commit_page_count);
  Result<void> push_block();
  Result<void> write_oldest();
  Result<void> each_piece_of_index(const std::function<Result<void>(std::span<const IndexEntry>)>& take) const;
  Result<void> list_pages(const std::function<Result<void>(ByteView)>& take) const;
  Result<void> copy_hashes(std::uint64_t first, std::span<std::uint64_t> into) const;

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
  ScratchList<IndexEntry> index_;
  PageListWriter pages_;  // only measured: it is written from index_ once the blocks are
  std::uint64_t page_list_bytes_ = 0;
};

Result<void> SegmentWriterImpl::add_page(PageNo page, ByteView bytes, std::uint64_t hash) {
  CAIRN_CHECK(bytes.size() == footer_.page_size);
  if (page <= last_page_)
    return invalid(fmt::format("a segment's pages ascend within a run: {} follows {}", page.value, last_page_.value));
  if (page == lock_page_) return invalid(fmt::format("page {} holds SQLite's locks and no data", page.value));
  CAIRN_TRY(seal_frame(0));
  last_page_ = page;
  CAIRN_TRY(index_.push_back({page, static_cast<std::uint32_t>(hash), static_cast<std::uint32_t>(hash >> 32)}));
  pages_.add(page);
  page_list_bytes_ += pages_.bytes().size();
  pages_.clear();
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
  if (frames_in_block_ > 0 && blocks_.pending() > 0) CAIRN_TRY(push_block());
  if (frames_in_block_ > 0) blocks_.push_own(std::exchange(block_, {}));
  while (blocks_.pending() > 0) CAIRN_TRY(write_oldest());
  const PageListSource page_list{page_list_bytes_, [this](const auto& take) { return list_pages(take); }};
  const HashSource hashes = [this](std::uint64_t first, auto into) { return copy_hashes(first, into); };
  CAIRN_TRY(write_object_end(sink_, footer_, frames_per_block_, page_list, hashes, log_));
  return footer_;
}

Result<void> SegmentWriterImpl::each_piece_of_index(
    const std::function<Result<void>(std::span<const IndexEntry>)>& take) const {
  std::vector<IndexEntry> piece(std::min<std::uint64_t>(index_.size(), kIndexPiece));
  for (std::uint64_t first = 0; first < index_.size(); first += piece.size()) {
    piece.resize(std::min<std::uint64_t>(piece.size(), index_.size() - first));
    CAIRN_TRY(index_.read(first, piece));
    CAIRN_TRY(take(piece));
  }
  return {};
}

Result<void> SegmentWriterImpl::list_pages(const std::function<Result<void>(ByteView)>& take) const {
  PageListWriter list;
  std::uint64_t entry = 0;
  auto run = footer_.points.begin();
  return each_piece_of_index([&](std::span<const IndexEntry> piece) -> Result<void> {
    for (const IndexEntry& e : piece) {
      list.add(e.page);
      if (++entry < run->frame_end) continue;
      list.end_run();
      ++run;
    }
    CAIRN_TRY(take(list.bytes()));
    list.clear();
    return {};
  });
}

Result<void> SegmentWriterImpl::copy_hashes(std::uint64_t first, std::span<std::uint64_t> into) const {
  std::vector<IndexEntry> entries(into.size());
  CAIRN_TRY(index_.read(first, entries));
  std::ranges::transform(entries, into.begin(), &IndexEntry::hash);
  return {};
}

Result<void> SegmentWriterImpl::each_page_hash(const std::function<void(PageNo, std::uint64_t)>& take) const {
  return each_piece_of_index([&](std::span<const IndexEntry> piece) -> Result<void> {
    for (const IndexEntry& entry : piece) take(entry.page, entry.hash());
    return {};
  });
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
                                                           int level, ScratchSpace scratch) {
  if (head.kind == ObjectKind::snapshot) return invalid("a snapshot is not written as a segment");
  if (!is_valid_page_size(head.page_size)) return invalid(fmt::format("page size {} cannot be", head.page_size));
  if (!is_valid_level(level)) return invalid(fmt::format("zstd has no compression level {}", level));
  return std::make_unique<SegmentWriterImpl>(head, sink, executor, level, std::move(scratch));
}

}  // namespace cairn::segment
