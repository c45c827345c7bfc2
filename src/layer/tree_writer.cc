#include "layer/tree_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/check.h"
#include "layer/confined.h"
#include "layer/overlay.h"

namespace cairn::layer {
namespace {

// Of a very deep path only the last directories are held open.
constexpr std::size_t kOpenLevels = 128;

std::array<timespec, 2> times_of(const Entry& entry) {
  const timespec time{static_cast<time_t>(entry.mtime_s), static_cast<long>(entry.mtime_ns)};
  return {time, time};
}

mode_t mode_of(EntryKind kind) {
  switch (kind) {
    case EntryKind::char_device:
    case EntryKind::whiteout: return S_IFCHR;
    case EntryKind::block_device: return S_IFBLK;
    case EntryKind::fifo: return S_IFIFO;
    case EntryKind::directory:
    case EntryKind::file:
    case EntryKind::symlink:
    case EntryKind::hard_link:
    case EntryKind::opaque: break;
  }
  return S_IFREG;
}

// A whiteout as a device is one; in the other forms it is an empty file.
bool is_file_form(Mark mark) { return mark == Mark::file || mark == Mark::fuse; }

}  // namespace

Error TreeWriter::failed(int error_number, std::string_view what, const Entry& entry) const {
  const std::string where = fmt::format("{} of '{}'", what, entry.path);
  if (error_number == EPERM && what.find(" trusted.") != std::string_view::npos) {
    const bool is_mark = what.find(" trusted.overlay.") != std::string_view::npos && form_ == TreeForm::upper;
    return Error(ErrorKind::denied,
                 fmt::format("{} cannot be restored by this user: run as root with CAP_SYS_ADMIN, outside of any user "
                             "namespace (docker: --cap-add SYS_ADMIN){}",
                             where, is_mark ? ", or make the marks of mounts with userxattr (--user-marks)" : ""));
  }
  if (error_number == EPERM || error_number == EACCES) {
    return Error(ErrorKind::denied, fmt::format("{} cannot be restored by this user: run as root, or in a user "
                                                "namespace that has the container's users (podman unshare)", where));
  }
  if (error_number == EOPNOTSUPP) {
    return Error(ErrorKind::unsupported,
                 fmt::format("{} cannot be restored: this file system does not have such", where));
  }
  return os_error(error_number, where);
}

// Whether the current directory is the one that the entry is in; directories on the way there are complete.
Result<int> TreeWriter::parent_of_entry(const Entry& entry) {
  const auto is_above = [&](const std::string& directory) {
    return directory.empty() ? !entry.path.empty()
                             : entry.path.size() > directory.size() && entry.path.starts_with(directory) &&
                                   entry.path[directory.size()] == '/';
  };
  while (!levels_.empty() && !is_above(levels_.back().entry.path)) CAIRN_TRY(leave());
  if (levels_.empty() && entry.path.empty()) return base_;
  if (levels_.empty() || levels_.back().entry.path != cairn::layer::parent_of(entry.path)) {
    return Error(ErrorKind::corrupt, fmt::format("'{}' comes without its directory", entry.path));
  }
  return descriptor_of(levels_.size() - 1);
}

std::string TreeWriter::name_at(const Entry& entry) const {
  return entry.path.empty() ? name_ : std::string(name_of(entry.path));
}

Result<int> TreeWriter::descriptor_of(std::size_t level) {
  std::size_t open = level;
  while (!levels_[open].fd.is_open()) --open;  // the top always is
  for (; open < level; ++open) {
    const std::string name = name_at(levels_[open + 1].entry);
    const int fd = open_confined(levels_[open].fd.get(), name.c_str(), O_RDONLY | O_DIRECTORY);
    if (fd < 0) return failed(errno, "the directory", levels_[open + 1].entry);
    levels_[open + 1].fd = FileDescriptor(fd);
    if (open > 0 && open + kOpenLevels <= level) levels_[open].fd.close();
  }
  return levels_[level].fd.get();
}

Result<void> TreeWriter::add(const Entry& entry) {
  CAIRN_ASSIGN(const int parent, parent_of_entry(entry));
  const std::string name = name_at(entry);
  if (form_ != TreeForm::plain) signs_.note(entry, form_ == TreeForm::upper_user_marks);
  last_parent_ = parent;
  last_name_ = name;
  switch (entry.kind) {
    case EntryKind::directory: return add_directory(entry, parent, name);
    case EntryKind::whiteout: return add_whiteout(entry, parent, name);
    case EntryKind::hard_link: return add_link(entry, parent, name);
    case EntryKind::symlink:
      if (::symlinkat(entry.link_target.c_str(), parent, name.c_str()) != 0)
        return failed(errno, "the symbolic link", entry);
      return set_attributes(entry, parent, name);
    case EntryKind::char_device:
    case EntryKind::block_device:
    case EntryKind::fifo: return add_special(entry, parent, name);
    case EntryKind::file:
    case EntryKind::opaque: break;
  }
  return Error(ErrorKind::corrupt, fmt::format("'{}' is not of a kind that is written so", entry.path));
}

Result<void> TreeWriter::add_directory(const Entry& entry, int parent, const std::string& name) {
  if (::mkdirat(parent, name.c_str(), 0700) != 0) return failed(errno, "the directory", entry);
  const int fd = open_confined(parent, name.c_str(), O_RDONLY | O_DIRECTORY);
  if (fd < 0) return failed(errno, "the directory", entry);
  if (levels_.size() > kOpenLevels) levels_[levels_.size() - kOpenLevels].fd.close();
  levels_.push_back({entry, FileDescriptor(fd), Mark::none});
  if (form_ == TreeForm::upper && has_file(entry.mark))
    return make_empty_file(entry, fd, std::string(kOpaqueName));
  return {};
}

// The directory at the end of the way is complete.
Result<void> TreeWriter::leave() {
  CAIRN_TRY(descriptor_of(levels_.size() - 1));
  const Level level = std::move(levels_.back());
  levels_.pop_back();
  const bool is_opaque = level.entry.mark != Mark::none;
  if (level.whiteouts != Mark::none && !is_opaque) {
    // overlayfs looks for whiteouts of the attribute form only in directories that say so.
    const char* name = level.whiteouts == Mark::user ? "user.overlay.opaque" : "trusted.overlay.opaque";
    if (::fsetxattr(level.fd.get(), name, "x", 1, 0) != 0)
      return failed(errno, fmt::format("the mark {}", name), level.entry);
  }
  if (levels_.empty()) CAIRN_TRY(show_forms(level));
  return set_attributes(level.entry, level.fd.get());
}

// While its owner may write to it.
Result<void> TreeWriter::show_forms(const Level& root) {
  if (form_ == TreeForm::plain) return {};
  for (const Xattr& sign : signs_.missing(xattrs_of(root.entry))) {
    if (::fsetxattr(root.fd.get(), sign.name.c_str(), sign.value.data(), sign.value.size(), 0) == 0) continue;
    return failed(errno, fmt::format("the attribute {}", sign.name), root.entry);
  }
  return {};
}

Result<void> TreeWriter::add_whiteout(const Entry& entry, int parent, const std::string& name) {
  if (form_ == TreeForm::plain || entry.mark == Mark::none) return {};
  const bool as_user = form_ == TreeForm::upper_user_marks;
  if (!as_user && is_file_form(entry.mark)) {
    last_name_ = std::string(kWhiteoutPrefix) + name;
    return make_empty_file(entry, parent, last_name_);
  }
  if (as_user || entry.mark != Mark::device) {
    levels_.back().whiteouts = as_user ? Mark::user : entry.mark;
    return make_empty_file(entry, parent, name);
  }
  return add_special(entry, parent, name);
}

Result<void> TreeWriter::make_empty_file(const Entry& entry, int parent, const std::string& name) {
  const int fd = open_confined(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd < 0) return failed(errno, "the mark", entry);
  const FileDescriptor file(fd);
  const bool is_opaque_mark = entry.kind == EntryKind::directory;
  return is_opaque_mark ? Result<void>() : set_attributes(entry, fd);
}

Result<void> TreeWriter::add_special(const Entry& entry, int parent, const std::string& name) {
  // What is a device only by its attribute, as whoever is not root has them.
  if (keeps_owner(entry) && S_ISREG(entry.stored_owner->mode)) return make_empty_file(entry, parent, name);
  const dev_t device = makedev(entry.dev_major, entry.dev_minor);
  if (::mknodat(parent, name.c_str(), mode_of(entry.kind) | 0600, device) != 0)
    return failed(errno, entry.kind == EntryKind::fifo ? "the FIFO" : "the device", entry);
  return set_attributes(entry, parent, name);
}

Result<void> TreeWriter::add_link(const Entry& entry, int parent, const std::string& name) {
  // The way to the other name, one directory at a time from the nearest that is open: no path is too long for it.
  const std::string_view target = entry.link_target;
  const auto refused = [&](int error_number) {
    // EPERM: it is a directory.
    const bool is_none = error_number == ENOENT || error_number == ENOTDIR || error_number == ELOOP ||
                         error_number == EPERM;
    if (!is_none) return failed(error_number, fmt::format("the hard link to '{}'", target), entry);
    return Error(ErrorKind::corrupt,
                 fmt::format("'{}' is a hard link to '{}', which is not there", entry.path, target));
  };
  std::size_t level = levels_.size() - 1;
  const auto leads_to = [&](const std::string& directory) {
    return directory.empty() || (target.size() > directory.size() && target.starts_with(directory) &&
                                 target[directory.size()] == '/');
  };
  while (!leads_to(levels_[level].entry.path)) --level;
  CAIRN_ASSIGN(int at, descriptor_of(level));
  FileDescriptor held;
  const std::string& above = levels_[level].entry.path;
  std::string_view rest = above.empty() ? target : target.substr(above.size() + 1);
  for (std::size_t slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
    const int fd = open_confined(at, std::string(rest.substr(0, slash)).c_str(), O_PATH | O_DIRECTORY);
    if (fd < 0) return refused(errno);
    held = FileDescriptor(fd);
    at = fd;
    rest.remove_prefix(slash + 1);
  }
  if (::linkat(at, std::string(rest).c_str(), parent, name.c_str(), 0) != 0) return refused(errno);
  return {};
}

Result<NewFile> TreeWriter::begin_file(const Entry& entry) {
  CAIRN_ASSIGN(const int parent, parent_of_entry(entry));
  if (form_ != TreeForm::plain) signs_.note(entry, form_ == TreeForm::upper_user_marks);
  const int fd = open_confined(parent, name_at(entry).c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd < 0) return failed(errno, "the file", entry);
  return NewFile(FileDescriptor(fd), entry);
}

Result<void> TreeWriter::end_file(const NewFile& file) const {
  CAIRN_CHECK(file.is_whole());
  const Entry& entry = file.entry();
  if (!entry.holes.empty() && ::ftruncate(file.fd(), static_cast<off_t>(entry.size_bytes)) != 0)
    return failed(errno, "the size", entry);
  return set_attributes(entry, file.fd());
}

std::vector<Xattr> TreeWriter::xattrs_of(const Entry& entry) const {
  if (form_ == TreeForm::plain) return entry.xattrs;
  return upper_xattrs(entry, form_ == TreeForm::upper_user_marks);
}

// What the name itself gets: the entry's own, or what it had beside the attribute that keeps them.
StoredOwner TreeWriter::owner_of(const Entry& entry) const {
  return keeps_owner(entry) ? *entry.stored_owner : StoredOwner{{}, {}, entry.uid, entry.gid, entry.mode};
}

// A mount shows the kept owner, whoever the name itself belongs to, and none of a whiteout: they may stay with a user
// who can give nothing away.
bool TreeWriter::may_stay(const Entry& entry) const {
  return (keeps_owner(entry) || entry.kind == EntryKind::whiteout) && (errno == EPERM || errno == EINVAL);
}

// `set` puts one attribute where it belongs. user.* needs the right to write, which the mode may take from whoever is
// not root; an ACL has to come after the mode.
template <class Set>
Result<void> TreeWriter::set_xattrs(const Entry& entry, const std::vector<Xattr>& xattrs, When when, Set set) const {
  for (const Xattr& xattr : xattrs) {
    const bool is_user = xattr.name.starts_with("user.");
    if (is_user != (when == When::before_mode)) continue;
    if (set(xattr.name.c_str(), xattr.value.data(), xattr.value.size()) != 0)
      return failed(errno, fmt::format("the attribute {}", xattr.name), entry);
  }
  return {};
}

Result<void> TreeWriter::set_attributes(const Entry& entry, int fd) const {
  const StoredOwner owner = owner_of(entry);
  if (::fchown(fd, owner.uid, owner.gid) != 0 && !may_stay(entry))
    return failed(errno, fmt::format("the owner ({}:{})", owner.uid, owner.gid), entry);
  const std::vector<Xattr> xattrs = xattrs_of(entry);
  const auto set = [fd](const char* name, const char* value, std::size_t size) {
    return ::fsetxattr(fd, name, value, size, 0);
  };
  CAIRN_TRY(set_xattrs(entry, xattrs, When::before_mode, set));
  if (::fchmod(fd, owner.mode & 07777) != 0) return failed(errno, "the mode", entry);
  CAIRN_TRY(set_xattrs(entry, xattrs, When::after_mode, set));
  if (::futimens(fd, times_of(entry).data()) != 0) return failed(errno, "the time", entry);
  return {};
}

// Of what cannot be opened: links, devices, FIFOs.
Result<void> TreeWriter::set_attributes(const Entry& entry, int parent, const std::string& name) {
  const StoredOwner owner = owner_of(entry);
  if (::fchownat(parent, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0 && !may_stay(entry))
    return failed(errno, fmt::format("the owner ({}:{})", owner.uid, owner.gid), entry);
  const std::vector<Xattr> xattrs = xattrs_of(entry);
  const std::string path = fmt::format("/proc/self/fd/{}/{}", parent, name);
  const auto set = [&path](const char* attribute, const char* value, std::size_t size) {
    return ::lsetxattr(path.c_str(), attribute, value, size, 0);
  };
  CAIRN_TRY(set_xattrs(entry, xattrs, When::before_mode, set));
  if (entry.kind != EntryKind::symlink && ::fchmodat(parent, name.c_str(), owner.mode & 07777, 0) != 0)
    return failed(errno, "the mode", entry);
  CAIRN_TRY(set_xattrs(entry, xattrs, When::after_mode, set));
  if (::utimensat(parent, name.c_str(), times_of(entry).data(), AT_SYMLINK_NOFOLLOW) != 0)
    return failed(errno, "the time", entry);
  return {};
}

Result<void> TreeWriter::status(struct ::statx& status) const {
  if (::statx(last_parent_, last_name_.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &status) != 0)
    return os_error(errno, last_name_);
  return {};
}

Result<void> TreeWriter::finish() {
  while (!levels_.empty()) CAIRN_TRY(leave());
  return {};
}

}  // namespace cairn::layer
