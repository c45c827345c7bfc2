#include "layer/restore.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <map>

#include "layer/restore_fixture.h"
#include "store/directory_store.h"

namespace cairn::layer {
namespace {

using namespace testing;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::map<std::string, std::string> xattrs_of(const std::string& path) {
  std::map<std::string, std::string> found;
  std::string names(65536, '\0');
  const ssize_t size = ::llistxattr(path.c_str(), names.data(), names.size());
  for (std::string_view rest(names.data(), size < 0 ? 0 : static_cast<std::size_t>(size)); !rest.empty();) {
    const std::string name(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(name.size() + 1);
    std::string value(65536, '\0');
    const ssize_t length = ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
    EXPECT_GE(length, 0) << path << " " << name;
    value.resize(static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
    found[name] = value;
  }
  return found;
}

// Every name below a directory, sorted, and what it is.
std::vector<std::string> names_in(const std::string& root) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    names.push_back(entry.path().lexically_relative(root));
  }
  std::ranges::sort(names);
  return names;
}

std::vector<Item> rich_items() {
  std::vector<Item> items{dir("")};
  items.back().entry.mode = 0751;
  items.push_back(dir("d"));
  items.back().entry.mode = 03775;
  items.back().entry.uid = 12;
  items.back().entry.mtime_ns = 123'456'789;
  items.back().entry.xattrs = {{"trusted.t", "d"}, {"user.dir", ""}};
  items.push_back(file("d/f", noise(3'000'000, 1)));
  Entry& rich = items.back().entry;
  rich.mode = 04711;
  rich.uid = 3'000'000;
  rich.gid = 4'000'000;
  rich.mtime_s = -2;
  rich.mtime_ns = 250'000'001;
  // cap_net_raw=ep, as VFS_CAP_REVISION_2 has it.
  rich.xattrs = {{"security.capability", std::string("\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20)},
                 {"trusted.binary", std::string("\0=\n\xff", 4)},
                 {"user.a=b%c%3D", "odd name"},
                 {"user.empty", ""},
                 {"user.large", std::string(3000, 'v')}};
  items.push_back(hard_link("d/g", "d/f"));
  items.push_back(symlink("d/s", "../nowhere/\xff"));
  items.back().entry.uid = 5;
  items.back().entry.mtime_ns = 9;
  items.back().entry.xattrs = {{"trusted.link", "1"}};
  items.push_back(file("d/z", ""));
  items.push_back(item_of(entry_of(EntryKind::char_device, "dev")));
  items.back().entry.dev_major = 1;
  items.back().entry.dev_minor = 300;
  items.push_back(item_of(entry_of(EntryKind::fifo, "fifo")));
  items.back().entry.mode = 0620;
  for (const std::string name : {"gr\xc3\xbc\xc3\x9f", "line\nline", "not-utf8-\xff\xfe"}) {
    items.push_back(file(name, "contents of " + name));
  }
  // user::rw-, user:5:r--, group::r--, mask::r--, other::---, as the kernel has ACLs.
  items.push_back(file("with-acl", "x"));
  items.back().entry.mode = 0640;
  items.back().entry.xattrs = {
      {"system.posix_acl_access",
       std::string("\2\0\0\0\1\0\6\0\xff\xff\xff\xff\2\0\4\0\5\0\0\0\4\0\4\0\xff\xff\xff\xff\x10\0\4\0\xff\xff\xff\xff"
                   "\x20\0\0\0\xff\xff\xff\xff", 44)}};
  return items;
}

void expect_tree(const std::string& root, const std::vector<Item>& items) {
  for (const auto& [entry, contents, state, hash] : items) {
    SCOPED_TRACE(entry.path);
    const std::string path = entry.path.empty() ? root : root + "/" + entry.path;
    const struct stat status = status_of(path);
    if (entry.kind == EntryKind::hard_link) {
      EXPECT_EQ(status.st_ino, status_of(root + "/" + entry.link_target).st_ino);
      continue;
    }
    EXPECT_EQ(status.st_mode & 07777, entry.kind == EntryKind::symlink ? 0777 : entry.mode);
    EXPECT_EQ(status.st_uid, entry.uid);
    EXPECT_EQ(status.st_gid, entry.gid);
    EXPECT_EQ(status.st_mtim.tv_sec, entry.mtime_s);
    EXPECT_EQ(status.st_mtim.tv_nsec, entry.mtime_ns);
    EXPECT_TRUE(entry.kind != EntryKind::file || file_text(path) == contents);
    EXPECT_TRUE(entry.kind != EntryKind::symlink || fs::read_symlink(path).string() == entry.link_target);
    if (entry.kind == EntryKind::char_device) {
      EXPECT_TRUE(S_ISCHR(status.st_mode));
      EXPECT_EQ(status.st_rdev, makedev(entry.dev_major, entry.dev_minor));
    }
    EXPECT_EQ(entry.kind == EntryKind::fifo, S_ISFIFO(status.st_mode));
    std::map<std::string, std::string> xattrs;
    for (const Xattr& xattr : entry.xattrs) xattrs[xattr.name] = xattr.value;
    EXPECT_EQ(xattrs_of(path), xattrs);
  }
}

TEST_F(LayerRestore, EveryAttributeComesBack) {
  needs_root();
  if (IsSkipped()) return;
  const auto items = rich_items();
  publish_layers({items});
  const auto restored = restore(scratch_ / "copy");
  ASSERT_TRUE(restored) << restored.error().message();
  expect_tree(scratch_ / "copy", items);
  EXPECT_EQ(restored->result.entries, items.size());
  EXPECT_TRUE(restored->is_head);
  expect_only({"copy"});
}

// What a file was not open to it is not open to because of where it is restored.
TEST_F(LayerRestore, AclsOfTheParentAreNotInherited) {
  // Version 2: the usual three, user 1234 with all rights, and the mask (linux/posix_acl_xattr.h), little-endian.
  std::string acl("\2\0\0\0", 4);
  const auto add = [&](char tag, char rights, std::string_view id) {
    (acl += {tag, 0, rights, 0}).append(id);
  };
  constexpr std::string_view kNobody = "\xff\xff\xff\xff", kUser("\xd2\4\0\0", 4);
  add(0x01, 7, kNobody);
  add(0x02, 7, kUser);
  add(0x04, 5, kNobody);
  add(0x10, 7, kNobody);
  add(0x20, 5, kNobody);
  const std::string parent = scratch_ / "parent";
  fs::create_directory(parent);
  if (::setxattr(parent.c_str(), "system.posix_acl_default", acl.data(), acl.size(), 0) != 0) {
    GTEST_SKIP() << "no ACLs on this file system";
  }
  publish_layers({{dir(""), dir("d"), file("d/f", "x")}});
  LayerRestoreOptions options;
  for (const LayerForm form : {LayerForm::upper, LayerForm::merged, LayerForm::oci_layout}) {
    options.form = form;
    const std::string target = parent + "/target" + std::to_string(static_cast<int>(form));
    const auto restored = restore(target, options);
    ASSERT_TRUE(restored) << restored.error().message();
    EXPECT_TRUE(xattrs_of(target).empty());
    for (const auto& name : fs::recursive_directory_iterator(target)) {
      EXPECT_TRUE(xattrs_of(name.path()).empty()) << name.path();
    }
  }
}

TEST_F(LayerRestore, AnySyncCanBeHad) {
  publish_layers({{dir(""), file("a", "1"), file("b", "1")}, {file("a", "2"), gone("b")}, {dir(""), file("c", "3")}});
  const auto names = [&](const LayerRestoreOptions& options) {
    const std::string target = scratch_ / std::to_string(random_.next());
    const auto restored = restore(target, options);
    EXPECT_TRUE(restored) << restored.error().message();
    std::string text;
    for (const std::string& name : names_in(target)) text += name + "=" + file_text(target + "/" + name) + " ";
    return text + std::to_string(restored->result.snapshot.sequence);
  };
  EXPECT_EQ(names({}), "a=2 c=3 3");
  EXPECT_EQ(names({.sequence = 1}), "a=1 b=1 1");
  EXPECT_EQ(names({.sequence = 2}), "a=2 2");
  EXPECT_EQ(names({.at_ms = 1'700'000'002'500}), "a=2 2");
  EXPECT_EQ(names({.at_ms = 1'700'000'002'000}), "a=2 2");
  EXPECT_EQ(names({.at_ms = 9'000'000'000'000}), "a=2 c=3 3");
  EXPECT_EQ(restore(scratch_ / "x", {.at_ms = 1'700'000'000'000}).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(restore(scratch_ / "x", {.sequence = 4}).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(restore(scratch_ / "x", {.sequence = 1, .at_ms = 1}).error().kind(), ErrorKind::invalid);
  EXPECT_FALSE(fs::exists(scratch_ / "x"));
}

TEST_F(LayerRestore, MarksAreMadeAgain) {
  needs_root();
  if (IsSkipped()) return;
  publish_layers({{dir(""), dir("a", Mark::xattr), file("a/f", "1"), dir("b"), gone("b/x", Mark::xattr), dir("c"),
                   gone("c/u", Mark::user), gone("dev", Mark::device), dir("e", Mark::file), gone("e/f", Mark::file),
                   dir("g", Mark::fuse), dir("h", Mark::user)}});
  ASSERT_TRUE(restore(scratch_ / "upper"));
  const auto upper = [&](const std::string& name) { return scratch_ / ("upper/" + name); };
  using Map = std::map<std::string, std::string>;
  EXPECT_EQ(xattrs_of(upper("a")), (Map{{"trusted.overlay.opaque", "y"}}));
  EXPECT_EQ(xattrs_of(upper("b")), (Map{{"trusted.overlay.opaque", "x"}}));
  EXPECT_EQ(xattrs_of(upper("b/x")), (Map{{"trusted.overlay.whiteout", ""}}));
  EXPECT_EQ(xattrs_of(upper("c")), (Map{{"user.overlay.opaque", "x"}}));
  EXPECT_EQ(xattrs_of(upper("c/u")), (Map{{"user.overlay.whiteout", ""}}));
  EXPECT_TRUE(S_ISCHR(status_of(upper("dev")).st_mode));
  EXPECT_EQ(status_of(upper("dev")).st_rdev, 0u);
  EXPECT_EQ(status_of(upper("dev")).st_mode & 07777, 0u);
  EXPECT_TRUE(fs::exists(upper("e/.wh..wh..opq")));
  EXPECT_TRUE(fs::exists(upper("e/.wh.f")));
  EXPECT_EQ(xattrs_of(upper("g")), (Map{{"user.fuseoverlayfs.opaque", "y"}}));
  EXPECT_EQ(xattrs_of(upper("h")), (Map{{"user.overlay.opaque", "y"}}));

  ASSERT_TRUE(restore(scratch_ / "user", {.user_marks = true}));
  const auto user = [&](const std::string& name) { return xattrs_of(scratch_ / ("user/" + name)); };
  for (const char* name : {"a", "e", "g", "h"}) EXPECT_EQ(user(name), (Map{{"user.overlay.opaque", "y"}})) << name;
  for (const char* name : {"b/x", "c/u", "dev"}) EXPECT_EQ(user(name), (Map{{"user.overlay.whiteout", ""}})) << name;
  EXPECT_EQ(user("b"), (Map{{"user.overlay.opaque", "x"}}));
  EXPECT_EQ(user(""), (Map{{"user.overlay.opaque", "x"}})) << "for the whiteout in it";

  ASSERT_TRUE(restore(scratch_ / "merged", {.form = LayerForm::merged}));
  EXPECT_EQ(names_in(scratch_ / "merged"), (std::vector<std::string>{"a", "a/f", "b", "c", "e", "g", "h"}));
  for (const std::string& name : names_in(scratch_ / "merged")) {
    EXPECT_EQ(xattrs_of(scratch_ / ("merged/" + name)), Map{}) << name;
  }
}

TEST_F(LayerRestore, HolesAreHolesAgain) {
  Item sparse = file("s", std::string(8u << 20, '\0'));
  sparse.contents.replace(4u << 20, 5, "bytes");
  sparse.entry.holes = {{0, 4u << 20}, {(4u << 20) + 4096, (4u << 20) - 4096}};
  publish_layers({{dir(""), sparse, file("t", std::string(1u << 20, '\0'))}});
  ASSERT_TRUE(restore(scratch_ / "copy"));
  EXPECT_TRUE(file_text(scratch_ / "copy/s") == sparse.contents);
  EXPECT_LT(status_of(scratch_ / "copy/s").st_blocks, 64);
  EXPECT_GT(status_of(scratch_ / "copy/t").st_blocks, 1000) << "zeros that were no hole";
}

TEST_F(LayerRestore, AnExistingTargetIsReplacedOnlyWhenAsked) {
  publish_layers({{dir(""), file("a", "new")}});
  const std::string target = scratch_ / "copy";
  ASSERT_TRUE(restore(target));
  std::ofstream(target + "/stale") << "stale";
  const auto refused = restore(target);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::conflict);
  EXPECT_THAT(refused.error().message(), HasSubstr("--overwrite"));
  EXPECT_TRUE(fs::exists(target + "/stale"));
  ASSERT_TRUE(restore(target, {.overwrite = true}));
  EXPECT_EQ(names_in(target), std::vector<std::string>{"a"});

  // An empty directory is nothing that could be lost; a file is.
  fs::create_directory(scratch_ / "empty");
  EXPECT_TRUE(restore(scratch_ / "empty"));
  std::ofstream(scratch_ / "file") << "x";
  EXPECT_EQ(restore(scratch_ / "file").error().kind(), ErrorKind::conflict);
  EXPECT_TRUE(restore(scratch_ / "file", {.overwrite = true}));
  // The directory above is made when it is not there.
  EXPECT_TRUE(restore(scratch_ / "deep/er/copy/"));
  // A link is not followed: it is what is there.
  fs::create_directory_symlink(scratch_ / "empty", scratch_ / "link");
  EXPECT_EQ(restore(scratch_ / "link").error().kind(), ErrorKind::conflict);
  EXPECT_TRUE(restore(scratch_ / "link", {.overwrite = true}));
  EXPECT_TRUE(fs::exists(scratch_ / "empty/a"));
  expect_only({"copy", "deep", "empty", "file", "link"});
}

TEST_F(LayerRestore, TheStoreAndTheStateAreNotOverwritten) {
  fs::create_directories(scratch_ / "data/store");
  fs::create_directories(scratch_ / "state");
  std::ofstream(scratch_ / "state/state.db") << "kept";
  fs::create_directory_symlink(scratch_ / "data", scratch_ / "link");
  store_ = *make_directory_store(scratch_ / "link/store");
  publish_layers({{dir(""), file("a", "1")}});
  const auto overwrite = [&](const std::string& target) {
    const RestoreMachine machine{*decode_, *transfers_, random_, {scratch_ / "state/state.db"}};
    return restore_layer(*store_, "web", target, {.overwrite = true}, machine);
  };
  for (const char* target : {"data", "data/", "link/store", "data/store/containers", "state", "link/../data"}) {
    const auto refused = overwrite(scratch_ / target);
    ASSERT_FALSE(refused) << target;
    EXPECT_EQ(refused.error().kind(), ErrorKind::conflict) << target;
    EXPECT_THAT(refused.error().message(), HasSubstr("restore to another directory")) << target;
  }
  EXPECT_EQ(file_text(scratch_ / "state/state.db"), "kept");
  fs::create_directory(scratch_ / "data/stored");
  EXPECT_TRUE(overwrite(scratch_ / "data/stored"));
  EXPECT_TRUE(overwrite(scratch_ / "link"));  // itself, not where it leads
  EXPECT_EQ(file_text(scratch_ / "data/stored/a"), "1");
}

// It would change places with the directory, and be emptied with it.
TEST_F(LayerRestore, WhatIsMountedInTheTargetIsNotHarmed) {
  publish_layers({{dir(""), file("a", "1")}});
  const auto make_file = [](const std::string& path, const char* text) { std::ofstream(path) << text; };
  fs::create_directories(scratch_ / "copy/deep/a mount");
  make_file(scratch_ / "copy/old", "2");
  fs::create_directory(scratch_ / "volume");
  make_file(scratch_ / "volume/data", "3");
  const auto mount = [&](const std::string& place) {
    return ::mount((scratch_ / "volume").c_str(), (scratch_ / place).c_str(), nullptr, MS_BIND, nullptr) == 0;
  };
  if (!mount("copy/deep/a mount")) GTEST_SKIP() << "mounting is not allowed";
  bool has_begun = false;
  const auto refused = restore(scratch_ / "copy", {.overwrite = true}, [&](auto&&...) {
    has_begun = true;
    return Result<void>();
  });
  ASSERT_FALSE(refused);
  EXPECT_FALSE(has_begun);
  EXPECT_EQ(refused.error().kind(), ErrorKind::conflict);
  EXPECT_THAT(refused.error().message(), HasSubstr("mounted on " + (scratch_ / "copy/deep/a mount")));
  EXPECT_EQ(file_text(scratch_ / "copy/old"), "2");
  EXPECT_EQ(file_text(scratch_ / "volume/data"), "3");
  ASSERT_EQ(::umount((scratch_ / "copy/deep/a mount").c_str()), 0);

  // Mounted when the restore has begun already.
  const auto meanwhile = restore(scratch_ / "copy", {.overwrite = true}, [&](const auto& entry, auto&&...) {
    if (entry.indexed.entry.path == "a") {
      EXPECT_TRUE(mount("copy/deep/a mount"));
    }
    return Result<void>();
  });
  EXPECT_EQ(meanwhile.error().kind(), ErrorKind::conflict);
  EXPECT_EQ(file_text(scratch_ / "copy/deep/a mount/data"), "3");
  ASSERT_EQ(::umount((scratch_ / "copy/deep/a mount").c_str()), 0);

  // On the target itself.
  fs::create_directory(scratch_ / "empty");
  ASSERT_TRUE(mount("empty"));
  EXPECT_EQ(restore(scratch_ / "empty", {.overwrite = true}).error().kind(), ErrorKind::conflict);
  ASSERT_EQ(::umount((scratch_ / "empty").c_str()), 0);

  // In what a killed restore has left.
  const std::string left = ".copy.cairn-" + std::string(32, 'a');
  fs::create_directories(scratch_ / (left + "/target/x"));
  ASSERT_TRUE(mount(left + "/target/x"));
  const auto stays = restore(scratch_ / "copy", {.overwrite = true});
  EXPECT_EQ(stays.error().kind(), ErrorKind::busy);
  EXPECT_THAT(stays.error().message(), HasSubstr("removing x: something is mounted there"));
  EXPECT_EQ(file_text(scratch_ / "volume/data"), "3");
  ASSERT_EQ(::umount((scratch_ / (left + "/target/x")).c_str()), 0);
  EXPECT_TRUE(restore(scratch_ / "copy", {.overwrite = true}));
  EXPECT_EQ(file_text(scratch_ / "volume/data"), "3");
  expect_only({"copy", "empty", "volume"});
}

TEST_F(LayerRestore, WhatAKilledRestoreHasLeftGoesWithTheNext) {
  publish_layers({{dir(""), file("a", "1")}});
  const std::string leftover = scratch_ / (".copy.cairn-" + std::string(32, 'a'));
  fs::create_directories(leftover + "/target/x");
  const std::string others = scratch_ / (".other.cairn-" + std::string(32, 'a'));
  fs::create_directories(others);
  fs::create_directories(scratch_ / ".copy.cairn-x");
  // One that is still at work holds its lock.
  const std::string busy = scratch_ / (".copy.cairn-" + std::string(32, 'b'));
  fs::create_directories(busy);
  const int lock = ::open(busy.c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);
  ASSERT_TRUE(restore(scratch_ / "copy"));
  EXPECT_FALSE(fs::exists(leftover));
  EXPECT_TRUE(fs::exists(others));
  EXPECT_TRUE(fs::exists(busy));
  EXPECT_TRUE(fs::exists(scratch_ / ".copy.cairn-x"));
  ::close(lock);
}

TEST_F(LayerRestore, AFailureLeavesTheTargetAsItWas) {
  std::vector<Item> items{dir(""), file("a", noise(3'000'000, 1)), file("b", noise(3'000'000, 2))};
  items[2].claimed_hash = 1;  // found only when the last byte is written
  publish_layers({items});
  const std::string target = scratch_ / "copy";
  fs::create_directory(target);
  std::ofstream(target + "/precious") << "precious";
  const auto restored = restore(target, {.overwrite = true});
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().kind(), ErrorKind::corrupt);
  EXPECT_THAT(restored.error().message(), HasSubstr("'b'"));
  EXPECT_EQ(file_text(target + "/precious"), "precious");
  EXPECT_FALSE(restore(scratch_ / "new"));
  expect_only({"copy"});
}

TEST_F(LayerRestore, DryRunTouchesNothing) {
  publish_layers({{dir(""), file("a", noise(5'000'000, 1))}});
  const auto planned = restore(scratch_ / "copy", {.dry_run = true});
  ASSERT_TRUE(planned);
  expect_only({});
  const auto done = restore(scratch_ / "copy");
  EXPECT_EQ(planned->result.entries, done->result.entries);
  EXPECT_EQ(planned->result.size_bytes, done->result.size_bytes);
  EXPECT_EQ(planned->result.requests, done->result.requests);
  EXPECT_EQ(planned->result.fetched_bytes, done->result.fetched_bytes);
}

// One file of a layer of 10,000 files: the index, and the frame that it lies in.
TEST_F(LayerRestore, OnePathFetchesOnlyWhatItNeeds) {
  std::vector<Item> items{dir("")};
  for (int d = 0; d < 100; ++d) {
    char name[16];
    std::snprintf(name, sizeof name, "d%02d", d);
    items.push_back(dir(name));
    for (int f = 0; f < 100; ++f) {
      char below[32];
      std::snprintf(below, sizeof below, "%s/f%02d", name, f);
      items.push_back(file(below, noise(3000, static_cast<std::uint64_t>(d * 100 + f))));
      items.back().entry.mtime_ns = static_cast<std::uint32_t>(d * 1000 + f + 1);
    }
  }
  publish_layers({items, {file("d50/f50", "newer")}});
  const auto one = restore(scratch_ / "one", {.path = "d50/f51"});
  ASSERT_TRUE(one) << one.error().message();
  EXPECT_TRUE(file_text(scratch_ / "one") == items[1 + 50 * 101 + 1 + 51].contents);
  EXPECT_LT(one->result.requests, 20u);
  EXPECT_LT(one->result.fetched_bytes, 8u << 20);
  EXPECT_EQ(one->result.entries, 1u);

  ASSERT_TRUE(restore(scratch_ / "newer", {.path = "/d50/f50"}));
  EXPECT_EQ(file_text(scratch_ / "newer"), "newer");
  ASSERT_TRUE(restore(scratch_ / "directory", {.path = "./d07/"}));
  EXPECT_EQ(names_in(scratch_ / "directory").size(), 100u);
  EXPECT_EQ(restore(scratch_ / "absent", {.path = "d50/nothing"}).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(restore(scratch_ / "absent", {.path = "../x"}).error().kind(), ErrorKind::invalid);
  expect_only({"directory", "newer", "one"});
}

TEST_F(LayerRestore, PathsDeeperThanTheSystemAllows) {
  // 2,000 directories deep is 4,000 bytes: more levels than descriptors are held, and longer than some calls take.
  std::vector<Item> items{dir("")};
  std::string path;
  for (int depth = 0; depth < 2000; ++depth) {
    path += path.empty() ? "d" : "/d";
    items.push_back(dir(path));
    if (depth % 500 == 400) items.push_back(file(path + "/a", "at " + std::to_string(depth)));
  }
  // Sorted as a layer has them: a file "a" comes before the directory "d" beside it.
  std::ranges::sort(items, [](const Item& a, const Item& b) { return in_order(a.entry.path, b.entry.path); });
  items.push_back(hard_link("z", path.substr(0, 2 * 1401 - 1) + "/a"));
  publish_layers({items});
  const auto restored = restore(scratch_ / "copy");
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(file_text(scratch_ / "copy/z"), "at 1400");
  ASSERT_TRUE(restore(scratch_ / "copy", {.overwrite = true}));
  EXPECT_EQ(status_of(scratch_ / "copy/z").st_nlink, 2u);
  expect_only({"copy"});
  publish(*store_, "small", {make_layer({dir("")})});
  const RestoreMachine machine{*decode_, *transfers_, random_};
  ASSERT_TRUE(restore_layer(*store_, "small", scratch_ / "copy", {.overwrite = true}, machine));
  EXPECT_EQ(names_in(scratch_ / "copy").size(), 0u);
}

TEST_F(LayerRestore, ALayerThatTheManifestNamesAndNobodyHasIsDamage) {
  const MadeLayer layer = make_layer({dir("")});
  publish(*store_, "web", {layer});
  ASSERT_TRUE(store_->remove(layer.meta.object));
  const auto restored = restore(scratch_ / "target");
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().kind(), ErrorKind::corrupt);
}

}  // namespace
}  // namespace cairn::layer
