#include "replicate/frozen_view.h"

#include <algorithm>

#include "fmt/format.h"
#include "segment/format.h"

namespace cairn::replicate {

Result<std::unique_ptr<FrozenView>> FrozenView::open(sqlite::Database& database, const wal::IndexHeader& index,
                                                     FileSystem& files, const std::string& scratch_path,
                                                     ScratchSpace sorting) {
  std::unique_ptr<FrozenView> view(new FrozenView(database, files, scratch_path, std::move(sorting)));
  std::array<std::byte, 100> start{};
  CAIRN_ASSIGN(const std::size_t got, database.read_database(0, start));
  view->page_size_ = index.page_size;
  if (index.max_frame.value == 0) {
    // With an empty WAL the index may say nothing: the file does.
    CAIRN_ASSIGN(const wal::DatabaseHeader header, wal::parse_database_header(ByteView(start).first(got)));
    view->page_size_ = header.page_size;
  }
  view->page_count_ = index.page_count;
  if (index.page_count == 0) {
    CAIRN_ASSIGN(const std::uint64_t size, database.size_bytes());
    view->page_count_ = static_cast<std::uint32_t>((size + view->page_size_ - 1) / view->page_size_);
  }
  if (!segment::is_valid_page_size(view->page_size_) || view->page_count_ == 0) {
    return Error(ErrorKind::busy, fmt::format("{}: no page size or no pages yet", database.path()));
  }
  view->position_ = WalPosition{index.salts, index.max_frame, index.frame_sum};
  view->preserved_ = view->position_;
  // Also under a floor there may be frames already: a writer has restarted the WAL since it was taken.
  if (database.hold() == sqlite::Hold::pin || !index.all_backfilled()) CAIRN_TRY(view->learn_wal(index));
  return view;
}

FrozenView::~FrozenView() {
  if (scratch_) {
    scratch_.reset();
    (void)files_.remove(scratch_path_);
  }
}

// Pages may lie in the WAL alone. The whole WAL is read once, and checked on the way.
Result<void> FrozenView::learn_wal(const wal::IndexHeader& index) {
  CAIRN_ASSIGN(const Scan scan, scan_wal(database_, WalPosition{}, index, sorting_));
  if (scan.outcome == ScanOutcome::nothing) return {};
  if (scan.outcome == ScanOutcome::hole || scan.end != position_) {
    return Error(ErrorKind::corrupt,
                 fmt::format("{}-wal does not hold the {} frames that its index promises: run "
                             "\"PRAGMA integrity_check\" on the database",
                             database_.path(), index.max_frame.value));
  }
  // Where the newest versions are, of the pages that will be asked for.
  return scan.pages.each([this](const FrameRef& ref) -> Result<void> {
    if (ref.page.value <= page_count_) newest_.set(ref.page, ref.frame.value);
    return {};
  });
}

Result<void> FrozenView::preserve(const wal::IndexHeader& upto) {
  CAIRN_ASSIGN(const Scan scan, scan_wal(database_, preserved_, upto, sorting_));
  if (scan.outcome == ScanOutcome::nothing) return {};
  if (scan.outcome == ScanOutcome::hole) {
    return Error(ErrorKind::corrupt, fmt::format("{}-wal: frames are missing", database_.path()));
  }
  const auto keep = [this](PageNo page) -> Result<void> {
    const bool still_wanted = page >= next_ && page.value <= page_count_;
    return still_wanted && aside_.find(page) == 0 ? put_aside(page) : Result<void>();
  };
  CAIRN_TRY(scan.pages.each([&](const FrameRef& ref) { return keep(ref.page); }));
  // A database that shrinks: the pages behind its new end need no frames, and a checkpoint cuts the file off there.
  for (PageNo page(std::max(next_.value, scan.least_page_count + 1)); page.value <= page_count_; page = page.next()) {
    CAIRN_TRY(keep(page));
  }
  preserved_ = scan.end;
  return {};
}

Result<void> FrozenView::put_aside(PageNo page) {
  if (!scratch_) {
    CAIRN_ASSIGN(scratch_, files_.open(scratch_path_, OpenMode::write));
    CAIRN_TRY(scratch_->truncate(0));
  }
  Bytes bytes(page_size_);
  CAIRN_ASSIGN(const std::size_t got, database_.read_database((page.value - 1ull) * page_size_, bytes));
  (void)got;  // the rest is zeros
  CAIRN_TRY(patch(page, bytes));
  const auto slot = static_cast<std::uint32_t>(aside_.size() + 1);
  CAIRN_TRY(scratch_->write_at((slot - 1ull) * page_size_, bytes));
  aside_.set(page, slot);
  return {};
}

// Puts the right version over what the database file says.
Result<void> FrozenView::patch(PageNo page, std::span<std::byte> bytes) {
  if (const std::uint32_t slot = aside_.find(page); slot != 0) {
    CAIRN_ASSIGN(const std::size_t got, scratch_->read_at((slot - 1ull) * page_size_, bytes));
    if (got != bytes.size()) return Error(ErrorKind::io, fmt::format("{} is cut short", scratch_path_));
  } else if (const std::uint32_t frame = newest_.find(page); frame != 0) {
    CAIRN_TRY(read_frame_page(database_, FrameNo(frame), page_size_, bytes));
  }
  return {};
}

Result<void> FrozenView::read_next(std::span<std::byte> into) {
  CAIRN_ASSIGN(const std::size_t got, database_.read_database((next_.value - 1ull) * page_size_, into));
  (void)got;
  const PageNo lock_page = segment::lock_byte_page(page_size_);
  for (std::size_t at = 0; at < into.size(); at += page_size_, next_ = next_.next()) {
    const auto page_bytes = into.subspan(at, page_size_);
    if (next_ == lock_page) {
      std::ranges::fill(page_bytes, std::byte{0});
    } else {
      CAIRN_TRY(patch(next_, page_bytes));
    }
  }
  return {};
}

}  // namespace cairn::replicate
