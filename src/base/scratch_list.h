// A list of plain values that is written from front to back and read in pieces. A short one is in memory; what a longer
// one has is in a scratch file without a name, so that memory does not grow with it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "base/files.h"

namespace cairn {

// Where lists go that are too long for memory.
struct ScratchSpace {
  OpenScratch open;                       // not set: there is none, and all stays in memory
  std::size_t most_in_memory = 64 << 10;  // values of one list; at least one
};

template <class T>
class ScratchList {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit ScratchList(ScratchSpace space = {})
      : space_(std::move(space)), chunk_(space_.open ? std::min(kChunk, space_.most_in_memory) : kChunk) {}

  std::uint64_t size() const { return in_file_ + in_memory_; }
  std::size_t in_memory() const { return in_memory_; }

  // io: no room for the file; the list is worth nothing then.
  Result<void> push_back(const T& value) {
    if (in_memory_ == chunks_.size() * chunk_) CAIRN_TRY(make_room());
    chunks_.back().push_back(value);
    ++in_memory_;
    return {};
  }

  // The values from `first` on; there are as many. io: the file is not what was written to it.
  Result<void> read(std::uint64_t first, std::span<T> into) const {
    CAIRN_CHECK(first + into.size() <= size());
    if (first < in_file_) {
      const std::span<T> here = into.first(std::min<std::uint64_t>(into.size(), in_file_ - first));
      CAIRN_TRY(read_whole(*file_, first * sizeof(T), std::as_writable_bytes(here)));
      first += here.size();
      into = into.subspan(here.size());
    }
    for (std::uint64_t at = first - in_file_; !into.empty();) {
      const std::span<const T> chunk(chunks_[at / chunk_]);
      const std::size_t skipped = at % chunk_;
      const auto part = chunk.subspan(skipped, std::min(into.size(), chunk.size() - skipped));
      std::ranges::copy(part, into.begin());
      at += part.size();
      into = into.subspan(part.size());
    }
    return {};
  }

 private:
  static constexpr std::size_t kChunk = 8192;

  Result<void> make_room() {
    if (space_.open && in_memory_ >= space_.most_in_memory) CAIRN_TRY(write_out());
    const bool is_first = chunks_.empty();
    chunks_.emplace_back();
    if (!is_first) chunks_.back().reserve(chunk_);
    return {};
  }

  Result<void> write_out() {
    if (!file_) {
      CAIRN_ASSIGN(file_, space_.open());
    }
    for (const std::vector<T>& chunk : chunks_) {
      CAIRN_TRY(file_->write_at(in_file_ * sizeof(T), std::as_bytes(std::span(chunk))));
      in_file_ += chunk.size();
      in_memory_ -= chunk.size();
    }
    chunks_.clear();
    return {};
  }

  ScratchSpace space_;
  std::size_t chunk_;
  std::unique_ptr<File> file_;
  std::uint64_t in_file_ = 0;
  // All but the last one are full. (One vector that grows would hold everything twice for a moment.)
  std::vector<std::vector<T>> chunks_;
  std::size_t in_memory_ = 0;
};

}  // namespace cairn
