// What the kernel's own overlayfs leaves in an upper directory, read by a scan.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <map>

#include "layer/merged_view.h"
#include "layer/test_upper.h"

namespace cairn::layer {
namespace {

using testing::Emitted;
using testing::TestUpper;

class OverlayMount : public ::testing::Test {
 protected:
  OverlayMount() {
    for (const char* name : {"lower", "work", "merged"}) std::filesystem::create_directory(upper_.beside(name));
    make(lower() + "/d/x", "x below");
    make(lower() + "/d/sub/y", "y below");
    make(lower() + "/f", "f below");
    make(lower() + "/g", "g below");
  }
  ~OverlayMount() override { unmount(); }

  std::string lower() const { return upper_.beside("lower"); }
  std::string merged(const std::string& path) const { return upper_.beside("merged") + "/" + path; }
  static void make(const std::string& path, const std::string& contents) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << contents;
  }

  // Says why not, when it cannot be had here.
  std::string mount(const std::string& more = "") {
    const std::string options = "lowerdir=" + lowers_ + ",upperdir=" + upper_.root() + ",workdir=" +
                                upper_.beside("work") + (more.empty() ? "" : "," + more);
    if (::mount("overlay", upper_.beside("merged").c_str(), "overlay", 0, options.c_str()) != 0) {
      return "no overlay mount with " + more + ": " + std::strerror(errno);
    }
    mounted_ = true;
    return "";
  }
  void unmount() {
    if (mounted_) {
      EXPECT_EQ(::umount(upper_.beside("merged").c_str()), 0);
    }
    mounted_ = false;
  }
  void give_lower() { upper_.options.lower = {lower()}; }
  std::string second() const { return upper_.beside("second"); }
  void lay_over_second() {
    lowers_ = lower() + ":" + second();
    upper_.options.lower = {lower(), second()};
  }

