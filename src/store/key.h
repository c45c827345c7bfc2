// The rules for keys (cairn/store.h), in one place: what is checked here can be put behind a root directory without
// ever leaving it.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn {

inline constexpr std::size_t kMaxKeyBytes = 1024;
inline constexpr std::size_t kMaxKeyComponentBytes = 255;  // what file systems take
inline constexpr int kMaxPartNumber = 10000;

// Names that begin with this are the directory store's own folders, and so no part of a key in any store: a replica
// must be copied from one store to another as it is.
inline constexpr std::string_view kReservedPrefix = ".cairn-";

// invalid: empty, too long, not UTF-8, a NUL byte, an empty, "." or ".." component, one that is too long or reserved.
Result<void> check_key(std::string_view key);
// The same for the prefix of a listing: empty, or the beginning of a key, which may end inside a name or at a '/'.
Result<void> check_prefix(std::string_view prefix);
// For complete_new: at least one part, numbers ascending and in range. invalid otherwise.
Result<void> check_parts_order(std::string_view key, std::span<const PartInfo> parts);
Result<void> check_part_number(int number);
bool is_key(std::string_view key);
// not_found: what every store says of an upload that it does not have.
Error no_upload(std::string_view key);

}  // namespace cairn
