#include "layer/look.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "layer/tar_fields.h"

namespace cairn::layer {
namespace {

// The attribute calls take no directory to start from. The kernel's name of the open directory does, and a name behind
// it is looked up right there, however deep it lies.
std::string name_for_xattrs(int directory, const std::string& name) {
  const std::string held = fmt::format("/proc/self/fd/{}", directory);
  return name.empty() ? held : held + "/" + name;
}

bool is_gone(int error_number) { return error_number == ENOENT || error_number == ENOTDIR; }

// Calls `read(buffer, size)` with a buffer that is large enough; the value may grow while we look.
template <class Read>
ssize_t read_growing(std::string& into, const Read& read) {
  into.resize(256);
  for (;;) {
    ssize_t got = read(into.data(), into.size());
    if (got >= 0) {
      into.resize(static_cast<std::size_t>(got));
      return got;
    }
    if (errno != ERANGE) return -1;
    got = read(nullptr, 0);
    if (got < 0) return -1;
    into.resize(static_cast<std::size_t>(got) + 64);
  }
}

Result<std::optional<std::string>> link_target_at(int directory, const std::string& name) {
  std::string target(256, '\0');
  for (;;) {
    const ssize_t got = ::readlinkat(directory, name.c_str(), target.data(), target.size());
    if (got < 0 && (is_gone(errno) || errno == EINVAL)) return std::optional<std::string>();
    if (got < 0) return os_error(errno, name);
    if (static_cast<std::size_t>(got) < target.size()) {
      target.resize(static_cast<std::size_t>(got));
      return std::optional(std::move(target));
    }
    target.resize(target.size() * 2);
  }
}

EntryKind kind_of_mode(std::uint16_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return EntryKind::directory;
    case S_IFLNK: return EntryKind::symlink;
    case S_IFCHR: return EntryKind::char_device;
    case S_IFBLK: return EntryKind::block_device;
    case S_IFIFO: return EntryKind::fifo;
    default: return EntryKind::file;
  }
}

Entry entry_of(const struct statx& status) {
  Entry entry;
  entry.kind = kind_of_mode(status.stx_mode);
  entry.mode = status.stx_mode & 07777u;
  entry.uid = status.stx_uid;
  entry.gid = status.stx_gid;
  entry.mtime_s = status.stx_mtime.tv_sec;
  entry.mtime_ns = status.stx_mtime.tv_nsec;
  if (entry.kind == EntryKind::file) entry.size_bytes = status.stx_size;
  if (entry.kind == EntryKind::char_device || entry.kind == EntryKind::block_device) {
    entry.dev_major = status.stx_rdev_major;
    entry.dev_minor = status.stx_rdev_minor;
  }
  return entry;
}

void apply_override(OverlayMarks& marks, const struct statx& status, Look& look) {
  const OverlayMarks::Override& kept = *marks.override_stat;
  Entry& entry = look.entry;
  entry.stored_owner = StoredOwner{std::move(marks.override_xattr.name), std::move(marks.override_xattr.value),
                                   status.stx_uid, status.stx_gid, status.stx_mode};
  entry.uid = kept.uid;
  entry.gid = kept.gid;
  entry.mode = kept.mode;
  if (entry.kind != EntryKind::file) return;
  look.is_socket = kept.is_socket;
  if (!kept.kind) return;
  entry.kind = *kept.kind;
  entry.size_bytes = 0;
  entry.dev_major = kept.dev_major;
  entry.dev_minor = kept.dev_minor;
}

// Whether a directory is opaque, and how it says so.
Result<Mark> opacity_of(int directory, const std::string& name, const OverlayMarks& marks,
                        const MarkForms& forms) {
  if (marks.opaque == Mark::none && marks.redirect) return forms.trusted ? Mark::xattr : Mark::user;
  if (!forms.fuse) return marks.opaque;
  const std::string path = std::string(name.empty() ? "." : name).append("/").append(kOpaqueName);
  CAIRN_ASSIGN(const auto file, status_at(directory, path));
  return file ? with_file(marks.opaque) : marks.opaque;
}

struct open_how how_to_open(int flags) {
  struct open_how how {};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  return how;
}

}  // namespace

