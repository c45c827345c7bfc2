#include "replicate/changes.h"

#include <algorithm>

#include "base/check.h"
#include "replicate/run_merge.h"
#include "segment/format.h"

namespace cairn::replicate {
namespace {

constexpr std::size_t kBufferBytes = 256 << 10;

using ReadFrame = std::function<Result<ByteView>(FrameNo frame, std::span<std::byte> buffer)>;

// Every page that was written. And those that the database has grown by, from `before` pages on, without writing them:
// SQLite writes every page it adds; should one ever be missing, what the database file holds there is what a reader
// would see.
Result<void> read_out(sqlite::Database& database, std::uint32_t page_size, const WrittenPages& pages,
                      std::uint32_t before, std::uint32_t after, const ReadFrame& read, const TakePage& take) {
  Bytes bytes(page_size);
  const auto take_from_file = [&](PageNo page) -> Result<void> {
    CAIRN_TRY(database.read_database((page.value - 1ull) * page_size, bytes));
    return take(page, bytes);
  };
  std::uint64_t unseen = before + 1ull;
  const auto take_gap = [&](std::uint64_t end) -> Result<void> {
    for (; unseen < end; ++unseen) {
      const PageNo page(static_cast<std::uint32_t>(unseen));
      if (page != segment::lock_byte_page(page_size)) CAIRN_TRY(take_from_file(page));
    }
    return {};
  };
  const auto take_written = [&](const FrameRef& ref) -> Result<void> {
    if (ref.page.value > after) return {};
    CAIRN_TRY(take_gap(ref.page.value));
    unseen = std::max<std::uint64_t>(unseen, ref.page.value + 1ull);
    if (ref.frame.value == 0) return take_from_file(ref.page);
    CAIRN_ASSIGN(const ByteView frame, read(ref.frame, bytes));
    return take(ref.page, frame);
  };
  CAIRN_TRY(pages.each(take_written));
  return take_gap(after + 1ull);
}

// What changes_in_wal() hands out.
struct ScannedPages {
  sqlite::Database& database;
  Scan scan;
  std::uint32_t page_count_before;

