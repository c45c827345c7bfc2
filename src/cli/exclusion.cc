#include "cli/exclusion.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "cli/places.h"

namespace cairn::cli {

namespace {

struct Address {
  sockaddr_un address{};
  socklen_t length = 0;
};

Address abstract_address(const std::string& name) {
  Address a;
  a.address.sun_family = AF_UNIX;
  std::memcpy(a.address.sun_path + 1, name.data(), name.size());  // a leading zero byte makes it abstract
  a.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return a;
}

FileDescriptor new_socket() { return FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

// "process 123", as far as the kernel tells.
std::string holder_of(const Address& name) {
  const FileDescriptor asking = new_socket();
  ucred holder{};
  socklen_t size = sizeof holder;
  const auto* address = reinterpret_cast<const sockaddr*>(&name.address);
  if (::connect(asking.get(), address, name.length) == 0 &&
      ::getsockopt(asking.get(), SOL_SOCKET, SO_PEERCRED, &holder, &size) == 0 && holder.pid > 0) {
    return fmt::format("process {}", holder.pid);
  }
  return "another process";
}

}  // namespace

Result<Exclusion> Exclusion::hold(const std::string& real_database, const std::string& replica_url) {
  std::vector<std::string> identities{real_database};
  struct stat file{};
  if (::stat(real_database.c_str(), &file) == 0) identities.push_back(fmt::format("{}:{}", file.st_dev, file.st_ino));

  Exclusion exclusion;
  for (const std::string& identity : identities) {
    const Address name = abstract_address("cairn-replicate-" + pair_hash(identity, replica_url));
    FileDescriptor socket = new_socket();
    if (!socket.is_open()) return os_error(errno, "making a socket");
    if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&name.address), name.length) != 0) {
      if (errno != EADDRINUSE) return os_error(errno, "naming a socket");
      return Error(ErrorKind::busy, fmt::format("another cairn ({}) replicates {} to {} already: stop it first",
                                                holder_of(name), real_database, replica_url));
    }
    if (::listen(socket.get(), 1) != 0) return os_error(errno, "listening on a socket");
    exclusion.sockets_.push_back(std::move(socket));
  }
  return exclusion;
}

}  // namespace cairn::cli
