// Which device a path lies on, by the kernel's list of mounts alone: to ask the path itself is to wait for its device.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/mount_list.h"
#include "base/mutex.h"

namespace cairn::daemon {

// As it was when it was read.
class MountTable {
 public:
  MountTable() = default;
  explicit MountTable(const MountList& mounts);

  bool is_empty() const { return devices_.empty(); }
  // Of an absolute path without symbolic links; "" when it cannot be told.
  std::string device_of(std::string_view path) const;
  // The device of what is mounted at this very path; null: nothing is.
  const std::string* mounted_at(const std::string& path) const;

 private:
  std::unordered_map<std::string, std::string> devices_;  // by mount point
};

class Mounts {
 public:
  // Any thread. MountTable::device_of(). What was mounted within the last second may not be seen yet.
  std::string device_of(const std::string& path) EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  MountTable mounts_ GUARDED_BY(mutex_);
  std::int64_t read_ms_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cairn::daemon
