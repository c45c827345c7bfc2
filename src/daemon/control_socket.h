// Where the control socket is, and how both sides get hold of it.
#pragma once

#include <memory>
#include <string>

#include "base/files.h"
#include "base/os.h"
#include "cairn/error.h"

namespace cairn::daemon {

// A socket that listens at `path`, made with mode 0600 and never wider, in directories that are made with 0700 where
// they are missing. What a process left there that has died is replaced. Gone again with this object.
class ControlSocket {
 public:
  // busy: a living process listens there. invalid: the path is too long for a socket. conflict: what is there is no
  // socket. io, denied: the system.
  static Result<ControlSocket> listen(const std::string& path, FileSystem& files);
  ~ControlSocket();
  ControlSocket(ControlSocket&& other) noexcept = default;
  ControlSocket& operator=(ControlSocket&&) = delete;

  int descriptor() const { return socket_.get(); }
  const std::string& path() const { return path_; }

 private:
  ControlSocket(std::string path, std::unique_ptr<FileLock> lock, FileDescriptor socket)
      : path_(std::move(path)), lock_(std::move(lock)), socket_(std::move(socket)) {}

  std::string path_;
  std::unique_ptr<FileLock> lock_;  // on "<path>.lock", as long as the process lives
  FileDescriptor socket_;
};

// Whether who has connected may ask: the same user, or root.
bool is_peer_allowed(int connection);

// not_found: nobody listens there. denied: not for this user. invalid: the path is too long.
Result<FileDescriptor> connect_control(const std::string& path);

}  // namespace cairn::daemon
