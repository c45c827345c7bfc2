#include "daemon/fleet.h"

#include <gtest/gtest.h>

#include "daemon/time_line.h"

namespace cairn::daemon {
namespace {

TEST(TimeLine, CountsWhatIsNewInSlots) {
  TimeLine line;
  EXPECT_EQ(line.slots(), nullptr);
  ReplicatorStatus status;
  line.note(status, 1'000'000);
  EXPECT_EQ(line.slots(), nullptr);
  status.published_segments = 2;
  line.note(status, 1'000'001);
  const auto before = line.slots();
  status.published_segments = 5;
  status.snapshots_published = 1;
  line.note(status, 1'009'999);
  status.merged_objects = 1;
  line.note(status, 1'010'000);
  const auto after = line.slots();
  EXPECT_EQ(before->slots.size(), 1u);  // as it was
  ASSERT_EQ(after->slots.size(), 2u);
  EXPECT_EQ(after->slots[0].begin_ms, 1'000'000);
  EXPECT_EQ(after->slots[0].published, 5u);
  EXPECT_EQ(after->slots[0].snapshots, 1u);
  EXPECT_EQ(after->slots[1].merged, 1u);
}

TEST(TimeLine, AnotherReplicatorBeginsAtZero) {
  TimeLine line;
  ReplicatorStatus status;
  status.published_segments = 5;
  line.note(status, 1'000'000);
  line.begin();
  status.published_segments = 1;
  line.note(status, 1'000'001);
  EXPECT_EQ(line.slots()->slots[0].published, 6u);
}

TEST(TimeLine, StaysSmallAndLosesNothing) {
  TimeLine line;
  ReplicatorStatus status;
  for (int i = 0; i < 10'000; ++i) {
    ++status.published_segments;
    line.note(status, 1'000'000 + i * 60'000);
  }
  line.note(status, 5);  // the clock was set
  const auto slots = line.slots();
  EXPECT_LE(slots->slots.size(), TimeLine::kMostSlots);
  EXPECT_GE(slots->slots.size(), TimeLine::kMostSlots / 3);
  std::uint64_t published = 0;
  for (const TimeSlot& slot : slots->slots) {
    published += slot.published;
    EXPECT_EQ(slot.begin_ms % slots->width_ms, 0);
  }
  EXPECT_EQ(published, 10'000u);
}

TEST(Fleet, TellsHowADatabaseIs) {
  DatabaseView database;
  EXPECT_EQ(state_of(database), DatabaseState::starting);
  database.is_open = true;
  EXPECT_EQ(state_of(database), DatabaseState::starting);
  database.status.phase = Phase::following;
  EXPECT_EQ(state_of(database), DatabaseState::following);
  database.status.store_trouble = "away";
  EXPECT_EQ(state_of(database), DatabaseState::in_trouble);
  DatabaseView asleep;
  asleep.is_asleep = true;
  asleep.closed_since_ms = 1'000;
  EXPECT_EQ(state_of(asleep), DatabaseState::asleep);
  EXPECT_EQ(lag_ms(asleep, 9'000), 0);
  asleep.is_asleep = false;
  EXPECT_EQ(lag_ms(asleep, 9'000), 8'000);
  database.failing = Failing{ErrorKind::conflict, "another writer", std::nullopt};
  EXPECT_EQ(state_of(database), DatabaseState::failing);
}

TEST(Fleet, TotalsAreOverAllReplicators) {
  DatabaseView database;
  database.before.usage.writes = 3;
  database.before.commits = 10;
  database.is_open = true;
  database.status.captured_commits = 5;
  database.store_status.usage.writes = 4;
  database.store_status.service = "s3.amazonaws.com";
  const Totals totals = totals_of(database);
  EXPECT_EQ(totals.commits, 15u);
  EXPECT_EQ(totals.usage.writes, 7u);
  EXPECT_TRUE(cost_of(totals, std::nullopt));
  EXPECT_FALSE(cost_of(database.before, std::nullopt));
}

}  // namespace
}  // namespace cairn::daemon
