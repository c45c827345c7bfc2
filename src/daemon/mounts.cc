#include "daemon/mounts.h"

#include <algorithm>

#include "base/clock.h"

namespace cairn::daemon {

namespace {

constexpr std::int64_t kReadAgain_ms = 1'000;  // thousands begin at once

}  // namespace

MountTable::MountTable(const MountList& mounts) {
  for (const auto& [point, device] : mounts) devices_[point] = device;  // the last lies on top
}

std::string MountTable::device_of(std::string_view path) const {
  while (true) {
    const auto mount = devices_.find(std::string(path.empty() ? "/" : path));
    if (mount != devices_.end()) return mount->second;
    if (path.empty() || path == "/") return "";
    path = path.substr(0, std::min(path.rfind('/'), path.size()));
  }
}

const std::string* MountTable::mounted_at(const std::string& path) const {
  const auto mount = devices_.find(path);
  return mount != devices_.end() ? &mount->second : nullptr;
}

std::string Mounts::device_of(const std::string& path) {
  MutexLock lock(mutex_);
  const std::int64_t now_ms = monotonic_ms();
  if (mounts_.is_empty() || now_ms - read_ms_ >= kReadAgain_ms) {
    mounts_ = MountTable(read_mounts());
    read_ms_ = now_ms;
  }
  return mounts_.device_of(path);
}

}  // namespace cairn::daemon
