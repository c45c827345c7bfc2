// Which page of the target state comes from which object.
#pragma once

#include <cstdint>
#include <vector>

#include "restore/chain.h"

namespace cairn::restore {

// Bits in words, so that threads may change bits of different words at the same time.
class Bitmap {
 public:
  explicit Bitmap(std::uint64_t size = 0) : size_(size), words_((size + 63) / 64) {}
  std::uint64_t size() const { return size_; }
  bool test(std::uint64_t i) const { return (words_[i / 64] >> (i % 64)) & 1; }
  void set(std::uint64_t i) { words_[i / 64] |= std::uint64_t{1} << (i % 64); }
  void clear(std::uint64_t i) { words_[i / 64] &= ~(std::uint64_t{1} << (i % 64)); }

 private:
  std::uint64_t size_;
  std::vector<std::uint64_t> words_;
};

// What is wanted of each link, as index entries: frames of a segment, pages of the snapshot (entry i is page i + 1).
// One bit an entry, and one a page of the database: that is all the memory it takes beside the readers' own indexes
// (12 bytes a frame of the segments used). Each page of the target is wanted exactly once.
struct Selection {
  std::vector<Bitmap> wanted;  // one a link
};

// The newest version of each page wins; what lies beyond the end of the database at any later point is dropped, so
// that a database that shrank and grew again never gets a page from before (L10).
// corrupt: a page of the target is in none of the objects. Only the lock-byte page may be.
Result<Selection> select_pages(const Chain& chain);

}  // namespace cairn::restore