  Result<ByteView> read_frame(FrameNo frame, std::span<std::byte> bytes) const {
    if (!scan.kept.empty() && frame >= scan.first && frame <= scan.end.frame) {
      const std::size_t frame_bytes = wal::kFrameHeaderSize + scan.page_size;
      const std::size_t at = (frame.value - scan.first.value) * frame_bytes + wal::kFrameHeaderSize;
      return ByteView(scan.kept).subspan(at, scan.page_size);
    }
    CAIRN_TRY(read_frame_page(database, frame, scan.page_size, bytes));
    return ByteView(bytes);
  }
  Result<void> each(const TakePage& take) const {
    const auto read = [this](FrameNo frame, std::span<std::byte> bytes) { return read_frame(frame, bytes); };
    return read_out(database, scan.page_size, scan.pages, page_count_before, scan.page_count, read, take);
  }
};

}  // namespace

Changes changes_in_wal(sqlite::Database& database, Scan scan, std::uint32_t page_count_before) {
  Changes changes;
  changes.page_count = scan.page_count;
  changes.commit_count = scan.commit_count;
  changes.end = scan.end;
  const auto pages = std::make_shared<const ScannedPages>(ScannedPages{database, std::move(scan), page_count_before});
  changes.each_page = [pages](const TakePage& take) { return pages->each(take); };
  return changes;
}

Result<void> TouchedPages::add(Scan scan, std::uint32_t page_count_before, const ScratchSpace& scratch) {
  if (scan.outcome == ScanOutcome::restarted) all_backfilled();
  if (empty()) {
    pages_ = WrittenPages(scratch);
    least_page_count_ = page_count_before;
  }
  CAIRN_TRY(pages_.add(std::move(scan.pages)));
  page_size_ = scan.page_size;
  page_count_ = scan.page_count;
  least_page_count_ = std::min(least_page_count_, page_count_before);
  commit_count_ += scan.commit_count;
  end_ = scan.end;
  return {};
}

Result<void> TouchedPages::check() const {
  return pages_.each([](const FrameRef&) -> Result<void> { return {}; });
}

void TouchedPages::all_backfilled() { pages_.all_backfilled(); }

Changes TouchedPages::changes(sqlite::Database& database) const {
  Changes changes{.page_count = page_count_, .commit_count = commit_count_, .end = end_, .each_page = {}};
  changes.each_page = [this, &database](const TakePage& take) {
    const auto read = [&](FrameNo frame, std::span<std::byte> bytes) -> Result<ByteView> {
      CAIRN_TRY(read_frame_page(database, frame, page_size_, bytes));
      return ByteView(bytes);
    };
    return read_out(database, page_size_, pages_, least_page_count_, page_count_, read, take);
  };
  return changes;
}

Result<void> Backlog::add(const Changes& changes, std::uint32_t page_size, Ends ends) {
  if (!file_) {
    CAIRN_ASSIGN(file_, files_.open(path_, OpenMode::write));
    CAIRN_TRY(file_->truncate(0));
  }
  std::uint64_t at = end_, count = 0;
  Bytes buffer;
  const auto write_out = [&]() -> Result<void> {
    CAIRN_TRY(file_->write_at(at, buffer));
    at += buffer.size();
    buffer.clear();
    return {};
  };
  const auto put_aside = [&](PageNo page, ByteView bytes) -> Result<void> {
    const ByteView number = std::as_bytes(std::span(&page.value, 1));
    buffer.insert(buffer.end(), number.begin(), number.end());
    buffer.insert(buffer.end(), bytes.begin(), bytes.end());
    ++count;
    return buffer.size() < kBufferBytes ? Result<void>() : write_out();
  };
  const auto write_all = [&]() -> Result<void> {
    CAIRN_TRY(changes.each_page(put_aside));
    return write_out();
  };
  if (auto written = write_all(); !written) {
    (void)file_->truncate(end_);  // what was written of it may be what fills the disk
    return written;
  }
  Batch batch{.what = {.page_count = changes.page_count, .commit_count = changes.commit_count, .end = changes.end,
                       .each_page = {}},
              .page_size = page_size,
              .offset = end_,
              .changed_pages = count,
              .ends = ends};
  batches_.push_back(std::move(batch));
  end_ = at;
  return {};
}

void Backlog::end_segment() {
  if (!batches_.empty()) batches_.back().ends = Ends::yes;
}

std::size_t Backlog::segment_batches() const {
  const auto last = std::ranges::find(batches_, Ends::yes, &Batch::ends);
  return last == batches_.end() ? 0 : static_cast<std::size_t>(last - batches_.begin()) + 1;
}

Changes Backlog::front() const {
  const std::size_t count = segment_batches();
  CAIRN_CHECK(count > 0);
  Changes changes = batches_[count - 1].what;
  changes.commit_count = 0;
  for (std::size_t i = 0; i < count; ++i) changes.commit_count += batches_[i].what.commit_count;
  changes.each_page = [this, count](const TakePage& take) { return read_newest(count, take); };
  return changes;
}

Result<void> Backlog::read_newest(std::size_t batch_count, const TakePage& take) const {
  struct Numbered {
    PageNo page;
  };
  const auto place = [](const Batch& batch, std::uint64_t index) {
    return batch.offset + index * (sizeof(PageNo) + batch.page_size);
  };
  const Batch& last = batches_[batch_count - 1];
  RunMerge<Numbered> merge(scratch_is_lost(path_));
  for (std::size_t i = 0; i < batch_count; ++i) {
    const Batch& batch = batches_[i];
    const auto read = [this, &batch, place](std::uint64_t first, std::span<Numbered> into) -> Result<void> {
      for (Numbered& entry : into) {
        CAIRN_TRY(read_place(place(batch, first++), std::as_writable_bytes(std::span(&entry, 1))));
      }
      return {};
    };
    merge.add(batch.changed_pages, PageNo(last.what.page_count), read);
  }
  Bytes bytes(last.page_size);
  return merge.each([&](const Numbered& entry, std::size_t run, std::uint64_t index) -> Result<void> {
    CAIRN_TRY(read_place(place(batches_[run], index) + sizeof(PageNo), bytes));
    return take(entry.page, bytes);
  });
}

Result<void> Backlog::read_place(std::uint64_t offset, std::span<std::byte> into) const {
  auto read = read_whole(*file_, offset, into);
  return read ? read : read.error().with(path_);
}

void Backlog::pop() {
  const auto end = batches_.begin() + static_cast<std::ptrdiff_t>(segment_batches());
  batches_.erase(batches_.begin(), end);
  if (batches_.empty()) clear();
}

void Backlog::clear() {
  batches_.clear();
  end_ = 0;
  if (!file_) return;
  file_.reset();
  (void)files_.remove(path_);
}

}  // namespace cairn::replicate
