// SQLite's locks are POSIX byte-range locks: on the database file PENDING at 0x40000000, RESERVED after it and 510
// SHARED bytes; on the -shm file the eight WAL locks at 120..127 and the "dead man's switch" at 128, which every
// connection holds shared. fcntl can ask who would be in the way of an exclusive lock without taking any.
//
// One trap: closing any descriptor of a file drops all POSIX locks that this process holds on it. So a file that this
// process has open already (an embedding program) is found through /proc/self/fd first, and never opened here.

#include "restore/in_use.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>

namespace cairn::restore {
namespace {

namespace fs = std::filesystem;

constexpr off_t kPendingByte = 0x40000000;
constexpr off_t kDatabaseLockBytes = 2 + 510;
constexpr off_t kShmLockByte = 120;
constexpr off_t kShmLockBytes = 9;

bool open_in_this_process(const struct stat& file) {
  std::error_code error;
  for (fs::directory_iterator entry("/proc/self/fd", error), end; !error && entry != end; entry.increment(error)) {
    struct stat other{};
    if (::stat(entry->path().c_str(), &other) == 0 && other.st_dev == file.st_dev && other.st_ino == file.st_ino) {
      return true;
    }
  }
  return false;
}

// The process that holds a lock in the range: its id, or 0 when the system does not tell.
std::optional<pid_t> holder(int descriptor, off_t start, off_t length) {
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  if (::fcntl(descriptor, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return std::nullopt;
  return lock.l_pid > 0 ? lock.l_pid : 0;
}

Error in_use(const std::string& database, std::string_view by) {
  return Error(ErrorKind::busy, fmt::format("{} is in use by {}: stop it first, then restore", database, by));
}

Result<void> check_file(const std::string& database, const std::string& path, off_t start, off_t length) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0 || !S_ISREG(file.st_mode)) return {};
  if (open_in_this_process(file)) return in_use(database, "this very process");
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  // Not readable for us: whether it may be replaced is a matter of its folder, which the restore finds out by itself.
  if (descriptor < 0) return {};
  const std::optional<pid_t> process = holder(descriptor, start, length);
  ::close(descriptor);
  if (!process) return {};
  return in_use(database, *process == 0 ? std::string("another process") : fmt::format("process {}", *process));
}

}  // namespace

Result<void> refuse_if_in_use(const std::string& database) {
  CAIRN_TRY(check_file(database, database, kPendingByte, kDatabaseLockBytes));
  return check_file(database, database + "-shm", kShmLockByte, kShmLockBytes);
}

}  // namespace cairn::restore
