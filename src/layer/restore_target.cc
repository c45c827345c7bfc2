#include "layer/restore_target.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/mount_list.h"
#include "layer/confined.h"
#include "layer/trusted.h"

namespace cairn::layer {
namespace {

constexpr std::string_view kInfix = ".cairn-";
constexpr std::size_t kTargetTokenDigits = 32;
constexpr const char* kOldName = "before";

bool is_leftover(std::string_view name, std::string_view target) {
  if (name.size() != 1 + target.size() + kInfix.size() + kTargetTokenDigits || name.front() != '.') return false;
  name.remove_prefix(1);
  if (!name.starts_with(target)) return false;
  name.remove_prefix(target.size());
  const std::size_t other = name.find_first_not_of("0123456789abcdef", kInfix.size());
  return name.starts_with(kInfix) && other == std::string_view::npos;
}

// Names in a directory, its own descriptor's place left alone.
Result<std::vector<std::string>> names_in_directory(int directory) {
  const int fd = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const listing = fd < 0 ? nullptr : ::fdopendir(fd);
  if (listing == nullptr) {
    const int error_number = errno;
    if (fd >= 0) ::close(fd);
    return os_error(error_number, "listing a directory");
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(listing)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  ::closedir(listing);
  return names;
}

Result<FileDescriptor> open_directory_at(int parent, const std::string& name) {
  const int fd = open_confined(parent, name.c_str(), O_RDONLY | O_DIRECTORY);
  if (fd < 0) return os_error(errno, "opening " + name);
  return FileDescriptor(fd);
}

// What a directory has inherited would count for what is made inside, beside the modes and ACLs that the layer has.
Result<void> remove_inherited_acls(int directory) {
  for (const char* acl : {"system.posix_acl_default", "system.posix_acl_access"}) {
    if (::fremovexattr(directory, acl) == 0 || errno == ENODATA || errno == EOPNOTSUPP) continue;
    return os_error(errno, fmt::format("removing {}", acl));
  }
  return {};
}

// What is mounted on a directory or anywhere below it, as far as this process can see.
std::optional<std::string> mounted_within(int directory) {
  std::error_code error;
  const std::string path = std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", directory), error).string();
  if (error) return std::nullopt;
  for (const auto& [place, device] : read_mounts()) {
    if (place == path || place.starts_with(path + "/")) return place;
  }
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<RestoreTarget>> RestoreTarget::open(const std::string& path, Overwrite overwrite,
                                                           Random& random) {
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const std::string name = trimmed.substr(trimmed.rfind('/') + 1);
  if (name.empty() || name == "." || name == "..") {
    return Error(ErrorKind::invalid,
                 fmt::format("'{}' cannot be restored to: name a directory that is to be made", path));
  }
  CAIRN_TRY(check_proc());
  const std::string parent = parent_directory(trimmed);
  CAIRN_TRY(make_directories_durably(parent, 0755));
  const int fd = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return os_error(errno, "opening " + parent);
  std::unique_ptr<RestoreTarget> target(new RestoreTarget(FileDescriptor(fd), trimmed, name, overwrite));
  CAIRN_TRY(target->check_free());
  CAIRN_TRY(target->remove_leftovers());
  CAIRN_TRY(target->make_temporary(random));
  return target;
}

RestoreTarget::~RestoreTarget() {
  if (!temporary_.is_open()) return;
  // The lock goes with the descriptor, so nobody takes this for a leftover meanwhile.
  (void)remove_tree(parent_.get(), temporary_name_);
}

Result<void> RestoreTarget::check_free() {
  struct stat status{};
  if (::fstatat(parent_.get(), name_.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return os_error(errno, path_);
  }
  exists_ = true;
  CAIRN_TRY(check_mounts());
  if (overwrite_ == Overwrite::yes) return {};
  if (S_ISDIR(status.st_mode)) {
    CAIRN_ASSIGN(const FileDescriptor directory, open_directory_at(parent_.get(), name_));
    CAIRN_ASSIGN(const auto names, names_in_directory(directory.get()));
    if (names.empty()) return {};
  }
  return Error(ErrorKind::conflict, fmt::format("{} exists already: add --overwrite to replace it as a whole", path_));
}

// Two directories that change places take along what is mounted in them, and the old one is removed then.
Result<void> RestoreTarget::check_mounts() const {
  const int fd = ::openat(parent_.get(), name_.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return {};  // no directory: nothing can be mounted inside
  const FileDescriptor directory(fd);
  const auto place = mounted_within(fd);
  if (!place) return {};
  return Error(ErrorKind::conflict, fmt::format("{} cannot be replaced while something is mounted on {}: unmount it, "
                                                "or restore to another directory", path_, *place));
}

// Whoever still works there holds the lock.
Result<void> RestoreTarget::remove_leftovers() const {
  CAIRN_ASSIGN(const auto names, names_in_directory(parent_.get()));
  for (const std::string& name : names) {
    if (!is_leftover(name, name_)) continue;
    auto leftover = open_directory_at(parent_.get(), name);
    if (!leftover || ::flock(leftover->get(), LOCK_EX | LOCK_NB) != 0) continue;
    CAIRN_TRY(remove_tree(parent_.get(), name));
  }
  return {};
}

Result<void> RestoreTarget::make_temporary(Random& random) {
  temporary_name_ = fmt::format(".{}{}{}", name_, kInfix, random.id().hex());
  if (::mkdirat(parent_.get(), temporary_name_.c_str(), 0700) != 0)
    return os_error(errno, fmt::format("making a directory beside {}", path_));
  CAIRN_ASSIGN(temporary_, open_directory_at(parent_.get(), temporary_name_));
  CAIRN_TRY(remove_inherited_acls(temporary_.get()));
  // Without the set-group-ID bit that it may have inherited: what is made inside would inherit its group.
  if (::fchmod(temporary_.get(), 0700) != 0 || ::flock(temporary_.get(), LOCK_EX | LOCK_NB) != 0)
    return os_error(errno, fmt::format("making a directory beside {}", path_));
  return {};
}

Result<void> RestoreTarget::put_in_place() {
  const auto rename = [&](unsigned flags) {
    return ::renameat2(temporary_.get(), kName, parent_.get(), name_.c_str(), flags) == 0;
  };
  // Without overwrite only nothing at all, or an empty directory, may be replaced: rename() itself sees to that.
  if (overwrite_ == Overwrite::no || !exists_) {
    if (exists_ ? rename(0) : rename(RENAME_NOREPLACE)) return {};
    if (errno != EEXIST && errno != ENOTEMPTY) return os_error(errno, fmt::format("putting {} in place", path_));
    return Error(ErrorKind::conflict, fmt::format("{} has been made by somebody else meanwhile", path_));
  }
  CAIRN_TRY(check_mounts());  // it may have been mounted meanwhile
  if (rename(RENAME_EXCHANGE)) return {};
  if (errno != EINVAL && errno != ENOSYS) return os_error(errno, fmt::format("putting {} in place", path_));
  // A file system that cannot exchange two names: for a moment there is none.
  if (::renameat(parent_.get(), name_.c_str(), temporary_.get(), kOldName) != 0)
    return os_error(errno, fmt::format("moving the old {} away", path_));
  if (rename(0)) return {};
  const int error_number = errno;
  (void)::renameat(temporary_.get(), kOldName, parent_.get(), name_.c_str());
  return os_error(error_number, fmt::format("putting {} in place", path_));
}

Result<void> RestoreTarget::commit() {
  if (::syncfs(temporary_.get()) != 0) return os_error(errno, fmt::format("syncing {}", path_));
  CAIRN_TRY(put_in_place());
  if (::fsync(parent_.get()) != 0) return os_error(errno, fmt::format("syncing the name of {}", path_));
  auto removed = remove_tree(parent_.get(), temporary_name_);
  temporary_.close();
  if (removed) return {};
  return removed.error().with(fmt::format("{} is complete, but what was there before could not be removed", path_));
}

}  // namespace cairn::layer
