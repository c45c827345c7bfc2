// How an object becomes visible whole, or not at all:
//
//   put_new  a file in <folder>/.cairn-tmp/ is written and synced; it is renamed to its name, which fails when that is
//            taken (renameat2; where the file system cannot, link() and unlink()); the folder is synced.
//   put_if   the same, but under a lock on <folder>/.cairn-tmp/lock the etag is compared once more and rename()
//            replaces the old file. Readers that have the old one open go on reading it.
//
// The temporary folder lies in the folder of the object and not at the root, so that both are on one file system even
// when folders of the store are mounts, symbolic links to other disks, or quota projects. Reading calls make nothing.
//
// A removal is not synced: an object that comes back after a crash is removed again by who wanted it gone. It takes
// the lock, so that it never falls between the comparison and the replacement of a put_if.

#include "store/directory_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "base/files.h"
#include "store/directory_files.h"
#include "store/directory_list.h"
#include "store/directory_upload.h"
#include "store/file_url.h"
#include "store/key.h"
#include "store/range.h"

namespace cairn {

namespace {

constexpr std::uint64_t kLittle_bytes = 1 << 20;

class DirectoryStore final : public Store {
 public:
  DirectoryStore(std::string root, StoreUse use) : use_(use), folders_(std::move(root)), uploads_(folders_) {}

  std::string url() const override { return file_url(folders_.root()); }

  StoreCapabilities capabilities() const override {
    StoreCapabilities can;
    can.max_put_bytes = std::numeric_limits<std::int64_t>::max();
    can.min_part_bytes = 0;
    can.late_names = true;
    can.max_parts = kMaxPartNumber;
    can.looking_is_free = true;
    can.puts_on_this_machine = own_device_ != 0;
    return can;
  }

  Result<std::string> put_new(std::string_view key, const Source& body) override {
    CAIRN_TRY(check_key(key));
    const auto put = folders_.with_folder(key, [&] { return write_new(key, body, Folder(folders_.folder_of(key))); });
    return put ? Result<std::string>(etag_of(*put)) : put.error();
  }

  // No folder is made: where the other object is, there is one. It is this very one from the look at that object to the
  // new one's name; if it is not under its path any more, then what is there may not have the new object.
  Result<std::string> put_new_beside(std::string_view key, const Source& body, const Beside& beside) override {
    CAIRN_TRY(check_key(key));
    CAIRN_TRY(check_key(beside.key));
    std::string path = folders_.folder_of(key);
    if (folders_.folder_of(beside.key) != path) return no_object(beside.key);
    CAIRN_ASSIGN(const Folder folder, Folder::open(std::move(path)));
    struct stat status{};
    if (::fstatat(folder.at(), file_name_of(beside.key).c_str(), &status, 0) != 0)
      return absent(beside.key, os_error(errno, folders_.path_of(beside.key)));
    if (!S_ISREG(status.st_mode) || etag_of(status) != beside.etag) return no_object(beside.key);
    CAIRN_ASSIGN(const struct stat put, write_new(key, body, folder));
    if (is_in_place(key, put)) return etag_of(put);
    return Error(ErrorKind::maybe_done, fmt::format("{}: its folder has been moved, or mounted over, meanwhile", key));
  }

  Result<std::string> put_if(std::string_view key, const Source& body, std::string_view etag) override {
    CAIRN_TRY(check_key(key));
    CAIRN_ASSIGN(const struct stat before, expect_etag(key, etag));
    return folders_.with_folder(key, [&] { return replace(key, body, etag, modified_ns(before)); });
  }

  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    CAIRN_ASSIGN(const OpenObject object, open(key));
    CAIRN_ASSIGN(const ByteRange range, cut_range(key, object.info.size_bytes, offset, length));
    return read(object, range);
  }

  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override {
    CAIRN_ASSIGN(const OpenObject object, open(key));
    CAIRN_ASSIGN(const ByteRange range, cut_suffix(key, object.info.size_bytes, length));
    return read(object, range);
  }

