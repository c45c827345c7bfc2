#include "daemon/mounts.h"

#include <fstream>
#include <iterator>
#include <sstream>

#include "base/clock.h"

namespace cairn::daemon {

namespace {

constexpr std::int64_t kReadAgain_ms = 1'000;  // thousands begin at once

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// A space, a tab, a newline and a backslash are written as \040 and the like.
std::string unescaped_mount(std::string_view text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool escaped = text[at] == '\\' && at + 3 < text.size() && is_octal(text[at + 1]) &&
                         is_octal(text[at + 2]) && is_octal(text[at + 3]);
    if (!escaped) {
      plain += text[at];
      continue;
    }
    plain += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 + (text[at + 3] - '0'));
    at += 3;
  }
  return plain;
}

bool is_below(const std::string& path, const std::string& point) {
  if (point == "/") return true;
  return path.starts_with(point) && (path.size() == point.size() || path[point.size()] == '/');
}

}  // namespace

std::vector<std::pair<std::string, std::string>> parse_mounts(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> mounts;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point;
    if (fields >> id >> parent >> device >> root >> point) mounts.emplace_back(unescaped_mount(point), device);
  }
  return mounts;
}

std::string Mounts::device_of(const std::string& path) {
  MutexLock lock(mutex_);
  const std::int64_t now_ms = monotonic_ms();
  if (mounts_.empty() || now_ms - read_ms_ >= kReadAgain_ms) {
    std::ifstream file("/proc/self/mountinfo");
    mounts_ = parse_mounts(std::string(std::istreambuf_iterator<char>(file), {}));
    read_ms_ = now_ms;
  }
  const std::pair<std::string, std::string>* best = nullptr;  // of several at one point the last lies on top
  for (const auto& mount : mounts_) {
    if (is_below(path, mount.first) && (!best || mount.first.size() >= best->first.size())) best = &mount;
  }
  return best ? best->second : "";
}

}  // namespace cairn::daemon
