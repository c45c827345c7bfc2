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

}  // namespace
}  // namespace cairn
