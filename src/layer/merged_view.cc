#include "layer/merged_view.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/mount_list.h"
#include "layer/look.h"

namespace cairn::layer {
namespace {

bool is_same(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

// Its inode need not be the same one: what was copied up has the number that it had below.
bool is_same_file(const struct stat& upper, const struct stat& merged) {
  return S_ISREG(merged.st_mode) && upper.st_size == merged.st_size && upper.st_mtim.tv_sec == merged.st_mtim.tv_sec &&
         upper.st_mtim.tv_nsec == merged.st_mtim.tv_nsec && upper.st_ctim.tv_sec == merged.st_ctim.tv_sec &&
         upper.st_ctim.tv_nsec == merged.st_ctim.tv_nsec;
}

}  // namespace

std::optional<FileDescriptor> merged_view_of(int upper) {
  struct stat wanted {};
  if (::fstat(upper, &wanted) != 0) return {};
  for (const OverlayMount& overlay : read_overlays()) {
    struct stat found {};
    if (::stat(overlay.upper.c_str(), &found) != 0 || !is_same(found, wanted)) continue;
    FileDescriptor view(::open(overlay.point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct statfs system {};
    if (view.is_open() && ::fstatfs(view.get(), &system) == 0 && system.f_type == OVERLAYFS_SUPER_MAGIC) return view;
  }
  return {};
}

bool is_mounted(int file) {
  struct statx info {};
  if (::statx(file, "", AT_EMPTY_PATH, STATX_MNT_ID, &info) != 0) return false;
  return (info.stx_mask & STATX_MNT_ID) == 0 || !device_of_mount(info.stx_mnt_id).empty();  // Linux before 5.8
}

std::optional<FileDescriptor> directory_in_view(int view, const std::string& path, int directory,
                                                const std::string& name) {
  auto there = open_directory(view, path);
  if (!there || !*there) return {};
  // Who writes to it between the two looks makes it look like another one.
  for (int tries = 0; tries < 8; ++tries) {
    struct stat upper {}, merged {};
    if (::fstatat(directory, name.c_str(), &upper, AT_SYMLINK_NOFOLLOW) != 0) return {};
    if (::fstatat((*there)->get(), name.c_str(), &merged, AT_SYMLINK_NOFOLLOW) != 0) return {};
    if (is_same_file(upper, merged)) return std::move(**there);
  }
  return {};
}

}  // namespace cairn::layer
