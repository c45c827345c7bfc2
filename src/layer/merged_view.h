// The overlay mount that a directory is the upper directory of, if there is one that this process can see: the locks of
// the programs that use a database there are locks on the mount's inodes, and are not seen in the upper directory.
#pragma once

#include <optional>
#include <string>

#include "base/os.h"

namespace cairn::layer {

// The mount's root, open. Nothing: no such mount is seen (it may be in another mount namespace, or covered).
std::optional<FileDescriptor> merged_view_of(int upper);
// Whether what it lies in is still among the mounts that this process sees.
bool is_mounted(int file);
// Where the file `name` lies for its locks: `path` in the merged view, if the name leads to the same file there.
// Nothing: it does not, something else is mounted over it.
std::optional<FileDescriptor> directory_in_view(int view, const std::string& path, int directory,
                                                const std::string& name);

}  // namespace cairn::layer
