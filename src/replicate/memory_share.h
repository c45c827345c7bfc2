// What one holds in memory of a kind that all in this process have only so much of.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace cairn::replicate {

// Not safe from many threads by itself; many may exist.
class MemoryShare {
 public:
  static constexpr std::uint64_t kMost_bytes = 256 << 10, kMostOfAll_bytes = 32 << 20;

  MemoryShare() = default;
  MemoryShare(const MemoryShare&) = delete;
  MemoryShare& operator=(const MemoryShare&) = delete;
  ~MemoryShare() { give_back(bytes_); }

  // False: there is no room for so much.
  bool take(std::uint64_t bytes) {
    if (bytes_ + bytes > kMost_bytes) return false;
    if (of_all_.fetch_add(bytes) + bytes > kMostOfAll_bytes) {
      of_all_ -= bytes;
      return false;
    }
    bytes_ += bytes;
    return true;
  }
  void give_back(std::uint64_t bytes) {
    bytes = std::min(bytes, bytes_);
    bytes_ -= bytes;
    of_all_ -= bytes;
  }
  void give_all_back() { give_back(bytes_); }

 private:
  static inline std::atomic<std::uint64_t> of_all_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace cairn::replicate
