// Order matters in commit(). A -wal that belongs to the old database must never lie beside the new file: SQLite would
// replay it. So it is renamed away, and that made durable, before the new file gets the name; were it the other way
// round, a crash in between would leave exactly the mixture. It is only renamed, not removed, so that a rename
// of the database that fails can be undone and the old database still has its WAL.

#include "restore/output.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "base/clock.h"
#include "restore/in_use.h"

namespace cairn::restore {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 3> kSiblings = {"-wal", "-shm", "-journal"};
constexpr std::string_view kAside = ".cairn-old";
constexpr std::string_view kTemporary = ".cairn-";
constexpr std::size_t kRandomDigits = 8;
constexpr int kPermissions = 0600;  // a database may hold anything: nobody else's business unless it was before
constexpr int kNameTries = 16;

std::string follow_links(const std::string& path) {
  std::error_code error;
  if (!fs::is_symlink(path, error)) return path;
  fs::path real = fs::weakly_canonical(path, error);
  return error ? path : real.string();
}

Result<bool> exists(FileSystem& files, const std::string& path) {
  auto info = files.info(path);
  if (info) return true;
  if (info.error().kind() == ErrorKind::not_found) return false;
  return info.error();
}

// A rename would put a file in the place of a device that a whole system relies on (/dev/null), and who opens a pipe to
// see what can be used of it waits for ever.
Result<void> expect_no_special_file(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)) return {};
  return Error(ErrorKind::invalid,
               fmt::format("{} is a device, a pipe or a socket: name a file to restore into", path));
}

std::string folder_of(const std::string& path) {
  std::string folder = parent_directory(path);
  return folder.empty() ? "." : folder;
}

}  // namespace

Result<std::unique_ptr<Output>> Output::prepare(const std::string& path, const RestoreOptions& options,
                                                FileSystem& files) {
  if (path.empty()) return Error(ErrorKind::invalid, "no file to restore into was given");
  const bool may_replace = options.overwrite == Overwrite::replace || options.base == Base::existing;
  std::unique_ptr<Output> output(new Output(follow_links(path), may_replace, files));
  auto info = files.info(output->path_);
  if (info && info->is_directory) {
    return Error(ErrorKind::invalid, fmt::format("{} is a folder: name the file to restore into", path));
  }
  CAIRN_TRY(expect_no_special_file(output->path_));
  if (info && !may_replace) return output->exists_already();
  if (!info && info.error().kind() != ErrorKind::not_found) return info.error();
  auto folder = files.info(folder_of(output->path_));
  if (!folder || !folder->is_directory) {
    if (!folder && folder.error().kind() != ErrorKind::not_found) return folder.error();
    return Error(ErrorKind::invalid, fmt::format("the folder {} does not exist: make it first",
                                                 folder_of(output->path_)));
  }
  CAIRN_TRY(refuse_if_in_use(output->path_));
  return output;
}

Output::~Output() { drop_temporary(); }

Error Output::exists_already() const {
  return Error(ErrorKind::conflict,
               fmt::format("{} exists already: add --overwrite to replace it, or --onto to replace it and fetch only "
                           "the pages that differ", path_));
}

void Output::drop_temporary() {
  file_.reset();
  // Best effort: the error that led here matters more than one from tidying up.
  if (!temporary_.empty()) (void)files_.remove(temporary_);
  temporary_.clear();
  lock_.reset();
}

Result<void> Output::begin(std::uint64_t size_bytes) {
  drop_temporary();
  remove_leftovers();
  CAIRN_TRY(open_temporary());
  CAIRN_TRY(file_->truncate(0));
  return file_->truncate(size_bytes);
}

Result<void> Output::open_temporary() {
  SystemRandom random;  // only for a name nobody else uses
  for (int i = 0; i < kNameTries; ++i) {
    std::string name = path_ + std::string(kTemporary) + random.id().hex().substr(0, kRandomDigits);
    auto lock = files_.lock(name);  // makes the file
    if (!lock && lock.error().kind() == ErrorKind::busy) continue;
    if (!lock) return lock.error();
    lock_ = std::move(*lock);
    temporary_ = std::move(name);
    CAIRN_ASSIGN(file_, files_.open(temporary_, OpenMode::write, kPermissions));
    return {};
  }
  return Error(ErrorKind::io, fmt::format("no free name for a temporary file beside {}", path_));
}

