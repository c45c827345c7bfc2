#include "daemon/tree_watch.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/scratch.h"

namespace cairn::daemon {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kLong = 30'000'000;

class TreeWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(scratch_ / "a/b");
    watch_ = TreeWatch::open(scratch_.path()).value();
    if (!watch_->is_watching()) GTEST_SKIP() << "inotify is not to be had here: " << watch_->trouble();
  }
  void write(const std::string& name, const char* text = "x") const { std::ofstream(scratch_ / name) << text; }
  // Queued by the kernel before the call that made it returns.
  bool changed() { return watch_->wait(kLong) == TreeWatch::Wake::event && watch_->drain(); }

  const cairn::testing::Scratch scratch_{"tree"};
  std::unique_ptr<TreeWatch> watch_;
};

TEST_F(TreeWatchTest, NothingHappensWithoutAChange) {
  EXPECT_FALSE(watch_->drain());
  std::ifstream(scratch_ / "a/b/nothing").get();
  EXPECT_FALSE(watch_->drain());
}

TEST_F(TreeWatchTest, EveryKindOfChangeAtAnyDepthIsSeen) {
  write("a/b/file");
  EXPECT_TRUE(changed());
  write("a/b/file", "longer");
  EXPECT_TRUE(changed());
  fs::permissions(scratch_ / "a/b/file", fs::perms::owner_read);
  EXPECT_TRUE(changed());
  fs::rename(scratch_ / "a/b/file", scratch_ / "a/moved");
  EXPECT_TRUE(changed());
  fs::remove(scratch_ / "a/moved");
  EXPECT_TRUE(changed());
  fs::permissions(scratch_ / "a/b", fs::perms::owner_all);
  EXPECT_TRUE(changed());
}

TEST_F(TreeWatchTest, ANewDirectoryIsWatchedAfterTheNextRefresh) {
  fs::create_directories(scratch_ / "a/new/deeper");
  EXPECT_TRUE(changed());
  watch_->refresh();
  watch_->drain();
  write("a/new/deeper/file");
  EXPECT_TRUE(changed());
}

TEST_F(TreeWatchTest, LinksAreNotFollowed) {
  const cairn::testing::Scratch elsewhere("elsewhere");
  fs::create_directory_symlink(elsewhere.path(), scratch_ / "a/link");
  EXPECT_TRUE(changed());
  fs::create_directory(scratch_ / "a/c");
  watch_->drain();
  watch_->refresh();
  watch_->drain();
  std::ofstream(elsewhere / "file") << "x";
  EXPECT_FALSE(watch_->drain());
}

TEST_F(TreeWatchTest, TooManyDirectoriesAreNotWatchedAndThatIsSaid) {
  const auto few = TreeWatch::open(scratch_.path(), 2).value();
  EXPECT_FALSE(few->is_watching());
  EXPECT_NE(few->trouble().find("more than 2 directories"), std::string::npos);
  few->ring();
  EXPECT_EQ(few->wait(kLong), TreeWatch::Wake::bell);
}

}  // namespace
}  // namespace cairn::daemon
