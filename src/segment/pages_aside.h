// Pages that a squash comes across before their turn, in a scratch file. To keep them is to save time and nothing else:
// whatever is not kept, or does not come back as it was, is read again where it came from.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/files.h"
#include "base/mutex.h"
#include "segment/format.h"

namespace cairn::segment {

class PagesAside {
 public:
  // Without `open` nothing is ever kept.
  PagesAside(OpenScratch open, std::uint32_t page_size) : open_(std::move(open)), page_size_(page_size) {}

  // Forgets all. Pages are kept for so many windows from now on (0: none are), and `memory_bytes` of them in memory.
  void begin(std::size_t windows, std::uint64_t memory_bytes) EXCLUDES(mutex_);

  // Any threads.
  void put(std::size_t window, std::uint32_t place, ByteView page) EXCLUDES(mutex_);

  // Of what was put for a window when its turn has come: `take` is called for each page of one of its extents. They are
  // worth what their hashes say. While nobody puts; any threads, an extent each.
  using Take = std::function<void(std::uint32_t place, ByteView page)>;
  std::size_t extents(std::size_t window) const EXCLUDES(mutex_);
  void take(std::size_t window, std::size_t extent, const Take& take) EXCLUDES(mutex_);

 private:
  // Pages side by side, in the file or, the last one, in memory.
  struct Extent {
    std::vector<std::uint32_t> places;
    Bytes pages;
    std::uint64_t offset = 0;  // in the file
  };
  struct Window {
    std::vector<Extent> written;
    Extent growing;
  };

  OpenScratch open_;  // until it was asked
  const std::uint32_t page_size_;
  std::unique_ptr<File> file_;
  std::size_t extent_bytes_ = 0;
  mutable Mutex mutex_;
  std::vector<Window> windows_ GUARDED_BY(mutex_);
  std::uint64_t file_bytes_ GUARDED_BY(mutex_) = 0;
  bool takes_more_ GUARDED_BY(mutex_) = false;  // there is a file, and the disk is not full
};

}  // namespace cairn::segment
