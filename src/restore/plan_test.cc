#include "restore/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "base/clock.h"

namespace cairn::restore {
namespace {

using ::testing::HasSubstr;

StoredObject snapshot(std::uint64_t sequence, std::uint64_t size_bytes = 1000, std::int64_t time_ms = 0) {
  StoredObject object;
  object.name.kind = segment::KeyKind::snapshot;
  object.name.first = object.name.last = Sequence(sequence);
  object.name.time_ms = time_ms;
  object.name.key = "snapshot " + std::to_string(sequence) + " at " + std::to_string(time_ms);
  object.size_bytes = size_bytes;
  return object;
}

StoredObject segment_of(int level, std::uint64_t first, std::uint64_t last, std::uint64_t size_bytes = 10,
                        std::vector<std::uint64_t> stops = {}) {
  StoredObject object;
  object.name.level = level;
  object.name.first = Sequence(first);
  object.name.last = Sequence(last);
  object.name.key = std::to_string(level) + "/" + std::to_string(first) + "-" + std::to_string(last);
  object.size_bytes = size_bytes;
  for (std::uint64_t stop : stops) object.stops.push_back(Sequence(stop));
  return object;
}

std::vector<StoredObject> level_0(std::uint64_t first, std::uint64_t last) {
  std::vector<StoredObject> segments;
  for (std::uint64_t i = first; i <= last; ++i) segments.push_back(segment_of(0, i, i));
  return segments;
}

std::vector<std::string> keys(const std::vector<StoredObject>& cover) {
  std::vector<std::string> found;
  for (const StoredObject& object : cover) found.push_back(object.name.key);
  return found;
}

TEST(Plan, NewestSnapshotThenSegmentsInOrder) {
  auto cover = cheapest_cover({snapshot(0), snapshot(3), snapshot(9)}, level_0(1, 9), Sequence(5));
  ASSERT_TRUE(cover) << cover.error().message();
  EXPECT_EQ(keys(*cover), (std::vector<std::string>{"snapshot 3 at 0", "0/4-4", "0/5-5"}));
}

TEST(Plan, ASnapshotAtTheTargetNeedsNothingElse) {
  auto cover = cheapest_cover({snapshot(0), snapshot(5, 1000, 1), snapshot(5, 1000, 2)}, level_0(1, 9), Sequence(5));
  ASSERT_TRUE(cover) << cover.error().message();
  EXPECT_EQ(keys(*cover), (std::vector<std::string>{"snapshot 5 at 2"}));
}

TEST(Plan, Z13_AnOlderButLongerSegmentNeverWinsOverANewerSnapshot) {
  auto cover = cheapest_cover({snapshot(20)}, {segment_of(1, 1, 20, 5, {10, 20})}, Sequence(20));
  ASSERT_TRUE(cover) << cover.error().message();
  EXPECT_EQ(keys(*cover), (std::vector<std::string>{"snapshot 20 at 0"}));
}

TEST(Plan, L1_TheWidestPathIsFoundWhereAGreedySearchGoesWrong) {
  std::vector<StoredObject> segments{segment_of(1, 1, 50, 50), segment_of(1, 51, 100, 50), segment_of(1, 1, 90, 90)};
  for (std::uint64_t i = 91; i <= 99; i += 2) segments.push_back(segment_of(1, i, i + 1));
  auto cover = cheapest_cover({snapshot(0)}, segments, Sequence(100));
  ASSERT_TRUE(cover) << cover.error().message();
  EXPECT_EQ(keys(*cover), (std::vector<std::string>{"snapshot 0 at 0", "1/1-50", "1/51-100"}));
}

TEST(Plan, L2_SegmentsOfOneSequenceAreSegmentsLikeOthers) {
  for (const auto& segments : std::vector<std::vector<StoredObject>>{
           {segment_of(1, 1, 4), segment_of(0, 5, 5), segment_of(1, 6, 9)},
           {segment_of(0, 1, 1), segment_of(1, 2, 9)}}) {
    auto cover = cheapest_cover({snapshot(0)}, segments, Sequence(9));
    ASSERT_TRUE(cover) << cover.error().message();
    EXPECT_EQ(cover->size(), segments.size() + 1);
  }
}

TEST(Plan, L3_OverlapsAndNeighboursDoNotCollide) {
  const std::vector<StoredObject> segments{segment_of(0, 4, 4), segment_of(0, 5, 5), segment_of(1, 4, 5, 20),
                                           segment_of(1, 1, 4)};
  auto cover = cheapest_cover({snapshot(0)}, segments, Sequence(5));
  ASSERT_TRUE(cover) << cover.error().message();
  EXPECT_EQ(keys(*cover), (std::vector<std::string>{"snapshot 0 at 0", "1/1-4", "0/5-5"}));
}

TEST(Plan, ManySmallSegmentsWinOverALargeOneWhenTheyAreCheaper) {
  std::vector<StoredObject> segments = level_0(1, 2);
  segments.push_back(segment_of(1, 1, 2, 10 * kRequestCostBytes));
  auto cover = cheapest_cover({snapshot(0)}, segments, Sequence(2));
  ASSERT_TRUE(cover) << cover.error().message();
  EXPECT_EQ(cover->size(), 3u);
}

TEST(Plan, L4_AMissingSegmentIsNamedWithWhatIsThere) {
  std::vector<StoredObject> segments = level_0(1, 16);
  for (StoredObject& each : level_0(18, 40)) segments.push_back(std::move(each));
  auto cover = cheapest_cover({snapshot(0)}, segments, Sequence(40));
  ASSERT_FALSE(cover);
  EXPECT_EQ(cover.error().kind(), ErrorKind::corrupt);
  EXPECT_THAT(cover.error().message(), HasSubstr("segment 17 is missing: 1..16 and 18..40 are there"));
  EXPECT_TRUE(cheapest_cover({snapshot(0)}, segments, Sequence(16)));
}

TEST(Plan, AGapBehindTheSnapshotNamesTheSnapshot) {
  auto cover = cheapest_cover({snapshot(5)}, level_0(8, 9), Sequence(9));
  ASSERT_FALSE(cover);
  EXPECT_THAT(cover.error().message(), HasSubstr("segments 6..7 are missing: the snapshot at 5 and 8..9 are there"));
}

TEST(Plan, ASquashedSegmentIsNeverUsedPastTheTarget) {
  auto cover = cheapest_cover({snapshot(0)}, {segment_of(3, 1, 10), segment_of(3, 11, 30)}, Sequence(20));
  ASSERT_FALSE(cover);
  EXPECT_EQ(cover.error().kind(), ErrorKind::not_found);
  EXPECT_THAT(cover.error().message(), HasSubstr("the nearest ones are 10 and 30"));
}

TEST(Plan, ABundleIsLeftInItsMiddleAtOneOfItsStops) {
  auto cover = cheapest_cover({snapshot(0)}, {segment_of(1, 1, 9, 10, {3, 6, 9})}, Sequence(6));
  ASSERT_TRUE(cover) << cover.error().message();
  EXPECT_EQ(keys(*cover), (std::vector<std::string>{"snapshot 0 at 0", "1/1-9"}));
  EXPECT_FALSE(cheapest_cover({snapshot(0)}, {segment_of(1, 1, 9, 10, {3, 6, 9})}, Sequence(5)));
}

TEST(Plan, WhatWasNeverPublishedIsNotFound) {
  auto nothing = cheapest_cover({}, {}, Sequence(0));
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().kind(), ErrorKind::not_found);
  auto no_snapshot = cheapest_cover({}, level_0(1, 3), Sequence(3));
  ASSERT_FALSE(no_snapshot);
  EXPECT_EQ(no_snapshot.error().kind(), ErrorKind::not_found);
  auto too_new = cheapest_cover({snapshot(0)}, level_0(1, 3), Sequence(4));
  ASSERT_FALSE(too_new);
  EXPECT_EQ(too_new.error().kind(), ErrorKind::not_found);
  EXPECT_THAT(too_new.error().message(), HasSubstr("the newest is 3"));
  auto too_old = cheapest_cover({snapshot(2)}, level_0(1, 3), Sequence(1));
  ASSERT_FALSE(too_old);
  EXPECT_EQ(too_old.error().kind(), ErrorKind::not_found);
  EXPECT_THAT(too_old.error().message(), HasSubstr("the oldest snapshot is that of sequence 2"));
}

// The judge: tries every order of applying segments, without any cleverness.
std::optional<std::uint64_t> cheapest_by_force(const std::vector<StoredObject>& segments, Sequence at,
                                               Sequence target) {
  if (at == target) return 0;
  std::optional<std::uint64_t> best;
  for (const StoredObject& object : segments) {
    if (object.name.first.value > at.value + 1) continue;
    std::vector<Sequence> ends = object.stops;
    ends.push_back(object.name.last);
    for (const Sequence end : ends) {
      if (end <= at || end > target) continue;
      const auto rest = cheapest_by_force(segments, end, target);
      const std::uint64_t cost = object.size_bytes + kRequestCostBytes;
      if (rest && (!best || *rest + cost < *best)) best = *rest + cost;
    }
  }
  return best;
}

void expect_as_good_as_force(const std::vector<StoredObject>& segments, Sequence start, Sequence target) {
  const auto expected = cheapest_by_force(segments, start, target);
  const auto cover = cheapest_cover({snapshot(start.value)}, segments, target);
  std::string what = "target " + std::to_string(target.value) + ":";
  for (const StoredObject& object : segments) what += " " + object.name.key;
  if (!expected) {
    EXPECT_FALSE(cover) << what;
    return;
  }
  ASSERT_TRUE(cover) << what << " " << cover.error().message();
  std::uint64_t cost = 0;
  Sequence at = start;
  for (std::size_t i = 1; i < cover->size(); ++i) {
    const StoredObject& object = (*cover)[i];
    EXPECT_LE(object.name.first.value, at.value + 1) << what;
    Sequence end = object.name.last <= target ? object.name.last : Sequence(0);
    for (const Sequence stop : object.stops) {
      if (stop <= target) end = std::max(end, stop);
    }
    EXPECT_GT(end.value, at.value) << what;
    at = end;
    cost += object.size_bytes + kRequestCostBytes;
  }
  EXPECT_EQ(at, target) << what;
  EXPECT_EQ(cost, *expected) << what;
}

// Every set of squashed segments over sequences 1..4 (ten ranges: 1,024 sets), every target.
TEST(Plan, EverySmallSetOfRangesIsAsGoodAsBruteForce) {
  std::vector<StoredObject> all;
  for (std::uint64_t first = 1; first <= 4; ++first) {
    for (std::uint64_t last = first; last <= 4; ++last) {
      all.push_back(segment_of(first == last ? 0 : 1, first, last, first * 7 + last));
    }
  }
  for (std::uint32_t set = 0; set < (1u << all.size()); ++set) {
    std::vector<StoredObject> segments;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if ((set >> i) & 1) segments.push_back(all[i]);
    }
    if (segments.empty()) continue;
    std::uint64_t newest = newest_of({}, segments).value;
    for (std::uint64_t target = 1; target <= newest; ++target) {
      expect_as_good_as_force(segments, Sequence(0), Sequence(target));
    }
  }
}

