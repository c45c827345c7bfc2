// The output's frames are known from the page indexes alone, in order: all frames of the inputs, or a merge of sorted
// lists (merge_order.h). They are made in windows of as many pages as may be in memory. For each window the blocks that
// hold its pages are fetched and decompressed in parallel, in whatever order they lie; every page of such a block is
// checked, and those of the window are copied to their places. Then the window goes to the writer, page after page, and
// is compressed in parallel while the next one is read.
//
// In a bundle a window's blocks are neighbours, so each block is read once (twice, at a border). In a squash a window
// is a range of pages, and many short runs over a wide range have pages for all windows in each block. So the frames of
// many windows are known at once, the stretch, and pages that a block has for a later window of it go to a scratch file
// (pages_aside.h): a block is read once a stretch.
//
// Blocks that no window wanted, whose pages were all written again later, are checked at the end: a merge vouches for
// its inputs, since they may be deleted when it is there.

#include "segment/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "base/errors.h"
#include "base/large_buffer.h"
#include "base/mutex.h"
#include "base/parallel.h"
#include "segment/footer.h"
#include "segment/merge_order.h"
#include "segment/merge_states.h"
#include "segment/pages_aside.h"
#include "segment/wal_layout.h"

namespace cairn::segment {
namespace {

// Fetched and decompressed as one piece of work: enough for a request's cost not to matter, and little enough for all
// threads to have some.
constexpr std::uint64_t kPieceBytes = 1 << 20;

// Of a bundle's window, whose pages are not waited for: what the processor's caches hold.
constexpr std::uint64_t kBundleWindowBytes = 8 << 20;
constexpr std::uint64_t kMostPages = 1u << 31;  // in a window; their numbers are 32 bits

// Of the memory for pages, so much more for what is known of the frames of a stretch, and for the pages of it that are
// on their way to the scratch file.
constexpr std::uint64_t kStretchShare = 8, kBytesAFrame = 32, kAsideShare = 4;
constexpr std::uint64_t kScratchTimes = 8;  // as much as that memory may be in the scratch file: disks are small, too

// Neighbouring blocks of an input.
struct Piece {
  std::uint32_t input = 0;
  std::uint32_t first_block = 0, block_count = 0;
  std::size_t first_wanted = 0;  // of the window's wanted pages, the first that lies in them
};

Result<void> check_page(const ObjectReader& input, std::uint64_t entry, ByteView bytes) {
  const PageIndex& index = input.segment_index();
  const PageNo page = index.pages[entry];
  if (page_hash(page, bytes) == index.hashes[entry]) return {};
  return damaged_object(input.name(), fmt::format("page {} does not match its hash", page.value));
}

class MergeImpl final : public Merge {
 public:
  MergeImpl(std::vector<ObjectReader*> inputs, ObjectKind kind, Executor& executor, const MergeOptions& options)
      : inputs_(std::move(inputs)), kind_(kind), page_size_(inputs_.front()->footer().page_size), executor_(executor),
        stop_(options.stop), memory_bytes_(options.memory_bytes),
        window_pages_(pages_at_once(options.memory_bytes)),
        stretch_frames_(frames_at_once(options)), runs_(runs_of(inputs_)), aside_(options.open_scratch, page_size_) {
    for (const ObjectReader* input : inputs_) block_read_in_.emplace_back(input->blocks().size());
  }

  Result<void> begin(Sink& sink, const MergeOptions& options);

  Result<bool> step() override;
  const Footer& footer() const override { return footer_; }
  std::uint64_t proven_runs() const override { return proven_runs_; }

 private:
  struct Wanted {
    std::uint32_t input = 0;
    std::uint32_t place = 0;  // in the stretch
    std::uint64_t entry = 0;
  };

