#include "daemon/mounts.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace cairn::daemon {
namespace {

TEST(Mounts, SaysWhatStatWouldSay) {
  Mounts mounts;
  if (mounts.device_of("/").empty()) GTEST_SKIP() << "the root is not a mount's, as in a chroot";
  for (const char* path : {"/", "/proc", "/dev", "/sys"}) {
    struct stat status{};
    if (::stat(path, &status) != 0) continue;
    EXPECT_EQ(mounts.device_of(path), fmt::format("{}:{}", major(status.st_dev), minor(status.st_dev))) << path;
  }
  EXPECT_EQ(mounts.device_of("/proc/what/is/not/there"), mounts.device_of("/proc"));
  EXPECT_EQ(mounts.device_of("/processes"), mounts.device_of("/"));
}

}  // namespace
}  // namespace cairn::daemon
