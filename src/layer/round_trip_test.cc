// From an overlay mount of the kernel through the store and back: the upper directory is the same in everything that
// stat, getxattr and read can tell, a mount of it shows the same, and so does a merged tree without a mount.

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/clock.h"
#include "cairn/layer.h"
#include "cairn/machine.h"
#include "support/scratch.h"

namespace cairn::layer {
namespace {

namespace fs = std::filesystem;

// What there is to know of a name, but for what belongs to the host.
std::string facts_of(const std::string& path, std::map<std::pair<dev_t, ino_t>, std::string>& inodes) {
  struct stat status{};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  // Whiteouts of the kernel share an inode: they are no hard links, and their time means nothing.
  if (S_ISCHR(status.st_mode) && status.st_rdev == 0) return "whiteout";
  char text[200];
  const bool is_directory = S_ISDIR(status.st_mode);
  std::snprintf(text, sizeof text, "%o %u:%u %lld %lld.%09ld dev %llx", status.st_mode, status.st_uid, status.st_gid,
                static_cast<long long>(is_directory ? 0 : status.st_size),
                static_cast<long long>(status.st_mtim.tv_sec),
                status.st_mtim.tv_nsec,
                static_cast<unsigned long long>(status.st_rdev));
  std::string facts = text;
  std::string names(65536, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  std::map<std::string, std::string> xattrs;
  for (std::string_view rest(names.data(), size < 0 ? 0 : static_cast<std::size_t>(size)); !rest.empty();) {
    const std::string name(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(name.size() + 1);
    bool is_hosts = false;
    for (const std::string space : {"trusted.overlay.", "user.overlay."}) {
      for (const char* what : {"origin", "impure", "uuid", "nlink"}) is_hosts |= name == space + what;
    }
    if (is_hosts) continue;
    std::string value(65536, '\0');
    value.resize(static_cast<std::size_t>(std::max<ssize_t>(
        0, ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size()))));
    xattrs[name] = value;
  }
  std::string all;
  for (const auto& [name, value] : xattrs) all += " " + name + "=" + value;
  // Nor do owner and mode of one that is a file.
  if (all == " trusted.overlay.whiteout=" || all == " user.overlay.whiteout=") return "whiteout" + all;
  facts += all;
  if (S_ISLNK(status.st_mode)) facts += " -> " + fs::read_symlink(path).string();
  if (S_ISREG(status.st_mode)) {
    std::ifstream in(path, std::ios::binary);
    facts += " : " + std::string{std::istreambuf_iterator<char>(in), {}};
  }
  if (!is_directory && status.st_nlink > 1) {
    facts += " = " + inodes.try_emplace({status.st_dev, status.st_ino}, path.substr(path.rfind('/'))).first->second;
  }
  return facts;
}

void collect(const std::string& root, const std::string& path, std::map<std::string, std::string>& tree,
             std::map<std::pair<dev_t, ino_t>, std::string>& inodes) {
  const std::string here = root + path;
  tree[path] = facts_of(here, inodes);
  if (!fs::is_directory(fs::symlink_status(here))) return;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(here)) {
    // An overlay lists whiteouts of the attribute form in its upper directory, but they are not there.
    struct stat status{};
    if (::lstat(entry.path().c_str(), &status) == 0) names.push_back(entry.path().filename());
  }
  std::ranges::sort(names);
  for (const std::string& name : names) collect(root, path + "/" + name, tree, inodes);
}

std::map<std::string, std::string> tree_of(const std::string& root) {
  std::map<std::string, std::string> tree;
  std::map<std::pair<dev_t, ino_t>, std::string> inodes;
  collect(root, "", tree, inodes);
  return tree;
}

class LayerRoundTrip : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "overlay mounts need root";
    for (const char* name : {"low1", "low2", "upper", "work", "mnt", "work2", "mnt2"}) {
      fs::create_directory(scratch_ / name);
    }
    if (!mount("upper", "work", "mnt")) GTEST_SKIP() << "no overlay mount here: " << std::strerror(errno);
    unmount("mnt");
    make("low2/base/f", "below");
    make("low2/base/deep/g", "below");
    make("low2/hidden/h", "below");
    make("low2/d/x", "below");
    make("low1/d/y", "in the middle");
    make("low1/d/z", "in the middle");
    make("low1/only1/file", "in the middle");
    fs::create_hard_link(scratch_ / "low1/d/y", scratch_ / "low1/only1/link");
    fs::create_symlink("/etc/passwd", scratch_ / "low2/base/s");
    ASSERT_EQ(::mknod((scratch_ / "low1/hidden").c_str(), S_IFCHR, 0), 0);
    ASSERT_EQ(::chown((scratch_ / "low2/base/f").c_str(), 7, 8), 0);
    ASSERT_EQ(::chmod((scratch_ / "low2/base/f").c_str(), 04751), 0);