  std::uint64_t pages_at_once(std::uint64_t memory_bytes) const {
    if (kind_ == ObjectKind::bundle) memory_bytes = std::min(memory_bytes, kBundleWindowBytes);
    return std::clamp<std::uint64_t>(memory_bytes / page_size_, 1, kMostPages);
  }
  std::uint64_t frames_at_once(const MergeOptions& options) const {
    if (kind_ == ObjectKind::bundle || !options.open_scratch) return window_pages_;
    const std::uint64_t known = options.memory_bytes / kStretchShare / kBytesAFrame;
    return std::clamp(std::min(known, kScratchTimes * options.memory_bytes / page_size_), window_pages_, kMostPages);
  }
  ObjectHead head() const;
  RestorePoint squashed_point() const;
  void take_stretch();
  void take_window();
  Result<void> read_window();
  Result<void> read_aside();
  Result<void> write_window();
  Result<bool> check_more();
  void add_block(std::vector<Piece>& pieces, std::uint32_t input, std::uint32_t block, std::size_t wanted) const;
  Result<void> read_piece(const Piece& piece);
  Result<void> check_pages(const ObjectReader& input, std::uint32_t block, ByteView bytes) const;
  Result<void> take_page(const Wanted& wanted, ByteView bytes, std::uint32_t read_in);
  std::byte* slot(std::size_t place) { return pages_.data() + (place - window_begin_) * page_size_; }
  std::unique_ptr<BlockScratch> take_scratch();
  void give_back(std::unique_ptr<BlockScratch> scratch);

  const std::vector<ObjectReader*> inputs_;
  const ObjectKind kind_;
  const std::uint32_t page_size_;
  Executor& executor_;
  const std::stop_token stop_;
  const std::uint64_t memory_bytes_, window_pages_, stretch_frames_;
  const std::vector<MergeRun> runs_;
  std::uint64_t proven_runs_ = 0;