  // Who publishes will act on it, and whoever made the object may have died before its name was synced. (A folder that
  // cannot be synced, being read-only or another's, is one that nobody writes to from here.)
  Result<ObjectInfo> head(std::string_view key) override {
    auto info = look(key);
    if (!info || use_ == StoreUse::reading) return info;
    const auto synced = folders_.sync_folder(key);
    if (!synced && synced.error().kind() != ErrorKind::denied) return synced.error();
    return info;
  }

  Result<ObjectInfo> look(std::string_view key) override {
    CAIRN_TRY(check_key(key));
    struct stat status{};
    if (::stat(folders_.path_of(key).c_str(), &status) != 0)
      return absent(key, os_error(errno, folders_.path_of(key)));
    if (!S_ISREG(status.st_mode)) return no_object(key);
    return object_info(key, status);
  }

  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    return list_directory(folders_.root(), prefix, start_after, limit, use_);
  }

  Result<void> remove(std::string_view key) override {
    auto there = look(key);
    if (!there) return there.error().kind() == ErrorKind::not_found ? Result<void>{} : there.error();
    auto lock = lock_folder(key);
    if (!lock) return lock.error().kind() == ErrorKind::not_found ? Result<void>{} : lock.error();
    const std::string path = folders_.path_of(key);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return os_error(errno, "removing " + path);
    return {};
  }

  Result<std::string> begin_upload(std::string_view key) override { return uploads_.begin(key); }

  Result<PartInfo> put_part(std::string_view key, std::string_view upload_id, int number,
                            const Source& body) override {
    return uploads_.put(key, upload_id, number, body);
  }

  Result<PartInfo> copy_part(std::string_view key, std::string_view upload_id, int number,
                             std::string_view source_key, std::uint64_t offset, std::uint64_t length) override {
    CAIRN_ASSIGN(const OpenObject source, open(source_key));
    CAIRN_TRY(check_copied_range(source_key, source.info.size_bytes, offset, length));
    return uploads_.copy(key, upload_id, number, source.fd.get(), ByteRange{offset, length});
  }

  Result<std::vector<PartInfo>> list_parts(std::string_view key, std::string_view upload_id) override {
    return uploads_.parts(key, upload_id);
  }

  Result<std::string> complete_new(std::string_view key, std::string_view upload_id,
                                   std::span<const PartInfo> parts) override {
    return uploads_.complete(key, upload_id, parts);
  }

  Result<void> abort_upload(std::string_view key, std::string_view upload_id) override {
    return uploads_.abort(key, upload_id);
  }

  Result<std::vector<UploadInfo>> list_uploads(std::string_view prefix) override { return uploads_.list(prefix); }

 private:
  struct OpenObject {
    FileDescriptor fd;
    ObjectInfo info;
  };

  static Error no_object(std::string_view key) {
    return Error(ErrorKind::not_found, fmt::format("{}: there is no such object", key));
  }

  // Only what is really not there is not_found.
  Error absent(std::string_view key, const Error& error) const {
    return error.kind() == ErrorKind::not_found ? folders_.explain_absence(no_object(key)) : error;
  }

  // O_NONBLOCK: a FIFO that somebody put there must not stop us; regular files do not know it.
  Result<OpenObject> open(std::string_view key) const {
    CAIRN_TRY(check_key(key));
    const std::string path = folders_.path_of(key);
    auto fd = open_file(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, fmt::format("opening {}", path));
    if (!fd) return absent(key, fd.error());
    CAIRN_ASSIGN(const struct stat status, status_of(fd->get(), path));
    if (!S_ISREG(status.st_mode)) return no_object(key);
    return OpenObject{std::move(*fd), object_info(key, status)};
  }

  static Result<Object> read(const OpenObject& object, const ByteRange& range) {
    Object result{object.info, Bytes(range.length)};
    CAIRN_ASSIGN(const std::size_t got, read_some_at(object.fd.get(), range.offset, result.bytes, object.info.key));
    if (got == range.length) return result;
    return Error(ErrorKind::corrupt, fmt::format("{}: the file got shorter while it was read", object.info.key));
  }

  // The file that is this object now is the one that was put.
  bool is_in_place(std::string_view key, const struct stat& put) const {
    struct stat there{};
    return ::stat(folders_.path_of(key).c_str(), &there) == 0 && there.st_dev == put.st_dev &&
           there.st_ino == put.st_ino;
  }

