#include "replicate/written_pages.h"

#include <algorithm>
#include <iterator>

#include "replicate/run_merge.h"

namespace cairn::replicate {

Result<void> WrittenPages::add(const FrameRef& ref) {
  if (scratch_.open && recent_.size() >= scratch_.most_in_memory) {
    sort_recent();
    // Where the same pages are written again and again there are few of them, however many frames.
    if (recent_.size() > scratch_.most_in_memory / 2) {
      CAIRN_TRY(write_run(recent_));
      recent_.clear();
    }
  }
  recent_.push_back(ref);
  return {};
}

// Of each page the newest stays.
void WrittenPages::sort_recent() {
  std::ranges::sort(recent_);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < recent_.size(); ++i) {
    const bool is_newest = i + 1 == recent_.size() || recent_[i + 1].page != recent_[i].page;
    if (is_newest) recent_[kept++] = recent_[i];
  }
  recent_.resize(kept);
}

// On an error nothing is as if it had been written.
Result<void> WrittenPages::write_run(std::span<const FrameRef> refs) {
  if (!file_) {
    CAIRN_ASSIGN(file_, scratch_.open());
    file_end_ = 0;
  }
  CAIRN_TRY(file_->write_at(file_end_ * sizeof(FrameRef), std::as_bytes(refs)));
  runs_.push_back({.file = file_, .begin = file_end_, .count = refs.size()});
  file_end_ += refs.size();
  return {};
}

void WrittenPages::finish(std::uint32_t page_count) {
  sort_recent();
  const auto past = std::ranges::upper_bound(recent_, PageNo(page_count), {}, &FrameRef::page);
  recent_.erase(past, recent_.end());
  for (Run& run : runs_) run.last = std::min(run.last, PageNo(page_count));
}

Result<void> WrittenPages::add(WrittenPages newer) {
  if (newer.runs_.empty()) {
    std::vector<FrameRef> all;
    all.reserve(recent_.size() + newer.recent_.size());
    // Of equal ones those of the first list are taken.
    std::ranges::set_union(newer.recent_, recent_, std::back_inserter(all), {}, &FrameRef::page, &FrameRef::page);
    if (scratch_.open && all.size() > scratch_.most_in_memory) {
      CAIRN_TRY(write_run(all));
      all.clear();
    }
    recent_ = std::move(all);
    return {};
  }
  if (!recent_.empty()) CAIRN_TRY(write_run(recent_));
  std::ranges::move(newer.runs_, std::back_inserter(runs_));
  recent_ = std::move(newer.recent_);
  return {};
}

void WrittenPages::all_backfilled() {
  for (FrameRef& ref : recent_) ref.frame = FrameNo(0);
  for (Run& run : runs_) run.is_backfilled = true;
}

Result<void> WrittenPages::each(const std::function<Result<void>(const FrameRef&)>& take) const {
  if (runs_.empty()) {
    for (const FrameRef& ref : recent_) CAIRN_TRY(take(ref));
    return {};
  }
  RunMerge<FrameRef> merge;
  for (const Run& run : runs_) {
    merge.add(run.count, run.last, [&run](std::uint64_t first, std::span<FrameRef> into) -> Result<void> {
      return read_whole(*run.file, (run.begin + first) * sizeof(FrameRef), std::as_writable_bytes(into));
    });
  }
  merge.add(recent_.size(), PageNo(~0u), [this](std::uint64_t first, std::span<FrameRef> into) -> Result<void> {
    std::copy_n(recent_.begin() + static_cast<std::ptrdiff_t>(first), into.size(), into.begin());
    return {};
  });
  return merge.each([&](FrameRef ref, std::size_t run, std::uint64_t) -> Result<void> {
    if (run < runs_.size() && runs_[run].is_backfilled) ref.frame = FrameNo(0);
    return take(ref);
  });
}

std::uint64_t WrittenPages::size() const {
  std::uint64_t count = recent_.size();
  for (const Run& run : runs_) count += run.count;
  return count;
}

}  // namespace cairn::replicate
