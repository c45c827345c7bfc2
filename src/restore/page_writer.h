// Pages on their way into the restored file: each checked against its hash, neighbours written together.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/files.h"
#include "segment/format.h"

namespace cairn::restore {

// What all threads add to.
struct PageTotals {
  std::atomic<std::uint64_t> hash{0};   // XOR of the hashes of all pages written, computed from their bytes
  std::atomic<std::uint64_t> pages{0};
};

// Collects neighbouring pages of one buffer and writes them with one call. One thread; flush() at the end of every
// buffer: what was added is not copied. Pages of nothing but zeros are not written: the file is made of zeros, and
// a sparse database stays sparse.
class PageWriter {
 public:
  PageWriter(File& file, std::uint32_t page_size, PageTotals& totals)
      : file_(file), page_size_(page_size), totals_(totals) {}

  // `bytes` is page `page` inside a buffer of the caller's, which may move it towards the front of that buffer.
  // corrupt: its hash is not `expected`; `object` is where it came from.
  Result<void> add(PageNo page, std::span<std::byte> bytes, std::uint64_t expected, const std::string& object);
  // The same for a page whose hash has been computed already.
  Result<void> add_checked(PageNo page, std::span<std::byte> bytes, std::uint64_t hash);
  Result<void> flush();

 private:
  File& file_;
  const std::uint32_t page_size_;
  PageTotals& totals_;
  PageNo first_;                 // of the run that is being collected
  std::span<std::byte> run_;
};

}  // namespace cairn::restore
