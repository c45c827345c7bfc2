// What is found beside disks that hang or fail.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "daemon/database_finder.h"
#include "daemon/file_walk.h"
#include "daemon/names_watch.h"
#include "daemon/test_finder.h"

namespace cairn::daemon {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class FinderHangingTest : public FinderTest {
 protected:
  ~FinderHangingTest() override {
    for (const int fuse : fuses_) ::close(fuse);
    for (const std::string& point : mounts_) ::umount2(point.c_str(), MNT_DETACH);
    let_go();
  }

  // What hangs comes back.
  void let_go() {
    *may_end_ = true;
    while (*hanging_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }

  std::vector<std::string> paths(const FoundDatabases& found) const {
    std::vector<std::string> paths;
    for (const FoundDatabase& one : found.databases) paths.push_back(one.path.substr(scratch_.path().size() + 1));
    return paths;
  }

  static std::string device_of(const std::string& path) { return MountTable(read_mounts()).device_of(path); }

  // As if a question of that name did not come back.
  void hang(const std::string& name) {
    std::vector<Question> one{{filled(name), "of a test", [may_end = may_end_, hanging = hanging_](Steps&) {
                                 ++*hanging;
                                 while (!*may_end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                 --*hanging;
                               }}};
    ask_all(one, {1, 60'000});
    ASSERT_FALSE(one[0].is_answered);
  }

  bool mount_memory(const std::string& name) {
    fs::create_directories(scratch_ / name);
    if (::mount("none", (scratch_ / name).c_str(), "tmpfs", 0, "size=1m") != 0) return false;
    mounts_.push_back(scratch_ / name);
    return true;
  }

  // One that nobody serves: it hangs, and once `fuses_` is closed it fails with ENOTCONN.
  bool mount_dead(const std::string& name) {
    fs::create_directories(scratch_ / name);
    const int fuse = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fuse < 0) return false;
    const std::string options = fmt::format("fd={},rootmode=40000,user_id=0,group_id=0", fuse);
    if (::mount("none", (scratch_ / name).c_str(), "fuse", 0, options.c_str()) != 0) {
      ::close(fuse);
      return false;
    }
    fuses_.push_back(fuse);
    mounts_.push_back(scratch_ / name);
    return true;
  }

  bool mount_failing(const std::string& name) {
    if (!mount_dead(name)) return false;
    ::close(fuses_.back());
    fuses_.pop_back();
    return true;
  }

  const std::shared_ptr<std::atomic<bool>> may_end_ = std::make_shared<std::atomic<bool>>(false);
  const std::shared_ptr<std::atomic<int>> hanging_ = std::make_shared<std::atomic<int>>(0);
  std::vector<int> fuses_;
  std::vector<std::string> mounts_;
};

constexpr const char* kNoMounts = "only root may mount, where the system lets it";
constexpr const char* kTenants = "[[database]]\nglob = '$D/in/*/app.db'\nto = '$D/out'\n";

TEST_F(FinderHangingTest, APatternThatHangsSilencesNoOtherOfItsDevice) {
  touch("one/a.db");
  touch("two/b.db");
  hang("files below $D/one/*.db on " + device_of(scratch_.path()));
  const FoundDatabases found = find(
      "[[database]]\nglob = '$D/one/*.db'\n[[database]]\nglob = '$D/two/*.db'\n[[database]]\npath = '$D/c.db'\n");
  EXPECT_THAT(paths(found), ElementsAre("c.db", "two/b.db"));
  ASSERT_EQ(found.unanswered.size(), 1u);
  EXPECT_THAT(found.unanswered[0].sentence, HasSubstr("what lies at " + scratch_ / "one/*.db" + " does not answer"));
}

TEST_F(FinderHangingTest, AMountBelowThatHangsIsMissedAlone) {
  if (!mount_memory("in/dead") || !mount_memory("in/well/deep")) GTEST_SKIP() << kNoMounts;
  for (const char* name : {"in/a/app.db", "in/dead/app.db", "in/well/app.db", "in/well/deep/app.db"}) touch(name);
  const std::string any_depth = "[[database]]\nglob = '$D/in/**/app.db'\nto = '$D/out'\n";
  const FoundDatabases all = find(any_depth);
  EXPECT_THAT(paths(all), ElementsAre("in/a/app.db", "in/dead/app.db", "in/well/app.db", "in/well/deep/app.db"));
  hang("files below $D/in/**/app.db on " + device_of(scratch_ / "in/dead"));
  const FoundDatabases fresh = find(any_depth);
  EXPECT_THAT(paths(fresh), ElementsAre("in/a/app.db", "in/well/app.db", "in/well/deep/app.db"));
  ASSERT_EQ(fresh.unanswered.size(), 1u);
  EXPECT_THAT(fresh.unanswered[0].sentence, HasSubstr("(" + scratch_ / "in/dead" + ")"));
  EXPECT_THAT(paths(find(any_depth, all)), ElementsAre("in/a/app.db", "in/dead/app.db", "in/well/app.db",
                                                       "in/well/deep/app.db"));
}

TEST_F(FinderHangingTest, WhatIsGoneIsGoneAlthoughAnotherDirectoryHangs) {
  if (!mount_memory("in/dead")) GTEST_SKIP() << kNoMounts;
  for (const char* name : {"in/a/app.db", "in/b/app.db", "in/dead/app.db"}) touch(name);
  const FoundDatabases all = find(kTenants);
  hang("files below $D/in/*/app.db on " + device_of(scratch_ / "in/dead"));
  fs::remove(scratch_ / "in/a/app.db");
  touch("in/c/app.db");
  const FoundDatabases found = find(kTenants, all);
  EXPECT_THAT(paths(found), ElementsAre("in/b/app.db", "in/c/app.db", "in/dead/app.db"));
  // What has another place to go to now waits until it can be looked at.
  EXPECT_THAT(paths(find("[[database]]\nglob = '$D/in/*/app.db'\nto = '$D/elsewhere'\n", found)),
              ElementsAre("in/b/app.db", "in/c/app.db"));
}

TEST_F(FinderHangingTest, ANewcomerDoesNotDisplaceWhatDoesNotAnswer) {
  touch("two/app.db");
  const std::string both =
      "[[database]]\ndirectory = '$D/one'\nto = '$D/out'\n[[database]]\ndirectory = '$D/two'\nto = '$D/out'\n";
  const FoundDatabases before = find(both);
  touch("one/app.db");
  hang("files below $D/two/*.db on " + device_of(scratch_.path()));
  const FoundDatabases after = find(both, before);
  EXPECT_THAT(paths(after), ElementsAre("two/app.db"));
  ASSERT_EQ(after.clashes.size(), 1u);
  EXPECT_EQ(after.clashes[0].path, scratch_ / "one/app.db");
}

// One that was taken in by its name, while nothing could be seen of it.
TEST_F(FinderHangingTest, WhatCouldNotBeSeenWhenItCameDisplacesNothingLater) {
  touch("in/a.db");
  fs::create_directories(scratch_ / "names");
  fs::create_hard_link(scratch_ / "in/a.db", scratch_ / "names/b.db");
  const std::string known = "[[database]]\nglob = '$D/in/*.db'\n";
  const std::string both = "[[database]]\npath = '$D/names/b.db'\n" + known;
  const FoundDatabases before = find(known);
  hang("names on " + device_of(scratch_.path()));
  const FoundDatabases blind = find(both, before);
  ASSERT_THAT(paths(blind), ElementsAre("in/a.db", "names/b.db"));
  let_go();
  const FoundDatabases after = find(both, blind), later = find(both, after);
  EXPECT_THAT(paths(after), ElementsAre("in/a.db"));
  ASSERT_EQ(after.clashes.size(), 1u);
  EXPECT_THAT(after.clashes[0].sentence, HasSubstr("is the same database as " + scratch_ / "in/a.db"));
  EXPECT_THAT(paths(later), ElementsAre("in/a.db"));
}

TEST_F(FinderHangingTest, AReplicaThatCouldNotBeSeenWhenItCameDisplacesNoneLater) {
  touch("two/app.db");
  fs::create_directories(scratch_ / "out");
  fs::create_directory_symlink(scratch_ / "out", scratch_ / "link");
  const std::string known = "[[database]]\ndirectory = '$D/two'\nto = '$D/out'\n";
  const std::string both = "[[database]]\npath = '$D/one/app.db'\nto = '$D/link/app.db'\n" + known;
  const FoundDatabases before = find(known);
  hang("names on " + device_of(scratch_.path()));
  const FoundDatabases blind = find(both, before);
  ASSERT_THAT(paths(blind), ElementsAre("one/app.db", "two/app.db"));
  let_go();
  EXPECT_THAT(paths(find(both, blind)), ElementsAre("two/app.db"));
}

TEST_F(FinderHangingTest, WhatWasLeftOutStaysSoWhileItDoesNotAnswer) {
  touch("a.db");
  fs::create_hard_link(scratch_ / "a.db", scratch_ / "b.db");
  const std::string names = "[[database]]\npath = '$D/a.db'\n[[database]]\npath = '$D/b.db'\n";
  const FoundDatabases before = find(names);
  ASSERT_THAT(paths(before), ElementsAre("a.db"));
  hang("names on " + device_of(scratch_.path()));
  const FoundDatabases after = find(names, before), later = find(names, after);
  EXPECT_THAT(paths(later), ElementsAre("a.db"));
  ASSERT_EQ(later.clashes.size(), 1u);
  EXPECT_EQ(later.clashes[0].sentence, before.clashes[0].sentence);
  ASSERT_EQ(later.unanswered.size(), 1u);
  EXPECT_THAT(later.unanswered[0].sentence,
              HasSubstr("what lies at " + scratch_ / "a.db" + ", " + scratch_ / "b.db" + " does not answer"));
}

TEST_F(FinderHangingTest, ThatTwoReplicasAreOneIsRememberedWhileTheyDoNotAnswer) {
  if (!mount_memory("store")) GTEST_SKIP() << kNoMounts;
  touch("one/app.db");
  touch("two/app.db");
  fs::create_directories(scratch_ / "store/out");
  fs::create_directory_symlink(scratch_ / "store/out", scratch_ / "store/link");
  const std::string both = "[[database]]\ndirectory = '$D/one'\nto = '$D/store/out'\n"
                           "[[database]]\ndirectory = '$D/two'\nto = '$D/store/link'\n";
  const FoundDatabases before = find(both);
  ASSERT_THAT(paths(before), ElementsAre("one/app.db"));
  hang("names on " + device_of(scratch_ / "store"));
  const FoundDatabases after = find(both, before);
  EXPECT_THAT(paths(after), ElementsAre("one/app.db"));
  ASSERT_EQ(after.unanswered.size(), 1u);
  EXPECT_THAT(after.unanswered[0].sentence, HasSubstr("store/link/app.db"));
}

TEST_F(FinderHangingTest, WhatIsMountedInPlaceOfADeadMountIsAsked) {
  if (!mount_memory("in/x")) GTEST_SKIP() << kNoMounts;
  const int holds = ::open((scratch_ / "in/x").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  hang("files below $D/in/*/app.db on " + device_of(scratch_ / "in/x"));
  EXPECT_THAT(find(kTenants).unanswered, ::testing::SizeIs(1));
  ASSERT_EQ(::umount2((scratch_ / "in/x").c_str(), MNT_DETACH), 0);
  ASSERT_TRUE(mount_memory("in/x"));
  touch("in/x/app.db");
  const FoundDatabases found = find(kTenants);
  EXPECT_THAT(paths(found), ElementsAre("in/x/app.db"));
  EXPECT_THAT(found.unanswered, IsEmpty());
  ::close(holds);
}

TEST_F(FinderHangingTest, LinksToADeadMountKeepNothingOfTheirDirectoryFromBeingFound) {
  if (!mount_memory("dead")) GTEST_SKIP() << kNoMounts;
  touch("dead/app.db");
  touch("in/b.db");
  touch("in/t/app.db");
  fs::create_hard_link(scratch_ / "in/b.db", scratch_ / "in/c.db");
  fs::create_symlink("../dead/app.db", scratch_ / "in/a.db");
  fs::create_directory_symlink(scratch_ / "dead", scratch_ / "in/link");
  const std::string named = "[[database]]\npath = '$D/in/a.db'\n[[database]]\npath = '$D/in/b.db'\n"
                            "[[database]]\npath = '$D/in/c.db'\n" + std::string(kTenants);
  EXPECT_THAT(find(named).clashes, ::testing::SizeIs(2));  // in/link/app.db is in/a.db
  hang("names on " + device_of(scratch_ / "dead"));
  hang("files below $D/in/*/app.db on " + device_of(scratch_ / "dead"));
  const FoundDatabases found = find(named);
  EXPECT_THAT(paths(found), ElementsAre("in/a.db", "in/b.db", "in/t/app.db"));
  EXPECT_THAT(found.clashes, ::testing::SizeIs(1));
}

TEST_F(FinderHangingTest, WhatFailsThroughALinkStaysKnown) {
  if (!mount_memory("in/x")) GTEST_SKIP() << kNoMounts;
  touch("in/x/app.db");
  touch("own.db");
  fs::create_directory_symlink(scratch_ / "in/x", scratch_ / "in/link");
  fs::create_directories(scratch_ / "files");
  fs::create_symlink(scratch_ / "in/x/app.db", scratch_ / "files/a.db");
  const std::string text = "[[database]]\nglob = '$D/files/*.db'\n[[database]]\npath = '$D/in/link/other.db'\n";
  touch("in/x/other.db");
  const FoundDatabases before = find(text);
  ASSERT_THAT(paths(before), ElementsAre("files/a.db", "in/link/other.db"));
  if (!mount_failing("in/x")) GTEST_SKIP() << "there is no fuse";
  const FoundDatabases after = find(text, before);
  EXPECT_THAT(paths(after), ElementsAre("files/a.db", "in/link/other.db"));
  for (std::size_t i = 0; i < after.databases.size(); ++i) {
    EXPECT_EQ(after.databases[i].identity, before.databases[i].identity);
  }
  ASSERT_EQ(after.unanswered.size(), 2u);
  EXPECT_THAT(after.unanswered[0].sentence, HasSubstr("what lies at " + scratch_ / "in/link/other.db" + " does not"));
  EXPECT_THAT(after.unanswered[1].sentence, HasSubstr("(" + scratch_ / "files/a.db" + ")"));
}

TEST_F(FinderHangingTest, WhatIsKnownBelowADirectoryThatMayNotBeReadStays) {
  const bool is_root = ::geteuid() == 0;
  touch("in/a/app.db");
  touch("in/b/app.db");
  touch("in/none/x");
  const FoundDatabases before = find(kTenants);
  fs::permissions(scratch_.path(), fs::perms(0755));
  for (const char* name : {"in/a", "in/none"}) fs::permissions(scratch_ / name, fs::perms::none);
  ASSERT_TRUE(!is_root || ::seteuid(65534) == 0);
  const FoundDatabases after = find(kTenants, before), fresh = find(kTenants);
  ASSERT_TRUE(!is_root || ::seteuid(0) == 0);
  for (const char* name : {"in/a", "in/none"}) fs::permissions(scratch_ / name, fs::perms::owner_all);
  EXPECT_THAT(paths(after), ElementsAre("in/a/app.db", "in/b/app.db"));
  ASSERT_EQ(after.unanswered.size(), 1u);
  EXPECT_THAT(after.unanswered[0].sentence, HasSubstr("(" + scratch_ / "in/a" + ")"));
  EXPECT_THAT(paths(fresh), ElementsAre("in/b/app.db"));
  EXPECT_THAT(fresh.unanswered, IsEmpty());
}

TEST_F(FinderHangingTest, ManyMountsThatHangAreWaitedForTogether) {
  for (int i = 0; i < 12; ++i) {
    if (!mount_dead(fmt::format("in/{}", i))) GTEST_SKIP() << kNoMounts;
  }
  touch("in/well/app.db");
  const std::int64_t begun_ms = monotonic_ms();
  EXPECT_THAT(paths(find(kTenants)), ElementsAre("in/well/app.db"));
  EXPECT_LT(monotonic_ms() - begun_ms, 20'000);
}

TEST_F(FinderHangingTest, ADiskThatTakesItsTimeToFailIsAskedNoMoreAfterSomeSeconds) {
  static int asked = 0, delay_ms = 0;
  const Look fails = [](const std::string&, const std::string&) -> std::optional<std::string> {
    ++asked;
    std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms));
    return std::nullopt;
  };
  std::vector<Way> ways;
  for (int i = 0; i < 10; ++i) ways.push_back({scratch_ / std::to_string(i), scratch_ / std::to_string(i)});
  const MountTable mounts(read_mounts());
  Steps steps = 0;
  EXPECT_EQ(look_at_names(ways, fails, mounts, device_of(scratch_.path()), steps).failed.size(), 10u);
  EXPECT_EQ(asked, 10);
  asked = 0;
  delay_ms = 1'600;
  EXPECT_EQ(look_at_names(ways, fails, mounts, device_of(scratch_.path()), steps).failed.size(), 10u);
  EXPECT_EQ(asked, 2);
}

// As of a mount that dies after it was looked at.
TEST_F(FinderHangingTest, AWatchThatHangsHoldsUpNoOtherAndNobodyWhoWaits) {
  static std::atomic<bool> dies, is_asked;
  dies = true;
  const AddWatch add = [](int inotify, const char* path, std::uint32_t mask) {
    while (dies && std::string_view(path).ends_with("/dead")) {
      is_asked = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return ::inotify_add_watch(inotify, path, mask);
  };
  if (!mount_memory("dead")) GTEST_SKIP() << kNoMounts;
  fs::create_directories(scratch_ / "in");
  auto watch = NamesWatch::open(add, {100, 60'000}).value();
  const std::set<std::string> both{scratch_ / "dead", scratch_ / "in"};
  EXPECT_FALSE(watch->watch(both));
  EXPECT_TRUE(is_asked);
  touch("in/a.db");
  EXPECT_TRUE(watch->wait(30'000'000));
  watch = NamesWatch::open(add, {100, 60'000}).value();  // what hangs holds the one before
  EXPECT_FALSE(watch->watch(both)) << "it is not asked again before it is back";
  dies = false;
  bool all = false;
  for (int i = 0; i < 30'000 && !all; ++i) {
    all = watch->watch(both);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_TRUE(all);
  touch("dead/b.db");
  EXPECT_TRUE(watch->wait(30'000'000));
}

TEST_F(FinderHangingTest, MountsThatFailAreMissedAlone) {
  for (int i = 0; i < 5; ++i) {
    if (!mount_failing(fmt::format("dead/{}", i))) GTEST_SKIP() << kNoMounts;
    fs::create_directories(scratch_ / "in");
    fs::create_directory_symlink(scratch_ / fmt::format("dead/{}", i), scratch_ / fmt::format("in/{}", i));
  }
  touch("in/well/app.db");
  const FoundDatabases found = find(kTenants);
  EXPECT_THAT(paths(found), ElementsAre("in/well/app.db"));
  ASSERT_EQ(found.unanswered.size(), 1u);
  EXPECT_THAT(found.unanswered[0].sentence, HasSubstr("in/2 and 2 more)"));
}

}  // namespace
}  // namespace cairn::daemon