    LayerOptions options;
    options.state_directory = scratch_ / "state";
    auto manager = LayerManager::open(*store_, *machine_, options);
    ASSERT_TRUE(manager) << manager.error().message();
    manager_ = std::move(*manager);
    ASSERT_TRUE(manager_->register_container("web", scratch_ / "upper"));
  }
  void TearDown() override {
    for (const char* name : {"mnt", "mnt2"}) ::umount2((scratch_ / name).c_str(), MNT_DETACH);
  }

  bool mount(const std::string& upper, const std::string& work, const std::string& where) {
    const std::string options = "lowerdir=" + (scratch_ / "low1") + ":" + (scratch_ / "low2") + ",upperdir=" +
                                (scratch_ / upper) + ",workdir=" + (scratch_ / work) + more_;
    return ::mount("overlay", (scratch_ / where).c_str(), "overlay", 0, options.c_str()) == 0;
  }
  void unmount(const std::string& where) { ASSERT_EQ(::umount((scratch_ / where).c_str()), 0); }
  void make(const std::string& name, const std::string& contents) {
    fs::create_directories((scratch_ / name).substr(0, (scratch_ / name).rfind('/')));
    std::ofstream(scratch_ / name) << contents;
  }
  // What a container does, through a mount.
  void in_container(const std::function<void(const std::string&)>& what) {
    ASSERT_TRUE(mount("upper", "work", "mnt")) << std::strerror(errno);
    what(scratch_ / "mnt");
    unmount("mnt");
  }
  void sync() {
    const auto synced = manager_->sync_layer("web");
    ASSERT_TRUE(synced) << synced.error().message();
    ASSERT_TRUE(*synced) << "nothing had changed";
    states_.push_back(tree_of(scratch_ / "upper"));
  }
  // Every sync so far, from the store alone.
  void expect_all_syncs_back() {
    for (std::size_t i = 0; i < states_.size(); ++i) {
      const std::string target = scratch_ / "copy";
      const auto restored = manager_->restore_layer("web", target, {.sequence = i + 1, .overwrite = true});
      ASSERT_TRUE(restored) << restored.error().message();
      EXPECT_EQ(tree_of(target), states_[i]) << "sync " << i + 1;
    }
  }
  // The restored directory under a mount, and a merged tree, show what the container sees.
  void expect_same_view() {
    ASSERT_TRUE(mount("upper", "work", "mnt")) << std::strerror(errno);
    const auto view = tree_of(scratch_ / "mnt");
    unmount("mnt");
    ASSERT_TRUE(mount("copy", "work2", "mnt2")) << std::strerror(errno);
    EXPECT_EQ(tree_of(scratch_ / "mnt2"), view);
    unmount("mnt2");
    LayerRestoreOptions options{.form = LayerForm::merged, .overwrite = true};
    options.lower = {scratch_ / "low1", scratch_ / "low2"};
    const auto merged = manager_->restore_layer("web", scratch_ / "tree", options);
    ASSERT_TRUE(merged) << merged.error().message();
    EXPECT_EQ(tree_of(scratch_ / "tree"), view);
    for (const std::string path : {"d", "base/deep", "base/f", "new/a"}) {
      options.path = path;
      if (!view.contains("/" + path)) {
        EXPECT_EQ(manager_->restore_layer("web", scratch_ / "part", options).error().kind(), ErrorKind::not_found);
        continue;
      }
      ASSERT_TRUE(manager_->restore_layer("web", scratch_ / "part", options)) << path;
      const auto part = tree_of(scratch_ / "part");
      for (const auto& [name, facts] : part) {
        // Links to what is outside of the part have become files.
        if (facts.find(" = ") == std::string::npos && view.at("/" + path + name).find(" = ") == std::string::npos) {
          EXPECT_EQ(facts, view.at("/" + path + name)) << path << name;
        }
      }
    }
  }

