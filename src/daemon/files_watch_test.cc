#include "daemon/files_watch.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <thread>
#include <utility>

#include "support/scratch.h"

namespace cairn::daemon {
namespace {

namespace fs = std::filesystem;
using Ids = std::set<FilesWatch::Id>;
using What = FilesWatch::What;
using Told = std::map<FilesWatch::Id, What>;

class FilesWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"a.db", "b.db"}) write(name);
    watch_ = FilesWatch::open().value();
    watch_->add(1, scratch_ / "a.db");
    watch_->add(2, scratch_ / "b.db");
    if (!watch_->is_watched(1)) GTEST_SKIP() << "inotify is not to be had here: " << watch_->trouble_of(1);
  }
  void write(const std::string& name) const { std::ofstream(scratch_ / name, std::ios::app) << "bytes"; }
  // Queued by the kernel before the call that made it returns.
  Ids changed() {
    Ids ids;
    for (const auto& [id, what] : told()) ids.insert(id);
    return ids;
  }
  Told told() { return watch_->wait(0) == FilesWatch::Wake::event ? watch_->drain() : Told(); }

  Told told_at_once() {
    const FilesWatch::Wake wake = watch_->wait(0, {.files = false, .at_once = true});
    return wake == FilesWatch::Wake::other ? watch_->drain_at_once() : Told();
  }

  const cairn::testing::Scratch scratch_{"files"};
  std::unique_ptr<FilesWatch> watch_;
};

TEST_F(FilesWatchTest, TellsWhichOfThemWasWrittenTo) {
  write("a.db");
  EXPECT_EQ(changed(), Ids({1}));
  write("b.db");
  EXPECT_EQ(changed(), Ids({2}));
  write("other.db");
  write("a.db-journal");
  EXPECT_EQ(changed(), Ids());
}

TEST_F(FilesWatchTest, TellsAWriteToTheWalFromOneToTheDatabase) {
  write("a.db-wal");
  write("b.db");
  EXPECT_EQ(told(), (Told{{1, What::only_wal}, {2, What::database}}));
  write("a.db");
  write("a.db-wal");
  EXPECT_EQ(told(), (Told{{1, What::database}}));
}

TEST_F(FilesWatchTest, AWalThatIsBornIsWatched) {
  write("b.db-wal");
  EXPECT_EQ(changed(), Ids({2}));
  write("b.db-wal");
  EXPECT_EQ(changed(), Ids({2}));
}

TEST_F(FilesWatchTest, AReplacedDatabaseIsWatchedUnderItsNewInode) {
  write("new");
  fs::rename(scratch_ / "new", scratch_ / "a.db");
  EXPECT_EQ(changed(), Ids({1}));
  changed();
  write("a.db");
  EXPECT_EQ(changed(), Ids({1}));
}

TEST_F(FilesWatchTest, ADirectoryThatIsMadeAnewIsWatchedAfterARefresh) {
  fs::create_directory(scratch_ / "in");
  write("in/c.db");
  watch_->add(3, scratch_ / "in/c.db");
  EXPECT_FALSE(watch_->is_lost(3));
  fs::remove_all(scratch_ / "in");
  EXPECT_EQ(changed(), Ids({3}));
  EXPECT_TRUE(watch_->is_lost(3));
  fs::create_directory(scratch_ / "in");
  watch_->refresh(3);
  EXPECT_FALSE(watch_->is_lost(3));
  changed();
  write("in/c.db");
  EXPECT_EQ(changed(), Ids({3}));
}

// Who is looked at only while there is none goes by this.
TEST_F(FilesWatchTest, AWatchIsThereUntilItsDirectoryGoesOrAnotherTakesTheName) {
  fs::create_directory(scratch_ / "in");
  watch_->add(3, scratch_ / "in/c.db");
  EXPECT_TRUE(watch_->has_watch(3));
  fs::remove_all(scratch_ / "in");
  changed();
  EXPECT_FALSE(watch_->has_watch(3));
  watch_->refresh(3);
  EXPECT_FALSE(watch_->has_watch(3)) << "its directory is not there";
  fs::create_directory(scratch_ / "in");
  watch_->refresh(3);
  EXPECT_TRUE(watch_->has_watch(3));
  watch_->add(4, scratch_ / "in/c.db");
  EXPECT_FALSE(watch_->has_watch(3));
  watch_->remove(4);
  EXPECT_FALSE(watch_->has_watch(3));
  EXPECT_FALSE(watch_->has_watch(5)) << "nobody has added it";
}

TEST_F(FilesWatchTest, WhatIsRemovedIsToldOfNoMoreAndTheRestIs) {
  watch_->remove(1);
  write("a.db");
  write("a.db-wal");
  EXPECT_EQ(changed(), Ids());
  write("b.db");
  EXPECT_EQ(changed(), Ids({2}));
  watch_->add(4, scratch_ / "a.db");
  write("a.db");
  EXPECT_EQ(changed(), Ids({4}));
}