  std::unique_ptr<MergeOrder> order_;
  std::unique_ptr<SegmentWriter> writer_;
  std::vector<MergeFrame> stretch_;  // in the order of the output
  std::vector<Wanted> wanted_;       // the same pages in the order of the inputs
  std::size_t window_begin_ = 0, window_end_ = 0;  // in the stretch
  LargeBuffer pages_;                // of the window, in the order of the output
  std::vector<std::uint8_t> came_;   // those of them that lay aside; bytes, since threads write neighbours
  PagesAside aside_;                 // of later windows of the stretch
  std::uint32_t stretch_number_ = 0;  // from 1
  std::vector<std::vector<std::uint32_t>> block_read_in_;  // of each input's blocks the last stretch; 0: not yet
  std::uint32_t unchecked_input_ = 0, unchecked_block_ = 0;  // where looking for unchecked blocks goes on
  Mutex mutex_;
  std::vector<std::unique_ptr<BlockScratch>> idle_ GUARDED_BY(mutex_);  // as many as threads read at once
  bool complete_ = false;
  Footer footer_;
};

Result<void> MergeImpl::begin(Sink& sink, const MergeOptions& options) {
  CAIRN_ASSIGN(proven_runs_, check_states(inputs_, runs_, options.hashes_before));
  order_ = kind_ == ObjectKind::bundle ? all_frames(runs_) : newest_frames(inputs_, runs_);
  CAIRN_ASSIGN(writer_, SegmentWriter::open(head(), sink, executor_, options.level));
  return {};
}

ObjectHead MergeImpl::head() const {
  const Footer& first = inputs_.front()->footer();
  const Footer& last = inputs_.back()->footer();
  // The writer of the newest input, not whoever merges: so that all who merge make the same object, and that the newest
  // object of a replica says who published last, whatever was merged since.
  return {kind_,      first.page_size,     first.lineage,     last.writer,      first.first,
          last.last, first.first_time_ms, last.last_time_ms, first.hash_before};
}

RestorePoint MergeImpl::squashed_point() const {
  RestorePoint point = runs_.back().point;
  std::uint64_t commits = 0;
  for (const MergeRun& run : runs_) commits += run.point.commit_count;
  point.commit_count = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(commits, std::numeric_limits<std::uint32_t>::max()));
  return point;
}

Result<bool> MergeImpl::step() {
  if (complete_) return true;
  if (stop_.stop_requested()) return Error(ErrorKind::cancelled, "stopped on request");
  take_window();
  if (window_begin_ < window_end_) {
    CAIRN_TRY(read_window());
    CAIRN_TRY(write_window());
    return false;
  }
  CAIRN_ASSIGN(const bool all_checked, check_more());
  if (!all_checked) return false;
  if (kind_ == ObjectKind::squashed) CAIRN_TRY(writer_->end_run(squashed_point()));
  CAIRN_ASSIGN(footer_, writer_->finish());
  complete_ = true;
  return true;
}

void MergeImpl::take_window() {
  if (window_end_ == stretch_.size()) take_stretch();
  window_begin_ = window_end_;
  window_end_ = std::min<std::size_t>(stretch_.size(), window_begin_ + window_pages_);
}

void MergeImpl::take_stretch() {
  ++stretch_number_;
  stretch_.clear();
  wanted_.clear();
  window_end_ = 0;
  while (stretch_.size() < stretch_frames_) {
    const std::optional<MergeFrame> frame = order_->next();
    if (!frame) break;
    wanted_.push_back({runs_[frame->run].input, static_cast<std::uint32_t>(stretch_.size()), frame->entry});
    stretch_.push_back(*frame);
  }
  const std::size_t windows = (stretch_.size() + window_pages_ - 1) / window_pages_;
  aside_.begin(windows > 1 ? windows : 0, memory_bytes_ / kAsideShare);
  if (kind_ == ObjectKind::bundle) return;
  std::sort(wanted_.begin(), wanted_.end(), [](const Wanted& a, const Wanted& b) {
    return a.input != b.input ? a.input < b.input : a.entry < b.entry;
  });
}

Result<void> MergeImpl::read_window() {
  const std::size_t needed = (window_end_ - window_begin_) * page_size_;
  if (pages_.size() < needed) {
    pages_ = LargeBuffer();  // not two at once
    pages_ = LargeBuffer(needed);
  }
  CAIRN_TRY(read_aside());
  std::vector<Piece> pieces;
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    const auto& [input, place, entry] = wanted_[i];
    if (place < window_begin_ || place >= window_end_ || came_[place - window_begin_] != 0) continue;
    add_block(pieces, input, inputs_[input]->locate(entry).block, i);
  }
  return parallel_for(executor_, pieces.size(), [&](std::uint64_t i) { return read_piece(pieces[i]); }, stop_);
}

// What lies aside for the window. What does not come back as it was is wanted of its block again.
Result<void> MergeImpl::read_aside() {
  came_.assign(window_end_ - window_begin_, 0);
  const std::size_t window = window_begin_ / window_pages_;
  const auto take = [&](std::uint32_t place, ByteView page) {
    const auto& [run, entry] = stretch_[place];
    if (!check_page(*inputs_[runs_[run].input], entry, page)) return;
    std::memcpy(slot(place), page.data(), page_size_);
    came_[place - window_begin_] = 1;
  };
  return parallel_for(executor_, aside_.extents(window), [&](std::uint64_t i) -> Result<void> {
    aside_.take(window, i, take);
    return {};
  }, stop_);
}

// Blocks come in ascending order within an input.
void MergeImpl::add_block(std::vector<Piece>& pieces, std::uint32_t input, std::uint32_t block,
                          std::size_t wanted) const {
  if (!pieces.empty() && pieces.back().input == input) {
    Piece& piece = pieces.back();
    const std::uint32_t end = piece.first_block + piece.block_count;
    if (block < end) return;
    const std::vector<BlockInfo>& blocks = inputs_[input]->blocks();
    const std::uint64_t end_offset = blocks[block].offset + blocks[block].compressed_bytes;
    if (block == end && end_offset - blocks[piece.first_block].offset <= kPieceBytes) {
      ++piece.block_count;
      return;
    }
  }
  pieces.push_back({input, block, 1, wanted});
}

