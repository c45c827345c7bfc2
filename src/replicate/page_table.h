// A map from page number to a number (a frame, a slot): open addressing in one vector, 8 bytes an entry; of many pages
// an array in a mapped file, as the page hashes are, of 4 bytes for each page of the database.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/files.h"
#include "base/ids.h"

namespace cairn::replicate {

class PageTable {
 public:
  using OpenArray = std::function<Result<std::unique_ptr<MappedFile>>()>;  // of zeros, for every page that is set

  PageTable() = default;
  PageTable(OpenArray open_array, std::size_t most_in_memory)
      : open_array_(std::move(open_array)), most_in_memory_(most_in_memory) {}

  // 0: not there.
  std::uint32_t find(PageNo page) const {
    if (array_) return array()[page.value - 1];
    if (slots_.empty()) return 0;
    for (std::size_t i = start(page);; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].page == page.value) return slots_[i].value;
      if (slots_[i].page == 0) return 0;
    }
  }

  // `value` is not 0. Takes no long time, whatever there is: others may be waiting for a lock that the caller has.
  void set(PageNo page, std::uint32_t value) {
    if (!array_) return put(page, value);
    std::uint32_t& there = array()[page.value - 1];
    used_ += there == 0;
    there = value;
  }
  // Of many pages moves to the array, which takes long when the database is large. io: no room; all is as before.
  Result<void> make_room() {
    if (array_ || !open_array_ || used_ < most_in_memory_) return {};
    CAIRN_ASSIGN(array_, open_array_());
    for (const Slot& slot : slots_) {
      if (slot.page != 0) array()[slot.page - 1] = slot.value;
    }
    slots_ = {};
    return {};
  }

  void clear() {
    array_.reset();
    slots_.clear();
    used_ = 0;
  }
  std::size_t size() const { return used_; }

 private:
  struct Slot {
    std::uint32_t page = 0;  // 0: free
    std::uint32_t value = 0;
  };
  std::uint32_t* array() const { return reinterpret_cast<std::uint32_t*>(array_->bytes().data()); }
  void put(PageNo page, std::uint32_t value) {
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

  std::size_t start(PageNo page) const {
    return static_cast<std::size_t>((page.value * 0x9e3779b97f4a7c15ull) >> 32) & (slots_.size() - 1);
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 64 : slots_.size() * 2);
    old.swap(slots_);
    used_ = 0;
    for (const Slot& slot : old) {
      if (slot.page != 0) put(PageNo(slot.page), slot.value);
    }
  }

  OpenArray open_array_;
  std::size_t most_in_memory_ = 0;
  std::unique_ptr<MappedFile> array_;
  std::vector<Slot> slots_;
  std::size_t used_ = 0;
};

}  // namespace cairn::replicate