// What the system call does in these, after the watch was made.
std::function<void(const std::string& path)> in_add_watch;
int add_watch_and_more(int inotify, const char* path, std::uint32_t mask) {
  const int number = ::inotify_add_watch(inotify, path, mask);
  if (in_add_watch) in_add_watch(path);
  return number;
}

TEST_F(FilesWatchTest, ADirectoryThatDoesNotAnswerKeepsNobodyWaiting) {
  watch_ = FilesWatch::open(add_watch_and_more).value();
  watch_->add(1, scratch_ / "a.db");
  fs::create_directory(scratch_ / "dead");
  std::atomic<bool> hangs = false, answers = false;
  in_add_watch = [&](const std::string& path) {
    if (!path.ends_with("/dead")) return;
    hangs = true;
    while (!answers) std::this_thread::yield();
  };
  std::thread adding([&] { watch_->add(2, scratch_ / "dead/c.db"); });
  while (!hangs) std::this_thread::yield();
  write("a.db");
  EXPECT_EQ(changed(), Ids({1}));
  EXPECT_TRUE(watch_->is_watched(2));
  watch_->remove(2);
  answers = true;
  adding.join();
  in_add_watch = {};
  write("dead/c.db");
  EXPECT_EQ(changed(), Ids());
}

TEST_F(FilesWatchTest, AWatchThatIsRemovedWhileItIsMadeAgainIsMadeOnceMore) {
  watch_ = FilesWatch::open(add_watch_and_more).value();
  watch_->add(1, scratch_ / "a.db");
  bool removed = false;
  in_add_watch = [&](const std::string&) {
    if (!std::exchange(removed, true)) watch_->remove(1);
  };
  watch_->add(2, scratch_ / "b.db");
  in_add_watch = {};
  changed();
  write("b.db");
  EXPECT_EQ(changed(), Ids({2}));
}

TEST_F(FilesWatchTest, WritesToTheFilesThatAreAskedForAreToldOfAtOnce) {
  using AtOnce = FilesWatch::AtOnce;
  const auto write_both = [&] {
    for (const char* name : {"a.db", "a.db-wal", "b.db"}) write(name);
    return told_at_once();
  };
  write("a.db-wal");
  EXPECT_EQ(write_both(), Told());
  watch_->tell_at_once(1, AtOnce::database);
  EXPECT_EQ(write_both(), (Told{{1, What::database}}));
  write("a.db-wal");
  EXPECT_EQ(told_at_once(), Told());
  watch_->tell_at_once(1, AtOnce::both);
  write("a.db-wal");
  EXPECT_EQ(told_at_once(), (Told{{1, What::only_wal}}));
  EXPECT_EQ(write_both(), (Told{{1, What::database}}));
  watch_->tell_at_once(1, AtOnce::nothing);
  EXPECT_EQ(write_both(), Told());
  EXPECT_EQ(changed(), Ids({1, 2})) << "as ever";
}

TEST_F(FilesWatchTest, AFileThatIsMadeAnewIsToldOfAtOnceAfterARefresh) {
  write("a.db-wal");
  watch_->tell_at_once(1, FilesWatch::AtOnce::both);
  fs::remove(scratch_ / "a.db-wal");
  told_at_once();  // that it has gone
  write("new");
  fs::rename(scratch_ / "new", scratch_ / "a.db");
  write("a.db-wal");
  changed();
  EXPECT_TRUE(watch_->is_lost(1));
  told_at_once();
  watch_->refresh(1);
  EXPECT_FALSE(watch_->is_lost(1));
  write("a.db-wal");
  EXPECT_EQ(told_at_once(), (Told{{1, What::only_wal}}));
  write("a.db");
  EXPECT_EQ(told_at_once(), (Told{{1, What::database}}));
}

TEST_F(FilesWatchTest, WhatIsRemovedIsNotToldOfAtOnceAndItsOtherNameIs) {
  fs::create_hard_link(scratch_ / "b.db", scratch_ / "c.db");
  watch_->add(3, scratch_ / "c.db");
  for (const FilesWatch::Id id : {1, 2, 3}) watch_->tell_at_once(id, FilesWatch::AtOnce::database);
  watch_->remove(1);
  watch_->remove(2);
  write("a.db");
  EXPECT_EQ(told_at_once(), Told());
  write("c.db");
  EXPECT_EQ(told_at_once(), (Told{{3, What::database}}));
}

TEST_F(FilesWatchTest, TheBellWakes) {
  watch_->ring();
  EXPECT_EQ(watch_->wait(30'000'000), FilesWatch::Wake::bell);
}

}  // namespace
}  // namespace cairn::daemon
