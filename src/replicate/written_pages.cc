#include "replicate/written_pages.h"

#include <xxhash.h>

#include <algorithm>
#include <deque>
#include <iterator>

#include "replicate/run_merge.h"
#include "segment/running_hash.h"

namespace cairn::replicate {

// Reads a run from front to back, and can tell whether it was as it was written.
class WrittenPages::RunReader {
 public:
  RunReader(const Run& run, const std::string& path) : run_(run), path_(path) {}

  Result<void> read(std::span<FrameRef> into) {
    const std::span<std::byte> bytes = std::as_writable_bytes(into);
    CAIRN_TRY(read_scratch(*run_.file, path_, (run_.begin + read_) * sizeof(FrameRef), bytes));
    hash_.add(bytes);
    read_ += into.size();
    return {};
  }
  // Of all of it, also what nobody has asked for.
  Result<void> check() {
    std::vector<FrameRef> rest(std::min<std::uint64_t>(run_.count - read_, 8192));
    while (read_ < run_.count) {
      rest.resize(std::min<std::uint64_t>(rest.size(), run_.count - read_));
      CAIRN_TRY(read(rest));
    }
    return hash_.value() == run_.hash ? Result<void>() : scratch_is_lost(path_);
  }

 private:
  const Run& run_;
  const std::string& path_;
  std::uint64_t read_ = 0;
  segment::RunningHash hash_;
};

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
  runs_.push_back({.file = file_, .begin = file_end_, .count = refs.size(),
                   .hash = XXH3_64bits(refs.data(), refs.size_bytes())});
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
    recent_ = std::move(all);
    return {};
  }
  if (!recent_.empty()) CAIRN_TRY(write_run(recent_));
  std::ranges::move(newer.runs_, std::back_inserter(runs_));
  recent_ = std::move(newer.recent_);
  return {};
}

Result<void> WrittenPages::make_room() {
  if (!scratch_.open || recent_.size() <= scratch_.most_in_memory) return {};
  CAIRN_TRY(write_run(recent_));
  recent_.clear();
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
  RunMerge<FrameRef> merge(scratch_is_lost(scratch_.path));
  std::deque<RunReader> readers;
  for (const Run& run : runs_) {
    RunReader& reader = readers.emplace_back(run, scratch_.path);
    merge.add(run.count, run.last, [&reader](std::uint64_t, std::span<FrameRef> into) { return reader.read(into); });
  }
  merge.add(recent_.size(), PageNo(~0u), [this](std::uint64_t first, std::span<FrameRef> into) -> Result<void> {
    std::copy_n(recent_.begin() + static_cast<std::ptrdiff_t>(first), into.size(), into.begin());
    return {};
  });
  const auto merged = merge.each([&](FrameRef ref, std::size_t run, std::uint64_t) -> Result<void> {
    if (run < runs_.size() && runs_[run].is_backfilled) ref.frame = FrameNo(0);
    return take(ref);
  });
  // Also where something has failed: a page that was never written may be why.
  for (RunReader& reader : readers) CAIRN_TRY(reader.check());
  return merged;
}

std::uint64_t WrittenPages::size() const {
  std::uint64_t count = recent_.size();
  for (const Run& run : runs_) count += run.count;
  return count;
}

}  // namespace cairn::replicate