Result<void> MergeImpl::read_piece(const Piece& piece) {
  ObjectReader& input = *inputs_[piece.input];
  std::size_t next = piece.first_wanted;
  // Of its first block there may be more in front, for windows to come.
  while (next > 0 && next <= wanted_.size() && wanted_[next - 1].input == piece.input &&
         input.locate(wanted_[next - 1].entry).block == piece.first_block) {
    --next;
  }
  const auto take = [&](std::uint32_t block, std::span<std::byte> bytes) -> Result<void> {
    // Of a block that is read again, what nobody wants was good before.
    const std::uint32_t read_in = std::exchange(block_read_in_[piece.input][block], stretch_number_);
    if (read_in == 0) CAIRN_TRY(check_pages(input, block, bytes));
    for (; next < wanted_.size() && wanted_[next].input == piece.input; ++next) {
      const PageLocation at = input.locate(wanted_[next].entry);
      if (at.block != block) break;
      CAIRN_TRY(take_page(wanted_[next], bytes.subspan(at.offset, page_size_), read_in));
    }
    return {};
  };
  std::unique_ptr<BlockScratch> scratch = take_scratch();
  Result<void> read = input.visit_blocks(piece.first_block, piece.block_count, take, *scratch);
  give_back(std::move(scratch));
  return read;
}

// `read_in`: the stretch in which its block was read before.
Result<void> MergeImpl::take_page(const Wanted& wanted, ByteView bytes, std::uint32_t read_in) {
  if (wanted.place >= window_end_) {
    if (read_in != stretch_number_) aside_.put(wanted.place / window_pages_, wanted.place, bytes);
    return {};
  }
  if (wanted.place < window_begin_ || came_[wanted.place - window_begin_] != 0) return {};
  if (read_in != 0) CAIRN_TRY(check_page(*inputs_[wanted.input], wanted.entry, bytes));
  std::memcpy(slot(wanted.place), bytes.data(), page_size_);
  return {};
}

std::unique_ptr<BlockScratch> MergeImpl::take_scratch() {
  MutexLock lock(mutex_);
  if (idle_.empty()) return std::make_unique<BlockScratch>();
  std::unique_ptr<BlockScratch> scratch = std::move(idle_.back());
  idle_.pop_back();
  return scratch;
}

void MergeImpl::give_back(std::unique_ptr<BlockScratch> scratch) {
  MutexLock lock(mutex_);
  idle_.push_back(std::move(scratch));
}

Result<void> MergeImpl::check_pages(const ObjectReader& input, std::uint32_t block, ByteView bytes) const {
  const PageIndex& index = input.segment_index();
  const std::uint64_t first = std::uint64_t{block} * input.entries_per_block();
  const std::uint64_t end = std::min<std::uint64_t>(first + input.entries_per_block(), index.pages.size());
  std::size_t at = input.locate(first).offset;
  for (std::uint64_t entry = first; entry < end; ++entry, at += page_size_ + kWalFrameHeaderBytes) {
    CAIRN_TRY(check_page(input, entry, bytes.subspan(at, page_size_)));
  }
  return {};
}

Result<void> MergeImpl::write_window() {
  for (std::size_t place = window_begin_; place < window_end_; ++place) {
    const auto& [run_number, entry] = stretch_[place];
    const MergeRun& run = runs_[run_number];
    const PageIndex& index = inputs_[run.input]->segment_index();
    CAIRN_TRY(writer_->add_page(index.pages[entry], ByteView(slot(place), page_size_), index.hashes[entry]));
    if (kind_ == ObjectKind::bundle && entry + 1 == run.end) CAIRN_TRY(writer_->end_run(run.point));
  }
  return {};
}

