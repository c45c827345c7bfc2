// What overlayfs and fuse-overlayfs write into an upper directory, as names and values: attributes that are marks,
// attributes that belong to the host, escaped ones of nested overlays, owners kept in attributes. Pure functions, both
// ways. Sources: docs/layers.md, "Overlay marks".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "layer/entry.h"

namespace cairn::layer {

// Which attributes are marks of the mount that made the directory; all others are the container's own data.
struct MarkForms {
  bool trusted = true;   // trusted.overlay.*
  bool user = true;      // user.overlay.* (mounted with userxattr)
  bool fuse = false;     // fuse-overlayfs: `.wh.` files, user.fuseoverlayfs.*, user.containers.override_stat
};

// What the attributes of one name say as marks.
struct OverlayMarks {
  Mark opaque = Mark::none;           // of a directory
  bool has_xattr_whiteouts = false;   // opaque=x: empty files in it may be whiteouts
  bool whiteout = false;              // overlay.whiteout; counts in a directory with has_xattr_whiteouts only
  Mark whiteout_form = Mark::none;    // xattr or user
  bool metacopy = false;              // the contents are in a lower directory
  std::optional<std::string> redirect;  // where in the lower directories; "/..." from their roots, else beside
  struct Override {
    std::uint32_t uid = 0, gid = 0, mode = 0;
    std::optional<EntryKind> kind;
    std::uint32_t dev_major = 0, dev_minor = 0;
  };
  std::optional<Override> override_stat;
};

// Takes the marks and what is bound to the host out of `xattrs`, and one "overlay." out of escaped names.
// invalid: an override_stat that cannot be read.
Result<OverlayMarks> take_marks(std::vector<Xattr>& xattrs, const MarkForms& forms);

// The way back: attributes for a name in an upper directory. Data whose name would be read as a mark is escaped.
// user_marks: the mount that will use it has userxattr. Marks themselves (opaque, whiteout) are added from `mark`.
std::vector<Xattr> upper_xattrs(const Entry& entry, bool user_marks);

// "uid:gid:mode[:kind[-major-minor]]", mode in octal.
Result<OverlayMarks::Override> parse_override_stat(std::string_view value);

}  // namespace cairn::layer