  // An upper directory with a bit of everything that its own namespace and the other one can hold, through a mount.
  void make_marks(const std::string& own, const std::string& other) {
    make("low2/w/gone", "below");
    make("low2/w/stays", "below");
    for (const char* name : {"upper", "work"}) fs::remove_all(scratch_ / name);  // a mount by root has left signs
    fs::create_directory(scratch_ / "work");
    fs::create_directories(scratch_ / "upper/w");
    std::ofstream(scratch_ / "upper/w/gone").close();
    set("upper/w", own + "opaque", "x");
    set("upper/w/gone", own + "whiteout", "");
    set("upper", own + "impure", "y");  // as a mount leaves it once something is copied up
    in_container([&](const std::string& root) {
      fs::remove(root + "/base/f");      // a device
      fs::remove_all(root + "/base/deep");
      fs::create_directory(root + "/base/deep");  // opaque
      std::ofstream(root + "/base/deep/new") << "1";
      std::ofstream(root + "/data") << "2";
      fs::create_directories(root + "/inner/opaque");
      // What an overlay inside the container writes in its upper directory, and one more inside that.
      for (const std::string& space : {own, other}) {
        set("mnt/inner/opaque", space + "opaque", "y");
        set("mnt/inner/opaque", space + "overlay.opaque", "y");
        set("mnt/data", space + "x", "a name that is nobody's");
      }
      std::ofstream(root + "/d/beside") << "3";
    });
    ASSERT_EQ(get("upper/inner/opaque", own + "overlay.overlay.opaque"), "y") << "the kernel does not escape it";
    ASSERT_EQ(get("upper/inner/opaque", other + "overlay.opaque"), "y");
    ASSERT_EQ(get("upper/data", other + "x"), "a name that is nobody's");
    ASSERT_EQ(get("upper/base/deep", own + "opaque"), "y");
  }
  void set(const std::string& name, const std::string& attribute, const std::string& value) {
    ASSERT_EQ(::lsetxattr((scratch_ / name).c_str(), attribute.c_str(), value.data(), value.size(), 0), 0)
        << name << " " << attribute << ": " << std::strerror(errno);
  }
  std::string get(const std::string& name, const std::string& attribute) {
    std::string value(256, '\0');
    const ssize_t got = ::lgetxattr((scratch_ / name).c_str(), attribute.c_str(), value.data(), value.size());
    return got < 0 ? std::strerror(errno) : value.substr(0, static_cast<std::size_t>(got));
  }
  // And what is restored is synced and restored once more, with nothing but itself to go by.
  void expect_exact_twice() {
    sync();
    expect_all_syncs_back();
    ASSERT_TRUE(manager_->register_container("again", scratch_ / "copy"));
    ASSERT_TRUE(manager_->sync_layer("again"));
    const auto restored = manager_->restore_layer("again", scratch_ / "copy2");
    ASSERT_TRUE(restored) << restored.error().message();
    EXPECT_EQ(tree_of(scratch_ / "copy2"), states_.back());
    expect_same_view();
  }

  std::string more_;  // options of the mount
  cairn::testing::Scratch scratch_{"round-trip"};
  std::unique_ptr<Store> store_ = make_memory_store();
  std::unique_ptr<Machine> machine_ = make_machine(2);
  std::unique_ptr<LayerManager> manager_;
  std::vector<std::map<std::string, std::string>> states_;  // the upper directory at each sync
};

