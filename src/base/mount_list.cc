#include "base/mount_list.h"

#include <fstream>
#include <iterator>
#include <sstream>

namespace cairn {
namespace {

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

}  // namespace

MountList parse_mounts(std::string_view text) {
  MountList mounts;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point;
    if (fields >> id >> parent >> device >> root >> point) mounts.emplace_back(unescaped_mount(point), device);
  }
  return mounts;
}

MountList read_mounts() {
  std::ifstream file("/proc/self/mountinfo");
  return parse_mounts(std::string(std::istreambuf_iterator<char>(file), {}));
}

}  // namespace cairn
