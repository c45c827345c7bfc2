#include "replicate/page_hashes.h"

#include <algorithm>

namespace cairn::replicate {
namespace {
// The file grows in steps, so that a growing database does not map anew with every page.
constexpr std::uint64_t kStepBytes = 64 * 1024;
}  // namespace

Result<std::unique_ptr<PageHashes>> PageHashes::open(FileSystem& files, const std::string& path) {
  std::uint64_t size = 0;
  if (auto info = files.info(path)) size = info->size_bytes;
  size = std::max<std::uint64_t>(kStepBytes, (size + kStepBytes - 1) / kStepBytes * kStepBytes);
  CAIRN_ASSIGN(auto file, files.map(path, size));
  return std::unique_ptr<PageHashes>(new PageHashes(std::move(file)));
}

std::span<std::uint64_t> PageHashes::all() const {
  return {reinterpret_cast<std::uint64_t*>(file_->bytes().data()), page_count_};
}

Result<void> PageHashes::reserve(std::uint32_t page_count) {
  const std::uint64_t size = (page_count * 8ull + kStepBytes - 1) / kStepBytes * kStepBytes;
  return size > file_->bytes().size() ? file_->resize(size) : Result<void>();
}

Result<void> PageHashes::resize(std::uint32_t page_count) {
  CAIRN_TRY(reserve(page_count));
  // Whatever lies past the old end may be left over from a larger database.
  const std::uint32_t old_count = page_count_;
  page_count_ = page_count;
  if (page_count > old_count) std::ranges::fill(all().subspan(old_count), 0);
  return {};
}

Result<void> PageHashes::adopt(std::uint32_t page_count) {
  if (page_count * 8ull > file_->bytes().size()) return resize(page_count);
  page_count_ = page_count;
  return {};
}

std::uint64_t PageHashes::database_hash() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t hash : all()) sum ^= hash;
  return sum;
}

}  // namespace cairn::replicate