Result<std::optional<struct statx>> status_at(int directory, const std::string& name) {
  struct statx status {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (name.empty() ? AT_EMPTY_PATH : 0);
  if (::statx(directory, name.c_str(), flags, STATX_BASIC_STATS | STATX_MNT_ID, &status) != 0) {
    if (is_gone(errno)) return std::optional<struct statx>();
    return os_error(errno, name);
  }
  return std::optional(status);
}

Result<std::vector<Xattr>> xattrs_at(int directory, const std::string& name) {
  const std::string path = name_for_xattrs(directory, name);
  std::string names;
  const ssize_t listed = read_growing(names, [&](char* into, std::size_t size) {
    return name.empty() ? ::listxattr(path.c_str(), into, size) : ::llistxattr(path.c_str(), into, size);
  });
  if (listed < 0) {
    if (errno == EOPNOTSUPP) return std::vector<Xattr>();
    return os_error(errno, name);
  }
  std::vector<Xattr> xattrs;
  for (const char* at = names.data(); at < names.data() + names.size(); at += std::strlen(at) + 1) {
    Xattr xattr{at, {}};
    const ssize_t got = read_growing(xattr.value, [&](char* into, std::size_t size) {
      return name.empty() ? ::getxattr(path.c_str(), at, into, size) : ::lgetxattr(path.c_str(), at, into, size);
    });
    if (got < 0 && errno == ENODATA) continue;  // removed since it was listed
    if (got < 0) return os_error(errno, fmt::format("{}: attribute {}", name, at));
    xattrs.push_back(std::move(xattr));
  }
  std::ranges::sort(xattrs, {}, &Xattr::name);
  return xattrs;
}

Result<std::vector<std::string>> names_in(int directory) {
  if (::lseek(directory, 0, SEEK_SET) < 0) return os_error(errno, "a directory");
  std::vector<std::string> names;
  alignas(struct dirent64) std::array<char, 64 << 10> buffer;
  for (;;) {
    const auto got = ::syscall(SYS_getdents64, directory, buffer.data(), buffer.size());
    if (got < 0 && errno == ENOENT) break;  // removed
    if (got < 0) return os_error(errno, "a directory");
    if (got == 0) break;
    for (long at = 0; at < got;) {
      const auto* one = reinterpret_cast<const struct dirent64*>(buffer.data() + at);
      const std::string_view name = one->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      at += one->d_reclen;
    }
  }
  std::ranges::sort(names);
  // A name that was removed and made again meanwhile may be given twice.
  const auto repeated = std::ranges::unique(names);
  names.erase(repeated.begin(), repeated.end());
  return names;
}

Result<std::optional<FileDescriptor>> open_directory(int directory, const std::string& path) {
  const struct open_how how = how_to_open(O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  for (;;) {
    const auto opened = ::syscall(SYS_openat2, directory, path.empty() ? "." : path.c_str(), &how, sizeof how);
    if (opened >= 0) return std::optional(FileDescriptor(static_cast<int>(opened)));
    if (errno == EAGAIN || errno == EINTR) continue;  // somebody renamed something just then
    if (is_gone(errno) || errno == ELOOP || errno == EXDEV) return std::optional<FileDescriptor>();
    return os_error(errno, path);
  }
}

bool leads_into_mount(int directory, const std::string& path) {
  const struct open_how how = how_to_open(O_PATH | O_NOFOLLOW | O_CLOEXEC);
  const FileDescriptor opened(static_cast<int>(::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how)));
  return !opened.is_open() && errno == EXDEV;
}

Entry link_entry(Entry of_file, std::string target) {
  of_file.kind = EntryKind::hard_link;
  of_file.link_target = std::move(target);
  of_file.size_bytes = 0;
  of_file.dev_major = of_file.dev_minor = 0;
  of_file.xattrs.clear();
  of_file.escaped = Escaped::trusted;
  of_file.stored_owner.reset();
  of_file.holes.clear();
  return of_file;
}

Entry mark_entry(std::string path, EntryKind kind, Mark mark) {
  Entry entry;
  entry.path = std::move(path);
  entry.kind = kind;
  entry.mark = mark;
  return entry;
}

Result<std::optional<Look>> look_at(int directory, const std::string& name, const struct statx& status,
                                    const LookRules& rules) {
  if (is_device_whiteout(status)) {
    return std::optional(Look{mark_entry({}, EntryKind::whiteout, Mark::device), {}, false});
  }
  Look look{entry_of(status), {}, S_ISSOCK(status.stx_mode)};
  if (look.is_socket) return std::optional(std::move(look));

  auto xattrs = xattrs_at(directory, name);
  if (!xattrs && xattrs.error().kind() == ErrorKind::not_found) return std::optional<Look>();
  if (!xattrs) return xattrs.error();
  CAIRN_ASSIGN(look.marks, take_marks(*xattrs, rules.forms));
  if (look.marks.whiteout && rules.xattr_whiteouts && S_ISREG(status.stx_mode) && status.stx_size == 0) {
    look.entry = mark_entry({}, EntryKind::whiteout, look.marks.whiteout_form);
    return std::optional(std::move(look));
  }
  look.entry.xattrs = std::move(*xattrs);
  look.entry.escaped = escaped_in(look.entry.xattrs, rules.forms);
  if (look.marks.override_stat) apply_override(look.marks, status, look);
  if (look.entry.kind == EntryKind::directory) {
    CAIRN_ASSIGN(look.entry.mark, opacity_of(directory, name, look.marks, rules.forms));
  } else if (look.entry.kind == EntryKind::symlink) {
    CAIRN_ASSIGN(auto target, link_target_at(directory, name));
    if (!target) return std::optional<Look>();
    look.entry.link_target = std::move(*target);
  }
  return std::optional(std::move(look));
}

Result<Look> look_below_mount(int directory, const std::string& name, const LookRules& rules) {
  // A second mount of the directory that it is in, without those inside.
  const int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
  const FileDescriptor bare(static_cast<int>(::syscall(SYS_open_tree, directory, "", flags)));
  if (bare.is_open()) {
    CAIRN_ASSIGN(const auto status, status_at(bare.get(), name));
    if (status && S_ISDIR(status->stx_mode)) {
      CAIRN_ASSIGN(auto look, look_at(bare.get(), name, *status, rules));
      if (look) return std::move(*look);
    }
  }
  CAIRN_ASSIGN(const auto parent, status_at(directory, ""));
  Look look;
  look.entry.kind = EntryKind::directory;
  look.entry.mode = 0755;
  if (parent) {
    look.entry.uid = parent->stx_uid;
    look.entry.gid = parent->stx_gid;
  }
  return look;
}

}  // namespace cairn::layer
