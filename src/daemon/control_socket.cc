// The mode: Linux makes the file of a socket with the mode that the socket has when it is bound, less the umask. So it
// is
// set before, and there is no moment in which the file is there with another one.
//
// Alive or dead: a file lock beside it, which the kernel lets go of when its process dies, says so without a race
// between two that start at once.
#include "daemon/control_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace cairn::daemon {

namespace {

constexpr int kBacklog = 64;

Result<sockaddr_un> socket_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error(ErrorKind::invalid,
        fmt::format("the path of the control socket, {}, has {} bytes, and the system takes "
                                                 "{}: choose a shorter one (control in [defaults], or CAIRN_CONTROL)",
                                                 path, path.size(), sizeof address.sun_path - 1));
  }
  if (path.find('\0') != std::string::npos) return Error(ErrorKind::invalid, "a path has no zero byte in it");
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

FileDescriptor new_control_socket() {
  return FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

// What a process that has died left.
Result<void> remove_stale(const std::string& path) {
  struct stat there{};
  if (::lstat(path.c_str(), &there) != 0) return errno == ENOENT ? Result<void>() : os_error(errno, path);
  if (!S_ISSOCK(there.st_mode)) {
    return Error(ErrorKind::conflict,
        fmt::format("{} is there and is no socket: remove it, or name another path for the "
                                                  "control socket", path));
  }
  if (::unlink(path.c_str()) != 0) return os_error(errno, "removing the old " + path);
  return {};
}

}  // namespace

Result<ControlSocket> ControlSocket::listen(const std::string& path, FileSystem& files) {
  CAIRN_ASSIGN(const sockaddr_un address, socket_address(path));
  const std::string directory = parent_directory(path);
  if (!directory.empty()) CAIRN_TRY(files.make_directories(directory, 0700));
  Result<std::unique_ptr<FileLock>> lock = files.lock(path + ".lock");
  if (!lock && lock.error().kind() == ErrorKind::busy) {
    return Error(ErrorKind::busy, fmt::format("another cairn listens at {}: stop it (cairn stop --control {}), or give "
                                              "this one another control in [defaults]", path, path));
  }
  if (!lock) return lock.error();
  CAIRN_TRY(remove_stale(path));
  FileDescriptor socket = new_control_socket();
  if (!socket.is_open()) return os_error(errno, "making a socket");
  if (::fchmod(socket.get(), 0600) != 0) return os_error(errno, path);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return os_error(errno,
      path);
  ControlSocket made(path, std::move(*lock), std::move(socket));
  if (::listen(made.descriptor(), kBacklog) != 0) return os_error(errno, path);
  return made;
}

ControlSocket::~ControlSocket() {
  if (lock_) (void)::unlink(path_.c_str());
}

bool is_peer_allowed(int connection) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == ::geteuid() || peer.uid == 0;
}

Result<FileDescriptor> connect_control(const std::string& path) {
  CAIRN_ASSIGN(const sockaddr_un address, socket_address(path));
  FileDescriptor socket = new_control_socket();
  if (!socket.is_open()) return os_error(errno, "making a socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
  if (errno == ENOENT || errno == ECONNREFUSED || errno == ENOTDIR) {
    return Error(ErrorKind::not_found,
        fmt::format("no cairn listens at {}: start one (cairn replicate --config FILE), or "
                                                   "say where it listens with --control PATH", path));
  }
  return os_error(errno, path);
}

}  // namespace cairn::daemon
