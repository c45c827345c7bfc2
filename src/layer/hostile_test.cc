// Layers that mean harm, in the cases that container engines have been broken with: whatever they say, nothing outside
// of the target changes, and a restore that fails leaves nothing. Paths that no writer of ours would write are refused
// when the header is parsed (tar_test.cc); here are those that get further, written as entries that only together do
// harm, and raw ones whose checksums are all right.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "layer/confined.h"
#include "layer/crafted_object.h"
#include "layer/restore.h"
#include "layer/test_layers.h"
#include "support/scratch.h"

namespace cairn::layer {
namespace {

using namespace testing;
namespace fs = std::filesystem;

// The target lies beside a file and a directory that a layer may be after.
class LayerBreakouts : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(scratch_ / "outside");
    std::ofstream(scratch_ / "outside/secret") << "secret";
    std::ofstream(scratch_ / "outside/victim") << "untouched";
    fs::create_directory(scratch_ / "place");
  }

  Result<RestoredSync> restore(const LayerRestoreOptions& options = {}) {
    return restore_layer(*store_, "web", target_, options, {decode_, transfers_, random_});
  }
  void publish_layers(const std::vector<std::vector<Item>>& layers) {
    store_ = make_memory_store();
    std::vector<MadeLayer> made;
    for (const auto& items : layers) made.push_back(make_layer(items));
    publish(*store_, "web", made);
  }
  void expect_untouched() {
    const auto read = [&](const std::string& name) {
      std::ifstream in(scratch_ / ("outside/" + name));
      return std::string{std::istreambuf_iterator<char>(in), {}};
    };
    EXPECT_EQ(read("secret"), "secret");
    EXPECT_EQ(read("victim"), "untouched");
    struct stat status{};
    EXPECT_EQ(::stat((scratch_ / "outside/victim").c_str(), &status), 0);
    EXPECT_EQ(status.st_nlink, 1u);
    EXPECT_EQ(std::distance(fs::directory_iterator(scratch_ / "outside"), fs::directory_iterator()), 2);
    for (const auto& entry : fs::directory_iterator(scratch_ / "place")) EXPECT_EQ(entry.path().filename(), "target");
  }
  // Refused, and nothing stays.
  void expect_refused(const std::vector<std::vector<Item>>& layers, ErrorKind kind = ErrorKind::corrupt) {
    publish_layers(layers);
    for (const LayerForm form : {LayerForm::upper, LayerForm::merged}) {
      const auto restored = restore({.form = form});
      ASSERT_FALSE(restored);
      EXPECT_EQ(restored.error().kind(), kind) << restored.error().message();
      EXPECT_FALSE(fs::exists(target_));
      expect_untouched();
    }
  }