  // Only the number of a real device is another one's never: all others are given anew.
  void note_device(int fd, dev_t device) {
    if (device == own_device_ && major(device) != 0) return;
    own_device_ = lies_on_this_machine(fd) ? device : 0;
  }

  Result<struct stat> write_new(std::string_view key, const Source& body, const Folder& folder) {
    // place_new decides; this spares the writing, where that is much.
    if (body.size_bytes() > kLittle_bytes) CAIRN_TRY(folders_.expect_none(key));
    const std::string path = folders_.path_of(key);
    CAIRN_ASSIGN(TemporaryFile temporary, TemporaryFile::create(folder, path));
    CAIRN_ASSIGN(const struct stat status, write(temporary, path, body, 0));
    note_device(temporary.fd(), status.st_dev);
    CAIRN_TRY(folders_.place_new(key, folder, temporary));
    return status;
  }

  Result<std::string> replace(std::string_view key, const Source& body, std::string_view etag,
                              std::int64_t after_ns) {
    const std::string path = folders_.path_of(key);
    const Folder folder(folders_.folder_of(key));
    CAIRN_ASSIGN(const TemporaryFile temporary, TemporaryFile::create(folder, path));
    CAIRN_ASSIGN(const struct stat status, write(temporary, path, body, after_ns));
    CAIRN_ASSIGN(const FileDescriptor lock, lock_folder(key));
    CAIRN_TRY(expect_etag(key, etag));
    if (::rename(temporary.name().c_str(), path.c_str()) != 0) return os_error(errno, "replacing " + path);
    if (auto synced = folder.sync(); !synced) return synced.error().as(ErrorKind::maybe_done);
    return etag_of(status);
  }

  static Result<struct stat> write(const TemporaryFile& temporary, std::string_view path, const Source& body,
                                   std::int64_t after_ns) {
    CAIRN_TRY(write_source(temporary.fd(), 0, body, path));
    return stamp_and_sync(temporary.fd(), after_ns, path);
  }

  Result<struct stat> expect_etag(std::string_view key, std::string_view etag) const {
    const std::string path = folders_.path_of(key);
    struct stat status{};
    if (::stat(path.c_str(), &status) != 0) {
      const Error error = absent(key, os_error(errno, path));
      if (error.kind() != ErrorKind::not_found) return error;
      return Error(ErrorKind::conflict, fmt::format("{}: the object is gone", key));
    }
    if (etag_of(status) == etag) return status;
    return Error(ErrorKind::conflict, fmt::format("{}: the object was replaced meanwhile", key));
  }

  Result<FileDescriptor> lock_folder(std::string_view key) {
    const std::string path = join_path(folders_.temporary_folder_of(key), "lock");
    auto lock = lock_file(path, O_CREAT, LockMode::exclusive);
    if (lock || lock.error().kind() != ErrorKind::not_found) return lock;
    // The folder came here without its temporary folder (it was copied by hand).
    if (::mkdir(folders_.temporary_folder_of(key).c_str(), 0700) != 0 && errno != EEXIST)
      return os_error(errno, "making " + path);
    return lock_file(path, O_CREAT, LockMode::exclusive);
  }

  const StoreUse use_;
  std::atomic<dev_t> own_device_ = 0;  // that was put to last, if it lies on this machine
  ObjectFolders folders_;
  DirectoryUploads uploads_;
};

}  // namespace

Result<std::unique_ptr<Store>> make_directory_store(std::string_view path, StoreUse use) {
  if (path.empty()) return Error(ErrorKind::invalid, "the path of a store is empty");
  if (path.find('\0') != std::string_view::npos)
    return Error(ErrorKind::invalid, "the path of a store has a NUL byte");
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(std::filesystem::path(path), error);
  if (error) return Error(ErrorKind::io, fmt::format("{}: {}", path, error.message()));
  // "." and doubled slashes go; ".." stays, because what it means depends on symbolic links.
  std::filesystem::path root;
  for (const std::filesystem::path& name : absolute) {
    if (!name.empty() && name != ".") root /= name;
  }
  return std::make_unique<DirectoryStore>(root.string(), use);
}

}  // namespace cairn
