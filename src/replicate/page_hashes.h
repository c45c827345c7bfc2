// One 64-bit hash a page of the captured state, in a mapped file: what reconcile compares the database with. The XOR of
// all of them is the database hash, so a table that was torn by a crash shows itself.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/files.h"
#include "base/ids.h"
#include "cairn/error.h"

namespace cairn::replicate {

class PageHashes {
 public:
  static Result<std::unique_ptr<PageHashes>> open(FileSystem& files, const std::string& path);

  // Makes room, so that a resize() up to `page_count` cannot fail. Never gives room back.
  Result<void> reserve(std::uint32_t page_count);
  // Pages past the old end have hash 0 until set.
  Result<void> resize(std::uint32_t page_count);
  // Takes the first `page_count` hashes of the file as an earlier process left them.
  Result<void> adopt(std::uint32_t page_count);
  std::uint32_t page_count() const { return page_count_; }
  std::span<std::uint64_t> all() const;
  std::uint64_t get(PageNo page) const { return page.value <= page_count_ ? all()[page.value - 1] : 0; }
  void set(PageNo page, std::uint64_t hash) { all()[page.value - 1] = hash; }
  std::uint64_t database_hash() const;  // of all pages

 private:
  explicit PageHashes(std::unique_ptr<MappedFile> file) : file_(std::move(file)) {}
  std::unique_ptr<MappedFile> file_;
  std::uint32_t page_count_ = 0;
};

}  // namespace cairn::replicate
