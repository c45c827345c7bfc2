#include "base/mount_list.h"

#include <algorithm>
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

std::string mountinfo() {
  std::ifstream file("/proc/self/mountinfo");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The value of `upperdir` in the options of an overlay mount, which are parted by commas.
std::string upper_in(std::string_view options) {
  constexpr std::string_view kName = "upperdir=";
  while (!options.empty()) {
    const std::string_view option = options.substr(0, options.find(','));
    if (option.starts_with(kName)) return unescaped_mount(option.substr(kName.size()));
    options.remove_prefix(std::min(option.size() + 1, options.size()));
  }
  return "";
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

MountList read_mounts() { return parse_mounts(mountinfo()); }

std::string device_of_mount(std::uint64_t number) {
  std::istringstream lines(mountinfo());
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::uint64_t id = 0;
    std::string parent, device;
    if (fields >> id >> parent >> device && id == number) return device;
  }
  return "";
}

std::vector<OverlayMount> parse_overlays(std::string_view text) {
  std::vector<OverlayMount> overlays;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point, field, type, source, options;
    if (!(fields >> id >> parent >> device >> root >> point)) continue;
    while (fields >> field && field != "-") continue;
    if (!(fields >> type >> source >> options) || type != "overlay") continue;
    if (std::string upper = upper_in(options); !upper.empty()) {
      overlays.push_back({unescaped_mount(point), std::move(upper)});
    }
  }
  return overlays;
}

std::vector<OverlayMount> read_overlays() { return parse_overlays(mountinfo()); }

}  // namespace cairn
