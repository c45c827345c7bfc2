// The rules for ranges of an object, the same in every store.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "cairn/error.h"

namespace cairn {

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

// [offset, offset + length) cut at the end of an object of `size_bytes`. invalid: it begins at or past the end; only
// the empty object has a range that begins at its end.
Result<ByteRange> cut_range(std::string_view key, std::uint64_t size_bytes, std::uint64_t offset,
                            std::optional<std::uint64_t> length);
// The last `length` bytes. invalid: length is 0.
Result<ByteRange> cut_suffix(std::string_view key, std::uint64_t size_bytes, std::uint64_t length);
// For copy_part: all of [offset, offset + length) must be there. invalid: it is not, or it is empty.
Result<void> check_copied_range(std::string_view key, std::uint64_t size_bytes, std::uint64_t offset,
                                std::uint64_t length);


// retry_later: pieces of what is read are of two versions of the object.
Error changed_while_read(std::string_view key);

}  // namespace cairn
