#include "restore/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/clock.h"
#include "restore/fetch.h"

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
  for (std::uint64_t stop : stops) object.stops.push_back({Sequence(stop), size_bytes});
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

TEST(Plan, AnOlderSnapshotIsBegunFromWhenThatIsCheaper) {
  // The database was filled, snapshot, and emptied again: what leads past that is smaller than what it was.
  const std::vector<StoredObject> snapshots{snapshot(0, 1000), snapshot(5, 900 * kRequestCostBytes)};
  std::vector<StoredObject> segments = level_0(6, 9);
  segments.push_back(segment_of(3, 1, 9, 4000));
  auto cover = cheapest_cover(snapshots, segments, Sequence(9));
  ASSERT_TRUE(cover) << cover.error().message();
  EXPECT_EQ(keys(*cover), (std::vector<std::string>{"snapshot 0 at 0", "3/1-9"}));
}

TEST(Plan, ThePricesDecide) {
  std::vector<StoredObject> segments = level_0(1, 4);
  segments.push_back(segment_of(1, 1, 4, 1000));
  const auto by_requests = cheapest_cover({snapshot(0)}, segments, Sequence(4), {.request = 1000, .byte = 1});
  const auto by_bytes = cheapest_cover({snapshot(0)}, segments, Sequence(4), {.request = 1, .byte = 1});
  ASSERT_TRUE(by_requests && by_bytes);
  EXPECT_EQ(keys(*by_requests), (std::vector<std::string>{"snapshot 0 at 0", "1/1-4"}));
  EXPECT_EQ(by_bytes->size(), 5u);
  const auto free = cheapest_cover({snapshot(0)}, segments, Sequence(4), {.request = 0, .byte = 0});
  ASSERT_TRUE(free);
  EXPECT_EQ(keys(*free), (std::vector<std::string>{"snapshot 0 at 0", "1/1-4"})) << "equal costs: the widest";
}