  // In a child that is somebody else: `what` says whether all went as it should.
  template <class What>
  void as_another_user(What what) {
    fs::permissions(scratch_ / "place", fs::perms::all);
    fs::permissions(scratch_.path(), fs::perms::all);
    const pid_t child = ::fork();
    if (child == 0) ::_exit(::setgid(kUser) == 0 && ::setuid(kUser) == 0 && what() ? 0 : 1);
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  static constexpr std::uint32_t kUser = 4242;

  cairn::testing::Scratch scratch_{"hostile"};
  const std::string target_ = scratch_ / "place/target";
  std::unique_ptr<Store> store_;
  InlineExecutor decode_, transfers_;
  SeededRandom random_{1};
};

TEST_F(LayerBreakouts, WritingThroughASymbolicLink) {
  for (const std::string to : {"../../outside", "/tmp", "..", ".", "link"}) {
    expect_refused({{dir(""), symlink("link", to), file("link/victim", "changed")}});
    expect_refused({{dir(""), symlink("link", to), dir("link/made")}});
    // The link is in one layer, what goes through it in the next.
    expect_refused({{dir(""), symlink("link", to)}, {file("link/victim", "changed")}});
    expect_refused({{dir(""), symlink("link", to)}, {symlink("link/sub", "x")}});
  }
}

TEST_F(LayerBreakouts, ALinkWhereADirectoryWas) {
  // In order, so the newer link hides what the older layer has below: nothing is written through it.
  publish_layers({{dir(""), dir("d"), file("d/victim", "changed")}, {symlink("d", "../../outside")}});
  ASSERT_TRUE(restore());
  EXPECT_TRUE(fs::is_symlink(target_ + "/d"));
  expect_untouched();
  // And the other way: a directory takes the place of a link, not that of what it leads to.
  publish_layers({{dir(""), symlink("d", "../../outside")}, {dir("d"), file("d/victim", "inside")}});
  ASSERT_TRUE(restore({.overwrite = true}));
  EXPECT_FALSE(fs::is_symlink(target_ + "/d"));
  expect_untouched();
}

TEST_F(LayerBreakouts, HardLinksToWhatIsNotThere) {
  expect_refused({{dir(""), hard_link("h", "absent")}});
  expect_refused({{dir(""), dir("d"), hard_link("h", "d")}});
  expect_refused({{dir(""), symlink("a", "../../outside"), hard_link("h", "a/victim")}});
  expect_refused({{dir(""), dir("a"), symlink("a/b", "../../../outside"), hard_link("h", "a/b/victim")}});
  // A link to a symbolic link is one itself: what that leads to gets no second name.
  publish_layers({{dir(""), symlink("a", "../../outside/victim"), hard_link("h", "a")}});
  ASSERT_TRUE(restore());
  EXPECT_TRUE(fs::is_symlink(target_ + "/h"));
  expect_untouched();
}

// Who removes a directory that it may not read takes the right to: but not to what has taken its place meanwhile.
TEST_F(LayerBreakouts, RightsAreNotGivenToWhatALinkLeadsTo) {
  const std::string place = scratch_ / "place";
  const auto mode_of = [](const std::string& path) { return static_cast<unsigned>(fs::status(path).permissions()); };
  fs::create_directories(place + "/closed");
  fs::permissions(place + "/closed", fs::perms::none);
  fs::permissions(scratch_ / "outside", fs::perms::owner_exec);
  fs::create_directory_symlink("../outside", place + "/link");
  const int parent = ::open(place.c_str(), O_RDONLY | O_DIRECTORY);
  give_rights(parent, "closed");
  give_rights(parent, "link");
  give_rights(parent, "nowhere");
  ::close(parent);
  EXPECT_EQ(mode_of(place + "/closed"), 0700u);
  EXPECT_EQ(mode_of(scratch_ / "outside"), 0100u);
}

TEST_F(LayerBreakouts, MetadataOfALinkIsNotThatOfItsTarget) {
  Item link = symlink("link", "../../outside/victim");
  link.entry.mtime_s = 1;
  link.entry.mode = 0777;
  publish_layers({{dir(""), link}});
  struct stat before{}, after{};
  ASSERT_EQ(::stat((scratch_ / "outside/victim").c_str(), &before), 0);
  ASSERT_TRUE(restore());
  ASSERT_EQ(::stat((scratch_ / "outside/victim").c_str(), &after), 0);
  EXPECT_EQ(before.st_mtim.tv_sec, after.st_mtim.tv_sec);
  EXPECT_EQ(before.st_mode, after.st_mode);
  EXPECT_EQ(before.st_ctim.tv_nsec, after.st_ctim.tv_nsec);
}

TEST_F(LayerBreakouts, WhiteoutsRemoveNothingOnTheDisk) {
  Item whiteout = item_of(entry_of(EntryKind::whiteout, "link"));
  publish_layers({{dir(""), symlink("link", "../../outside")}, {whiteout}});
  ASSERT_TRUE(restore());
  EXPECT_FALSE(fs::exists(fs::symlink_status(target_ + "/link")));
  expect_untouched();
}

TEST_F(LayerBreakouts, TheTargetItselfIsALink) {
  publish_layers({{dir(""), file("victim", "changed")}});
  fs::create_directory_symlink(scratch_ / "outside", target_);
  EXPECT_EQ(restore().error().kind(), ErrorKind::conflict);
  expect_untouched();
  ASSERT_TRUE(restore({.overwrite = true}));
  EXPECT_FALSE(fs::is_symlink(target_));
  expect_untouched();
}

TEST_F(LayerBreakouts, WhatTakesRootIsRefusedWithoutIt) {
  if (::geteuid() != 0) GTEST_SKIP() << "another user is needed";
  Item device = item_of(entry_of(EntryKind::char_device, "mem"));
  device.entry.dev_major = 1;
  device.entry.dev_minor = 1;
  Item owned = file("owned", "x"), trusted = file("trusted", "x");
  trusted.entry.xattrs = {{"trusted.overlay.x", "y"}};
  for (Item* item : {&device, &owned, &trusted}) {
    item->entry.uid = item->entry.gid = kUser;
    if (item == &owned) item->entry.uid = 0;
    Item top = dir("");
    top.entry.uid = top.entry.gid = kUser;
    publish_layers({{top, *item}});
    as_another_user([&] {
      const auto restored = restore();
      return !restored && restored.error().kind() == ErrorKind::denied &&
             restored.error().message().find("root") != std::string::npos && !fs::exists(target_);
    });
    expect_untouched();
  }
}

// Whoever is not root gets a tree of their own files exactly, attributes and read-only modes included.
TEST_F(LayerBreakouts, WithoutRootOnesOwnFilesComeBack) {
  if (::geteuid() != 0) GTEST_SKIP() << "another user is needed";
  std::vector<Item> items{dir(""), dir("d"), file("d/read-only", "x"), symlink("d/s", "y")};
  for (Item& item : items) item.entry.uid = item.entry.gid = kUser;
  items[1].entry.mode = 0500;
  items[2].entry.mode = 0400;
  items[2].entry.xattrs = {{"user.a", "b"}};
  Item whiteout = item_of(entry_of(EntryKind::whiteout, "gone"));
  whiteout.entry.mark = Mark::user;
  whiteout.entry.uid = whiteout.entry.gid = kUser;
  items.push_back(whiteout);
  publish_layers({items});
  // Twice: what was there has to be removed although its modes forbid it.
  as_another_user([&] { return restore().has_value() && restore({.overwrite = true}).has_value(); });
  struct stat read_only{};
  ASSERT_EQ(::stat((target_ + "/d/read-only").c_str(), &read_only), 0);
  EXPECT_EQ(read_only.st_mode & 07777, 0400u);
  expect_untouched();
}

TEST_F(LayerBreakouts, NamesThatAreTooLongOrTwice) {
  expect_refused({{dir(""), file(std::string(300, 'n'), "x")}}, ErrorKind::io);
  expect_refused({{dir(""), file("a", "1"), file("a", "2")}});
  expect_refused({{dir(""), file("b", "1"), file("a", "2")}});
  expect_refused({{dir(""), file("a/b/c", "1")}});
}

// Hashes, sizes and holes that lie.
TEST_F(LayerBreakouts, ContentsThatAreNotWhatTheIndexSays) {
  Item lying = file("a", "contents");
  lying.claimed_hash = 1;
  expect_refused({{dir(""), lying}});
  Item hollow = file("a", std::string(8192, 'x'));
  hollow.entry.holes = {{0, 4096}};
  expect_refused({{dir(""), hollow}});
}

// An entry says that its contents are terabytes; its object has none of them, and its checksums are all right.
TEST_F(LayerBreakouts, SizesWithoutContents) {
  for (const std::uint64_t size : {std::uint64_t{1} << 20, std::uint64_t{1} << 40, ~std::uint64_t{0} >> 1}) {
    const Bytes header = write_tar_header(file_of("bomb", size)).value();
    Bytes records(kRecordBytes);
    records.insert(records.end(), header.begin(), header.end());
    MadeLayer made;
    made.digest = std::string(64, '0');
    made.object = layer_around(records, 1, as_bytes(std::string_view("bomb")), 4096);
    made.meta = {made.digest, 4096, made.object.size(), 1'700'000'000'000, 1, layer_key(made.digest)};
    store_ = make_memory_store();
    publish(*store_, "web", {made});
    const auto restored = restore();
    ASSERT_FALSE(restored);
    EXPECT_EQ(restored.error().kind(), ErrorKind::corrupt);
    EXPECT_THAT(restored.error().message(), ::testing::HasSubstr("beyond the end"));
    expect_untouched();
  }
}

// Frames that decompress to more, or to less, than the index says.
TEST_F(LayerBreakouts, FramesThatAreBombs) {
  const MadeLayer small = make_layer({dir(""), file("a", std::string(100, 'x'))});
  const MadeLayer large = make_layer({dir(""), file("a", std::string(1'000'000, 'x'))});
  const auto frame_bytes = [](const MadeLayer& made) {
    const auto store = make_memory_store();
    CAIRN_CHECK(store->put_new("x", BytesSource(made.object)));
    return LayerReader::open(*store, "x").value()->frames().front().compressed_bytes;
  };
  // A million of the same letter takes hardly more room than a hundred: the frame of one layer fits into the other.
  Bytes bomb(large.object.begin(), large.object.begin() + frame_bytes(large));
  MadeLayer made = small;
  const std::size_t room = frame_bytes(small);
  ASSERT_GE(bomb.size(), room);
  std::copy_n(bomb.begin(), room, made.object.begin());
  store_ = make_memory_store();
  publish(*store_, "web", {made});
  EXPECT_EQ(restore().error().kind(), ErrorKind::corrupt);
  expect_untouched();
}

TEST_F(LayerBreakouts, ObjectsThatWereCutShortOrSwapped) {
  const MadeLayer good = make_layer({dir(""), file("a", std::string(3'000'000, 'x'))});
  const MadeLayer other = make_layer({dir(""), file("a", "another")});
  for (const std::size_t size : {good.object.size() - 1, good.object.size() / 2, std::size_t{20}, std::size_t{0}}) {
    store_ = make_memory_store();
    MadeLayer cut = good;
    cut.object.resize(size);
    publish(*store_, "web", {cut});
    EXPECT_EQ(restore().error().kind(), ErrorKind::corrupt) << size;
    expect_untouched();
  }
  store_ = make_memory_store();
  MadeLayer swapped = good;
  swapped.object = other.object;
  publish(*store_, "web", {swapped});
  EXPECT_EQ(restore().error().kind(), ErrorKind::corrupt);
  expect_untouched();
}

}  // namespace
}  // namespace cairn::layer
