// One name of a directory, looked at: what stat and the attributes say, as an entry. Nothing is opened, no link is
// followed. Names are relative to a directory that is held open, so no path is too long, and nothing can be put in
// the way.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/os.h"
#include "cairn/error.h"
#include "layer/entry.h"
#include "layer/overlay.h"

namespace cairn::layer {

// Nothing: there is no such name. An empty name: the directory itself.
Result<std::optional<struct statx>> status_at(int directory, const std::string& name);
Result<std::vector<Xattr>> xattrs_at(int directory, const std::string& name);
// Sorted by their bytes, without "." and "..". Moves the descriptor's place in the directory.
Result<std::vector<std::string>> names_in(int directory);

// Opens a directory, or a path below one, without following links and without leaving it or its mount. Nothing: it is
// not there, is no directory, or a link is in the way.
Result<std::optional<FileDescriptor>> open_directory(int directory, const std::string& path);

// Whether a path cannot be opened so because something is mounted on its way.
bool leads_into_mount(int directory, const std::string& path);

inline bool is_device_whiteout(const struct statx& status) {
  return S_ISCHR(status.stx_mode) && status.stx_rdev_major == 0 && status.stx_rdev_minor == 0;
}
inline std::uint64_t device_of(const struct statx& status) {
  return (std::uint64_t{status.stx_dev_major} << 32) | status.stx_dev_minor;
}

struct Look {
  // Without holes and forgotten names; its path is the caller's to set. A whiteout in any form is one, but for
  // fuse-overlayfs' files. A directory that was renamed (marks.redirect) is opaque: what lies at its name below is not
  // in it.
  Entry entry;
  OverlayMarks marks;
  bool is_socket = false;
};

struct LookRules {
  MarkForms forms;
  bool xattr_whiteouts = false;  // the directory has overlay.opaque=x
};

// Nothing: it is gone by now.
Result<std::optional<Look>> look_at(int directory, const std::string& name, const struct statx& status,
                                    const LookRules& rules);

// The same of a directory that something is mounted on: itself, and not the root of what is mounted. Who may not look
// below a mount gets a directory with the owner of the one that it is in, and nothing else that is known of it.
Result<Look> look_below_mount(int directory, const std::string& name, const LookRules& rules);

// The entry of a name that is a hard link to `target`: the file's attributes stand with the target.
Entry link_entry(Entry of_file, std::string target);
// The entry of a whiteout or an opaque mark: nothing but its name.
Entry mark_entry(std::string path, EntryKind kind, Mark mark);

}  // namespace cairn::layer
