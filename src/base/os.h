// What every module that speaks to the operating system shares: errno as an Error, and descriptors with an owner.
// Private to Cairn's own sources; not a contract of the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn {

// "what: what the system said", with the kind that files.h promises for this errno. A full disk and a read-only one
// are said in plain words.
Error os_error(int error_number, std::string_view what);

// Owns a file descriptor; -1: none.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~FileDescriptor() { close(); }

  bool is_open() const { return fd_ >= 0; }
  int get() const { return fd_; }
  void close();

 private:
  int fd_ = -1;
};

// pread and pwrite that go on after signals and short transfers. `path` is for the message only.
Result<std::size_t> read_some_at(int fd, std::uint64_t offset, std::span<std::byte> into, std::string_view path);
Result<void> write_all_at(int fd, std::uint64_t offset, ByteView bytes, std::string_view path);

// Makes `to` another name of the file `from`, without replacing anything; returns 0 or an errno, as EEXIST or EXDEV.
// Where hard links are not to be had (FAT, some network and FUSE file systems) it moves the file: `from` is gone
// then.
int link_without_replacing(const char* from, const char* to);

// The same by a rename where the file system can do that: one change of its instead of two. `from` is gone then
// (where it cannot be removed, a second name of the file stays). Both are names below `folder`, an
// open directory or AT_FDCWD.
int move_without_replacing(int folder, const char* from, const char* to);

// From here on the calling thread runs when others leave it a processor. Where that cannot be had, nothing changes.
void lower_priority_of_this_thread();

// Makes a directory and those above it that are missing, and lets the names of the new ones survive a crash.
// io: something in the way is not a directory.
Result<void> make_directories_durably(std::string_view path, int permissions);

// Which run of the machine's kernel this is: 32 hexadecimal digits; "": it does not say.
std::string boot_id();

// As many descriptors as this process may have, it may have from now on.
void raise_descriptor_limit();

Result<FileDescriptor> open_directory(const char* path);
// The names in a directory survive a crash.
Result<void> sync_directory(const FileDescriptor& directory, std::string_view path);
Result<void> sync_directory_at(const char* path);

}  // namespace cairn
