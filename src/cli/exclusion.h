// One Cairn a database and replica on this machine, whatever state directory each was given.
//
// The name of an abstract unix socket is held while the process lives, and asking who holds it is a connect() away. It
// only helps: what really keeps two writers apart is that segments are created, never replaced.
#pragma once

#include <string>
#include <vector>

#include "base/os.h"
#include "cairn/error.h"

namespace cairn::cli {

class Exclusion {
 public:
  // By the database's path and, when the file exists, by the file itself: a hard link or another mount has another
  // path. busy: another process holds one of them; the message names it.
  static Result<Exclusion> hold(const std::string& real_database, const std::string& replica_url);

 private:
  std::vector<FileDescriptor> sockets_;
};

}  // namespace cairn::cli
