// One name in a layer, as a value: what a tar entry says, and the little that only Cairn needs to know besides.
//
// A layer is a changeset of a container's writable directory (its "upper directory"). Entries are what the container
// sees: overlayfs' own marks (whiteouts, opaque directories, escaped and host-bound attributes) have been turned into
// entries and fields, and a restore turns them back into whatever form is wanted. docs/layers.md has the rules.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::layer {

enum class EntryKind : std::uint8_t {
  directory,
  file,
  symlink,
  hard_link,  // another name of a file (or symlink, device, ...) that the same layer carries; link_target is its path
  char_device,
  block_device,
  fifo,
  whiteout,  // the name is gone: in the tar an empty file `.wh.<name>`
  opaque,    // the directory `path` hides all that older layers have in it: in the tar `<path>/.wh..wh..opq`
};

// How a deletion is marked in the upper directory. A restore into an upper directory makes the same mark again.
enum class Mark : std::uint8_t {
  none,      // not there at all: a name that an older layer has and the directory no longer (a deletion without a mark)
  device,    // character device 0:0
  xattr,     // overlay.whiteout on an empty file (its directory has overlay.opaque=x); overlay.opaque=y on a directory
  user,      // the same two in the user.overlay. namespace
  file,      // fuse-overlayfs: a file `.wh.<name>`, or `.wh..wh..opq`
  fuse,      // fuse-overlayfs: user.fuseoverlayfs.opaque on a directory
  // Of a directory: the attribute as above and the file, as fuse-overlayfs writes them together.
  xattr_file,
  user_file,
  fuse_file,
};

// Data of a container whose names begin as overlayfs' own do (`trusted.overlay.`, `user.overlay.`): in which of the two
// namespaces such a name has one `overlay.` more in the upper directory, as it has for the mount's own namespace only.
enum class Escaped : std::uint8_t { trusted, user, both };

struct Xattr {
  std::string name, value;  // bytes; value may be empty
  bool operator==(const Xattr&) const = default;
};

// Where fuse-overlayfs keeps owner, mode and kind of a name in an attribute: that one, and what the name itself has in
// the upper directory.
struct StoredOwner {
  std::string attribute, value;
  std::uint32_t uid = 0, gid = 0, mode = 0;  // mode: as st_mode has it, with the kind of file
  bool operator==(const StoredOwner&) const = default;
};

struct Hole {
  std::uint64_t offset = 0, length = 0;
  bool operator==(const Hole&) const = default;
};

struct Entry {
  std::string path;  // bytes, relative, '/' between names, no "." or ".."; "" is the directory itself
  EntryKind kind = EntryKind::file;
  std::uint32_t mode = 0;  // permission bits, 07777
  std::uint32_t uid = 0, gid = 0;
  std::int64_t mtime_s = 0;
  std::uint32_t mtime_ns = 0;
  std::uint64_t size_bytes = 0;  // of a file's contents
  std::string link_target;       // of a symlink: what it says; of a hard link: a path as above
  std::uint32_t dev_major = 0, dev_minor = 0;
  std::vector<Xattr> xattrs;     // ascending by name; ACLs and capabilities are among them

  Mark mark = Mark::none;              // of a whiteout or opaque entry; of a directory: it is opaque, and marked so
  Escaped escaped = Escaped::trusted;  // of xattrs; without such names always this
  std::optional<StoredOwner> stored_owner;
  std::vector<Hole> holes;             // of a file: ranges that occupy no space (their bytes are zeros in the tar)
  std::vector<std::string> forgotten;  // of a directory: names whose whiteout of an older layer holds no longer

  bool operator==(const Entry&) const = default;
};

// OCI's names of deletions; fuse-overlayfs has files of just these names.
inline constexpr std::string_view kWhiteoutPrefix = ".wh.";
inline constexpr std::string_view kOpaqueName = ".wh..wh..opq";

// The order of entries in a layer, of a scan and of the catalogue: a directory before what is in it, names by their
// bytes. It is the order of the bytes of sort_key(): the path with its slashes turned into NULs. A whiteout stands
// where the name that it removes would, an opaque entry right behind its directory.
std::string sort_key(std::string_view path);
std::string path_of_sort_key(std::string_view key);
bool in_order(std::string_view a, std::string_view b);  // a before b

std::string_view parent_of(std::string_view path);  // "" for a name at the top
std::string_view name_of(std::string_view path);

// A path as entries have it: relative, no empty, "." or ".." component, no NUL, not too long; "" is allowed.
inline constexpr std::size_t kMaxPathBytes = 4096;
bool is_valid_path(std::string_view path);

}  // namespace cairn::layer
