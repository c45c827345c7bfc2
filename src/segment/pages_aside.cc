#include "segment/pages_aside.h"

#include <algorithm>
#include <utility>

namespace cairn::segment {
namespace {

constexpr std::uint64_t kLargestExtent = 256 << 10;  // written at once, and read

}  // namespace

void PagesAside::begin(std::size_t windows, std::uint64_t memory_bytes) {
  if (windows > 0 && open_) {
    auto file = std::exchange(open_, {})();
    if (file) file_ = std::move(*file);
  }
  MutexLock lock(mutex_);
  windows_.assign(windows, {});
  file_bytes_ = 0;
  takes_more_ = windows > 0 && file_ != nullptr;
  if (windows > 0) extent_bytes_ = std::clamp<std::uint64_t>(memory_bytes / windows, page_size_, kLargestExtent);
}

void PagesAside::put(std::size_t window, std::uint32_t place, ByteView page) {
  Extent full;
  {
    MutexLock lock(mutex_);
    if (!takes_more_) return;
    Extent& growing = windows_[window].growing;
    if (growing.pages.size() + page.size() > extent_bytes_) {
      full = std::exchange(growing, {});
      full.offset = std::exchange(file_bytes_, file_bytes_ + full.pages.size());
    }
    if (growing.pages.empty()) growing.pages.reserve(extent_bytes_);
    growing.places.push_back(place);
    growing.pages.insert(growing.pages.end(), page.begin(), page.end());
  }
  if (full.places.empty()) return;
  const Result<void> written = file_->write_at(full.offset, full.pages);
  full.pages = {};
  MutexLock lock(mutex_);
  if (written && takes_more_) {
    windows_[window].written.push_back(std::move(full));
  } else if (takes_more_) {  // what the disk has no room for, others may be in need of
    takes_more_ = false;
    windows_.assign(windows_.size(), {});
    (void)file_->truncate(0);
  }
}

std::size_t PagesAside::extents(std::size_t window) const {
  MutexLock lock(mutex_);
  return windows_.empty() ? 0 : windows_[window].written.size() + 1;
}

void PagesAside::take(std::size_t window, std::size_t number, const Take& take) {
  Extent extent;
  {
    MutexLock lock(mutex_);
    Window& from = windows_[window];
    extent = std::exchange(number < from.written.size() ? from.written[number] : from.growing, {});
  }
  if (extent.places.empty()) return;
  if (extent.pages.empty()) {
    extent.pages.resize(extent.places.size() * page_size_);
    const auto got = file_->read_at(extent.offset, extent.pages);
    if (!got || *got != extent.pages.size()) return;
  }
  for (std::size_t i = 0; i < extent.places.size(); ++i)
    take(extent.places[i], ByteView(extent.pages).subspan(i * page_size_, page_size_));
}

}  // namespace cairn::segment
