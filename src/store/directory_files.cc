#include "store/directory_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/files.h"

namespace cairn {

namespace {

constexpr std::size_t kChunkBytes = 1 << 20;
constexpr std::uint64_t kWritebackBytes = 8 << 20;
constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::uint32_t kZfsMagic = 0x2fc12fc1, kBcachefsMagic = 0xca451a4e;  // not in the kernel's list
constexpr auto kLockPatience = std::chrono::seconds(10);
constexpr auto kLockPause = std::chrono::milliseconds(2);

timespec to_timespec(std::int64_t ns) {
  timespec time{};
  time.tv_sec = static_cast<time_t>(ns / kNsPerSecond);
  time.tv_nsec = static_cast<long>(ns % kNsPerSecond);
  return time;
}

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

// Begins to write to the disk what was written to the page cache, in steps that are worth a disk's while.
class Writeback {
 public:
  Writeback(int fd, std::uint64_t offset) : fd_(fd), begun_(offset) {}
  void reached(std::uint64_t end) {
    if (end - begun_ < kWritebackBytes) return;
    (void)::sync_file_range(fd_, static_cast<off_t>(begun_), static_cast<off_t>(end - begun_), SYNC_FILE_RANGE_WRITE);
    begun_ = end;
  }

 private:
  int fd_;
  std::uint64_t begun_;
};

// No other process has it, and this one only once. All of it at random would cost a call to the system each.
Id128 new_id() {
  static const std::uint64_t process = SystemRandom().next();
  static std::atomic<std::uint64_t> count = 0;
  const std::uint64_t halves[] = {process, ++count};
  Id128 id;
  std::memcpy(id.bytes.data(), halves, sizeof halves);
  return id;
}

// io: something else is there.
Result<void> make_folder(const std::string& path) {
  struct stat status{};
  if (::mkdir(path.c_str(), 0700) == 0) return {};
  if (errno != EEXIST) return os_error(errno, "making the folder " + path);
  if (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return {};
  return Error(ErrorKind::io,
               fmt::format("making the folder {}: something that is not a folder is in its place", path));
}

Result<void> copy_through_memory(int from, std::uint64_t from_offset, int to, std::uint64_t to_offset,
                                 std::uint64_t length, std::string_view path) {
  Bytes buffer(std::min<std::uint64_t>(length, kChunkBytes));
  for (std::uint64_t done = 0; done < length;) {
    const std::span<std::byte> chunk(buffer.data(), std::min<std::uint64_t>(length - done, buffer.size()));
    CAIRN_ASSIGN(const std::size_t got, read_some_at(from, from_offset + done, chunk, path));
    if (got != chunk.size())
      return Error(ErrorKind::corrupt, fmt::format("{}: what is copied to it ends too early", path));
    CAIRN_TRY(write_all_at(to, to_offset + done, chunk, path));
    done += got;
  }
  return {};
}

}  // namespace

std::int64_t modified_ns(const struct stat& status) {
  return status.st_mtim.tv_sec * kNsPerSecond + status.st_mtim.tv_nsec;
}

// Each look at an object writes one.
std::string etag_of(const struct stat& status) {
  std::array<char, 2 * 17 + 1> text;
  char* end = std::to_chars(text.begin(), text.end(), modified_ns(status), 16).ptr;
  *end++ = '-';
  end = std::to_chars(end, text.end(), status.st_size, 16).ptr;
  return {text.begin(), end};
}

ObjectInfo object_info(std::string_view key, const struct stat& status) {
  return ObjectInfo{std::string(key), static_cast<std::uint64_t>(status.st_size), etag_of(status),
                    modified_ns(status) / 1'000'000};
}

Result<FileDescriptor> open_file(const std::string& path, int flags, std::string_view what) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return os_error(errno, what);
  return FileDescriptor(fd);
}

Result<struct stat> status_of(int fd, std::string_view path) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return os_error(errno, path);
  return status;
}

Result<void> write_source(int fd, std::uint64_t offset, const Source& body, std::string_view path) {
  const std::uint64_t size_bytes = body.size_bytes();
  Bytes buffer(std::min<std::uint64_t>(size_bytes, kChunkBytes));
  Writeback writeback(fd, offset);
  for (std::uint64_t done = 0; done < size_bytes;) {
    const std::span<std::byte> chunk(buffer.data(), std::min<std::uint64_t>(size_bytes - done, buffer.size()));
    CAIRN_TRY(body.read_at(done, chunk));
    CAIRN_TRY(write_all_at(fd, offset + done, chunk, path));
    done += chunk.size();
    writeback.reached(offset + done);
  }
  return {};
}

