// An upload is a folder, <root>/.cairn-uploads/<id>/:
//
//   upload       the key and the time it was begun; the folder appears (by rename) with this file in it
//   lock         held shared while a part is written, alone while the upload is completed or aborted
//   slot         the size of the first part that came: every part of that size has its place in `data`
//   data         part n at (n - 1) * slot
//   claim-00007  the slot of part 7 is taken, by whoever made this file
//   part-00007   what is known of part 7: etag, size, where it is, and the boot it was written in; made when it is
//   whole <random>     a part that has no slot: it is larger than a slot, or replaces another
//
// Parts of equal size, which is what uploads consist of but for the last, thus are written once: `data` already is
// the object, and completing is one sync and one link, however large it is. Anything else (a first part shorter than
// the others, parts replaced or left out) is assembled by copying, which the kernel does. The disk works while parts
// come (write_source), so that little is left for the sync.
//
// A slot is written by whoever made its claim, once: a part that comes again goes to a file of its own, and the
// record, replaced by rename, says which one counts. So a crash in the middle of a part never harms one that was
// acknowledged.
//
// Parts are not synced one by one. They outlive the process, as promised, but not the machine: after a power failure
// a record could be on the disk and its bytes not. Therefore a record counts only in the boot in which it was
// written; afterwards the part never came, and is sent again.
//
// Once linked, `data` is the object, and must not change any more. Before the lock is given away, the upload's folder
// is gone under its name; a process killed in between leaves `data` with two names, which is why nothing is written
// to it unless it has just one.

#include "store/directory_upload.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <tuple>
#include <utility>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/files.h"
#include "store/key.h"

namespace cairn {

namespace {

constexpr std::string_view kInSlot = "slot";
constexpr std::size_t kMaxRecordBytes = 4096;

bool is_upload_id(std::string_view text) {
  return text.size() == 32 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// The first bytes of a small file of ours, or why not.
Result<std::string> read_small_file(const std::string& path) {
  CAIRN_ASSIGN(const FileDescriptor fd, open_file(path, O_RDONLY, fmt::format("opening {}", path)));
  std::string text(kMaxRecordBytes, '\0');
  CAIRN_ASSIGN(const std::size_t got, read_some_at(fd.get(), 0, std::as_writable_bytes(std::span(text)), path));
  text.resize(got);
  return text;
}

enum class Durability { process, machine };

Result<void> write_small_file(const std::string& path, std::string_view text, Durability durability) {
  CAIRN_ASSIGN(const FileDescriptor fd, open_file(path, O_WRONLY | O_CREAT | O_EXCL, fmt::format("making {}", path)));
  CAIRN_TRY(write_all_at(fd.get(), 0, as_bytes(text), path));
  if (durability == Durability::machine && ::fsync(fd.get()) != 0)
    return os_error(errno, fmt::format("syncing {}", path));
  return {};
}

// A line of `text`, which is cut off; false: there is none that ends.
bool take_until(std::string_view& text, char end, std::string_view& field) {
  const std::size_t at = text.find(end);
  if (at == std::string_view::npos) return false;
  field = text.substr(0, at);
  text.remove_prefix(at + 1);
  return true;
}

template <class T>
bool parse_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// Names this start of the machine. Where it is not to be had, every look gives another one: then no part is believed
// to have come, and completing fails, instead of an object with holes.
std::string this_boot() {
  const std::string id = boot_id();
  return id.empty() ? SystemRandom().id().hex() : id;
}

Result<std::vector<std::string>> names_in(const std::string& path) {
  std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return os_error(errno, fmt::format("listing {}", path));
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return os_error(errno, fmt::format("listing {}", path));
  return names;
}

void remove_folder(const std::string& path) {
  if (auto names = names_in(path)) {
    for (const std::string& name : *names) (void)::unlink(join_path(path, name).c_str());
  }
  (void)::rmdir(path.c_str());
}

// What the file `upload` in an upload's folder says: the key, which may hold newlines, and in the last line the time.
Result<UploadInfo> read_info(const std::string& uploads_path, std::string_view upload_id) {
  const std::string path = join_path(join_path(uploads_path, upload_id), "upload");
  CAIRN_ASSIGN(const std::string text, read_small_file(path));
  const std::size_t line = text.size() < 2 ? std::string::npos : text.rfind('\n', text.size() - 2);
  UploadInfo info;
  info.upload_id = upload_id;
  const bool whole = line != std::string::npos && text.back() == '\n' &&
                     parse_number(std::string_view(text).substr(line + 1, text.size() - line - 2), info.begun_ms);
  info.key = whole ? text.substr(0, line) : "";
  if (!is_key(info.key)) return Error(ErrorKind::corrupt, fmt::format("{} is damaged", path));
  return info;
}

// Folders of uploads that a crash caught while they were being made or removed, or damaged.
void sweep_uploads(const std::string& uploads_path) {
  const auto names = names_in(uploads_path);
  if (!names) return;
  for (const std::string& name : *names) {
    const std::string path = join_path(uploads_path, name);
    struct stat status{};
    if (is_upload_id(name)) {
      const auto info = read_info(uploads_path, name);
      if (info || info.error().kind() != ErrorKind::corrupt) continue;
    }
    if (::lstat(path.c_str(), &status) != 0) continue;
    if (modified_ns(status) / 1'000'000 < SystemClock().now().wall_ms - kLeftoverAge_ms) remove_folder(path);
  }
}

}  // namespace

struct DirectoryUploads::Upload {
  std::string key;
  std::string path;
  FileDescriptor lock;
  FileDescriptor data;
  std::string boot;

