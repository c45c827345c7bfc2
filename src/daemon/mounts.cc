#include "daemon/mounts.h"

#include "base/clock.h"

namespace cairn::daemon {

namespace {

constexpr std::int64_t kReadAgain_ms = 1'000;  // thousands begin at once

bool is_below(const std::string& path, const std::string& point) {
  if (point == "/") return true;
  return path.starts_with(point) && (path.size() == point.size() || path[point.size()] == '/');
}

}  // namespace

std::string Mounts::device_of(const std::string& path) {
  MutexLock lock(mutex_);
  const std::int64_t now_ms = monotonic_ms();
  if (mounts_.empty() || now_ms - read_ms_ >= kReadAgain_ms) {
    mounts_ = read_mounts();
    read_ms_ = now_ms;
  }
  const MountList::value_type* best = nullptr;
  for (const auto& mount : mounts_) {
    if (is_below(path, mount.first) && (!best || mount.first.size() >= best->first.size())) best = &mount;
  }
  return best ? best->second : "";
}

}  // namespace cairn::daemon
