// Memory for much that is about to be filled: straight from the system and back to it, not zeroed by anybody but the
// kernel, and in huge pages where there are some: the first touch of each ordinary page costs more than filling it.
// What is not that much comes from the heap, where pages were touched before.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <utility>

#include "base/check.h"

namespace cairn {

class LargeBuffer {
 public:
  LargeBuffer() = default;
  explicit LargeBuffer(std::size_t size_bytes) : size_bytes_(size_bytes) {
    if (!is_large()) {
      data_ = static_cast<std::byte*>(std::malloc(size_bytes));
      CAIRN_CHECK(data_ != nullptr);  // out of memory
      return;
    }
    void* const memory =
        ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CAIRN_CHECK(memory != MAP_FAILED);  // out of memory
    data_ = static_cast<std::byte*>(memory);
    (void)::madvise(memory, size_bytes, MADV_HUGEPAGE);  // a kernel without them has none
  }
  ~LargeBuffer() {
    if (!is_large()) std::free(data_);
    else if (data_ != nullptr) ::munmap(data_, size_bytes_);
  }
  LargeBuffer(LargeBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}
  LargeBuffer& operator=(LargeBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    return *this;
  }

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_bytes_; }

 private:
  bool is_large() const { return size_bytes_ >= (std::size_t{1} << 20); }

  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

}  // namespace cairn
