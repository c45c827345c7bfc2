#include "base/mount_list.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(MountList, IsReadAsTheKernelWritesIt) {
  const MountList mounts = parse_mounts("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
                                        "40 22 0:52 /of/it /mnt/a\\040b\\134c rw - fuse.x none rw\n"
                                        "41 22 0:53 / /mnt/\\08x rw - tmpfs none rw\n"
                                        "not a line\n");
  EXPECT_EQ(mounts, (MountList{{"/", "8:1"}, {"/mnt/a b\\c", "0:52"}, {"/mnt/\\08x", "0:53"}}));
}

TEST(MountList, OverlaysByTheirUpperDirectory) {
  const auto overlays = parse_overlays(
      "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
      "44 27 0:39 / /run/c/a\\040b rw,relatime - overlay overlay rw,lowerdir=/l:/m,upperdir=/c/a\\040b,workdir=/w\n"
      "45 27 0:40 / /run/r ro shared:7 master:1 - overlay overlay ro,lowerdir=/l:/m\n"
      "46 27 0:41 / /run/c2 rw - overlay overlay rw,upperdir=/c2\n");
  ASSERT_EQ(overlays.size(), 2u);
  EXPECT_EQ(overlays[0].point, "/run/c/a b");
  EXPECT_EQ(overlays[0].upper, "/c/a b");
  EXPECT_EQ(overlays[1].upper, "/c2");
}

}  // namespace
}  // namespace cairn