  std::string file(std::string_view name) const { return join_path(path, name); }
  std::string claim(int number) const { return file(fmt::format("claim-{:05}", number)); }
  std::string record(int number) const { return file(fmt::format("part-{:05}", number)); }

  // not_found: `data` is an object already, and must not change.
  Result<void> expect_unfinished() const {
    if (!data.is_open()) return no_upload(key);
    CAIRN_ASSIGN(const struct stat status, status_of(data.get(), key));
    if (status.st_nlink != 1) return no_upload(key);
    return {};
  }

  // The size of a slot; 0: no part that could tell has come.
  Result<std::uint64_t> slot_bytes() const {
    auto text = read_small_file(file("slot"));
    if (!text && text.error().kind() == ErrorKind::not_found) return std::uint64_t{0};
    if (!text) return text.error();
    std::uint64_t size_bytes = 0;
    if (parse_number(*text, size_bytes)) return size_bytes;
    return Error(ErrorKind::corrupt, fmt::format("{} is damaged: abort this upload and begin again", file("slot")));
  }

  // The same, and the first part to ask decides.
  Result<std::uint64_t> settle_slot_bytes(std::uint64_t part_bytes) const {
    CAIRN_ASSIGN(const std::uint64_t settled, slot_bytes());
    if (settled != 0 || part_bytes == 0) return settled;
    const std::string temporary = file(SystemRandom().id().hex());
    CAIRN_TRY(write_small_file(temporary, fmt::format("{}", part_bytes), Durability::process));
    const int error_number = link_without_replacing(temporary.c_str(), file("slot").c_str());
    (void)::unlink(temporary.c_str());
    if (error_number != 0 && error_number != EEXIST) return os_error(error_number, "making " + file("slot"));
    return slot_bytes();
  }
};

struct DirectoryUploads::Part {
  PartInfo info;
  std::string place;  // kInSlot, or the name of its own file

