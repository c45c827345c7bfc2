#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/os.h"

namespace cairn {

namespace {

class RealFile final : public File {
 public:
  RealFile(FileDescriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    return read_some_at(fd_.get(), offset, into, path_);
  }
  Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
    return write_all_at(fd_.get(), offset, bytes, path_);
  }
  Result<std::uint64_t> size() const override {
    struct stat status{};
    if (::fstat(fd_.get(), &status) != 0) return os_error(errno, path_);
    return static_cast<std::uint64_t>(status.st_size);
  }
  // ext4 takes a file that was cut to nothing for one that is being replaced, even if it was empty before, and writes
  // it to the disk when it is closed.
  Result<void> truncate(std::uint64_t size_bytes) override {
    if (const auto now = size(); now && *now == size_bytes) return {};
    if (::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0) return os_error(errno, "truncating " + path_);
    return {};
  }
  // fdatasync is enough: it writes the size and the block map too where reading the data back needs them.
  Result<void> sync() override {
    if (::fdatasync(fd_.get()) != 0) return os_error(errno, "syncing " + path_);
    return {};
  }
  void start_writeback(std::uint64_t offset, std::uint64_t length) override {
    (void)::sync_file_range(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(length), SYNC_FILE_RANGE_WRITE);
  }

 private:
  FileDescriptor fd_;
  std::string path_;
};

class RealMappedFile final : public MappedFile {
 public:
  RealMappedFile(FileDescriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  ~RealMappedFile() override { unmap(); }
  RealMappedFile(const RealMappedFile&) = delete;
  RealMappedFile& operator=(const RealMappedFile&) = delete;

  std::span<std::byte> bytes() override { return {start_, size_bytes_}; }

  Result<void> resize(std::uint64_t size_bytes) override {
    if (start_ != nullptr && size_bytes == size_bytes_) return {};
    // In this order a failure leaves the old mapping as it was.
    if (size_bytes > size_bytes_ || start_ == nullptr) {
      if (::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0) return os_error(errno, "resizing " + path_);
      CAIRN_TRY(allocate(size_bytes));
    }
    void* start = nullptr;
    if (size_bytes > 0) {
      start = ::mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
      if (start == MAP_FAILED) return os_error(errno, "mapping " + path_);
    }
    const bool shrinks = size_bytes < size_bytes_;
    unmap();
    start_ = static_cast<std::byte*>(start);
    size_bytes_ = size_bytes;
    if (shrinks && ::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0) {
      return os_error(errno, "resizing " + path_);
    }
    return {};
  }

 private:
  // Writing to a hole of a mapped file ends the process (SIGBUS) when the disk is full; with its blocks allocated
  // beforehand, a full disk is an error here instead. Where the file system cannot allocate, the risk stays.
  Result<void> allocate(std::uint64_t size_bytes) {
    if (size_bytes == 0) return {};
    while (::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size_bytes)) != 0) {
      if (errno == EINTR) continue;
      if (errno == EOPNOTSUPP || errno == ENOSYS) break;
      return os_error(errno, "resizing " + path_);
    }
    return {};
  }
  void unmap() {
    if (start_ != nullptr) ::munmap(start_, size_bytes_);
    start_ = nullptr;
    size_bytes_ = 0;
  }

  FileDescriptor fd_;
  std::string path_;
  std::byte* start_ = nullptr;
  std::size_t size_bytes_ = 0;
};

class RealFileLock final : public FileLock {
 public:
  explicit RealFileLock(FileDescriptor fd) : fd_(std::move(fd)) {}

 private:
  FileDescriptor fd_;  // the kernel lets go of the lock with the last descriptor
};

int open_flags(OpenMode mode) {
  switch (mode) {
    case OpenMode::read: return O_RDONLY | O_CLOEXEC;
    case OpenMode::create_new: return O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    case OpenMode::write: break;
  }
  return O_RDWR | O_CREAT | O_CLOEXEC;
}

Result<FileDescriptor> open_descriptor(const std::string& path, int flags, int permissions) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags, static_cast<mode_t>(permissions));
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return os_error(errno, "opening " + path);
  return FileDescriptor(fd);
}

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

class RealFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, int permissions) override {
    CAIRN_ASSIGN(FileDescriptor fd, open_descriptor(path, open_flags(mode), permissions));
    return std::make_unique<RealFile>(std::move(fd), path);
  }

  Result<std::unique_ptr<MappedFile>> map(const std::string& path, std::uint64_t size_bytes) override {
    CAIRN_ASSIGN(FileDescriptor fd, open_descriptor(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    auto mapped = std::make_unique<RealMappedFile>(std::move(fd), path);
    CAIRN_TRY(mapped->resize(size_bytes));
    return mapped;
  }

  Result<FileInfo> info(const std::string& path) override {
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) return os_error(errno, path);
    FileInfo info;
    info.size_bytes = static_cast<std::uint64_t>(status.st_size);
    info.device = status.st_dev;
    info.inode = status.st_ino;
    info.modified_ms = std::int64_t{status.st_mtim.tv_sec} * 1000 + status.st_mtim.tv_nsec / 1000000;
    info.is_directory = S_ISDIR(status.st_mode);
    return info;
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return os_error(errno, fmt::format("renaming {} to {}", from, to));
    return {};
  }

  Result<void> link_new(const std::string& from, const std::string& to) override {
    const int error_number = link_without_replacing(from.c_str(), to.c_str());
    if (error_number != 0) return os_error(error_number, fmt::format("linking {} to {}", from, to));
    return {};
  }

  Result<void> remove(const std::string& path) override {
    if (::remove(path.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR) return os_error(errno, "removing " + path);
    return {};
  }

  Result<void> make_directories(const std::string& path, int permissions) override {
    return make_directories_durably(path, permissions);
  }

  Result<void> sync_directory(const std::string& path) override { return sync_directory_at(path.c_str()); }

  Result<std::vector<std::string>> list(const std::string& path) override {
    std::unique_ptr<DIR, DirectoryCloser> directory(::opendir(path.c_str()));
    if (!directory) return os_error(errno, "listing " + path);
    std::vector<std::string> names;
    for (;;) {
      errno = 0;
      const dirent* entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return os_error(errno, "listing " + path);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    CAIRN_ASSIGN(FileDescriptor fd, open_descriptor(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return Error(ErrorKind::busy, path + ": another process holds this lock");
      return os_error(errno, "locking " + path);
    }
    return std::make_unique<RealFileLock>(std::move(fd));
  }
};

}  // namespace

std::unique_ptr<FileSystem> make_real_file_system() { return std::make_unique<RealFileSystem>(); }

Result<std::unique_ptr<File>> open_unnamed(FileSystem& fs, const std::string& path) {
  CAIRN_ASSIGN(std::unique_ptr<File> file, fs.open(path, OpenMode::write));
  CAIRN_TRY(file->truncate(0));  // what a killed process left
  CAIRN_TRY(fs.remove(path));    // or the next one would be given this one
  return file;
}

Result<void> read_whole(const File& file, std::uint64_t offset, std::span<std::byte> into) {
  CAIRN_ASSIGN(const std::size_t got, file.read_at(offset, into));
  if (got != into.size()) {
    return Error(ErrorKind::io, "a file of cairn's got shorter while it was read: nothing else may write to it, and "
                                "the disk may be failing (the kernel's log says so)");
  }
  return {};
}

Result<Bytes> read_file(FileSystem& fs, const std::string& path) {
  CAIRN_ASSIGN(const std::unique_ptr<File> file, fs.open(path, OpenMode::read));
  CAIRN_ASSIGN(const std::uint64_t size_bytes, file->size());
  Bytes bytes(size_bytes);
  CAIRN_ASSIGN(const std::size_t got, file->read_at(0, bytes));
  bytes.resize(got);  // somebody may have cut it meanwhile
  return bytes;
}

Result<void> write_file(FileSystem& fs, const std::string& path, ByteView bytes) {
  CAIRN_ASSIGN(auto file, fs.open(path, OpenMode::write));
  auto written = file->truncate(0);
  if (written) written = file->write_at(0, bytes);
  if (!written) (void)fs.remove(path);
  return written;
}

Result<void> write_file_durably(FileSystem& fs, const std::string& path, ByteView bytes) {
  const std::string temporary = path + ".tmp";
  CAIRN_TRY(fs.remove(temporary));
  const auto write = [&]() -> Result<void> {
    CAIRN_ASSIGN(std::unique_ptr<File> file, fs.open(temporary, OpenMode::create_new));
    CAIRN_TRY(file->write_at(0, bytes));
    CAIRN_TRY(file->sync());
    return fs.rename(temporary, path);
  };
  if (auto written = write(); !written) {
    (void)fs.remove(temporary);
    return written.error();
  }
  return fs.sync_directory(parent_directory(path));
}

Result<void> FileSource::read_at(std::uint64_t offset, std::span<std::byte> into) const {
  if (offset > size_bytes_ || into.size() > size_bytes_ - offset) {
    return Error(ErrorKind::invalid, "a source was read past its end");
  }
  return read_whole(file_, offset, into);
}

std::string parent_directory(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  path = path.substr(0, slash);
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  return path.empty() ? "/" : std::string(path);
}

std::string join_path(std::string_view directory, std::string_view name) {
  std::string path;
  path.reserve(directory.size() + 1 + name.size());
  path.append(directory);
  if (!path.empty() && path.back() != '/') path.push_back('/');
  return path.append(name);
}

}  // namespace cairn
