#include "daemon/database_finder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "daemon/file_walk.h"
#include "daemon/names_watch.h"
#include "daemon/test_finder.h"

namespace cairn::daemon {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class DatabaseFinderTest : public FinderTest {
 protected:
  // "path -> replica", both from the scratch folder.
  std::vector<std::string> pairs(const FoundDatabases& found) const {
    std::vector<std::string> pairs;
    const std::size_t cut = scratch_.path().size() + 1;
    for (const FoundDatabase& one : found.databases) {
      pairs.push_back(one.path.substr(cut) + " -> " + one.replica.substr(cut));
    }
    return pairs;
  }
};

TEST_F(DatabaseFinderTest, ADirectoryMeansItsFilesOfAPatternButNotWhatLiesBesideThem) {
  for (const char* name : {"in/a.db", "in/a.db-wal", "in/a.db-shm", "in/b.db", "in/c.sqlite"}) touch(name);
  for (const char* name : {"in/.hidden.db", "in/d/e.db"}) touch(name);
  fs::create_directories(scratch_ / "in/a folder.db");
  const FoundDatabases found = find("[[database]]\ndirectory = '$D/in'\nto = '$D/out'\n");
  EXPECT_THAT(pairs(found), ElementsAre("in/a.db -> out/a.db", "in/b.db -> out/b.db"));
  EXPECT_THAT(found.directories, ElementsAre(scratch_ / "in"));
  EXPECT_THAT(pairs(find("[[database]]\ndirectory = '$D/in'\npattern = '*'\nto = '$D/out'\n")),
              ElementsAre("in/a.db -> out/a.db", "in/b.db -> out/b.db", "in/c.sqlite -> out/c.sqlite"));
}

TEST_F(DatabaseFinderTest, AGlobKeepsThePathBelowItsFirstWildcard) {
  for (const char* name : {"in/1/app.db", "in/2/app.db", "in/2/other.db", "in/app.db"}) touch(name);
  fs::create_directories(scratch_ / "in/3");
  const FoundDatabases found = find("[[database]]\nglob = '$D/in/*/app.db'\nto = '$D/out'\n");
  EXPECT_THAT(pairs(found), ElementsAre("in/1/app.db -> out/1/app.db", "in/2/app.db -> out/2/app.db"));
  // A database may appear in each of these.
  EXPECT_THAT(found.directories,
              ElementsAre(scratch_ / "in", scratch_ / "in/1", scratch_ / "in/2", scratch_ / "in/3"));
}

TEST_F(DatabaseFinderTest, TwoStarsMeanAnyDepthWithoutFollowingLinks) {
  for (const char* name : {"in/a.db", "in/x/b.db", "in/x/y/c.db", "in/a.db-cairn/d.db", "in/.git/e.db"}) touch(name);
  fs::create_directory_symlink(scratch_ / "in", scratch_ / "in/x/loop");
  EXPECT_THAT(pairs(find("[[database]]\nglob = '$D/in/**/*.db'\nto = '$D/out'\n")),
              ElementsAre("in/a.db -> out/a.db", "in/x/b.db -> out/x/b.db", "in/x/y/c.db -> out/x/y/c.db"));
  EXPECT_THAT(pairs(find("[[database]]\nglob = '$D/in/**/y/**/*.db'\nto = '$D/out'\n")),
              ElementsAre("in/x/y/c.db -> out/x/y/c.db"));
}

TEST_F(DatabaseFinderTest, APathIsThereBeforeItsFileAndWinsOverPatterns) {
  touch("in/a.db");
  touch("in/b.db");
  const FoundDatabases found = find(
      "[[database]]\nglob = '$D/in/*.db'\nto = '$D/out'\n[[database]]\npath = '$D/in/b.db'\nto = '$D/own'\n"
      "interval = '7s'\n[[database]]\npath = '$D/not-yet.db'\n");
  EXPECT_THAT(pairs(found),
              ElementsAre("in/a.db -> out/a.db", "in/b.db -> own", "not-yet.db -> not-yet.db-cairn"));
  EXPECT_EQ(found.databases[0].settings.interval_ms, 1000);
  EXPECT_EQ(found.databases[1].settings.interval_ms, 7000);
  EXPECT_THAT(found.clashes, IsEmpty());
}

TEST_F(DatabaseFinderTest, TwoThatWouldShareAReplicaAreNamedAndTheSecondIsLeftOut) {
  touch("one/app.db");
  touch("two/app.db");
  fs::create_directory(scratch_ / "out");
  fs::create_directory_symlink(scratch_ / "out", scratch_ / "link");
  const FoundDatabases found = find(
      "[[database]]\ndirectory = '$D/one'\nto = '$D/out'\n[[database]]\ndirectory = '$D/two'\nto = '$D/link/'\n");
  EXPECT_THAT(pairs(found), ElementsAre("one/app.db -> out/app.db"));
  ASSERT_EQ(found.clashes.size(), 1u);
  EXPECT_EQ(found.clashes[0].path, scratch_ / "two/app.db");
  EXPECT_EQ(found.clashes[0].sentence,
            "cairn.toml:4: " + scratch_ / "two/app.db" + " would share the replica file://" + scratch_ / "out/app.db" +
                " with " + scratch_ / "one/app.db" + ": give one of them a to of its own");
}

TEST_F(DatabaseFinderTest, AnotherNameOfADatabaseIsNamedAndLeftOut) {
  touch("in/a.db");
  fs::create_hard_link(scratch_ / "in/a.db", scratch_ / "in/b.db");
  fs::create_symlink(scratch_ / "in/a.db", scratch_ / "in/c.db");
  const FoundDatabases found = find("[[database]]\ndirectory = '$D/in'\nto = '$D/out'\n");
  EXPECT_THAT(pairs(found), ElementsAre("in/a.db -> out/a.db"));
  ASSERT_EQ(found.clashes.size(), 2u);
  EXPECT_THAT(found.clashes[0].sentence, HasSubstr("is the same database as"));
}

TEST_F(DatabaseFinderTest, WhatIsReplicatedIsNotDisplacedByANewcomer) {
  touch("two/app.db");
  const std::string both =
      "[[database]]\ndirectory = '$D/one'\nto = '$D/out'\n[[database]]\ndirectory = '$D/two'\nto = '$D/out'\n";
  const FoundDatabases before = find(both);
  touch("one/app.db");
  const FoundDatabases after = find(both, before);
  EXPECT_THAT(pairs(after), ElementsAre("two/app.db -> out/app.db"));
  ASSERT_EQ(after.clashes.size(), 1u);
  EXPECT_EQ(after.clashes[0].path, scratch_ / "one/app.db");
}

TEST_F(DatabaseFinderTest, OneThatIsLeftOutForItsReplicaKeepsNoOtherNameOfItOut) {
  touch("a/app.db");
  touch("b/app.db");
  fs::create_directories(scratch_ / "c");
  fs::create_hard_link(scratch_ / "b/app.db", scratch_ / "c/other.db");
  const FoundDatabases found = find("[[database]]\ndirectory = '$D/a'\nto = '$D/out'\n[[database]]\n"
                                    "directory = '$D/b'\nto = '$D/out'\n[[database]]\ndirectory = '$D/c'\n"
                                    "to = '$D/out'\n");
  EXPECT_THAT(pairs(found), ElementsAre("a/app.db -> out/app.db", "c/other.db -> out/other.db"));
  EXPECT_EQ(found.clashes.size(), 1u);
}

TEST_F(DatabaseFinderTest, TwoStarsMatchNoMoreThanAWalkFinds) {
  const auto matches_of = [](const char* path) { return matches(steps_of("**/*.db*"), steps_of(path)); };
  EXPECT_TRUE(matches_of("a.db"));
  EXPECT_TRUE(matches_of("x/y/a.db"));
  EXPECT_FALSE(matches_of("x/.git/a.db"));
  EXPECT_FALSE(matches_of("x/b.db-cairn/a.db"));
  EXPECT_FALSE(matches_of("x/a.db-wal"));
}

TEST_F(DatabaseFinderTest, ADirectoryThatIsNotThereMeansNothingYet) {
  const FoundDatabases found = find("[[database]]\nglob = '$D/none/*/x.db'\n");
  EXPECT_THAT(pairs(found), IsEmpty());
  EXPECT_THAT(found.directories, ElementsAre(scratch_ / "none"));
}

TEST_F(DatabaseFinderTest, NamesThatComeOrGoWakeAndThoseBesideADatabaseDoNot) {
  fs::create_directory(scratch_ / "in");
  const auto watch = NamesWatch::open().value();
  EXPECT_FALSE(watch->watch({scratch_ / "in", scratch_ / "none"}));
  if (!watch->watch({scratch_ / "in"})) GTEST_SKIP() << "inotify is not to be had here: " << watch->trouble();
  touch("in/a.db");
  EXPECT_TRUE(watch->wait(30'000'000));
  touch("in/a.db-wal");
  touch("in/a.db-journal");
  EXPECT_FALSE(watch->wait(30'000'000));
  fs::rename(scratch_ / "in/a.db", scratch_ / "elsewhere.db");
  EXPECT_TRUE(watch->wait(30'000'000));
  watch->ring();
  EXPECT_FALSE(watch->wait(30'000'000));
}

TEST_F(DatabaseFinderTest, AWatchThatIsNotToBeHadIsToldWithWhatToRaise) {
  fs::create_directory(scratch_ / "in");
  const auto none_left = [](int, const char*, std::uint32_t) { return errno = ENOSPC, -1; };
  const auto watch = NamesWatch::open(none_left).value();
  EXPECT_FALSE(watch->watch({scratch_ / "in"}));
  EXPECT_THAT(watch->trouble(), HasSubstr(scratch_ / "in" + " cannot be watched for new databases"));
  EXPECT_THAT(watch->trouble(), HasSubstr("looked at every two seconds: raise fs.inotify.max_user_watches"));
}

}  // namespace
}  // namespace cairn::daemon