  bool in_slot() const { return place == kInSlot; }
  std::string text(std::string_view boot) const {
    return fmt::format("{} {} {} {}\n", info.etag, info.size_bytes, place, boot);
  }
};

std::string DirectoryUploads::uploads_path() const { return join_path(folders_.root(), kUploadsFolder); }

Result<std::string> DirectoryUploads::begin(std::string_view key) {
  CAIRN_TRY(check_key(key));
  if (auto made = make_directories_durably(uploads_path(), 0700); !made) {
    const Error at_root = folders_.explain_absence(made.error().as(ErrorKind::not_found));
    return at_root.kind() == ErrorKind::not_found ? made.error() : at_root;
  }
  sweep_uploads(uploads_path());
  std::string id = SystemRandom().id().hex();
  const std::string path = join_path(uploads_path(), id);
  const std::string unfinished = path + ".new";
  const auto make = [&]() -> Result<void> {
    if (::mkdir(unfinished.c_str(), 0700) != 0) return os_error(errno, "making " + unfinished);
    const std::string text = fmt::format("{}\n{}\n", key, SystemClock().now().wall_ms);
    CAIRN_TRY(write_small_file(join_path(unfinished, "upload"), text, Durability::machine));
    CAIRN_TRY(write_small_file(join_path(unfinished, "lock"), "", Durability::process));
    CAIRN_TRY(write_small_file(join_path(unfinished, "data"), "", Durability::process));
    if (::rename(unfinished.c_str(), path.c_str()) != 0) return os_error(errno, "making " + path);
    return {};
  };
  if (auto made = make(); !made) {
    remove_folder(unfinished);
    return made.error();
  }
  return id;
}

// not_found: no such upload, or not of this key, or it became an object while we waited for the lock. Without `data`
// it became one by being moved there (no hard links), and its process died before the rest was removed.
Result<DirectoryUploads::Upload> DirectoryUploads::open(std::string_view key, std::string_view upload_id,
                                                        LockMode mode, Naming naming) const {
  CAIRN_TRY(check_key(key));
  if (!is_upload_id(upload_id)) return no_upload(key);
  const auto info = read_info(uploads_path(), upload_id);
  if (!info)
    return info.error().kind() == ErrorKind::not_found ? folders_.explain_absence(no_upload(key)) : info.error();
  if (naming == Naming::as_begun && info->key != key) return no_upload(key);

  Upload upload{std::string(key), join_path(uploads_path(), upload_id), {}, {}, this_boot()};
  auto lock = lock_file(upload.file("lock"), 0, mode);
  if (!lock) return lock.error().kind() == ErrorKind::not_found ? no_upload(key) : lock.error();
  upload.lock = std::move(*lock);
  // The folder is renamed before it is removed: under its name there is now either this upload, or none.
  if (::access(upload.file("upload").c_str(), F_OK) != 0) return no_upload(key);
  auto data = open_file(upload.file("data"), O_RDWR, "opening " + upload.file("data"));
  if (!data && data.error().kind() != ErrorKind::not_found) return data.error();
  if (data) upload.data = std::move(*data);
  return upload;
}

Result<PartInfo> DirectoryUploads::put(std::string_view key, std::string_view upload_id, int number,
                                       const Source& body) {
  return write_part(
      key, upload_id, number, body.size_bytes(),
      [&](int fd, std::uint64_t offset, const std::string& path) { return write_source(fd, offset, body, path); });
}

Result<PartInfo> DirectoryUploads::copy(std::string_view key, std::string_view upload_id, int number, int from,
                                        const ByteRange& range) {
  return write_part(key, upload_id, number, range.length, [&](int fd, std::uint64_t offset, const std::string& path) {
    return copy_range(from, range.offset, fd, offset, range.length, path);
  });
}

Result<PartInfo> DirectoryUploads::write_part(std::string_view key, std::string_view upload_id, int number,
                                              std::uint64_t size_bytes, const WriteAt& write) {
  CAIRN_TRY(check_part_number(number));
  CAIRN_ASSIGN(const Upload upload, open(key, upload_id, LockMode::shared));
  CAIRN_TRY(upload.expect_unfinished());

  const std::string label = fmt::format("part {} of {}", number, folders_.path_of(key));
  Part part{PartInfo{number, SystemRandom().id().hex(), size_bytes}, std::string(kInSlot)};
  CAIRN_ASSIGN(const std::uint64_t slot_bytes, upload.settle_slot_bytes(size_bytes));
  const bool fits = size_bytes > 0 && size_bytes <= slot_bytes;
  if (fits && write_small_file(upload.claim(number), "", Durability::process)) {
    CAIRN_TRY(write(upload.data.get(), static_cast<std::uint64_t>(number - 1) * slot_bytes, label));
  } else {
    part.place = part.info.etag;
    CAIRN_ASSIGN(const FileDescriptor own,
                 open_file(upload.file(part.place), O_RDWR | O_CREAT | O_EXCL, "writing " + label));
    if (auto written = write(own.get(), 0, label); !written) {
      (void)::unlink(upload.file(part.place).c_str());  // the disk may be full of it
      return written.error();
    }
  }

  const std::string temporary = upload.file(part.info.etag + ".record");
  CAIRN_TRY(write_small_file(temporary, part.text(upload.boot), Durability::process));
  if (::rename(temporary.c_str(), upload.record(number).c_str()) != 0) return os_error(errno, "writing " + label);
  return part.info;
}

// Nothing: the part has not come, or before the machine was started last.
Result<std::optional<DirectoryUploads::Part>> DirectoryUploads::read_part(const Upload& upload, int number) const {
  const auto text = read_small_file(upload.record(number));
  if (!text && text.error().kind() != ErrorKind::not_found) return text.error();
  if (!text) return std::optional<Part>();
  std::string_view rest = *text, etag, size, place, boot;
  Part part;
  const bool whole = take_until(rest, ' ', etag) && take_until(rest, ' ', size) && take_until(rest, ' ', place) &&
                     take_until(rest, '\n', boot) && parse_number(size, part.info.size_bytes);
  if (!whole || boot != upload.boot || (place != kInSlot && !is_upload_id(place))) return std::optional<Part>();
  part.info.number = number;
  part.info.etag = etag;
  part.place = place;
  return std::optional<Part>(std::move(part));
}

Result<std::vector<PartInfo>> DirectoryUploads::parts(std::string_view key, std::string_view upload_id) {
  CAIRN_ASSIGN(const Upload upload, open(key, upload_id, LockMode::shared));
  CAIRN_ASSIGN(const std::vector<std::string> names, names_in(upload.path));
  std::vector<PartInfo> parts;
  for (const std::string& name : names) {
    int number = 0;
    if (!name.starts_with("part-") || !parse_number(std::string_view(name).substr(5), number)) continue;
    CAIRN_ASSIGN(const std::optional<Part> part, read_part(upload, number));
    if (part) parts.push_back(part->info);
  }
  std::sort(parts.begin(), parts.end(), [](const PartInfo& a, const PartInfo& b) { return a.number < b.number; });
  return parts;
}

Result<std::vector<DirectoryUploads::Part>> DirectoryUploads::read_wanted(const Upload& upload,
                                                                          std::span<const PartInfo> wanted) const {
  CAIRN_TRY(check_parts_order(upload.key, wanted));
  std::vector<Part> parts;
  for (const PartInfo& want : wanted) {
    CAIRN_ASSIGN(std::optional<Part> part, read_part(upload, want.number));
    if (!part || part->info.etag != want.etag) {
      return Error(ErrorKind::invalid,
                   fmt::format("{}: part {} is missing, or another one", upload.key, want.number));
    }
    parts.push_back(std::move(*part));
  }
  return parts;
}

Result<std::string> DirectoryUploads::complete(std::string_view key, std::string_view upload_id,
                                               std::span<const PartInfo> wanted) {
  CAIRN_ASSIGN(const Upload upload, open(key, upload_id, LockMode::exclusive, Naming::late));
  CAIRN_ASSIGN(const std::vector<Part> parts, read_wanted(upload, wanted));
  CAIRN_ASSIGN(std::string etag, folders_.with_folder(key, [&] { return place(upload, parts); }));
  discard(upload);
  return etag;
}

// `data` itself becomes the object where it consists of just these parts, and nothing else.
Result<std::string> DirectoryUploads::place(const Upload& upload, std::span<const Part> parts) {
  CAIRN_TRY(folders_.expect_none(upload.key));
  if (!upload.data.is_open())
    return Error(ErrorKind::io, fmt::format("{}: its upload was completed, and removed", upload.key));
  CAIRN_ASSIGN(const struct stat status, status_of(upload.data.get(), upload.key));
  CAIRN_ASSIGN(const std::uint64_t slot_bytes, upload.slot_bytes());
  std::uint64_t end = 0;
  bool dense = status.st_nlink == 1;
  for (const Part& part : parts) {
    dense = dense && part.in_slot() && end == static_cast<std::uint64_t>(part.info.number - 1) * slot_bytes;
    end += part.info.size_bytes;
  }
  if (!dense || end != static_cast<std::uint64_t>(status.st_size)) return place_assembled(upload, parts);

  CAIRN_ASSIGN(const struct stat stamped, stamp_and_sync(upload.data.get(), 0, folders_.path_of(upload.key)));
  CAIRN_ASSIGN(const auto placed, folders_.place_new(upload.key, upload.file("data")));
  if (placed == ObjectFolders::Placed::other_file_system) return place_assembled(upload, parts);
  return etag_of(stamped);
}

Result<std::string> DirectoryUploads::place_assembled(const Upload& upload, std::span<const Part> parts) {
  const std::string path = folders_.path_of(upload.key);
  CAIRN_ASSIGN(const std::uint64_t slot_bytes, upload.slot_bytes());
  const Folder folder(folders_.folder_of(upload.key));
  CAIRN_ASSIGN(TemporaryFile whole, TemporaryFile::create(folder, path));
  std::uint64_t end = 0;
  for (const Part& part : parts) {
    if (part.in_slot()) {
      const std::uint64_t from_offset = static_cast<std::uint64_t>(part.info.number - 1) * slot_bytes;
      CAIRN_TRY(copy_range(upload.data.get(), from_offset, whole.fd(), end, part.info.size_bytes, path));
    } else {
      const std::string own_path = upload.file(part.place);
      CAIRN_ASSIGN(const FileDescriptor own, open_file(own_path, O_RDONLY, "opening " + own_path));
      CAIRN_TRY(copy_range(own.get(), 0, whole.fd(), end, part.info.size_bytes, path));
    }
    end += part.info.size_bytes;
  }
  CAIRN_ASSIGN(const struct stat stamped, stamp_and_sync(whole.fd(), 0, path));
  CAIRN_TRY(folders_.place_new(upload.key, folder, whole));
  return etag_of(stamped);
}

// The upload's name goes first, while the lock is held: nobody can find it half removed.
void DirectoryUploads::discard(const Upload& upload) const {
  const std::string dead = upload.path + ".dead";
  if (::rename(upload.path.c_str(), dead.c_str()) == 0) remove_folder(dead);
}

Result<void> DirectoryUploads::abort(std::string_view key, std::string_view upload_id) {
  const auto upload = open(key, upload_id, LockMode::exclusive);
  if (!upload) return upload.error().kind() == ErrorKind::not_found ? Result<void>{} : upload.error();
  discard(*upload);
  if (::access(upload->path.c_str(), F_OK) == 0)
    return Error(ErrorKind::io, fmt::format("removing {} failed", upload->path));
  return {};
}

Result<std::vector<UploadInfo>> DirectoryUploads::list(std::string_view prefix) {
  CAIRN_TRY(check_prefix(prefix));
  auto names = names_in(uploads_path());
  if (!names) {
    const Error error = folders_.explain_absence(names.error());
    if (error.kind() == ErrorKind::not_found) return std::vector<UploadInfo>();
    return error;
  }
  std::vector<UploadInfo> uploads;
  for (const std::string& name : *names) {
    if (!is_upload_id(name)) continue;
    auto info = read_info(uploads_path(), name);
    // Finished meanwhile, or damaged: then nobody can go on with it, and it is swept one day.
    if (!info && (info.error().kind() == ErrorKind::not_found || info.error().kind() == ErrorKind::corrupt)) continue;
    if (!info) return info.error();
    if (info->key.starts_with(prefix)) uploads.push_back(std::move(*info));
  }
  std::sort(uploads.begin(), uploads.end(), [](const UploadInfo& a, const UploadInfo& b) {
    return std::tie(a.key, a.upload_id) < std::tie(b.key, b.upload_id);
  });
  return uploads;
}

}  // namespace cairn