TEST(Plan, RandomSetsWithSizesAndStopsAreAsGoodAsBruteForce) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    SeededRandom random(seed);
    const std::uint64_t newest = 2 + random.below(6), start = random.below(2);
    std::vector<StoredObject> segments;
    for (std::uint64_t i = 0, count = 1 + random.below(7); i < count; ++i) {
      const std::uint64_t first = 1 + random.below(newest), last = first + random.below(newest - first + 1);
      // Sizes up to four requests, so that bytes and requests are weighed against each other.
      StoredObject object = segment_of(static_cast<int>(i), first, last, random.below(4 * kRequestCostBytes));
      for (std::uint64_t stop = first; stop < last; ++stop) {
        if (random.chance(1, 2)) object.stops.push_back(Sequence(stop));
      }
      segments.push_back(object);
    }
    for (std::uint64_t target = start + 1; target <= newest_of({}, segments).value; ++target) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      expect_as_good_as_force(segments, Sequence(start), Sequence(target));
    }
  }
}

TEST(Plan, TheOrderOfTheInputsDoesNotMatter) {
  std::vector<StoredObject> segments = level_0(1, 8);
  segments.push_back(segment_of(1, 1, 4, 10));
  segments.push_back(segment_of(2, 1, 4, 10));
  segments.push_back(segment_of(1, 3, 8, 10));
  const auto expected = cheapest_cover({snapshot(0)}, segments, Sequence(8));
  ASSERT_TRUE(expected);
  std::reverse(segments.begin(), segments.end());
  const auto reversed = cheapest_cover({snapshot(0)}, segments, Sequence(8));
  ASSERT_TRUE(reversed);
  EXPECT_EQ(keys(*expected), keys(*reversed));
}

}  // namespace
}  // namespace cairn::restore
