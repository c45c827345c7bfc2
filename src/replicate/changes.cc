#include "replicate/changes.h"

#include <algorithm>

#include "base/check.h"
#include "fmt/format.h"
#include "segment/format.h"

namespace cairn::replicate {
namespace {

constexpr std::size_t kBufferBytes = 256 << 10;

// Pages that the database has grown by without writing them. SQLite writes every page it adds; should one ever be
// missing, what the database file holds there is what a reader would see.
std::vector<PageNo> pages_that_no_frame_holds(const std::vector<FrameRef>& newest, std::uint32_t page_size,
                                              std::uint32_t before, std::uint32_t after) {
  std::vector<PageNo> missing;
  if (after <= before) return missing;
  auto next = std::ranges::lower_bound(newest, PageNo(before + 1), {}, &FrameRef::page);
  for (PageNo page(before + 1); page.value <= after; page = page.next()) {
    if (next != newest.end() && next->page == page) {
      ++next;
    } else if (page != segment::lock_byte_page(page_size)) {
      missing.push_back(page);
    }
  }
  return missing;
}

// What changes_in_wal() hands out.
struct Pages {
  sqlite::Database& database;
  std::uint32_t page_size;
  std::vector<FrameRef> newest;
  std::vector<PageNo> missing;
  Bytes kept;            // the frames from `first_kept` on, or nothing
  FrameNo first_kept;

  Result<void> read_frame(FrameNo frame, Bytes& bytes, const TakePage& take, PageNo page) const {
    if (!kept.empty()) {
      const std::size_t frame_bytes = wal::kFrameHeaderSize + page_size;
      const std::size_t at = (frame.value - first_kept.value) * frame_bytes + wal::kFrameHeaderSize;
      return take(page, ByteView(kept).subspan(at, page_size));
    }
    CAIRN_TRY(read_frame_page(database, frame, page_size, bytes));
    return take(page, bytes);
  }

