#include "restore/page_writer.h"

#include <fmt/format.h>

#include <cstring>

#include "segment/reader.h"

namespace cairn::restore {
namespace {

// Compares the bytes with themselves, one further on: the first is zero and each equals the next.
bool all_zero(ByteView bytes) {
  if (bytes.empty()) return true;
  return bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

}  // namespace

Result<void> PageWriter::add(PageNo page, std::span<std::byte> bytes, std::uint64_t expected,
                             const std::string& object) {
  const std::uint64_t hash = segment::page_hash(page, bytes);
  if (hash != expected) {
    return segment::damaged_object(object, fmt::format("page {} is not what was published (its hash differs)",
                                                       page.value));
  }
  return add_checked(page, bytes, hash);
}

Result<void> PageWriter::add_checked(PageNo page, std::span<std::byte> bytes, std::uint64_t hash) {
  totals_.hash.fetch_xor(hash, std::memory_order_relaxed);
  totals_.pages.fetch_add(1, std::memory_order_relaxed);
  if (all_zero(bytes)) return {};
  const std::uint64_t run_pages = run_.size() / page_size_;
  const bool neighbour = !run_.empty() && page.value == first_.value + run_pages;
  if (!neighbour) {
    CAIRN_TRY(flush());
    first_ = page;
    run_ = bytes;
    return {};
  }
  // In a segment 24 bytes of frame header lie between two pages: close the hole, then one write does for all.
  std::byte* end = run_.data() + run_.size();
  if (end != bytes.data()) std::memmove(end, bytes.data(), bytes.size());
  run_ = {run_.data(), run_.size() + bytes.size()};
  return {};
}

Result<void> PageWriter::flush() {
  if (run_.empty()) return {};
  auto written = file_.write_at(std::uint64_t{first_.value - 1} * page_size_, run_);
  run_ = {};
  return written;
}

}  // namespace cairn::restore
