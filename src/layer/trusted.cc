#include "layer/trusted.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "base/os.h"

namespace cairn::layer {
namespace {

int open_memory() {
  constexpr unsigned kNoExecSeal = 8;  // MFD_NOEXEC_SEAL of Linux 6.3, without which some machines allow none
  const int fd = ::memfd_create("cairn", MFD_CLOEXEC | kNoExecSeal);
  return fd < 0 && errno == EINVAL ? ::memfd_create("cairn", MFD_CLOEXEC) : fd;
}

}  // namespace

Result<void> check_proc() {
  struct statfs status {};
  if (::statfs("/proc", &status) == 0 && status.f_type == PROC_SUPER_MAGIC) return {};
  return Error(ErrorKind::unsupported,
               "/proc is not mounted here, and files' attributes are reached through it: mount it (mount -t proc proc "
               "/proc)");
}

// The kernel is asked to do what needs the right, where it matters to nobody: whether the attribute is there comes
// behind the question who may remove it.
Result<bool> sees_trusted() {
  const FileDescriptor file(open_memory());
  if (!file.is_open()) return os_error(errno, "a file in memory");
  return ::fremovexattr(file.get(), "trusted.cairn") == 0 || errno == ENODATA || errno == EOPNOTSUPP;
}

Result<Owners> owners_of(int directory) {
  struct stat of_directory {}, of_proc {};
  if (::fstat(directory, &of_directory) != 0) return os_error(errno, "a directory");
  if (::stat("/proc", &of_proc) != 0) return os_error(errno, "/proc");  // always root's
  Owners owners{.directory = of_directory.st_uid, .root = of_proc.st_uid, .maker = of_proc.st_uid, .self = ::geteuid()};
  const FileDescriptor space(::open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC));
  uid_t maker = 0;
  if (space.is_open() && ::ioctl(space.get(), NS_GET_OWNER_UID, &maker) == 0) owners.maker = maker;
  return owners;
}

bool may_be_marked(const Owners& owners) {
  if (owners.directory == owners.root) return true;  // root's, or of somebody whom this namespace does not know
  const bool is_users_namespace = owners.maker != owners.root;  // as podman unshare's
  if (is_users_namespace) return false;
  return owners.directory != owners.self || owners.self == 0;
}

}  // namespace cairn::layer
