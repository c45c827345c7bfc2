// What the kernel shows this process of the attributes that are overlayfs' marks. Those of trusted.* it shows to nobody
// but who has CAP_SYS_ADMIN in the initial user namespace; for whoever else they are not there, and no call fails
// (xattr_permission in Linux' fs/xattr.c, and what file systems list).
#pragma once

#include <sys/types.h>

#include "cairn/error.h"

namespace cairn::layer {

// unsupported: /proc is not mounted. Attributes of names are read and set by way of it.
Result<void> check_proc();

// Whether this thread sees trusted.* attributes, wherever they lie.
Result<bool> sees_trusted();

// User ids as this process sees them; whom its user namespace does not know it sees as nobody.
struct Owners {
  uid_t directory = 0;  // whose the directory is
  uid_t root = 0;       // root of the initial namespace
  uid_t maker = 0;      // who has made this process' user namespace; of the initial one, root
  uid_t self = 0;
};
Result<Owners> owners_of(int directory);

// Whether an overlay mount that marks by trusted.* may have written to the directory: the mount of somebody with the
// right that this process lacks. A user's own directory is taken for one that he has mounted himself, which goes with
// userxattr only.
bool may_be_marked(const Owners& owners);

}  // namespace cairn::layer
