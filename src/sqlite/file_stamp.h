// What stat says of a file, to tell whether it has changed.
#pragma once

#include <cstdint>
#include <string>

#include "cairn/error.h"

namespace cairn::sqlite {

// No file: all zero.
struct FileStamp {
  std::uint64_t inode = 0, size = 0;
  std::int64_t mtime_ns = 0, ctime_ns = 0;
  bool operator==(const FileStamp&) const = default;
};
Result<FileStamp> file_stamp(int directory, const std::string& name);
// The next write to the file is sure to give it another stamp. Otherwise: not before kSettleMs have passed.
bool is_settled(const FileStamp& stamp);
inline constexpr int kSettleMs = 21;  // a file system's clock moves at least once in that

}  // namespace cairn::sqlite
