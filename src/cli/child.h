// The program that `--exec` runs.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "cairn/error.h"

namespace cairn::cli {

class Child {
 public:
  // Starts `arguments[0]`, looked up in PATH, with the signal mask of a fresh process.
  // not_found: no such program; denied: it may not be run.
  static Result<Child> start(const std::vector<std::string>& arguments);

  // Its exit status as a shell says it (128 + signal when one ended it); none: it is still running.
  std::optional<int> poll_end();
  void send(int signal) const;

 private:
  explicit Child(pid_t process) : process_(process) {}
  pid_t process_;
};

}  // namespace cairn::cli
