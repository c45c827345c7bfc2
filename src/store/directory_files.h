// The durable steps of which the directory store is made: files that are written in secret and then appear whole.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "base/mutex.h"
#include "base/os.h"
#include "cairn/store.h"

namespace cairn {

inline constexpr std::string_view kTemporaryFolder = ".cairn-tmp";
inline constexpr std::string_view kUploadsFolder = ".cairn-uploads";
inline constexpr std::int64_t kLeftoverAge_ms = 24 * 3600 * 1000ll;

// An etag is the file's modification time in nanoseconds and its size: it survives a copy of the store that keeps
// times, a backup by hard links and a chmod, none of which changes the bytes. stamp_and_sync() makes it unique.
std::string etag_of(const struct stat& status);
ObjectInfo object_info(std::string_view key, const struct stat& status);
std::int64_t modified_ns(const struct stat& status);

// Opens a file, going on after signals. `what` is for the message ("opening /backup/a").
Result<FileDescriptor> open_file(const std::string& path, int flags, std::string_view what);
Result<struct stat> status_of(int fd, std::string_view path);

// Writes all of `body` to `fd` from `offset` on. The disk is set to work while the rest is still being written, so
// that the sync at the end finds little left to do. `path` is for messages.
Result<void> write_source(int fd, std::uint64_t offset, const Source& body, std::string_view path);
// The same from another file, without passing the bytes through this process where the system can.
Result<void> copy_range(int from, std::uint64_t from_offset, int to, std::uint64_t to_offset, std::uint64_t length,
                        std::string_view path);

// Gives the file a modification time of now, but later than `after_ns` whatever the clock says and however coarse the
// file system's times are; then syncs it. Returns what etag_of() takes.
Result<struct stat> stamp_and_sync(int fd, std::int64_t after_ns, std::string_view path);

// A lock between threads and processes (flock), let go of when the descriptor closes, and by the kernel when the
// process dies. retry_later: others held it for ten seconds. not_found: `flags` has no O_CREAT and it is not there.
enum class LockMode { shared, exclusive };
Result<FileDescriptor> lock_file(const std::string& path, int open_flags, LockMode mode);

// A folder that an object is being put into: whatever its path leads to at each step; or, opened, this very one,
// whatever comes to lie under its path meanwhile.
class Folder {
 public:
  explicit Folder(std::string path) : path_(std::move(path)) {}
  static Result<Folder> open(std::string path);

  // For the system's calls that take a descriptor of a folder and a name.
  int at() const;
  std::string name_of(std::string_view file) const;
  // The names in it survive a crash.
  Result<void> sync() const;

 private:
  std::string path_;
  FileDescriptor fd_;
};

// A file with a name of its own in a folder's temporary folder. Its name is gone when this object is, which the folder
// outlives; after a crash it stays behind, invisible, until a later put finds it to be older than a day.
class TemporaryFile {
 public:
  TemporaryFile(TemporaryFile&& other) noexcept = default;
  TemporaryFile& operator=(TemporaryFile&& other) = delete;
  ~TemporaryFile();

  // `path` is where it is to go, for the message.
  static Result<TemporaryFile> create(const Folder& folder, std::string_view path);

  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }  // at Folder::at()
  // It was given another name instead.
  void has_moved() { name_.clear(); }

 private:
  TemporaryFile(int folder, FileDescriptor fd, std::string name)
      : folder_(folder), fd_(std::move(fd)), name_(std::move(name)) {}

  int folder_;
  FileDescriptor fd_;
  std::string name_;
};

// In its folder.
std::string file_name_of(std::string_view key);

// The folders that objects go to, made when they are first needed.
class ObjectFolders {
 public:
  explicit ObjectFolders(std::string root) : root_(std::move(root)) {}

  const std::string& root() const { return root_; }
  std::string path_of(std::string_view key) const;
  std::string folder_of(std::string_view key) const;
  std::string temporary_folder_of(std::string_view key) const;

  // Runs `work`, which makes files in the key's folder, after seeing to it that the folder exists, that its name and
  // those above it survive a crash, and that it has a temporary folder. When the folder turns out to have been
  // removed by hand, it is made again, and `work` runs once more. io: the root is not a directory. unsupported: a
  // part of the key is an object itself. Never not_found.
  template <class Work>
  auto with_folder(std::string_view key, Work work) -> decltype(work()) {
    CAIRN_TRY(prepare(key));
    auto done = work();
    if (done || done.error().kind() != ErrorKind::not_found) return done;
    forget();
    CAIRN_TRY(prepare(key));
    done = work();
    return !done && done.error().kind() == ErrorKind::not_found ? done.error().as(ErrorKind::io) : std::move(done);
  }

  // Why a path was not there, where that is because the root is not a directory; else `error` itself.
  Error explain_absence(const Error& error) const;

  // conflict: the key exists; its name survives a crash, so that whoever is told so may build on it.
  Result<void> expect_none(std::string_view key) const;

  // Gives a synced file its name, and lets the name survive a crash. conflict: the key exists. maybe_done: the
  // object is there, but its name could not be synced.
  enum class Placed { yes, other_file_system };
  Result<Placed> place_new(std::string_view key, const std::string& from) const;
  // The same for a file that nobody needs under its temporary name, in the key's folder.
  Result<void> place_new(std::string_view key, const Folder& folder, TemporaryFile& from) const;
  Result<void> sync_folder(std::string_view key) const;

 private:
  // Of the errno that giving it its name has ended with.
  Result<void> expect_placed(std::string_view key, int error_number) const;
  Result<void> prepare(std::string_view key) EXCLUDES(mutex_);
  Result<void> make_folders(std::string_view key) REQUIRES(mutex_);
  void forget() EXCLUDES(mutex_);
  // Why a file could not be made, where the root or a folder of the key is not a directory; else `error` itself.
  Error explain(std::string_view key, const Error& error) const;

  std::string root_;
  Mutex mutex_;
  std::set<std::string, std::less<>> ready_ GUARDED_BY(mutex_);    // have a temporary folder
  std::set<std::string, std::less<>> durable_ GUARDED_BY(mutex_);  // their names are synced
};

// On one of the usual file systems of disks and memory. Nothing else is known of: a network's may carry out what it was
// asked for when who has asked is gone.
bool lies_on_this_machine(int fd);

// Removes what crashed processes left in a temporary folder more than a day ago, as far as that is possible.
void sweep_leftovers(const std::string& temporary_folder);

}  // namespace cairn
