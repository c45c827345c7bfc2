// A list of plain values that is written from front to back and read in pieces. A short one is in memory; what a longer
// one has is in a scratch file without a name, so that memory does not grow with it.
#pragma once

#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "base/files.h"

namespace cairn {

// Where lists go that are too long for memory.
struct ScratchSpace {
  OpenScratch open;                       // not set: there is none, and all stays in memory
  std::size_t most_in_memory = 64 << 10;  // values of one list
  std::string path{};                     // of what `open` gives, for messages
};

// A scratch file is not synced, so nobody says so when the system could not write it: it reads as zeros then, or as
// what lay there before. What is read from one is compared with what was written.
inline Error scratch_is_lost(const std::string& path) {
  return Error(ErrorKind::io, path + " does not give back what was written to it: the disk under it is failing or full "
                                     "(the kernel's log says which); nothing is lost, and it is tried again");
}
inline Result<void> read_scratch(const File& file, const std::string& path, std::uint64_t offset,
                                 std::span<std::byte> into) {
  CAIRN_ASSIGN(const std::size_t got, file.read_at(offset, into));
  return got == into.size() ? Result<void>() : scratch_is_lost(path);
}

template <class T>
class ScratchList {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit ScratchList(ScratchSpace space = {})
      : space_(std::move(space)),
        chunk_(space_.open ? std::clamp<std::size_t>(space_.most_in_memory, 1, kChunk) : kChunk) {}

  std::uint64_t size() const { return in_file_ + in_memory_; }
  std::size_t in_memory() const { return in_memory_; }

  // io: no room for the file; the list is worth nothing then.
  Result<void> push_back(const T& value) {
    if (in_memory_ == chunks_.size() * chunk_) CAIRN_TRY(make_room());
    chunks_.back().push_back(value);
    ++in_memory_;
    return {};
  }

  // The values from `first` on; there are as many. io: the file does not give them back.
  Result<void> read(std::uint64_t first, std::span<T> into) const {
    CAIRN_CHECK(first + into.size() <= size());
    std::vector<T> from_file;
    while (!into.empty()) {
      if (first < in_file_) CAIRN_TRY(read_chunk(first / chunk_, from_file));
      const std::span<const T> chunk(first < in_file_ ? from_file : chunks_[(first - in_file_) / chunk_]);
      const std::size_t skipped = first % chunk_;
      const auto part = chunk.subspan(skipped, std::min(into.size(), chunk.size() - skipped));
      std::ranges::copy(part, into.begin());
      first += part.size();
      into = into.subspan(part.size());
    }
    return {};
  }

 private:
  static constexpr std::size_t kChunk = 8192;

  Result<void> make_room() {
    if (space_.open && !chunks_.empty() && in_memory_ >= space_.most_in_memory) CAIRN_TRY(write_out());
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
      const ByteView bytes = std::as_bytes(std::span(chunk));
      CAIRN_TRY(file_->write_at(in_file_ * sizeof(T), bytes));
      sums_.push_back(XXH3_64bits(bytes.data(), bytes.size()));
      in_file_ += chunk.size();
      in_memory_ -= chunk.size();
    }
    chunks_.clear();
    return {};
  }

  Result<void> read_chunk(std::uint64_t number, std::vector<T>& chunk) const {
    chunk.resize(chunk_);
    const std::span<std::byte> bytes = std::as_writable_bytes(std::span(chunk));
    CAIRN_TRY(read_scratch(*file_, space_.path, number * bytes.size(), bytes));
    return XXH3_64bits(bytes.data(), bytes.size()) == sums_[number] ? Result<void>() : scratch_is_lost(space_.path);
  }

  ScratchSpace space_;
  std::size_t chunk_;
  std::unique_ptr<File> file_;
  std::uint64_t in_file_ = 0;        // whole chunks
  std::vector<std::uint64_t> sums_;  // of those
  // All but the last one are full. (One vector that grows would hold everything twice for a moment.)
  std::vector<std::vector<T>> chunks_;
  std::size_t in_memory_ = 0;
};

}  // namespace cairn
