// What is found where a search takes longer than it is waited for.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "base/clock.h"
#include "daemon/database_finder.h"
#include "daemon/file_walk.h"
#include "daemon/mounts.h"
#include "daemon/test_finder.h"

namespace cairn::daemon {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using FinderSlowTest = FinderTest;

constexpr const char* kTree = "[[database]]\nglob = '$D/in/*/*.db'\nto = '$D/out'\n";

TEST_F(FinderSlowTest, ASearchThatAlwaysTakesTooLongFindsAllTheSame) {
  constexpr std::size_t kAll = 20'000;
  for (std::size_t i = 0; i < kAll; ++i) touch(fmt::format("in/{}/{}.db", i / 200, i));
  const Patience short_one{5'000, 4};  // of which it takes many times as much
  FoundDatabases found;
  bool found_some = false, said = false;
  const std::int64_t until_ms = monotonic_ms() + 120'000;
  while ((found.databases.size() < kAll || !found_some) && monotonic_ms() < until_ms) {
    if (found.databases.size() == kAll) found = {};  // it was over before it was looked at again
    const std::size_t before = found.databases.size();
    found = find(kTree, found, short_one);
    ASSERT_GE(found.databases.size(), before);
    found_some |= found.databases.size() > 0 && found.databases.size() < kAll;
    said |= !found.unanswered.empty() && found.unanswered[0].gets_on;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_THAT(found.databases, SizeIs(kAll));
  EXPECT_TRUE(found_some) << "before the search was over";
  EXPECT_TRUE(said);
  // And so what has gone is let go of some time.
  const std::string gone = scratch_ / "in/0/0.db";
  fs::remove(gone);
  const auto is_gone = [&](const FoundDatabase& one) { return one.path == gone; };
  while (std::any_of(found.databases.begin(), found.databases.end(), is_gone) && monotonic_ms() < until_ms) {
    found = find(kTree, found, short_one);
    ASSERT_GE(found.databases.size(), kAll - 1);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_THAT(found.databases, SizeIs(kAll - 1));
}

TEST_F(FinderSlowTest, ASearchThatGetsNowhereIsGivenUp) {
  touch("in/a/x.db");
  const std::string in = scratch_ / "in", device = MountTable(read_mounts()).device_of(in);
  FoundDatabases before;
  before.underway.push_back(std::make_shared<WalkUnderway>(fmt::format("files below {}/*/*.db on {}", in, device),
                                                           steps_of("*/*.db"), std::vector<Way>{{in, in}}));
  const FoundDatabases meanwhile = find(kTree, before);
  EXPECT_THAT(meanwhile.databases, IsEmpty());
  ASSERT_THAT(meanwhile.unanswered, SizeIs(1));
  EXPECT_THAT(meanwhile.unanswered[0].sentence, HasSubstr("what lies at " + in + "/*/*.db takes long"));
  ASSERT_EQ(meanwhile.underway, before.underway);
  std::this_thread::sleep_for(std::chrono::milliseconds(1'100));
  const FoundDatabases after = find(kTree, meanwhile, {1'000, 40'000});
  EXPECT_THAT(after.databases, SizeIs(1));
  EXPECT_THAT(after.unanswered, IsEmpty());
  EXPECT_THAT(after.underway, IsEmpty());
}

// A device that is reached by a search which is not over is not asked for then, and its own search is not begun anew.
TEST_F(FinderSlowTest, ASearchBehindOneThatTakesLongGoesOn) {
  touch("in/a/x.db");
  const std::string in = scratch_ / "in", device = MountTable(read_mounts()).device_of(in);
  const auto under_way = [&](const std::string& on, const std::string& at) {
    return std::make_shared<WalkUnderway>(fmt::format("files below {}/*/*.db on {}", in, on), steps_of("*/*.db"),
                                          std::vector<Way>{{at, at}});
  };
  FoundDatabases before;
  before.underway = {under_way(device, in), under_way("another", in + "/mounted")};
  EXPECT_EQ(find(kTree, before).underway, before.underway);
}

}  // namespace
}  // namespace cairn::daemon
