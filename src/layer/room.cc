#include "layer/room.h"

#include <fmt/format.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include "base/files.h"
#include "base/os.h"

namespace cairn::layer {
namespace {

constexpr std::array<std::uint32_t, 3> kCompressing{0x9123683e, 0x2fc12fc1, 0xca451a4e};  // btrfs, ZFS, bcachefs

std::string mebibytes(std::uint64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / 1048576); }

}  // namespace

Result<std::uint64_t> free_bytes_for(const std::string& target) {
  struct statfs status{};
  std::string at = parent_directory(target);
  while (::statfs(at.c_str(), &status) != 0) {  // it is made on the way
    if (errno == EINTR) continue;
    const std::string above = parent_directory(at);
    if (errno != ENOENT || above == at) return os_error(errno, at);
    at = above;
  }
  const auto type = static_cast<std::uint32_t>(status.f_type);
  if (std::ranges::find(kCompressing, type) != kCompressing.end()) return std::numeric_limits<std::uint64_t>::max();
  const auto blocks = static_cast<std::uint64_t>(::geteuid() == 0 ? status.f_bfree : status.f_bavail);
  return blocks * static_cast<std::uint64_t>(status.f_bsize);
}

Result<void> check_room(const std::string& target, std::uint64_t needed_bytes, std::uint64_t free_bytes) {
  if (needed_bytes <= free_bytes) return {};
  return Error(ErrorKind::io, fmt::format("{}: {} are to be written, and {} are free there: make room, or restore to "
                                          "another place. Nothing was touched",
                                          target, mebibytes(needed_bytes), mebibytes(free_bytes)));
}

}  // namespace cairn::layer
