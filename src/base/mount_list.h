// The kernel's list of what is mounted where, /proc/self/mountinfo (proc_pid_mountinfo(5)).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn {

// Each mount's point and device ("8:1"), in the order of the list: of several at one point the last lies on top.
using MountList = std::vector<std::pair<std::string, std::string>>;

MountList parse_mounts(std::string_view text);
// Of this process; empty when /proc is not there.
MountList read_mounts();

// The device ("8:1") of the mount with that number (statx(2), STATX_MNT_ID); "" when there is none.
std::string device_of_mount(std::uint64_t number);

struct OverlayMount {
  std::string point, upper;  // `upper`: the directory as it was named when it was mounted
};
std::vector<OverlayMount> parse_overlays(std::string_view text);
std::vector<OverlayMount> read_overlays();

}  // namespace cairn