TEST(Plan, CostsAreRequestsAndBytesAsARestoreMakesThem) {
  constexpr Prices kPrices{.request = 1'000'000'000, .byte = 1};
  EXPECT_EQ(cost_of(segment_of(0, 1, 1, 500), Sequence(1), kPrices), 1'000'000'500u) << "its end is all of it";
  EXPECT_EQ(cost_of(segment_of(0, 1, 1, 1'000'000), Sequence(1), kPrices), 2'001'000'000u) << "its end, and its data";
  EXPECT_EQ(cost_of(segment_of(0, 1, 1, 20 << 20), Sequence(1), kPrices), 4'000'000'000u + (20 << 20));
  StoredObject bundle = segment_of(1, 1, 9, 20 << 20);
  EXPECT_EQ(cost_of(bundle, Sequence(5), kPrices), std::nullopt) << "it ends behind the target";
  bundle.stops = {{Sequence(3), 1'000'000}, {Sequence(6), 2'000'000}};
  EXPECT_EQ(cost_of(bundle, Sequence(5), kPrices), 2'001'000'000u) << "up to its last stop before the target";
  EXPECT_EQ(cost_of(bundle, Sequence(2), kPrices), std::nullopt);
  EXPECT_EQ(cost_of(bundle, Sequence(9), kPrices), 4'000'000'000u + (20 << 20));
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(cost_of(bundle, Sequence(9), {.request = kMost, .byte = 2}), kMost) << "no overflow";
}

TEST(Plan, ASmallPartOfALargeBundleIsSmall) {
  StoredObject bundle = segment_of(2, 1, 300, 200 << 20);
  bundle.stops = {{Sequence(1), 100}, {Sequence(2), 200}, {Sequence(300), 200 << 20}};
  std::vector<StoredObject> segments = level_0(1, 2);
  segments.push_back(bundle);
  auto cover = cheapest_cover({snapshot(0)}, segments, Sequence(2), {.request = 1000, .byte = 1});
  ASSERT_TRUE(cover) << cover.error().message();
  EXPECT_EQ(cover->size(), 3u) << "two small objects are two requests, the bundle's end and data as well";
  segments.push_back(segment_of(0, 3, 3, 100 << 20));
  bundle.stops.insert(bundle.stops.begin() + 2, {Sequence(3), 3000});
  segments[2] = bundle;
  cover = cheapest_cover({snapshot(0)}, segments, Sequence(3), {.request = 1000, .byte = 1});
  ASSERT_TRUE(cover) << cover.error().message();
  EXPECT_EQ(keys(*cover), (std::vector<std::string>{"snapshot 0 at 0", "2/1-300"}));
}

// Where using `object` for `target` ends, read off the rules of plan.h.
std::optional<Sequence> end_of(const StoredObject& object, Sequence target) {
  if (object.name.last <= target) return object.name.last;
  std::optional<Sequence> end;
  for (const Stop& stop : object.stops) {
    if (stop.at <= target) end = end ? std::max(*end, stop.at) : stop.at;
  }
  return end;
}

// The judge: tries every order of applying segments, without any cleverness.
std::optional<std::uint64_t> cheapest_by_force(const std::vector<StoredObject>& segments, Sequence at,
                                               Sequence target, const Prices& prices) {
  if (at == target) return 0;
  std::optional<std::uint64_t> best;
  for (const StoredObject& object : segments) {
    const std::optional<Sequence> end = end_of(object, target);
    if (object.name.first.value > at.value + 1 || !end || *end <= at) continue;
    const auto rest = cheapest_by_force(segments, *end, target, prices);
    if (!rest) continue;
    const std::uint64_t cost = *rest + *cost_of(object, target, prices);
    best = best ? std::min(*best, cost) : cost;
  }
  return best;
}

std::optional<std::uint64_t> cheapest_by_force(const std::vector<StoredObject>& snapshots,
                                               const std::vector<StoredObject>& segments, Sequence target,
                                               const Prices& prices) {
  std::optional<std::uint64_t> best;
  for (const StoredObject& snapshot : snapshots) {
    if (snapshot.name.last > target) continue;
    const auto rest = cheapest_by_force(segments, snapshot.name.last, target, prices);
    if (!rest) continue;
    const std::uint64_t cost = *rest + *cost_of(snapshot, target, prices);
    best = best ? std::min(*best, cost) : cost;
  }
  return best;
}

void expect_as_good_as_force(const std::vector<StoredObject>& snapshots, const std::vector<StoredObject>& segments,
                             Sequence target, const Prices& prices = {}) {
  const auto expected = cheapest_by_force(snapshots, segments, target, prices);
  const auto cover = cheapest_cover(snapshots, segments, target, prices);
  std::string what = "target " + std::to_string(target.value) + ":";
  for (const auto* objects : {&snapshots, &segments}) {
    for (const StoredObject& object : *objects) what += " " + object.name.key;
  }
  if (!expected) {
    EXPECT_FALSE(cover) << what;
    return;
  }
  ASSERT_TRUE(cover) << what << " " << cover.error().message();
  ASSERT_EQ(cover->front().name.kind, segment::KeyKind::snapshot) << what;
  std::uint64_t cost = *cost_of(cover->front(), target, prices);
  Sequence at = cover->front().name.last;
  for (std::size_t i = 1; i < cover->size(); ++i) {
    const StoredObject& object = (*cover)[i];
    ASSERT_EQ(object.name.kind, segment::KeyKind::segment) << what;
    EXPECT_LE(object.name.first.value, at.value + 1) << what;
    const std::optional<Sequence> end = end_of(object, target);
    ASSERT_TRUE(end && *end > at) << what;
    at = *end;
    cost += *cost_of(object, target, prices);
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
      expect_as_good_as_force({snapshot(0)}, segments, Sequence(target));
    }
  }
}

// Every set of bundles (the ranges of 1..4, each left anywhere) with level 0 as far as it is there: 1,023 sets, every
// target.
TEST(Plan, EverySmallSetOfBundlesIsAsGoodAsBruteForce) {
  std::vector<StoredObject> all;
  for (std::uint64_t first = 1; first <= 4; ++first) {
    for (std::uint64_t last = first; last <= 4; ++last) {
      all.push_back(segment_of(first == last ? 0 : 1, first, last, first * 5 + last * 3));
      for (std::uint64_t stop = first; stop < last; ++stop)
        all.back().stops.push_back({Sequence(stop), first * 5 + stop * 3});
    }
  }
  for (std::uint32_t set = 1; set < (1u << all.size()); ++set) {
    std::vector<StoredObject> segments;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if ((set >> i) & 1) segments.push_back(all[i]);
    }
    for (std::uint64_t target = 1; target <= newest_of({}, segments).value; ++target) {
      expect_as_good_as_force({snapshot(0, 7), snapshot(2, 30)}, segments, Sequence(target), {.request = 9, .byte = 1});
    }
  }
}

TEST(Plan, RandomSetsWithSizesStopsSnapshotsAndPricesAreAsGoodAsBruteForce) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    SeededRandom random(seed);
    const std::uint64_t newest = 2 + random.below(6);
    std::vector<StoredObject> snapshots, segments;
    for (std::uint64_t i = 0, count = 1 + random.below(3); i < count; ++i)
      snapshots.push_back(snapshot(random.below(3), random.below(8 * kRequestCostBytes), static_cast<std::int64_t>(i)));
    for (std::uint64_t i = 0, count = 1 + random.below(7); i < count; ++i) {
      const std::uint64_t first = 1 + random.below(newest), last = first + random.below(newest - first + 1);
      // Sizes up to four requests, so that bytes and requests are weighed against each other.
      StoredObject object = segment_of(static_cast<int>(i), first, last, random.below(4 * kRequestCostBytes));
      std::uint64_t reached = 0;
      for (std::uint64_t stop = first; stop < last; ++stop) {
        if (!random.chance(1, 2)) continue;
        reached += random.below(object.size_bytes - reached + 1);
        object.stops.push_back({Sequence(stop), reached});
      }
      segments.push_back(object);
    }
    const Prices prices{.request = random.below(2 * kRequestCostBytes), .byte = random.below(3)};
    for (std::uint64_t target = 1; target <= newest_of(snapshots, segments).value; ++target) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      expect_as_good_as_force(snapshots, segments, Sequence(target), prices);
    }
  }
}

// What cheapest_cover gives for one target alone.
std::optional<CoverTotals> totals_of_one(const std::vector<StoredObject>& snapshots,
                                         const std::vector<StoredObject>& segments, Sequence target,
                                         const Prices& prices) {
  Sequence newest;
  for (const StoredObject& object : snapshots) {
    if (object.name.last <= target) newest = std::max(newest, object.name.last);
  }
  std::vector<StoredObject> listed;
  for (const StoredObject& object : segments) {
    if (object.name.last > newest) listed.push_back(object);
  }
  const auto cover = cheapest_cover(snapshots, listed, target, prices);
  if (!cover) return std::nullopt;
  CoverTotals totals;
  for (const StoredObject& object : *cover) {
    ++totals.objects;
    totals.requests += *cost_of(object, target, {1, 0});
    totals.size_bytes += *cost_of(object, target, {0, 1});
  }
  return totals;
}

// Sparse stops, so that targets lie inside of squashed runs, and snapshots anywhere.
TEST(Plan, TheTotalsOfAllTargetsAreThoseOfEachAlone) {
  std::uint64_t reached = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    SeededRandom random(seed);
    const std::uint64_t newest = 2 + random.below(14);
    std::vector<StoredObject> snapshots, segments;
    for (std::uint64_t i = 0, count = 1 + random.below(3); i < count; ++i) {
      snapshots.push_back(snapshot(i == 0 ? random.below(2) : random.below(newest),
                                   random.below(8 * kRequestCostBytes), static_cast<std::int64_t>(i)));
    }
    for (std::uint64_t i = 1; i <= newest; ++i) {
      if (!random.chance(1, 6)) segments.push_back(segment_of(0, i, i, random.below(2 * kRequestCostBytes)));
    }
    for (std::uint64_t i = 0, count = random.below(6); i < count; ++i) {
      const std::uint64_t first = 1 + random.below(newest), last = first + random.below(newest - first + 1);
      StoredObject object = segment_of(1 + static_cast<int>(i), first, last, random.below(30 * kRequestCostBytes));
      std::uint64_t bytes = 0;
      for (std::uint64_t stop = first; stop < last; ++stop) {
        if (random.chance(1, 2)) continue;
        bytes += random.below(object.size_bytes - bytes + 1);
        object.stops.push_back({Sequence(stop), bytes});
      }
      segments.push_back(object);
    }
    const Prices prices{.request = 1 + random.below(2 * kRequestCostBytes), .byte = 1 + random.below(3)};
    std::vector<Sequence> targets;
    for (std::uint64_t target = 0; target <= newest; ++target) {
      if (random.chance(7, 8)) targets.emplace_back(target);
    }
    const auto totals = cover_totals(snapshots, segments, targets, prices);
    ASSERT_EQ(totals.size(), targets.size());
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const auto expected = totals_of_one(snapshots, segments, targets[i], prices);
      reached += expected.has_value();
      ASSERT_TRUE(totals[i] == expected) << "seed " << seed << ", target " << targets[i].value;
    }
  }
  EXPECT_GT(reached, 3000u) << "a test of nothing";
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

// Long where much is to come, and never so long that a thread has nothing to do.
TEST(RangeBytes, GrowWithWhatIsFetched) {
  constexpr std::uint64_t kMiB = 1 << 20;
  EXPECT_EQ(longest_range_bytes(0, 8), 8 * kMiB);
  EXPECT_EQ(longest_range_bytes(100 * kMiB, 8), 8 * kMiB);
  EXPECT_EQ(longest_range_bytes(1024 * kMiB, 8), 32 * kMiB);
  EXPECT_EQ(longest_range_bytes(1024 * kMiB, 4), 64 * kMiB);
  EXPECT_EQ(longest_range_bytes(kMiB * kMiB, 1), 64 * kMiB);
}

}  // namespace
}  // namespace cairn::restore
