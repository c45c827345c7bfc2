// Which device a path lies on, by the kernel's list of mounts alone: to ask the path itself is to wait for its device.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace cairn::daemon {

// Of the lines of /proc/self/mountinfo: each mount's point and device ("8:1"), in that order.
std::vector<std::pair<std::string, std::string>> parse_mounts(std::string_view text);

class Mounts {
 public:
  // Any thread. Of an absolute path without symbolic links; "" when it cannot be told. What was mounted within the last
  // second may not be seen yet.
  std::string device_of(const std::string& path) EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  std::vector<std::pair<std::string, std::string>> mounts_ GUARDED_BY(mutex_);
  std::int64_t read_ms_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cairn::daemon