  Result<void> read_out(const TakePage& take) const {
    Bytes bytes(page_size);
    auto gap = missing.begin();
    const auto take_gaps_before = [&](std::uint64_t page) -> Result<void> {
      for (; gap != missing.end() && gap->value < page; ++gap) {
        CAIRN_TRY(database.read_database((gap->value - 1ull) * page_size, bytes));
        CAIRN_TRY(take(*gap, bytes));
      }
      return {};
    };
    for (const FrameRef& ref : newest) {
      CAIRN_TRY(take_gaps_before(ref.page.value));
      CAIRN_TRY(read_frame(ref.frame, bytes, take, ref.page));
    }
    return take_gaps_before(~0ull);
  }
};

}  // namespace

Changes changes_in_wal(sqlite::Database& database, Scan scan, std::uint32_t page_count_before) {
  Changes changes;
  changes.page_count = scan.page_count;
  changes.commit_count = scan.commit_count;
  changes.end = scan.end;
  const FrameNo first = scan.frames.front().frame;
  auto newest = newest_frames(std::move(scan.frames), scan.page_count);
  auto missing = pages_that_no_frame_holds(newest, scan.page_size, page_count_before, scan.page_count);
  const auto pages = std::make_shared<const Pages>(
      Pages{database, scan.page_size, std::move(newest), std::move(missing), std::move(scan.kept), first});
  changes.each_page = [pages](const TakePage& take) { return pages->read_out(take); };
  return changes;
}

void TouchedPages::add(Scan scan, std::uint32_t page_count_before) {
  if (scan.outcome == ScanOutcome::restarted) all_backfilled();
  page_size_ = scan.page_size;
  page_count_ = scan.page_count;
  commit_count_ += scan.commit_count;
  end_ = scan.end;
  std::vector<FrameRef> newer = newest_frames(std::move(scan.frames), page_count_);
  std::vector<FrameRef> all;
  all.reserve(pages_.size() + newer.size());
  const auto missing = pages_that_no_frame_holds(newer, page_size_, page_count_before, page_count_);
  // Of equal ones those of the first list, the newer ones, are taken.
  std::ranges::set_union(newer, pages_, std::back_inserter(all), {}, &FrameRef::page, &FrameRef::page);
  if (!missing.empty()) {
    std::vector<FrameRef> gaps;
    for (const PageNo page : missing) gaps.push_back({page, FrameNo(0)});
    newer = std::exchange(all, {});
    std::ranges::set_union(newer, gaps, std::back_inserter(all), {}, &FrameRef::page, &FrameRef::page);
  }
  pages_ = std::move(all);
}

void TouchedPages::all_backfilled() {
  for (FrameRef& ref : pages_) ref.frame = FrameNo(0);
}

Changes TouchedPages::changes(sqlite::Database& database) const {
  Changes changes{.page_count = page_count_, .commit_count = commit_count_, .end = end_, .each_page = {}};
  changes.each_page = [this, &database](const TakePage& take) -> Result<void> {
    Bytes bytes(page_size_);
    for (const auto& [page, frame] : pages_) {
      if (page.value > page_count_) break;
      if (frame.value != 0) {
        CAIRN_TRY(read_frame_page(database, frame, page_size_, bytes));
      } else {
        CAIRN_TRY(database.read_database((page.value - 1ull) * page_size_, bytes));
      }
      CAIRN_TRY(take(page, bytes));
    }
    return {};
  };
  return changes;
}

Result<void> Backlog::add(const Changes& changes, std::uint32_t page_size, Ends ends) {
  if (!file_) {
    CAIRN_ASSIGN(file_, files_.open(path_, OpenMode::write));
    CAIRN_TRY(file_->truncate(0));
  }
  std::vector<std::uint32_t> numbers;
  std::uint64_t at = end_;
  Bytes buffer;
  const auto write_out = [&]() -> Result<void> {
    CAIRN_TRY(file_->write_at(at, buffer));
    at += buffer.size();
    buffer.clear();
    return {};
  };
  const auto put_aside = [&](PageNo page, ByteView bytes) -> Result<void> {
    buffer.insert(buffer.end(), bytes.begin(), bytes.end());
    numbers.push_back(page.value);
    return buffer.size() < kBufferBytes ? Result<void>() : write_out();
  };
  const auto write_all = [&]() -> Result<void> {
    CAIRN_TRY(changes.each_page(put_aside));
    const ByteView table = std::as_bytes(std::span<const std::uint32_t>(numbers));
    buffer.insert(buffer.end(), table.begin(), table.end());
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
              .changed_pages = numbers.size(),
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
  std::vector<PagePlace> places;
  for (std::size_t i = 0; i < batch_count; ++i) CAIRN_TRY(list_pages(batches_[i], places));
  std::ranges::sort(places);
  const Batch& last = batches_[batch_count - 1];
  Bytes bytes(last.page_size);
  for (std::size_t i = 0; i < places.size(); ++i) {
    const bool newest = i + 1 == places.size() || places[i + 1].page != places[i].page;
    if (!newest || places[i].page.value > last.what.page_count) continue;
    CAIRN_TRY(read_whole(places[i].offset, bytes));
    CAIRN_TRY(take(places[i].page, bytes));
  }
  return {};
}

Result<void> Backlog::list_pages(const Batch& batch, std::vector<PagePlace>& places) const {
  std::vector<std::uint32_t> numbers(batch.changed_pages);
  CAIRN_TRY(read_whole(batch.offset + std::uint64_t{batch.changed_pages} * batch.page_size,
                       std::as_writable_bytes(std::span<std::uint32_t>(numbers))));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    places.push_back({PageNo(numbers[i]), batch.offset + i * batch.page_size});
  }
  return {};
}

Result<void> Backlog::read_whole(std::uint64_t offset, std::span<std::byte> into) const {
  CAIRN_ASSIGN(const std::size_t got, file_->read_at(offset, into));
  return got == into.size() ? Result<void>() : Error(ErrorKind::io, fmt::format("{} is cut short", path_));
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
