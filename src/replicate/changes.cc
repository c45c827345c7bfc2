#include "replicate/changes.h"

#include <algorithm>

#include "base/check.h"
#include "fmt/format.h"
#include "segment/format.h"

namespace cairn::replicate {
namespace {

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

Result<void> read_out(sqlite::Database& database, const std::vector<FrameRef>& newest,
                      const std::vector<PageNo>& missing, std::uint32_t page_size, const TakePage& take) {
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
    CAIRN_TRY(read_frame_page(database, ref.frame, page_size, bytes));
    CAIRN_TRY(take(ref.page, bytes));
  }
  return take_gaps_before(~0ull);
}

}  // namespace

Changes changes_in_wal(sqlite::Database& database, Scan scan, std::uint32_t page_count_before) {
  Changes changes;
  changes.page_count = scan.page_count;
  changes.commit_count = scan.commit_count;
  changes.end = scan.end;
  auto newest = newest_frames(std::move(scan.frames), scan.page_count);
  auto missing = pages_that_no_frame_holds(newest, scan.page_size, page_count_before, scan.page_count);
  changes.each_page = [&database, newest = std::move(newest), missing = std::move(missing),
                       page_size = scan.page_size](const TakePage& take) {
    return read_out(database, newest, missing, page_size, take);
  };
  return changes;
}

Result<void> Backlog::add(const Changes& changes, std::uint32_t page_size) {
  if (!file_) {
    CAIRN_ASSIGN(file_, files_.open(path_, OpenMode::write));
    CAIRN_TRY(file_->truncate(0));
  }
  std::vector<std::uint32_t> numbers;
  std::uint64_t at = end_;
  const auto put_aside = [&](PageNo page, ByteView bytes) -> Result<void> {
    CAIRN_TRY(file_->write_at(at, bytes));
    at += bytes.size();
    numbers.push_back(page.value);
    return {};
  };
  CAIRN_TRY(changes.each_page(put_aside));
  const ByteView table = std::as_bytes(std::span<const std::uint32_t>(numbers));
  CAIRN_TRY(file_->write_at(at, table));
  Batch batch{.what = {.page_count = changes.page_count, .commit_count = changes.commit_count, .end = changes.end,
                       .each_page = {}},
              .page_size = page_size,
              .offset = end_,
              .changed_pages = numbers.size()};
  batches_.push_back(std::move(batch));
  end_ = at + table.size();
  return {};
}

Changes Backlog::front() const {
  CAIRN_CHECK(!batches_.empty());
  const Batch& batch = batches_.front();
  Changes changes = batch.what;
  changes.each_page = [this, &batch](const TakePage& take) { return read(batch, take); };
  return changes;
}

Result<void> Backlog::read(const Batch& batch, const TakePage& take) const {
  const auto read_whole = [&](std::uint64_t offset, std::span<std::byte> into) -> Result<void> {
    CAIRN_ASSIGN(const std::size_t got, file_->read_at(offset, into));
    return got == into.size() ? Result<void>() : Error(ErrorKind::io, fmt::format("{} is cut short", path_));
  };
  std::vector<std::uint32_t> numbers(batch.changed_pages);
  CAIRN_TRY(read_whole(batch.offset + std::uint64_t{batch.changed_pages} * batch.page_size,
                       std::as_writable_bytes(std::span<std::uint32_t>(numbers))));
  Bytes bytes(batch.page_size);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    CAIRN_TRY(read_whole(batch.offset + i * batch.page_size, bytes));
    CAIRN_TRY(take(PageNo(numbers[i]), bytes));
  }
  return {};
}

void Backlog::pop() {
  batches_.pop_front();
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
