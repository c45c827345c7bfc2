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

struct MountLine {
  std::uint64_t number = 0;
  std::string device, point, type, options;  // `options`: of the file system
};

std::vector<MountLine> lines_of(std::string_view text) {
  std::vector<MountLine> found;
  std::istringstream lines{std::string(text)};
  for (std::string all; std::getline(lines, all);) {
    std::istringstream fields(all);
    MountLine line;
    std::string parent, root, field, source;
    if (!(fields >> line.number >> parent >> line.device >> root >> line.point)) continue;
    line.point = unescaped_mount(line.point);
    while (fields >> field && field != "-") continue;
    fields >> line.type >> source >> line.options;
    found.push_back(std::move(line));
  }
  return found;
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
  for (MountLine& line : lines_of(text)) mounts.emplace_back(std::move(line.point), std::move(line.device));
  return mounts;
}

MountList read_mounts() { return parse_mounts(mountinfo()); }

std::string device_of_mount(std::uint64_t number) {
  const std::vector<MountLine> lines = lines_of(mountinfo());
  const auto found = std::ranges::find(lines, number, &MountLine::number);
  return found == lines.end() ? "" : found->device;
}

std::vector<OverlayMount> parse_overlays(std::string_view text) {
  std::vector<OverlayMount> overlays;
  for (MountLine& line : lines_of(text)) {
    std::string upper = line.type == "overlay" ? upper_in(line.options) : "";
    if (!upper.empty()) overlays.push_back({std::move(line.point), std::move(upper)});
  }
  return overlays;
}

std::vector<OverlayMount> read_overlays() { return parse_overlays(mountinfo()); }

}  // namespace cairn
