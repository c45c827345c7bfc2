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
#include "cairn/layer.h"
#include "layer/entry.h"

namespace cairn::layer {

// Which attributes are marks of the mount that made the directory; all others are the container's own data.
struct MarkForms {
  bool trusted = true;      // trusted.overlay.*
  bool user = true;         // user.overlay.* (mounted with userxattr)
  bool fuse_opaque = true;  // user.fuseoverlayfs.opaque
  bool fuse = false;        // all of fuse-overlayfs: also `.wh.` files and the owners in override_stat
  bool operator==(const MarkForms&) const = default;
};
// The forms that the directory's own attributes show (those of its root). A mount uses one of the two namespaces; what
// a container keeps in the other one is its data, as an overlay of its own may have it.
MarkForms forms_of_root(const std::vector<Xattr>& xattrs, LayerMarks marks);

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
    std::optional<EntryKind> kind;  // a FIFO or a device that is a file in the upper directory
    bool is_socket = false;
    std::uint32_t dev_major = 0, dev_minor = 0;
  };
  std::optional<Override> override_stat;
  Xattr override_xattr;               // that one, as it is
};

// Takes the marks and what is bound to the host out of `xattrs`, and one "overlay." out of escaped names.
// invalid: an override_stat that cannot be read.
Result<OverlayMarks> take_marks(std::vector<Xattr>& xattrs, const MarkForms& forms);

// How names that were read by these forms are escaped in the upper directory. xattrs: without marks, as take_marks()
// leaves them.
Escaped escaped_in(const std::vector<Xattr>& xattrs, const MarkForms& forms);

// A directory's mark with fuse-overlayfs' file besides, whether it has that file, and the mark without it.
Mark with_file(Mark mark);
bool has_file(Mark mark);
Mark without_file(Mark mark);

// Whether fuse-overlayfs keeps owners in an attribute of this name.
bool is_owner_attribute(std::string_view name);

// The way back: attributes for a name in an upper directory, those of entry.stored_owner among them. Data that was
// escaped is again. user_marks: the mount that will use it has userxattr, whatever the one that was synced had: there
// are no stored owners then, and user.overlay.* is what is escaped. Marks themselves (opaque, whiteout) are added from
// `mark`; the directory that a whiteout with Mark::xattr or Mark::user lies in needs overlay.opaque=x besides, unless
// it is opaque.
std::vector<Xattr> upper_xattrs(const Entry& entry, bool user_marks);

// What the upper directory itself has to show so that forms_of_root() finds the forms by which the names in it are
// meant. Without a sign both namespaces count, and fuse-overlayfs' files do not.
class Signs {
 public:
  // Each entry as it is written into an upper directory.
  void note(const Entry& entry, bool user_marks);
  // What `root`, the directory's own attributes, lacks. The names are ones that a mount leaves out of what it shows.
  std::vector<Xattr> missing(const std::vector<Xattr>& root) const;

 private:
  bool has_plain_trusted_ = false, has_plain_user_ = false;  // data that is not escaped
  bool has_trusted_marks_ = false, has_user_marks_ = false;
  bool is_fuse_ = false;
};

// "uid:gid:mode[:kind[-major-minor]]", mode in octal.
Result<OverlayMarks::Override> parse_override_stat(std::string_view value);

}  // namespace cairn::layer