// A restore that was killed leaves its temporary file, as large as the database. A restore at work holds a lock on its
// own, so what can be locked is nobody's. Best effort: a leftover is in nobody's way.
void Output::remove_leftovers() {
  const std::string folder = folder_of(path_);
  const std::string prefix = fs::path(path_).filename().string() + std::string(kTemporary);
  auto names = files_.list(folder);
  if (!names) return;
  for (const std::string& name : *names) {
    const bool ours = name.size() == prefix.size() + kRandomDigits && name.starts_with(prefix) &&
                      name.find_first_not_of("0123456789abcdef", prefix.size()) == std::string::npos;
    if (!ours) continue;
    const std::string path = join_path(folder, name);
    if (auto lock = files_.lock(path)) (void)files_.remove(path);
  }
}

Result<std::unique_ptr<File>> Output::open_existing() {
  auto file = files_.open(path_, OpenMode::read);
  if (!file && file.error().kind() == ErrorKind::not_found) return std::unique_ptr<File>();
  return file;
}

// The program that opens the database may run as another user than the one who restores it: the new file belongs to
// whom the old one belonged to. Where the disk is not the real one (a simulation) there is nothing to adopt.
Result<void> Output::adopt_owner_and_mode() {
  struct stat old{};
  if (::stat(path_.c_str(), &old) != 0) return {};
  struct stat made{};
  if (::stat(temporary_.c_str(), &made) != 0) return {};
  if ((made.st_uid != old.st_uid || made.st_gid != old.st_gid) &&
      ::chown(temporary_.c_str(), old.st_uid, old.st_gid) != 0 && errno != EPERM) {
    return Error(ErrorKind::io, fmt::format("cannot give {} to the owner of {}: {}", temporary_, path_,
                                            std::strerror(errno)));
  }
  if (::chmod(temporary_.c_str(), old.st_mode & 07777) != 0) {
    return Error(ErrorKind::io, fmt::format("cannot give {} the permissions of {}: {}", temporary_, path_,
                                            std::strerror(errno)));
  }
  return {};
}

Result<void> Output::set_siblings_aside() {
  for (std::string_view suffix : kSiblings) {
    const std::string sibling = path_ + std::string(suffix);
    CAIRN_ASSIGN(const bool there, exists(files_, sibling));
    if (!there) continue;
    CAIRN_TRY(files_.rename(sibling, sibling + std::string(kAside)));
    aside_.push_back(sibling);
  }
  if (aside_.empty()) return {};
  return files_.sync_directory(folder_of(path_));
}

void Output::bring_siblings_back() {
  for (const std::string& sibling : aside_) (void)files_.rename(sibling + std::string(kAside), sibling);
  aside_.clear();
}

// A program has made the database in the very moment in which they were taken away: what is its own comes back, and
// what lay there before must not lie beside it.
void Output::part_siblings() {
  for (const std::string& sibling : aside_) {
    const std::string aside = sibling + std::string(kAside);
    const auto info = files_.info(aside);
    const auto stale = stale_.find(sibling);
    if (info && (stale == stale_.end() || stale->second != info->inode)) (void)files_.link_new(aside, sibling);
    (void)files_.remove(aside);
  }
  aside_.clear();
}

void Output::forget_siblings() {
  for (const std::string& sibling : aside_) (void)files_.remove(sibling + std::string(kAside));
  aside_.clear();
}

// A database that a program has made meanwhile keeps its place, and what lies beside it: nobody said to replace one.
Result<void> Output::take_place() {
  if (!may_replace_) {
    for (std::string_view suffix : kSiblings) {
      const std::string sibling = path_ + std::string(suffix);
      if (const auto info = files_.info(sibling)) stale_[sibling] = info->inode;
    }
    CAIRN_ASSIGN(const bool appeared, exists(files_, path_));
    if (appeared) return exists_already();
  }
  CAIRN_TRY(set_siblings_aside());
  if (may_replace_) return files_.rename(temporary_, path_);
  const Result<void> placed = files_.link_new(temporary_, path_);
  if (!placed && placed.error().kind() == ErrorKind::conflict) {
    part_siblings();
    return exists_already();
  }
  CAIRN_TRY(placed);
  (void)files_.remove(temporary_);  // its other name; what stays is removed by the next restore
  return {};
}

Result<void> Output::commit() {
  CAIRN_TRY(file_->sync());
  CAIRN_TRY(adopt_owner_and_mode());
  CAIRN_TRY(refuse_if_in_use(path_));  // again: fetching may have taken long
  const Result<void> replaced = take_place();
  if (!replaced) {
    bring_siblings_back();
    return replaced;
  }
  temporary_.clear();
  lock_.reset();
  // Only then: after a power loss before it the old database may be there again, and needs what lay beside it.
  CAIRN_TRY(files_.sync_directory(folder_of(path_)));
  forget_siblings();
  return {};
}

}  // namespace cairn::restore