TEST_F(LayerRoundTrip, AContainersLife) {
  in_container([&](const std::string& root) {
    fs::create_directories(root + "/new");
    std::ofstream(root + "/new/a") << "1";
    fs::create_hard_link(root + "/new/a", root + "/new/b");
    fs::create_symlink("../nowhere", root + "/new/s");
    fs::remove(root + "/base/f");               // a whiteout
    fs::remove_all(root + "/base/deep");        // one of a directory
    std::ofstream(root + "/d/x") << "changed";  // copied up
    ASSERT_EQ(::chown((root + "/new/a").c_str(), 1000, 1001), 0);
    ASSERT_EQ(::chmod((root + "/new/a").c_str(), 06750), 0);
    ASSERT_EQ(::setxattr((root + "/new/a").c_str(), "user.name", "value", 5, 0), 0);
    ASSERT_EQ(::mkfifo((root + "/new/pipe").c_str(), 0600), 0);
    std::ofstream(root + "/not-utf8-\xff") << "x";
    std::ofstream(root + "/.wh.file") << "no whiteout";
  });
  sync();
  in_container([&](const std::string& root) {
    fs::remove_all(root + "/d");
    fs::create_directory(root + "/d");  // opaque
    std::ofstream(root + "/d/new") << "2";
    fs::remove(root + "/new/a");        // the first name of a file with two
    std::ofstream(root + "/base/f") << "back";
    fs::remove_all(root + "/only1");
    std::ofstream(root + "/only1") << "a file where a directory was";
  });
  sync();
  in_container([&](const std::string& root) {
    fs::remove(root + "/only1");
    fs::create_directory(root + "/only1");  // and a directory again
    std::ofstream(root + "/only1/inside") << "3";
    fs::rename(root + "/d/new", root + "/new/a");
    fs::remove(root + "/base/f");
    fs::create_hard_link(root + "/new/b", root + "/b");
  });
  sync();
  expect_all_syncs_back();
  expect_same_view();
}

TEST_F(LayerRoundTrip, MarksOfBothNamespacesInAMountByRoot) {
  more_ = ",redirect_dir=off,metacopy=off";
  make_marks("trusted.overlay.", "user.overlay.");
  if (!HasFatalFailure()) expect_exact_twice();
}

TEST_F(LayerRoundTrip, MarksOfBothNamespacesInAMountWithUserxattr) {
  more_ = ",userxattr";
  if (!mount("upper", "work", "mnt")) GTEST_SKIP() << "no mount with userxattr here: " << std::strerror(errno);
  unmount("mnt");
  make_marks("user.overlay.", "trusted.overlay.");
  if (!HasFatalFailure()) expect_exact_twice();
}

// Nothing shows whose it is: both namespaces are marks, and both are escaped again.
TEST_F(LayerRoundTrip, EscapedNamesOfADirectoryThatShowsNothing) {
  make("upper/f", "1");
  for (const char* name : {"trusted.overlay.overlay.x", "user.overlay.overlay.x", "user.overlay.overlay.overlay.x"}) {
    set("upper/f", name, name);
  }
  sync();
  expect_all_syncs_back();
  EXPECT_EQ(get("copy/f", "user.overlay.overlay.x"), "user.overlay.overlay.x");
}

// Whoever cleans up the upper directory itself, without a mount, takes marks away that were there.
TEST_F(LayerRoundTrip, MarksThatAreTakenAway) {
  in_container([&](const std::string& root) {
    fs::remove(root + "/base/f");
    fs::remove(root + "/d/x");
    std::ofstream(root + "/new") << "1";
  });
  sync();
  fs::remove(scratch_ / "upper/base/f");
  fs::remove(scratch_ / "upper/new");
  sync();
  expect_all_syncs_back();
  expect_same_view();
  in_container([&](const std::string& root) { fs::remove(root + "/base/f"); });
  sync();
  expect_all_syncs_back();
  expect_same_view();
}

}  // namespace
}  // namespace cairn::layer
