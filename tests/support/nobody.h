// For tests: this thread as somebody who may not write to a file, whoever runs the tests.
#pragma once

#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace cairn::testing {

// Root may write whatever a file's mode says; so while one of these lives, this thread opens files as nobody. Anybody
// else is bound by the modes anyway.
class Nobody {
 public:
  Nobody() {
    if (::geteuid() == 0) ::setfsuid(kNobody);
  }
  ~Nobody() {
    if (::geteuid() == 0) ::setfsuid(0);
  }
  Nobody(const Nobody&) = delete;
  Nobody& operator=(const Nobody&) = delete;

 private:
  static constexpr uid_t kNobody = 65534;
};

inline bool set_mode(const std::string& path, mode_t mode) { return ::chmod(path.c_str(), mode) == 0; }

}  // namespace cairn::testing