  TestUpper upper_;
  std::string lowers_ = lower();
  bool mounted_ = false;
};

#define MOUNT_OR_SKIP(...) \
  if (const std::string why = mount(__VA_ARGS__); !why.empty()) GTEST_SKIP() << why

TEST_F(OverlayMount, OneThatIsGoneIsKnownForIt) {
  if (const std::string why = mount(); !why.empty()) GTEST_SKIP() << why;
  const auto view = merged_view_of(::open(upper_.root().c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_TRUE(view);
  EXPECT_TRUE(is_mounted(view->get()));
  mounted_ = false;
  ASSERT_EQ(::umount2(upper_.beside("merged").c_str(), MNT_DETACH), 0);
  EXPECT_FALSE(is_mounted(view->get()));
}

TEST_F(OverlayMount, RemovedReplacedCopiedUpAndLinked) {
  MOUNT_OR_SKIP("redirect_dir=off,metacopy=off");
  std::filesystem::remove(merged("f"));
  std::filesystem::remove(merged("d/x"));
  std::filesystem::permissions(merged("g"), std::filesystem::perms(0600));
  std::filesystem::create_hard_link(merged("g"), merged("g2"));
  EXPECT_EQ(upper_.sync_text(),
            "dir \ndir d\nwhiteout d/x device\nwhiteout f device\nfile g=g below\nlink g2 -> g\n");
  std::filesystem::remove_all(merged("d"));
  std::filesystem::create_directory(merged("d"));
  make(merged("d/new"), "1");
  EXPECT_EQ(upper_.sync_text(), "dir \ndir d xattr\nopaque d xattr\nfile d/new=1\n");
  make(merged("f"), "back");
  std::filesystem::remove_all(merged("d"));
  EXPECT_EQ(upper_.sync_text(), "dir \nwhiteout d device\nfile f=back\n");
  EXPECT_EQ(upper_.sync_text(), "");
  // None of the host's attributes is carried.
  const auto all = upper_.sync(ScanGoal::full);
  ASSERT_TRUE(all);
  for (const Emitted& one : *all) EXPECT_TRUE(one.entry.xattrs.empty()) << one.entry.path;
}

TEST_F(OverlayMount, WithUserxattr) {
  MOUNT_OR_SKIP("userxattr");
  std::filesystem::remove(merged("f"));
  std::filesystem::remove_all(merged("d"));
  std::filesystem::create_directory(merged("d"));
  std::filesystem::permissions(merged("g"), std::filesystem::perms(0600));
  // In such a mount this is an attribute like any other.
  ASSERT_EQ(::lsetxattr(merged("g").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  const auto all = upper_.sync();
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_EQ(TestUpper::text_of(*all), "dir \ndir d user\nopaque d user\nwhiteout f device\nfile g=g below\n");
  EXPECT_EQ(all->back().entry.xattrs, (std::vector<Xattr>{{"trusted.overlay.opaque", "y"}}));
}

// An overlay inside the container keeps its marks as data of the outer one, escaped.
TEST_F(OverlayMount, MarksOfANestedOverlayAreData) {
  MOUNT_OR_SKIP("redirect_dir=off");
  std::filesystem::create_directory(merged("inner"));
  if (::lsetxattr(merged("inner").c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
    GTEST_SKIP() << "this kernel does not nest overlays";
  }
  make(merged("d/x"), "changed");  // so that the directory shows that it is the kernel's, with trusted attributes
  const auto all = upper_.sync();
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_EQ(TestUpper::text_of(*all), "dir \ndir d\nfile d/x=changed\ndir inner\n");
  EXPECT_EQ(all->back().entry.xattrs, (std::vector<Xattr>{{"trusted.overlay.opaque", "y"}}));
  const auto escaped = upper_xattrs(all->back().entry, false);
  EXPECT_EQ(escaped, (std::vector<Xattr>{{"trusted.overlay.overlay.opaque", "y"}}));
}

TEST_F(OverlayMount, MetacopyIsRefusedWithoutItsLower) {
  MOUNT_OR_SKIP("metacopy=on,redirect_dir=on");
  std::filesystem::permissions(merged("d/x"), std::filesystem::perms(0600));
  const std::string said = upper_.sync_text();
  EXPECT_THAT(said, ::testing::HasSubstr("unsupported: "));
  EXPECT_THAT(said, ::testing::HasSubstr("/upper/d/x: "));
  EXPECT_THAT(said, ::testing::HasSubstr("--lower"));
  give_lower();
  const auto all = upper_.sync();
  ASSERT_TRUE(all) << all.error().message();
  EXPECT_EQ(TestUpper::text_of(*all), "dir \ndir d\nfile d/x=x below\n");
  EXPECT_EQ(all->back().entry.mode, 0600u);
  EXPECT_EQ(upper_.sync_text(), "");
  make(merged("d/x"), "x above");
  EXPECT_EQ(upper_.sync_text(), "file d/x=x above\n");
}

TEST_F(OverlayMount, MetacopyUnderAnotherNameAndInAnotherDirectory) {
  MOUNT_OR_SKIP("metacopy=on,redirect_dir=on");
  std::filesystem::permissions(merged("f"), std::filesystem::perms(0600));
  std::filesystem::rename(merged("f"), merged("d/moved"));  // redirect from the roots
  std::filesystem::permissions(merged("g"), std::filesystem::perms(0600));
  std::filesystem::rename(merged("g"), merged("h"));        // redirect beside
  give_lower();
  EXPECT_EQ(upper_.sync_text(),
            "dir \ndir d\nfile d/moved=f below\nwhiteout f device\nwhiteout g device\nfile h=g below\n");
}

// A renamed directory is stored as what it consists of, since no layer could say where the rest of it lies.
TEST_F(OverlayMount, RenamedDirectoriesAreStoredWhole) {
  MOUNT_OR_SKIP("redirect_dir=on,metacopy=on");
  std::filesystem::rename(merged("d"), merged("e"));
  const std::string said = upper_.sync_text();
  EXPECT_THAT(said, ::testing::HasSubstr("unsupported: "));
  EXPECT_THAT(said, ::testing::HasSubstr("--lower"));
  give_lower();
  make(merged("e/x"), "x above");
  std::filesystem::permissions(merged("e/sub/y"), std::filesystem::perms(0600));
  EXPECT_EQ(upper_.sync_text(),
            "dir \nwhiteout d device\ndir e xattr\nopaque e xattr\ndir e/sub\nfile e/sub/y=y below\n"
            "file e/x=x above\n");
  EXPECT_EQ(upper_.sync_text(), "");
  std::filesystem::remove(merged("e/x"));
  EXPECT_EQ(upper_.sync_text(), "dir e xattr\nwhiteout e/x none\n");
  std::filesystem::create_directory(merged("far"));
  std::filesystem::rename(merged("e/sub"), merged("far/away"));
  EXPECT_EQ(upper_.sync_text(),
            "dir \ndir e xattr\nwhiteout e/sub none\ndir far xattr\nopaque far xattr\ndir far/away xattr\n"
            "opaque far/away xattr\nfile far/away/y=y below\n");
  EXPECT_EQ(upper_.sync_text(), "");
}

// The merged view is what is stored: read through the mount, every name below the renamed directory is the same.
TEST_F(OverlayMount, RenamedDirectoryOverSeveralLayers) {
  make(second() + "/d/x", "x in the second");
  make(second() + "/d/deep/z", "z in the second");
  make(second() + "/d/gone", "");
  ASSERT_EQ(::mknod((lower() + "/d/gone").c_str(), S_IFCHR, 0), 0);
  lay_over_second();
  MOUNT_OR_SKIP("redirect_dir=on,metacopy=on");
  std::filesystem::rename(merged("d"), merged("e"));
  std::filesystem::permissions(merged("e/deep/z"), std::filesystem::perms(0640));
  const auto all = upper_.sync();
  ASSERT_TRUE(all) << all.error().message();
  std::map<std::string, std::string> stored, seen;
  for (const Emitted& one : *all) {
    if (one.entry.path.starts_with("e") && one.entry.kind == EntryKind::file) stored[one.entry.path] = one.contents;
  }
  for (const auto& one : std::filesystem::recursive_directory_iterator(merged("e"))) {
    if (!one.is_regular_file()) continue;
    std::ifstream in(one.path(), std::ios::binary);
    const std::string path = std::filesystem::relative(one.path(), merged("")).string();
    seen[path] = std::string(std::istreambuf_iterator<char>(in), {});
  }
  EXPECT_EQ(stored, seen);
  EXPECT_EQ(seen.size(), 3u);
}

// Its contents are looked for from the first layer on, though the directory that it is in by now is the second's alone.
TEST_F(OverlayMount, MetacopyMovedToADirectoryOfTheSecondLayer) {
  make(second() + "/f", "f other");
  make(second() + "/only/z", "z");
  lay_over_second();
  MOUNT_OR_SKIP("redirect_dir=on,metacopy=on");
  std::filesystem::permissions(merged("f"), std::filesystem::perms(0600));
  std::filesystem::rename(merged("f"), merged("only/f"));
  EXPECT_EQ(upper_.sync_text(), "dir \nwhiteout f device\ndir only\nfile only/f=f below\n");
}

// What a lower layer hides on the way that a redirect names stays hidden.
TEST_F(OverlayMount, RenamedDirectoryOutOfOneThatALowerLayerHasMadeAnew) {
  make(second() + "/p/q/hidden", "1");
  make(lower() + "/p/q/shown", "2");
  ASSERT_EQ(::lsetxattr((lower() + "/p").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  lay_over_second();
  MOUNT_OR_SKIP("redirect_dir=on,metacopy=on");
  ASSERT_FALSE(std::filesystem::exists(merged("p/q/hidden")));
  std::filesystem::rename(merged("p/q"), merged("d/q"));
  EXPECT_EQ(upper_.sync_text(),
            "dir \ndir d\ndir d/q xattr\nopaque d/q xattr\nfile d/q/shown=2\ndir p\nwhiteout p/q device\n");
}

}  // namespace
}  // namespace cairn::layer
