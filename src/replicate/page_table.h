// A small map from page number to a number (a frame, a slot): open addressing in one vector, 8 bytes an entry.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"

namespace cairn::replicate {

class PageTable {
 public:
  // 0: not there.
  std::uint32_t find(PageNo page) const {
    if (slots_.empty()) return 0;
    for (std::size_t i = start(page);; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].page == page.value) return slots_[i].value;
      if (slots_[i].page == 0) return 0;
    }
  }

  // `value` is not 0.
  void set(PageNo page, std::uint32_t value) {
    if (used_ * 3 >= slots_.size() * 2) grow();
    for (std::size_t i = start(page);; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].page == 0) {
        slots_[i].page = page.value;
        ++used_;
      }
      if (slots_[i].page == page.value) {
        slots_[i].value = value;
        return;
      }
    }
  }

  void clear() {
    slots_.clear();
    used_ = 0;
  }
  std::size_t size() const { return used_; }

 private:
  struct Slot {
    std::uint32_t page = 0;  // 0: free
    std::uint32_t value = 0;
  };
  std::size_t start(PageNo page) const {
    return static_cast<std::size_t>((page.value * 0x9e3779b97f4a7c15ull) >> 32) & (slots_.size() - 1);
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 64 : slots_.size() * 2);
    old.swap(slots_);
    used_ = 0;
    for (const Slot& slot : old) {
      if (slot.page != 0) set(PageNo(slot.page), slot.value);
    }
  }

  std::vector<Slot> slots_;
  std::size_t used_ = 0;
};

}  // namespace cairn::replicate
