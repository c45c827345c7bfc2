// The kernel's list of what is mounted where, /proc/self/mountinfo (proc_pid_mountinfo(5)).
#pragma once

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

}  // namespace cairn
