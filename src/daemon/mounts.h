// Which device a path lies on, by the kernel's list of mounts alone: to ask the path itself is to wait for its device.
#pragma once

#include <cstdint>
#include <string>

#include "base/mount_list.h"
#include "base/mutex.h"

namespace cairn::daemon {

class Mounts {
 public:
  // Any thread. Of an absolute path without symbolic links; "" when it cannot be told. What was mounted within the last
  // second may not be seen yet.
  std::string device_of(const std::string& path) EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  MountList mounts_ GUARDED_BY(mutex_);
  std::int64_t read_ms_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cairn::daemon
