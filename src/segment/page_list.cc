// The page numbers of a segment. Sorted runs make small distances: one byte a page for anything but scattered updates
// of a database beyond half a gigabyte.

#include <fmt/format.h>

#include "base/errors.h"
#include "segment/footer.h"

namespace cairn::segment {
namespace {

// One LEB128 number of at most 32 bits, in its shortest form; nothing when the bytes do not hold one.
std::optional<std::uint32_t> take_leb128(ByteView& bytes) {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < 5 && i < bytes.size(); ++i) {
    auto byte = std::to_integer<std::uint64_t>(bytes[i]);
    value |= (byte & 0x7F) << (7 * i);
    if (byte & 0x80) continue;
    bool has_idle_byte = byte == 0 && i > 0;
    if (has_idle_byte || value > 0xFFFFFFFF) return std::nullopt;
    bytes = bytes.subspan(i + 1);
    return static_cast<std::uint32_t>(value);
  }
  return std::nullopt;
}

}  // namespace

void PageListWriter::add(PageNo page) {
  std::uint32_t distance = page.value - previous_;
  previous_ = page.value;
  for (; distance >= 0x80; distance >>= 7) bytes_.push_back(static_cast<std::byte>((distance & 0x7F) | 0x80));
  bytes_.push_back(static_cast<std::byte>(distance));
}

Result<std::vector<PageNo>> parse_page_list(ByteView bytes, const Footer& footer) {
  std::vector<PageNo> pages;
  pages.reserve(footer.index_count);  // bounded: each entry has at least one of `bytes`, which the caller has checked
  const PageNo lock_page = lock_byte_page(footer.page_size);
  for (const RestorePoint& run : footer.points) {
    std::uint64_t page = 0;
    while (pages.size() < run.frame_end) {
      std::optional<std::uint32_t> distance = take_leb128(bytes);
      if (!distance) return damaged("its page list cannot be read");
      if (*distance == 0) return damaged("its page list has a page twice, or page 0");
      page += *distance;
      if (page > run.page_count)
        return damaged(fmt::format("its page list has page {} of a database of {} pages", page, run.page_count));
      if (page == lock_page.value)
        return damaged(fmt::format("its page list has page {}, which holds SQLite's locks and no data", page));
      pages.push_back(PageNo(static_cast<std::uint32_t>(page)));
    }
  }
  if (!bytes.empty()) return damaged("its page list is longer than its frames");
  return pages;
}

}  // namespace cairn::segment
