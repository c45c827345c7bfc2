// Opening what lies in a directory and nowhere else: no symbolic link is followed, nothing outside is reached, and
// nothing that is mounted inside (EXDEV).
#pragma once

#include <sys/types.h>

#include <string>

#include "base/os.h"
#include "cairn/error.h"

namespace cairn::layer {

// openat2 with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and RESOLVE_NO_XDEV. Returns the descriptor, or -1 and errno. Where
// the kernel (or a sandbox) has no openat2, `path` must be a single name, and O_NOFOLLOW does the same.
int open_confined(int directory, const char* path, int flags, mode_t mode = 0);

// Gives the owner all rights to a directory, and nothing to what a link leads to. Where that is not possible nothing
// happens.
void give_rights(int parent, const std::string& name);

// Removes a name of `parent` with everything below it, however deep, without following anything. If it is a directory
// it must be private to this user: what lies very deep in it is moved up on the way. What is mounted inside belongs to
// somebody else: busy, and nothing of it is touched. Not there: success.
Result<void> remove_tree(int parent, const std::string& name);

}  // namespace cairn::layer
