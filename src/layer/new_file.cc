#include "layer/new_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace cairn::layer {
namespace {

// The disk begins while there is more to write. Of smaller files the kernel makes fewer requests when they come
// together.
constexpr std::uint64_t kBeginBytes = 256 * 1024;
constexpr std::uint64_t kFarBytes = 8 << 20;

bool is_zero(ByteView bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

Result<void> NewFile::write(ByteView bytes) {
  hash_.add(bytes);
  while (!bytes.empty()) {
    while (hole_ < entry_.holes.size() && entry_.holes[hole_].offset + entry_.holes[hole_].length <= at_) ++hole_;
    const bool has_hole = hole_ < entry_.holes.size();
    const Hole hole = has_hole ? entry_.holes[hole_] : Hole{entry_.size_bytes, 0};
    const bool inside = has_hole && at_ >= hole.offset;
    const std::uint64_t end = inside ? hole.offset + hole.length : hole.offset;
    const ByteView piece = bytes.first(std::min<std::uint64_t>(bytes.size(), end - at_));
    if (piece.empty())
      return Error(ErrorKind::corrupt, fmt::format("'{}' has more bytes than its size says", entry_.path));
    if (!inside) CAIRN_TRY(write_all_at(fd_.get(), at_, piece, entry_.path));
    if (inside && !is_zero(piece))
      return Error(ErrorKind::corrupt, fmt::format("'{}' has bytes where it says that it has a hole", entry_.path));
    at_ += piece.size();
    bytes = bytes.subspan(piece.size());
  }
  begin_writing_back();
  return {};
}

// Only begun: whether it reached the disk is the business of whoever syncs.
void NewFile::begin_writing_back() {
  const std::uint64_t new_bytes = at_ - begun_;
  if (new_bytes < kBeginBytes || (!is_whole() && new_bytes < kFarBytes)) return;
  (void)::sync_file_range(fd_.get(), static_cast<off_t>(begun_), static_cast<off_t>(new_bytes), SYNC_FILE_RANGE_WRITE);
  begun_ = at_;
}

Result<void> NewFile::status(struct ::statx& status) const {
  if (::statx(fd_.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS, &status) != 0) return os_error(errno, entry_.path);
  return {};
}

}  // namespace cairn::layer