Result<void> copy_range(int from, std::uint64_t from_offset, int to, std::uint64_t to_offset, std::uint64_t length,
                        std::string_view path) {
  Writeback writeback(to, to_offset);
  off64_t in = static_cast<off64_t>(from_offset);
  off64_t out = static_cast<off64_t>(to_offset);
  for (std::uint64_t left = length; left > 0;) {
    const ssize_t copied = ::copy_file_range(from, &in, to, &out, std::min<std::uint64_t>(left, kWritebackBytes), 0);
    if (copied > 0) {
      left -= static_cast<std::uint64_t>(copied);
      writeback.reached(static_cast<std::uint64_t>(out));
      continue;
    }
    if (copied < 0 && errno == EINTR) continue;
    if (copied < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
      return os_error(errno, fmt::format("writing {}", path));
    // Not between these two file systems, or an old kernel that answers 0: through memory, which also tells an early
    // end.
    return copy_through_memory(from, static_cast<std::uint64_t>(in), to, static_cast<std::uint64_t>(out), left, path);
  }
  return {};
}

Result<struct stat> stamp_and_sync(int fd, std::int64_t after_ns, std::string_view path) {
  // A step of a nanosecond is lost where times are kept in seconds (old ext4), or in steps of two (FAT).
  constexpr std::int64_t kStepsNs[] = {1, kNsPerSecond, 2 * kNsPerSecond, 4 * kNsPerSecond};
  struct stat status{};
  for (const std::int64_t step : kStepsNs) {
    const timespec time = to_timespec(std::max(now_ns(), after_ns + step));
    const timespec times[2] = {time, time};
    if (::futimens(fd, times) != 0 || ::fstat(fd, &status) != 0)
      return os_error(errno, fmt::format("writing {}", path));
    if (modified_ns(status) > after_ns) break;
  }
  if (modified_ns(status) <= after_ns) {
    return Error(ErrorKind::unsupported,
                 fmt::format("{}: this file system does not keep the times that it is given", path));
  }
  // All of fsync, not fdatasync: the etag must be the same after a crash.
  if (::fsync(fd) != 0) return os_error(errno, fmt::format("syncing {}", path));
  return status;
}

Result<FileDescriptor> lock_file(const std::string& path, int open_flags, LockMode mode) {
  CAIRN_ASSIGN(FileDescriptor fd, open_file(path, O_RDWR | open_flags, fmt::format("opening {}", path)));
  const int operation = (mode == LockMode::shared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  while (::flock(fd.get(), operation) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return os_error(errno, fmt::format("locking {}", path));
    if (std::chrono::steady_clock::now() > deadline) {
      return Error(ErrorKind::retry_later, fmt::format("{}: another process holds this lock", path));
    }
    std::this_thread::sleep_for(kLockPause);
  }
  return fd;
}

TemporaryFile::~TemporaryFile() {
  if (fd_.is_open() && !name_.empty()) (void)::unlinkat(folder_, name_.c_str(), 0);
}

Result<TemporaryFile> TemporaryFile::create(const Folder& folder, std::string_view path) {
  std::string name;
  int fd = -1;
  do {  // a forked process counts on from where its parent was
    name = folder.name_of(join_path(kTemporaryFolder, new_id().hex()));
    fd = ::openat(folder.at(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  } while (fd < 0 && (errno == EINTR || errno == EEXIST));
  if (fd < 0) return os_error(errno, fmt::format("writing {}", path));
  return TemporaryFile(folder.at(), FileDescriptor(fd), std::move(name));
}

Result<Folder> Folder::open(std::string path) {
  Folder folder(std::move(path));
  CAIRN_ASSIGN(folder.fd_, open_directory(folder.path_.c_str()));
  return folder;
}

int Folder::at() const { return fd_.is_open() ? fd_.get() : AT_FDCWD; }

std::string Folder::name_of(std::string_view file) const {
  return fd_.is_open() ? std::string(file) : join_path(path_, file);
}

Result<void> Folder::sync() const {
  return fd_.is_open() ? sync_directory(fd_, path_) : sync_directory_at(path_.c_str());
}

std::string file_name_of(std::string_view key) { return std::string(key.substr(key.rfind('/') + 1)); }

std::string ObjectFolders::path_of(std::string_view key) const { return join_path(root_, key); }

std::string ObjectFolders::folder_of(std::string_view key) const { return parent_directory(path_of(key)); }

std::string ObjectFolders::temporary_folder_of(std::string_view key) const {
  return join_path(folder_of(key), kTemporaryFolder);
}

Result<void> ObjectFolders::prepare(std::string_view key) {
  MutexLock lock(mutex_);
  if (ready_.contains(folder_of(key))) return {};
  if (auto made = make_folders(key); !made) return explain(key, made.error());
  const std::string temporary = temporary_folder_of(key);
  if (auto made = make_folder(temporary); !made) return explain(key, made.error());
  sweep_leftovers(temporary);
  ready_.insert(folder_of(key));
  return {};
}

// A folder that is there already may have been made just now by a process that died before it could sync the name:
// once in this store's life, every folder's name is synced.
Result<void> ObjectFolders::make_folders(std::string_view key) {
  if (!durable_.contains(root_)) {
    CAIRN_TRY(make_directories_durably(root_, 0700));
    (void)sync_directory_at(parent_directory(root_).c_str());  // which may be one that we must not read
    durable_.insert(root_);
  }
  for (std::size_t slash = key.find('/'); slash != std::string_view::npos; slash = key.find('/', slash + 1)) {
    std::string folder = path_of(key.substr(0, slash));
    if (durable_.contains(folder)) continue;
    CAIRN_TRY(make_folder(folder));
    CAIRN_TRY(sync_directory_at(parent_directory(folder).c_str()));
    durable_.insert(std::move(folder));
  }
  return {};
}

void ObjectFolders::forget() {
  MutexLock lock(mutex_);
  ready_.clear();
  durable_.clear();
}

Error ObjectFolders::explain(std::string_view key, const Error& error) const {
  const Error at_root = explain_absence(error.as(ErrorKind::not_found));
  if (at_root.kind() != ErrorKind::not_found) return at_root;
  struct stat status{};
  for (std::size_t slash = key.find('/'); slash != std::string_view::npos; slash = key.find('/', slash + 1)) {
    const std::string_view above = key.substr(0, slash);
    if (::stat(path_of(above).c_str(), &status) == 0 && !S_ISDIR(status.st_mode)) {
      return Error(ErrorKind::unsupported,
                   fmt::format("{}: a directory cannot hold it, because '{}' is an object", key, above));
    }
  }
  return error;
}

Error ObjectFolders::explain_absence(const Error& error) const {
  struct stat status{};
  if (error.kind() != ErrorKind::not_found || ::stat(root_.c_str(), &status) != 0 || S_ISDIR(status.st_mode))
    return error;
  return Error(ErrorKind::io, fmt::format("the store {} is a file, not a directory: give another path", root_));
}

Result<void> ObjectFolders::expect_none(std::string_view key) const {
  struct stat status{};
  if (::stat(path_of(key).c_str(), &status) != 0) return {};
  if (S_ISDIR(status.st_mode)) {
    return Error(ErrorKind::unsupported,
                 fmt::format("{}: a directory cannot hold it beside the objects below it", key));
  }
  // Whoever made the object may have died before its name was synced.
  CAIRN_TRY(sync_folder(key));
  return Error(ErrorKind::conflict, fmt::format("{}: the object exists already", key));
}

Result<ObjectFolders::Placed> ObjectFolders::place_new(std::string_view key, const std::string& from) const {
  const int error_number = link_without_replacing(from.c_str(), path_of(key).c_str());
  if (error_number == EXDEV) return Placed::other_file_system;
  CAIRN_TRY(expect_placed(key, error_number));
  if (auto synced = sync_folder(key); !synced) return synced.error().as(ErrorKind::maybe_done);
  return Placed::yes;
}

Result<void> ObjectFolders::place_new(std::string_view key, const Folder& folder, TemporaryFile& from) const {
  const std::string to = folder.name_of(file_name_of(key));
  const int error_number = move_without_replacing(folder.at(), from.name().c_str(), to.c_str());
  if (error_number == 0) from.has_moved();
  CAIRN_TRY(expect_placed(key, error_number));
  if (auto synced = folder.sync(); !synced) return synced.error().as(ErrorKind::maybe_done);
  return {};
}

Result<void> ObjectFolders::expect_placed(std::string_view key, int error_number) const {
  if (error_number == EEXIST) {
    CAIRN_TRY(expect_none(key));
    return Error(ErrorKind::conflict, fmt::format("{}: an object was there, and was removed meanwhile", key));
  }
  if (error_number != 0) return os_error(error_number, "writing " + path_of(key));
  return {};
}

Result<void> ObjectFolders::sync_folder(std::string_view key) const {
  return sync_directory_at(folder_of(key).c_str());
}

bool lies_on_this_machine(int fd) {
  static constexpr std::array<std::uint32_t, 8> kOwn{
      EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC, TMPFS_MAGIC,
      F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, kZfsMagic,         kBcachefsMagic};
  struct statfs status{};
  return ::fstatfs(fd, &status) == 0 &&
         std::ranges::find(kOwn, static_cast<std::uint32_t>(status.f_type)) != kOwn.end();
}

void sweep_leftovers(const std::string& temporary_folder) {
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(temporary_folder.c_str()), ::closedir);
  if (!directory) return;
  const std::int64_t oldest_ns = now_ns() - kLeftoverAge_ms * 1'000'000;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name.size() != 32) continue;  // a lock, "." or "..": temporary files are named by an id
    const std::string path = join_path(temporary_folder, name);
    struct stat status{};
    if (::lstat(path.c_str(), &status) == 0 && modified_ns(status) < oldest_ns) (void)::unlink(path.c_str());
  }
}

}  // namespace cairn