// Reads a window's worth of blocks that nothing was wanted of. True: there are none.
Result<bool> MergeImpl::check_more() {
  std::vector<Piece> pieces;
  std::uint64_t bytes = 0;
  for (; unchecked_input_ < inputs_.size() && bytes < window_pages_ * page_size_; ++unchecked_input_) {
    const std::vector<std::uint32_t>& read_in = block_read_in_[unchecked_input_];
    for (; unchecked_block_ < read_in.size() && bytes < window_pages_ * page_size_; ++unchecked_block_) {
      if (read_in[unchecked_block_] != 0) continue;
      add_block(pieces, unchecked_input_, unchecked_block_, wanted_.size());
      bytes += inputs_[unchecked_input_]->blocks()[unchecked_block_].size_bytes;
    }
    if (unchecked_block_ < read_in.size()) break;
    unchecked_block_ = 0;
  }
  if (pieces.empty()) return true;
  CAIRN_TRY(parallel_for(executor_, pieces.size(), [&](std::uint64_t i) { return read_piece(pieces[i]); }, stop_));
  return false;
}

Result<void> check_inputs(std::span<ObjectReader* const> inputs, ObjectKind kind) {
  if (kind != ObjectKind::bundle && kind != ObjectKind::squashed)
    return invalid("what is merged becomes a bundle or a squashed segment, nothing else");
  if (inputs.empty()) return invalid("there is nothing to merge");
  std::uint64_t frames = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i]->footer().kind == ObjectKind::snapshot)
      return invalid(fmt::format("{} is a snapshot: only segments are merged", inputs[i]->name()));
    if (i > 0) CAIRN_TRY(check_neighbours(*inputs[i - 1], *inputs[i]));
    frames += inputs[i]->footer().index_count;
  }
  if (kind == ObjectKind::bundle && frames > kMaxIndexEntries)
    return Error(ErrorKind::unsupported, fmt::format("a bundle of {} pages: an object cannot list so many", frames));
  return {};
}

}  // namespace

Result<void> check_neighbours(const ObjectReader& before, const ObjectReader& next) {
  const Footer& a = before.footer();
  const Footer& b = next.footer();
  if (a.kind == ObjectKind::snapshot || b.kind == ObjectKind::snapshot)
    return invalid(fmt::format("{} and {}: only segments are merged", before.name(), next.name()));
  if (a.last.value == std::numeric_limits<std::uint64_t>::max() || b.first != a.last.next())
    return invalid(fmt::format("{} ends at sequence {}, and {} begins at {}: only what follows each other is merged",
                               before.name(), a.last.value, next.name(), b.first.value));
  if (a.lineage != b.lineage)
    return Error(ErrorKind::conflict, fmt::format("{} (lineage {}) and {} (lineage {}) belong to different histories: "
                                                  "they are never merged", before.name(), a.lineage.hex(), next.name(),
                                                  b.lineage.hex()));
  if (a.page_size != b.page_size)
    return Error(ErrorKind::unsupported, fmt::format("the page size changes from {} to {} between {} and {}: no merged "
                                                     "object spans that", a.page_size, b.page_size, before.name(),
                                                     next.name()));
  if (b.hash_before != a.hash_after())
    return Error(ErrorKind::corrupt, fmt::format("{} does not continue {}: the database hashes at sequence {} differ, "
                                                 "so one of the two is not what was published", next.name(),
                                                 before.name(), a.last.value));
  return {};
}

Result<std::unique_ptr<Merge>> Merge::open(std::vector<ObjectReader*> inputs, ObjectKind kind, Sink& sink,
                                           Executor& executor, const MergeOptions& options) {
  CAIRN_TRY(check_inputs(inputs, kind));
  auto merge = std::make_unique<MergeImpl>(std::move(inputs), kind, executor, options);
  CAIRN_TRY(merge->begin(sink, options));
  return merge;
}

Result<Footer> merge(std::vector<ObjectReader*> inputs, ObjectKind kind, Sink& sink, Executor& executor,
                     const MergeOptions& options) {
  CAIRN_ASSIGN(const auto merge, Merge::open(std::move(inputs), kind, sink, executor, options));
  for (;;) {
    CAIRN_ASSIGN(const bool complete, merge->step());
    if (complete) return merge->footer();
  }
}

}  // namespace cairn::segment
