#include "base/os.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <string>
#include <system_error>

#include "base/files.h"

namespace cairn {

namespace {

ErrorKind kind_of(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return ErrorKind::not_found;
    case EEXIST:
      return ErrorKind::conflict;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorKind::denied;
    default:
      return ErrorKind::io;
  }
}

std::string words_of(int error_number) {
  switch (error_number) {
    case ENOSPC:
      return "the disk is full: make room and try again";
    case EDQUOT:
      return "the disk is full (the quota is used up): make room and try again";
    case EROFS:
      return "the file system is read-only";
    default:
      return std::generic_category().message(error_number);
  }
}

// Linux refuses link() with one of these where a file system has no hard links, or a policy forbids this one.
bool has_no_links(int error_number) {
  return error_number == EPERM || error_number == EOPNOTSUPP || error_number == ENOSYS || error_number == EMLINK;
}

int link_below(int folder, const char* from, const char* to) {
  if (::linkat(folder, from, folder, to, 0) == 0) return 0;
  const int link_error = errno;
  if (!has_no_links(link_error)) return link_error;
  if (::renameat2(folder, from, folder, to, RENAME_NOREPLACE) == 0) return 0;
  return errno == EINVAL ? link_error : errno;  // EINVAL: this file system cannot do that either
}

}  // namespace

Error os_error(int error_number, std::string_view what) {
  return Error(kind_of(error_number), fmt::format("{}: {}", what, words_of(error_number)));
}

void FileDescriptor::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<std::size_t> read_some_at(int fd, std::uint64_t offset, std::span<std::byte> into, std::string_view path) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got = ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got == 0) break;
    if (got < 0) {
      if (errno == EINTR) continue;
      return os_error(errno, fmt::format("reading {}", path));
    }
    done += static_cast<std::size_t>(got);
  }
  return done;
}

// In pieces: for a longer write the kernel takes page cache in larger folios, and on a virtual machine those are often
// memory that was given back to the host, which has to find it again. Measured: 256 MiB take 0.09 s in pieces of
// 32 KiB, 0.06 to 0.6 s in pieces of 64 KiB, and 0.3 to 0.9 s in larger ones. More than 32 KiB (eight pages) is where
// Linux counts an allocation as costly and keeps no stock of it.
Result<void> write_all_at(int fd, std::uint64_t offset, ByteView bytes, std::string_view path) {
  constexpr std::size_t kPieceBytes = 32 * 1024;
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::size_t piece = std::min(bytes.size() - done, kPieceBytes);
    const ssize_t put = ::pwrite(fd, bytes.data() + done, piece, static_cast<off_t>(offset + done));
    if (put < 0) {
      if (errno == EINTR) continue;
      return os_error(errno, fmt::format("writing {}", path));
    }
    done += static_cast<std::size_t>(put);
  }
  return {};
}

int link_without_replacing(const char* from, const char* to) { return link_below(AT_FDCWD, from, to); }

int move_without_replacing(int folder, const char* from, const char* to) {
  if (::renameat2(folder, from, folder, to, RENAME_NOREPLACE) == 0) return 0;
  const int error_number = errno;
  const bool cannot = error_number == EINVAL || error_number == ENOSYS || has_no_links(error_number);
  if (!cannot) return error_number;
  const int linked = link_below(folder, from, to);
  if (linked == 0) (void)::unlinkat(folder, from, 0);
  return linked;
}

Result<void> make_directories_durably(std::string_view path, int permissions) {
  const std::string name(path);
  if (name.empty()) return Error(ErrorKind::invalid, "a folder with an empty name cannot be made");
  if (::mkdir(name.c_str(), static_cast<mode_t>(permissions)) == 0) {
    // Somebody may let us make folders in a folder that we may not read: then the system syncs it in its own time.
    auto synced = sync_directory_at(parent_directory(path).c_str());
    return !synced && synced.error().kind() != ErrorKind::denied ? synced : Result<void>{};
  }
  const int error_number = errno;
  if (error_number == ENOENT) {
    const std::string parent = parent_directory(path);
    if (parent == name) return os_error(error_number, fmt::format("making the folder {}", path));
    CAIRN_TRY(make_directories_durably(parent, permissions));
    return make_directories_durably(path, permissions);
  }
  // Above a read-only or forbidden folder mkdir says so even where the name exists already.
  struct stat status{};
  if (::stat(name.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
  if (error_number == EEXIST || error_number == ENOTDIR) {
    return Error(ErrorKind::io,
                 fmt::format("making the folder {}: something that is not a folder is in its place", path));
  }
  return os_error(error_number, fmt::format("making the folder {}", path));
}

Result<FileDescriptor> open_directory(const char* path) {
  int fd = -1;
  do {
    fd = ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return os_error(errno, fmt::format("opening the folder {}", path));
  return FileDescriptor(fd);
}

Result<void> sync_directory(const FileDescriptor& directory, std::string_view path) {
  // Some network and FUSE file systems have nothing to sync in a folder, and say EINVAL.
  if (::fsync(directory.get()) != 0 && errno != EINVAL)
    return os_error(errno, fmt::format("syncing the folder {}", path));
  return {};
}

Result<void> sync_directory_at(const char* path) {
  CAIRN_ASSIGN(const FileDescriptor directory, open_directory(path));
  return sync_directory(directory, path);
}

void lower_priority_of_this_thread() {
  constexpr int kNice = 10;
  (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);  // on Linux a thread has one of its own
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  std::erase(id, '-');
  return id.size() == 32 ? id : std::string();
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace cairn
