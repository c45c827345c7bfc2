#include "store/range.h"

#include <fmt/format.h>

#include <algorithm>

namespace cairn {

Result<ByteRange> cut_range(std::string_view key, std::uint64_t size_bytes, std::uint64_t offset,
                            std::optional<std::uint64_t> length) {
  if (offset > 0 && offset >= size_bytes) {
    return Error(ErrorKind::invalid,
                 fmt::format("{}: byte {} is past the end of its {} bytes", key, offset, size_bytes));
  }
  const std::uint64_t rest = size_bytes - offset;
  return ByteRange{offset, std::min(rest, length.value_or(rest))};
}

Result<ByteRange> cut_suffix(std::string_view key, std::uint64_t size_bytes, std::uint64_t length) {
  if (length == 0) return Error(ErrorKind::invalid, fmt::format("{}: its last 0 bytes were asked for", key));
  const std::uint64_t cut = std::min(size_bytes, length);
  return ByteRange{size_bytes - cut, cut};
}

Result<void> check_copied_range(std::string_view key, std::uint64_t size_bytes, std::uint64_t offset,
                                std::uint64_t length) {
  if (length > 0 && offset < size_bytes && length <= size_bytes - offset) return {};
  return Error(ErrorKind::invalid, fmt::format("{}: bytes {} to {} cannot be copied: it has {} bytes", key, offset,
                                               offset + length, size_bytes));
}

Error changed_while_read(std::string_view key) {
  return Error(ErrorKind::retry_later, fmt::format("{}: the object changed while it was read", key));
}

}  // namespace cairn
