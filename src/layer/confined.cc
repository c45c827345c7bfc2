#include "layer/confined.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace cairn::layer {
namespace {

// A tree may be deeper than a process may have descriptors. Directories at this depth are moved to the top, and are
// next.
constexpr int kMaxDepth = 64;

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, DirectoryCloser>;

Error cannot_be_removed(int error_number, const std::string& name) {
  if (error_number != EXDEV && error_number != EBUSY) return os_error(error_number, "removing " + name);
  return Error(ErrorKind::busy, fmt::format("removing {}: something is mounted there, and is left alone: unmount it",
                                            name));
}

// Opens a directory for listing. One without rights for its owner gets them first: it is to be removed anyway.
Result<Directory> open_for_removal(int parent, const std::string& name) {
  constexpr int kFlags = O_RDONLY | O_DIRECTORY;
  int fd = open_confined(parent, name.c_str(), kFlags);
  struct stat status{};
  const bool needs_rights = fd < 0 ? errno == EACCES : ::fstat(fd, &status) == 0 && (status.st_mode & 0700) != 0700;
  if (needs_rights && ::geteuid() != 0) {
    if (fd >= 0) ::close(fd);
    give_rights(parent, name);
    fd = open_confined(parent, name.c_str(), kFlags);
  }
  if (fd < 0) return cannot_be_removed(errno, name);
  DIR* directory = ::fdopendir(fd);
  if (directory == nullptr) {
    const int error_number = errno;
    ::close(fd);
    return os_error(error_number, "removing " + name);
  }
  return Directory(directory);
}

// What the kernel has RESOLVE_NO_XDEV for.
bool is_on_same_mount(int directory, int other) {
  struct statx here {}, there {};
  return ::statx(directory, "", AT_EMPTY_PATH, STATX_MNT_ID, &here) == 0 &&
         ::statx(other, "", AT_EMPTY_PATH, STATX_MNT_ID, &there) == 0 && here.stx_mnt_id == there.stx_mnt_id;
}

// Empties a directory.
class Remover {
 public:
  explicit Remover(DIR* top) : top_(top) {}

  // What was moved up shows in the next listing.
  Result<void> run() {
    for (bool again = true; again;) {
      const std::uint64_t moved_before = moved_;
      ::rewinddir(top_);
      CAIRN_TRY(empty(top_, 0));
      again = moved_ != moved_before;
    }
    return {};
  }

 private:
  Result<void> remove_at(int parent, const std::string& name, int depth) {
    if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return {};
    if (errno != EISDIR && errno != EPERM) return cannot_be_removed(errno, name);
    struct stat status{};
    if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(status.st_mode))
      return os_error(EPERM, "removing " + name);
    if (depth == kMaxDepth) return move_up(parent, name);
    CAIRN_ASSIGN(const Directory directory, open_for_removal(parent, name));
    CAIRN_TRY(empty(directory.get(), depth));
    if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0) return cannot_be_removed(errno, name);
    return {};
  }

  Result<void> empty(DIR* directory, int depth) {
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(directory);
      if (entry == nullptr) break;
      const std::string name = entry->d_name;
      if (name != "." && name != "..") CAIRN_TRY(remove_at(::dirfd(directory), name, depth + 1));
    }
    if (errno != 0) return os_error(errno, "removing a directory");
    return {};
  }

  Result<void> move_up(int parent, const std::string& name) {
    std::string up;
    do {
      up = fmt::format("removed-{}", ++moved_);
    } while (::faccessat(::dirfd(top_), up.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    if (::renameat(parent, name.c_str(), ::dirfd(top_), up.c_str()) != 0) return cannot_be_removed(errno, name);
    return {};
  }

  DIR* const top_;
  std::uint64_t moved_ = 0;
};

}  // namespace

int open_confined(int directory, const char* path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_NOFOLLOW | O_CLOEXEC;
  how.mode = (flags & O_CREAT) != 0 ? mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  for (;;) {
    const auto fd = static_cast<int>(::syscall(SYS_openat2, directory, path, &how, sizeof how));
    if (fd >= 0) return fd;
    if (errno == EINTR || errno == EAGAIN) continue;
    const bool is_absent = errno == ENOSYS || errno == EPERM;  // sandboxes answer EPERM to what they do not know
    if (!is_absent || std::strchr(path, '/') != nullptr || std::strcmp(path, "..") == 0) return -1;
    const int plain = ::openat(directory, path, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    if (plain < 0 || is_on_same_mount(directory, plain)) return plain;
    ::close(plain);
    errno = EXDEV;
    return -1;
  }
}

// By way of a descriptor: chmod of a name would follow a link that has taken its place meanwhile, and fchmodat2, which
// would not, is younger than some kernels here. Nothing may be read through this descriptor, so it needs no rights.
void give_rights(int parent, const std::string& name) {
  const FileDescriptor directory(open_confined(parent, name.c_str(), O_PATH | O_DIRECTORY));
  if (!directory.is_open()) return;
  (void)::chmod(fmt::format("/proc/self/fd/{}", directory.get()).c_str(), 0700);
}

Result<void> remove_tree(int parent, const std::string& name) {
  struct stat status{};
  if (::fstatat(parent, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return os_error(errno, "removing " + name);
  }
  const bool is_directory = S_ISDIR(status.st_mode);
  if (is_directory) {
    CAIRN_ASSIGN(const Directory directory, open_for_removal(parent, name));
    CAIRN_TRY(Remover(directory.get()).run());
  }
  const int flags = is_directory ? AT_REMOVEDIR : 0;
  if (::unlinkat(parent, name.c_str(), flags) != 0) return cannot_be_removed(errno, name);
  return {};
}

}  // namespace cairn::layer
