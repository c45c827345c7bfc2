// The local disk behind a small interface, so that a simulation can put a disk under the code that loses what was
// not synced. Only what Cairn writes for itself goes through here (state, spool, restored files, the directory
// store); SQLite has its own file layer.
//
// Errors: not_found (ENOENT), conflict (EEXIST where creating), denied (EACCES, EPERM, EROFS), io (the rest; the
// message carries the path and what the system said).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn {

enum class OpenMode {
  read,        // must exist
  create_new,  // must not exist; read and write
  write,       // made when absent; read and write; not truncated
};

class File {
 public:
  virtual ~File() = default;
  // Fills `into`, or what there is before the end of the file; returns the number of bytes.
  virtual Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) const = 0;
  virtual Result<void> write_at(std::uint64_t offset, ByteView bytes) = 0;
  virtual Result<std::uint64_t> size() const = 0;
  virtual Result<void> truncate(std::uint64_t size_bytes) = 0;
  // Contents (and size) survive a crash once this returns.
  virtual Result<void> sync() = 0;
  // Asks the system to begin writing [offset, offset+length) to the disk: a hint that shortens a later sync().
  virtual void start_writeback(std::uint64_t offset, std::uint64_t length) = 0;
};

// A file mapped into memory, shared, readable and writable. Nothing is promised about what of it survives a crash.
class MappedFile {
 public:
  virtual ~MappedFile() = default;
  virtual std::span<std::byte> bytes() = 0;
  // Grows (with zeros) or shrinks it. Earlier spans become invalid.
  virtual Result<void> resize(std::uint64_t size_bytes) = 0;
};

struct FileInfo {
  std::uint64_t size_bytes = 0;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t modified_ms = 0;
  bool is_directory = false;
};

// Holds a lock on a file until destroyed; the kernel lets go of it when the process dies.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, int permissions = 0600) = 0;
  // Makes the file when absent, and gives it exactly this size (keeping what it held, zeros after that).
  virtual Result<std::unique_ptr<MappedFile>> map(const std::string& path, std::uint64_t size_bytes) = 0;
  virtual Result<FileInfo> info(const std::string& path) = 0;  // follows symbolic links
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;  // replaces
  // conflict: `to` exists. Where hard links are not to be had it moves, and `from` is gone afterwards.
  virtual Result<void> link_new(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;  // not there: success
  // The names of those newly made survive a crash. io: something in the way is not a directory.
  virtual Result<void> make_directories(const std::string& path, int permissions = 0700) = 0;
  virtual Result<void> sync_directory(const std::string& path) = 0;  // names in it survive a crash
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;  // names, sorted, no "." and ".."
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;  // busy: somebody else holds it
};

// The real one.
std::unique_ptr<FileSystem> make_real_file_system();

// Helpers on any file system.
// An empty file that nobody finds: its name is gone when this returns, its bytes when it is closed. Of one `path` only
// one thread may ask at a time.
Result<std::unique_ptr<File>> open_unnamed(FileSystem& fs, const std::string& path);
// Fills `into`; io: the file ends before that.
Result<void> read_whole(const File& file, std::uint64_t offset, std::span<std::byte> into);
Result<Bytes> read_file(FileSystem& fs, const std::string& path);
// Under its own name, not synced: who is killed meanwhile leaves a part of it, on an error nothing is left.
Result<void> write_file(FileSystem& fs, const std::string& path, ByteView bytes);
// Temporary file, sync, rename, sync of the folder: afterwards `path` holds all of `bytes`, or (on error) is as before.
Result<void> write_file_durably(FileSystem& fs, const std::string& path, ByteView bytes);

// What gives such a file to who does not know where it is to lie.
using OpenScratch = std::function<Result<std::unique_ptr<File>>()>;

// A Source over a file that somebody else keeps open, its first `size_bytes` bytes.
class FileSource final : public Source {
 public:
  FileSource(const File& file, std::uint64_t size_bytes) : file_(file), size_bytes_(size_bytes) {}
  std::uint64_t size_bytes() const override { return size_bytes_; }
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const override;

 private:
  const File& file_;
  std::uint64_t size_bytes_;
};

std::string parent_directory(std::string_view path);
std::string join_path(std::string_view directory, std::string_view name);

}  // namespace cairn
