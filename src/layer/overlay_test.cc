#include "layer/overlay.h"

#include <gmock/gmock.h>

#include "layer/test_upper.h"

namespace cairn::layer {
namespace {

using testing::TestUpper;

TEST(OverlayMarks, BelongToOneNamespaceOnceTheRootShowsWhich) {
  const std::vector<Xattr> trusted{{"trusted.overlay.impure", "y"}}, user{{"user.overlay.uuid", "1"}};
  const MarkForms kernel = forms_of_root(trusted, LayerMarks::automatic);
  EXPECT_TRUE(kernel.trusted && !kernel.user && !kernel.fuse && !kernel.fuse_opaque);
  const MarkForms rootless = forms_of_root(user, LayerMarks::automatic);
  EXPECT_TRUE(!rootless.trusted && rootless.user && rootless.fuse_opaque && !rootless.fuse);
  const MarkForms unknown = forms_of_root({}, LayerMarks::automatic);
  EXPECT_TRUE(unknown.trusted && unknown.user);

  std::vector<Xattr> xattrs{{"user.overlay.opaque", "y"}};
  EXPECT_EQ(take_marks(xattrs, kernel)->opaque, Mark::none);
  EXPECT_EQ(xattrs.size(), 1u);  // the container's data
  EXPECT_EQ(take_marks(xattrs, rootless)->opaque, Mark::user);
  EXPECT_TRUE(xattrs.empty());
}

TEST(OverlayMarks, WhatIsBoundToTheHostStaysBehind) {
  std::vector<Xattr> xattrs;
  for (const char* name : {"origin", "uuid", "impure", "nlink", "upper", "protattr"}) {
    xattrs.push_back({std::string("trusted.overlay.") + name, "1"});
  }
  xattrs.push_back({"security.capability", std::string("\0\1", 2)});
  xattrs.push_back({"user.empty", ""});
  ASSERT_TRUE(take_marks(xattrs, MarkForms{}));
  EXPECT_EQ(xattrs, (std::vector<Xattr>{{"security.capability", std::string("\0\1", 2)}, {"user.empty", ""}}));
}

TEST(OverlayMarks, EscapedNamesLoseOneLevelAndGetItBack) {
  for (const bool user : {false, true}) {
    const std::string space = user ? "user.overlay." : "trusted.overlay.";
    const std::vector<Xattr> kept{{space + "overlay.opaque", "y"}, {space + "overlay.overlay.opaque", "y"}};
    Entry entry;
    entry.kind = EntryKind::directory;
    entry.xattrs = kept;
    const auto marks = take_marks(entry.xattrs, MarkForms{});
    EXPECT_EQ(marks->opaque, Mark::none);
    EXPECT_EQ(entry.xattrs, (std::vector<Xattr>{{space + "opaque", "y"}, {space + "overlay.opaque", "y"}}));
    EXPECT_EQ(upper_xattrs(entry, user), kept);
  }
}

TEST(OverlayMarks, MarksAreMadeAgain) {
  Entry entry;
  entry.kind = EntryKind::directory;
  entry.mark = Mark::xattr;
  EXPECT_EQ(upper_xattrs(entry, false), (std::vector<Xattr>{{"trusted.overlay.opaque", "y"}}));
  EXPECT_EQ(upper_xattrs(entry, true), (std::vector<Xattr>{{"user.overlay.opaque", "y"}}));
  entry.mark = Mark::user;
  EXPECT_EQ(upper_xattrs(entry, false), (std::vector<Xattr>{{"user.overlay.opaque", "y"}}));
  entry.mark = Mark::fuse;
  EXPECT_EQ(upper_xattrs(entry, false), (std::vector<Xattr>{{"user.fuseoverlayfs.opaque", "y"}}));
  entry.kind = EntryKind::whiteout;
  entry.mark = Mark::xattr;
  EXPECT_EQ(upper_xattrs(entry, false), (std::vector<Xattr>{{"trusted.overlay.whiteout", ""}}));
  entry.mark = Mark::device;
  EXPECT_EQ(upper_xattrs(entry, false), std::vector<Xattr>());
}

TEST(OverlayMarks, OverrideStat) {
  const auto plain = parse_override_stat("1000:5:4755");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->uid, 1000u);
  EXPECT_EQ(plain->gid, 5u);
  EXPECT_EQ(plain->mode, 04755u);
  EXPECT_FALSE(plain->kind);
  EXPECT_EQ(parse_override_stat("0:0:0100755")->mode, 0755u);  // with the kind of file in it
  const auto device = parse_override_stat("0:0:0660:block-8-17");
  ASSERT_TRUE(device);
  EXPECT_EQ(device->kind, EntryKind::block_device);
  EXPECT_EQ(device->dev_major, 8u);
  EXPECT_EQ(device->dev_minor, 17u);
  EXPECT_EQ(parse_override_stat("0:0:0660:pipe")->kind, EntryKind::fifo);
  EXPECT_TRUE(parse_override_stat("0:0:0660:socket")->is_socket);
  EXPECT_FALSE(parse_override_stat("0:0:0644:file")->kind);
  for (const char* wrong : {"", "0", "0:0", "0:0:", "a:0:755", "0:0:9", "-1:0:755", "0:0:0660:char-1", "0:0:755x"}) {
    const auto parsed = parse_override_stat(wrong);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_EQ(parsed.error().kind(), ErrorKind::invalid);
  }
}

TEST(OverlayMarks, FuseOverlayfsDirectories) {
  TestUpper upper;
  upper.set("", "user.containers.override_stat", "0:0:0555");
  upper.mkdir("d");
  upper.write("d/.wh..wh..opq", "");
  upper.write("d/.wh.gone", "");
  upper.write("d/.wh.there", "");
  upper.write("d/there", "1");
  upper.mkdir("e");
  upper.set("e", "user.fuseoverlayfs.opaque", "y");
  upper.write("e/f", "2");
  upper.set("e/f", "user.containers.override_stat", "7:8:4750");
  upper.write("node", "");
  upper.set("node", "user.containers.override_stat", "0:0:0600:char-1-3");
  const auto all = upper.sync();
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_EQ(TestUpper::text_of(*all),
            "dir \ndir d file\nopaque d file\nwhiteout d/gone file\nfile d/there=1\n"
            "dir e fuse\nopaque e fuse\nfile e/f=2\nchar node\n");
  EXPECT_EQ(all->front().entry.mode, 0555u);
  const Entry& file = all->at(7).entry;
  EXPECT_EQ(file.uid, 7u);
  EXPECT_EQ(file.gid, 8u);
  EXPECT_EQ(file.mode, 04750u);
  EXPECT_TRUE(file.xattrs.empty());
  ASSERT_TRUE(file.stored_owner);
  EXPECT_EQ(file.stored_owner->value, "7:8:4750");
  EXPECT_EQ(upper_xattrs(file, false), (std::vector<Xattr>{{"user.containers.override_stat", "7:8:4750"}}));
  EXPECT_TRUE(upper_xattrs(file, true).empty());  // another mount's
  EXPECT_EQ(all->back().entry.dev_minor, 3u);
  EXPECT_EQ(upper.sync_text(), "");
  std::filesystem::remove(upper / "d/.wh.gone");
  EXPECT_EQ(upper.sync_text(), "dir d file forgets gone\n");
}

// Without a sign of fuse-overlayfs such names are the container's files.
TEST(OverlayMarks, FilesThatAreReallyNamedSo) {
  TestUpper upper;
  upper.write(".wh.x", "1");
  upper.write("x", "2");
  EXPECT_EQ(upper.sync_text(), "dir \nfile .wh.x=1\nfile x=2\n");
  EXPECT_EQ(upper.notices.size(), 1u);  // it may be a mistake, and is said
  upper.options.marks = LayerMarks::fuse_overlayfs;
  EXPECT_EQ(upper.sync_text(), "whiteout .wh.x none\n");  // and what is beside it counts
  upper.options.marks = LayerMarks::kernel;
  upper.set("", "user.fuseoverlayfs.opaque", "y");
  EXPECT_EQ(upper.sync_text(), "dir \nfile .wh.x=1\n");
}

TEST(OverlayMarks, WhiteoutsAsAttributes) {
  TestUpper upper;
  upper.mkdir("d");
  upper.write("d/gone", "");
  upper.set("d/gone", "trusted.overlay.whiteout", "");
  EXPECT_EQ(upper.sync_text(), "dir \ndir d\nfile d/gone=\n");  // the directory does not say that it has any
  upper.set("d", "trusted.overlay.opaque", "x");
  EXPECT_EQ(upper.sync_text(), "whiteout d/gone xattr\n");
  EXPECT_EQ(upper.sync_text(), "");
  upper.set("d", "trusted.overlay.opaque", "y");
  EXPECT_EQ(upper.sync_text(), "dir d xattr\nopaque d xattr\nfile d/gone=\n");
}

TEST(OverlayMarks, WhiteoutsShareAnInodeAndAreNoLinks) {
  TestUpper upper;
  upper.whiteout("a");
  std::filesystem::create_hard_link(upper / "a", upper / "b");
  EXPECT_EQ(upper.sync_text(), "dir \nwhiteout a device\nwhiteout b device\n");
  std::filesystem::create_hard_link(upper / "a", upper / "c");
  EXPECT_EQ(upper.sync_text(), "dir \nwhiteout c device\n");
}

}  // namespace
}  // namespace cairn::layer
