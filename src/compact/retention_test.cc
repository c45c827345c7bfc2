// The decision against a twin that is slow and obvious: reachability by trying everything, ages and series by their
// definition, looked at from each restore point anew.

#include "compact/retention.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/clock.h"
#include "compact/test_times.h"
#include "restore/plan.h"
#include "segment/keys.h"

namespace cairn::compact {
namespace {

using segment::ObjectKind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::int64_t kNow = 400 * kDay;

// A history of states with times, and objects over it.
struct History {
  std::vector<std::int64_t> times;  // of state 0, 1, ...
  std::vector<AgedObject> objects;

  void add(ObjectKind kind, std::uint64_t first, std::uint64_t last, std::int64_t modified_ms = 0) {
    AgedObject object;
    object.modified_ms = modified_ms;
    segment::Footer& footer = object.read.footer;
    footer.kind = kind;
    footer.first = Sequence(first);
    footer.last = Sequence(last);
    for (std::uint64_t at = kind == ObjectKind::bundle ? first : last; at <= last; ++at) {
      footer.points.push_back({Sequence(at), times[at], 1, 0, 1, at});
    }
    segment::ObjectName& name = object.read.object.name;
    if (kind == ObjectKind::snapshot) {
      name = *segment::parse_key("", segment::snapshot_key("", times[last], Sequence(last)));
    } else if (kind == ObjectKind::segment) {
      name = *segment::parse_key("", segment::segment_key("", Sequence(last)));
    } else {
      name = *segment::parse_key("", segment::merged_key("", kind == ObjectKind::bundle ? 1 : 2, Sequence(first),
                                                         Sequence(last)));
      if (kind == ObjectKind::bundle) {
        for (const auto& point : footer.points) object.read.object.stops.push_back({point.sequence, 1000});
      }
    }
    object.read.object.size_bytes = 1000;
    objects.push_back(std::move(object));
  }
  void add_level0() {
    for (std::uint64_t at = 1; at < times.size(); ++at) add(ObjectKind::segment, at, at);
  }
};

struct ByWriter {
  std::uint64_t from;
  std::uint8_t writer;
};
void set_writers(History& history, std::vector<ByWriter> writers) {
  for (AgedObject& object : history.objects) {
    for (const ByWriter& each : writers) {
      if (object.read.footer.last.value >= each.from) object.read.footer.writer.bytes[0] = each.writer;
    }
  }
}

PrunePolicy nothing_but(std::int64_t keep_all_ms) { return {keep_all_ms, 0, 0, 0, 0, 0}; }

std::vector<std::uint64_t> kept_of(const Retention& retention) {
  std::vector<std::uint64_t> kept;
  for (const KeptPoint& point : retention.kept) kept.push_back(point.sequence.value);
  return kept;
}
std::set<std::string> keys_with(const History& history, const Retention& retention, Fate fate) {
  std::set<std::string> keys;
  for (std::size_t i = 0; i < history.objects.size(); ++i) {
    if (retention.fates[i] == fate) keys.insert(history.objects[i].read.object.name.key);
  }
  return keys;
}

History random_history(SeededRandom& random) {
  History history;
  std::int64_t at_ms = 100 * kDay + static_cast<std::int64_t>(random.below(kDay));
  const std::uint64_t last = 1 + random.below(40);
  for (std::uint64_t i = 0; i <= last; ++i) {
    history.times.push_back(at_ms);
    const std::int64_t most = random.chance(1, 10) ? 40 * kDay : random.chance(1, 4) ? 20 * kHour : 30 * kMinute;
    at_ms += static_cast<std::int64_t>(random.below(most));
    if (random.chance(1, 12)) at_ms -= kDay;
  }
  const auto modified = [&] { return kNow - static_cast<std::int64_t>(random.below(3 * kHour)); };
  history.add(ObjectKind::snapshot, 0, 0, modified());
  for (std::uint64_t i = 1; i <= last; ++i) {
    if (random.chance(1, 9)) history.add(ObjectKind::snapshot, i, i, modified());
    if (random.chance(9, 10)) history.add(ObjectKind::segment, i, i, modified());
  }
  for (std::uint64_t n = random.below(8); n > 0; --n) {
    const std::uint64_t first = 1 + random.below(last), end = first + random.below(last - first + 1);
    if (end == first) continue;
    history.add(random.chance(1, 2) ? ObjectKind::bundle : ObjectKind::squashed, first, end, modified());
  }
  return history;
}

PrunePolicy random_policy(SeededRandom& random) {
  PrunePolicy policy;
  policy.keep_all_ms = static_cast<std::int64_t>(random.below(random.chance(1, 2) ? 2 * kHour : 3 * kDay));
  for (std::uint32_t* count : {&policy.hourly, &policy.daily, &policy.weekly, &policy.monthly}) {
    *count = random.chance(1, 8) ? PrunePolicy::kAll : static_cast<std::uint32_t>(random.below(6));
  }
  policy.grace_ms = static_cast<std::int64_t>(random.below(2 * kHour));
  return policy;
}

// The twin.
struct Twin {
  struct Point {
    std::uint64_t at;
    std::int64_t time_ms;
    std::uint64_t objects;
  };
  std::vector<Point> points, all;  // all: of the young objects, too

  explicit Twin(const std::vector<AgedObject>& objects) {
    std::map<std::uint64_t, Point> found;
    for (bool changed = true; changed;) {
      changed = false;
      for (const AgedObject& object : objects) {
        const segment::Footer& footer = object.read.footer;
        for (const auto& point : footer.points) {
          std::uint64_t best = 0;
          if (footer.kind == ObjectKind::snapshot) best = 1;
          for (const auto& [at, from] : found) {
            const bool enters = at + 1 >= footer.first.value && at < point.sequence.value;
            if (enters && footer.kind != ObjectKind::snapshot && (best == 0 || from.objects + 1 < best)) {
              best = from.objects + 1;
            }
          }
          const auto known = found.find(point.sequence.value);
          if (best == 0 || (known != found.end() && known->second.objects <= best)) continue;
          found[point.sequence.value] = {point.sequence.value, point.time_ms, best};
          changed = true;
        }
      }
    }
    for (const auto& [at, point] : found) points.push_back(point);
  }

  std::int64_t step(std::size_t i) const { return points[i + 1].time_ms - points[i].time_ms; }
  bool in_window(std::size_t i, std::int64_t window_ms) const {
    if (window_ms == 0) return false;
    std::int64_t age = 0;
    int long_steps = 0;
    for (std::size_t at = points.size() - 1; at > i; --at) {
      const std::int64_t one = step(at - 1);
      if (one <= 0) continue;
      if (one <= kHour) age += one;
      else if (++long_steps > 2) age += kHour;
    }
    return age <= window_ms;
  }
  // Whether a state that young objects alone lead to lies between the points i and i + 1, in another bucket.
  bool is_parted(std::size_t i, Density series) const {
    for (const Point& other : all) {
      const bool between = points[i].at < other.at && other.at < points[i + 1].at;
      if (between && bucket_of(series, other.time_ms) != bucket_of(series, points[i].time_ms)) return true;
    }
    return false;
  }
  // Runs, newest first, as pairs of first and last point.
  std::vector<std::pair<std::size_t, std::size_t>> runs(Density series) const {
    std::vector<std::pair<std::size_t, std::size_t>> found;
    for (std::size_t i = points.size(); i-- > 0;) {
      const bool same = !found.empty() && !is_parted(i, series) &&
                        bucket_of(series, points[i].time_ms) == bucket_of(series, points[i + 1].time_ms);
      if (same) found.back().first = i;
      else found.emplace_back(i, i);
    }
    return found;
  }
  bool is_kept_by(std::size_t i, Density series, std::uint64_t count) const {
    if (count == 0) return false;
    const auto found = runs(series);
    std::uint64_t places = count;
    std::set<std::int64_t> buckets;
    int jumps = 0;
    for (std::size_t r = 0; r < found.size(); ++r) {
      const auto [first, last] = found[r];
      if (r > 0) {
        const std::int64_t gap = step(last);
        if ((gap < 0 || gap > 12 * kHour) && ++jumps <= 2) ++places;
      }
      const std::int64_t bucket = bucket_of(series, points[last].time_ms);
      if (buckets.empty() || bucket < *buckets.begin()) {
        if (places-- == 0) return false;
        buckets.insert(bucket);
      }
      if (i < first || i > last) continue;
      for (std::size_t other = first; other <= last; ++other) {
        if (points[other].objects < points[i].objects) return false;
        if (points[other].objects == points[i].objects && other > i) return false;
      }
      return true;
    }
    return false;
  }
};

TEST(Retention, KeepsWhatASlowTwinKeepsAndNothingThatItNeedsGoes) {
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    const History history = random_history(random);
    const PrunePolicy policy = random_policy(random);
    const Retention retention = decide_retention(history.objects, kNow, policy);

    std::int64_t youngest = 0;
    for (const AgedObject& object : history.objects) youngest = std::max(youngest, object.modified_ms);
    std::vector<AgedObject> old;
    std::optional<std::uint64_t> base;
    for (const AgedObject& object : history.objects) {
      if (object.modified_ms + policy.grace_ms > youngest) continue;
      old.push_back(object);
      if (object.read.footer.kind != ObjectKind::snapshot) continue;
      base = std::max(base.value_or(0), object.read.footer.last.value);
    }
    Twin twin(old);
    twin.all = Twin(history.objects).points;
    std::vector<std::uint64_t> expected;
    for (std::size_t i = 0; i < twin.points.size(); ++i) {
      const bool kept = i + 1 == twin.points.size() || twin.points[i].at >= *base ||
                        twin.in_window(i, policy.keep_all_ms) ||
                        twin.is_kept_by(i, Density::hourly, policy.hourly) ||
                        twin.is_kept_by(i, Density::daily, policy.daily) ||
                        twin.is_kept_by(i, Density::weekly, policy.weekly) ||
                        twin.is_kept_by(i, Density::monthly, policy.monthly);
      if (kept) expected.push_back(twin.points[i].at);
    }
    ASSERT_EQ(kept_of(retention), expected);
    std::vector<AgedObject> left;
    for (std::size_t i = 0; i < history.objects.size(); ++i) {
      if (retention.fates[i] != Fate::goes) left.push_back(history.objects[i]);
    }
    const std::size_t before = Twin(history.objects).points.size(), after = Twin(left).points.size();
    EXPECT_EQ(retention.kept.size() + retention.recent, after);
    EXPECT_EQ(retention.dropped.size(), before - after);
    for (const auto& point : twin.all) {  // no rule was asked about those that young objects alone lead to
      const auto has = [&](const Twin& some) {
        return std::ranges::any_of(some.points, [&](const auto& there) { return there.at == point.at; });
      };
      EXPECT_TRUE(has(twin) || has(Twin(left))) << point.at;
    }

    std::vector<restore::StoredObject> snapshots, segments;
    for (std::size_t i = 0; i < history.objects.size(); ++i) {
      const AgedObject& object = history.objects[i];
      if (retention.fates[i] == Fate::goes) {
        EXPECT_LE(object.modified_ms + policy.grace_ms, youngest) << "young";
        EXPECT_LT(object.read.footer.last.value, *base) << "behind the newest snapshot";
        continue;
      }
      (object.read.footer.kind == ObjectKind::snapshot ? snapshots : segments).push_back(object.read.object);
    }
    for (const KeptPoint& point : retention.kept) {
      ASSERT_TRUE(restore::cheapest_cover(snapshots, segments, point.sequence)) << point.sequence.value;
    }
  }
}

// The policy in its plain sense, by the true times: which restore points it keeps.
std::set<std::uint64_t> by_true_times(const History& history, const std::vector<std::int64_t>& times,
                                      const PrunePolicy& policy) {
  const Twin twin(history.objects);
  std::set<std::uint64_t> kept;
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (times.back() - times[i] <= policy.keep_all_ms) kept.insert(i);
  }
  for (const auto& [series, count] : {std::pair(Density::hourly, policy.hourly), {Density::daily, policy.daily}}) {
    std::map<std::int64_t, std::uint64_t> best;  // bucket to point
    for (std::size_t i = 0; i < times.size(); ++i) {
      auto [found, fresh] = best.try_emplace(bucket_of(series, times[i]), i);
      if (!fresh && twin.points[i].objects <= twin.points[found->second].objects) found->second = i;
    }
    std::uint64_t places = count;
    for (auto it = best.rbegin(); it != best.rend() && places > 0; ++it, --places) kept.insert(it->second);
  }
  return kept;
}

TEST(Retention, AClockThatJumpsByADayMakesItKeepMoreNeverLess) {
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    std::vector<std::int64_t> times;
    std::int64_t at_ms = 100 * kDay;
    for (std::uint64_t n = 20 + random.below(100); n > 0; --n) {
      at_ms += static_cast<std::int64_t>(random.below(random.chance(1, 6) ? 7 * kHour : 20 * kMinute));
      times.push_back(at_ms);
    }
    History history;
    history.times = times;
    // The clock is a day off for a while, or from somewhere on.
    const std::size_t from = random.below(times.size()), to = from + 1 + random.below(times.size() - from);
    const std::int64_t jump = random.chance(1, 2) ? kDay : -kDay;
    for (std::size_t i = from; i < to; ++i) history.times[i] += jump;
    history.add(ObjectKind::snapshot, 0, 0);
    history.add_level0();
    for (std::uint64_t i = 1; i + 1 < times.size(); ++i) {
      if (random.chance(1, 20)) history.add(ObjectKind::snapshot, i, i);
    }
    PrunePolicy policy{static_cast<std::int64_t>(random.below(2 * kDay)), static_cast<std::uint32_t>(random.below(20)),
                       static_cast<std::uint32_t>(random.below(4)), 0, 0, 0};
    // And the machine that prunes has any clock at all.
    const std::int64_t now_ms = times.back() + (random.chance(1, 2) ? 0 : random.chance(1, 2) ? kDay : 400 * kDay);
    const auto kept = kept_of(decide_retention(history.objects, now_ms, policy));
    for (const std::uint64_t point : by_true_times(history, times, policy)) {
      EXPECT_TRUE(std::binary_search(kept.begin(), kept.end(), point)) << "state " << point << " of " << times.size();
    }
  }
}

TEST(Retention, LevelsZeroGoesWhereBundlesHaveItsRestorePoints) {
  History history;
  for (int i = 0; i <= 9; ++i) history.times.push_back(kDay + i * 1000);
  history.add(ObjectKind::snapshot, 0, 0);
  history.add_level0();
  history.add(ObjectKind::bundle, 1, 4);
  history.add(ObjectKind::bundle, 5, 8);
  history.add(ObjectKind::snapshot, 9, 9);
  const Retention retention = decide_retention(history.objects, kNow, nothing_but(kHour));
  EXPECT_EQ(retention.kept.size(), 10u);
  std::set<std::string> level0;
  for (std::uint64_t at = 1; at <= 8; ++at) level0.insert(segment::segment_key("", Sequence(at)));
  EXPECT_EQ(keys_with(history, retention, Fate::goes), level0);
}

TEST(Retention, OneSnapshotAndLevelZeroAloneStay) {
  History history;
  for (int i = 0; i <= 9; ++i) history.times.push_back(kDay + i * kDay);
  history.add(ObjectKind::snapshot, 0, 0);
  history.add_level0();
  const Retention retention = decide_retention(history.objects, kNow, nothing_but(0));
  EXPECT_THAT(keys_with(history, retention, Fate::goes), IsEmpty());
  EXPECT_EQ(retention.kept.size(), 10u);
}

TEST(Retention, OfADayItKeepsTheSnapshot) {
  History history;
  for (int i = 0; i <= 30; ++i) history.times.push_back(100 * kDay + i * 2 * kHour);
  for (const std::uint64_t at : {0, 6, 18, 30}) history.add(ObjectKind::snapshot, at, at);
  history.add_level0();
  PrunePolicy policy = nothing_but(0);
  policy.daily = 10;
  const Retention retention = decide_retention(history.objects, kNow, policy);
  EXPECT_THAT(kept_of(retention), ElementsAre(6, 18, 30)) << "days of 0 to 11, 12 to 23, 24 to 30";
}

// A snapshot says when it was begun. A state of the hour before does not move into its hour by that.
TEST(Retention, AStateIsAsOldAsTheEarliestThatIsSaidOfIt) {
  History history;
  for (int i = 0; i <= 3; ++i) history.times.push_back(100 * kDay + i * kHour);
  history.add(ObjectKind::snapshot, 0, 0);
  history.add_level0();
  history.add(ObjectKind::snapshot, 1, 1);
  history.objects.back().read.footer.points.back().time_ms += kHour + 10 * kMinute;
  history.add(ObjectKind::snapshot, 3, 3);
  PrunePolicy policy = nothing_but(0);
  policy.hourly = 3;
  EXPECT_EQ(kept_of(decide_retention(history.objects, kNow, policy)), (std::vector<std::uint64_t>{1, 2, 3}));
}

TEST(Retention, NothingYoungGoesAndNothingIsReliedOnThatIsYoung) {
  History history;
  for (int i = 0; i <= 4; ++i) history.times.push_back(kDay + i * kMinute);
  history.add(ObjectKind::snapshot, 0, 0, kNow - 2 * kHour);
  for (std::uint64_t at = 1; at <= 4; ++at) history.add(ObjectKind::segment, at, at, kNow - 2 * kHour);
  history.add(ObjectKind::snapshot, 4, 4, kNow - kMinute);
  PrunePolicy policy = nothing_but(0);
  policy.grace_ms = kHour;
  EXPECT_THAT(keys_with(history, decide_retention(history.objects, kNow, policy), Fate::goes), IsEmpty())
      << "the only snapshot that is old enough is the first";
  EXPECT_THAT(keys_with(history, decide_retention(history.objects, kNow + 300 * kDay, policy), Fate::goes), IsEmpty())
      << "a clock that is ahead makes nothing old";
  policy.grace_ms = 0;
  EXPECT_EQ(keys_with(history, decide_retention(history.objects, kNow, policy), Fate::goes).size(), 4u)
      << "the snapshot of 0, and segments 1 to 3";
}

TEST(Retention, Buckets) {
  const auto of = [](Density series, const char* text) { return bucket_of(series, *parse_time(text)); };
  EXPECT_EQ(of(Density::hourly, "2026-11-26T03:59:59Z") + 1, of(Density::hourly, "2026-11-26T04:00:00Z"));
  EXPECT_EQ(of(Density::daily, "2026-11-25T23:59:59Z") + 1, of(Density::daily, "2026-11-26"));
  EXPECT_EQ(of(Density::weekly, "2026-11-23"), of(Density::weekly, "2026-11-29T23:59:59Z"));
  EXPECT_EQ(of(Density::weekly, "2026-11-22") + 1, of(Density::weekly, "2026-11-23")) << "a Monday";
  EXPECT_EQ(of(Density::monthly, "2026-12-31T23:59:59Z") + 1, of(Density::monthly, "2027-01-01"));
  EXPECT_EQ(of(Density::monthly, "2028-02-29T23:59:59Z") + 1, of(Density::monthly, "2028-03-01"));
  EXPECT_EQ(of(Density::monthly, "2026-01-01"), of(Density::monthly, "2026-01-31T23:59:59Z"));
  EXPECT_EQ(of(Density::monthly, "1969-12-31"), of(Density::monthly, "1970-01-01") - 1);
  EXPECT_LT(bucket_of(Density::monthly, std::numeric_limits<std::int64_t>::min()),
            bucket_of(Density::monthly, std::numeric_limits<std::int64_t>::max()));
}

std::set<std::uint64_t> reachable(const History& history, const std::vector<Fate>& fates) {
  std::vector<restore::ReadObject> staying;
  for (std::size_t i = 0; i < fates.size(); ++i) {
    if (fates[i] != Fate::goes) staying.push_back(history.objects[i].read);
  }
  std::set<std::uint64_t> states;
  for (const RestorePointInfo& point : restore::reachable_points(staying)) states.insert(point.sequence);
  return states;
}

TEST(Replacing, RemovesWhatOthersStandForAndNoState) {
  std::uint64_t gone = 0, behind_gaps = 0, given_up = 0;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    History history = random_history(random);
    const bool squashes = random.chance(1, 2);
    const std::int64_t window_ms = squashes ? static_cast<std::int64_t>(random.below(3 * kDay)) : 1ll << 62;
    PrunePolicy policy = nothing_but(window_ms);
    policy.grace_ms = random.chance(1, 3) ? 0 : static_cast<std::int64_t>(random.below(2 * kHour));
    const Retention result = decide_retention(history.objects, kNow, policy, Purpose::replace);
    const std::vector<Fate> none(history.objects.size(), Fate::needed);
    const std::set<std::uint64_t> before = reachable(history, none), after = reachable(history, result.fates);
    // A state that is given up is inside a squashed segment, outside of the window, and no snapshot.
    std::vector<std::int64_t> times;
    for (const std::uint64_t at : before) times.push_back(history.times[at]);
    const std::size_t begin = begin_of_window(times, window_ms);
    std::size_t i = 0;
    for (const std::uint64_t at : before) {
      const bool in_window = i++ >= begin;
      if (after.contains(at)) continue;
      ++given_up;
      ASSERT_TRUE(squashes && !in_window) << at;
      ASSERT_TRUE(std::any_of(history.objects.begin(), history.objects.end(), [&](const AgedObject& object) {
        const segment::Footer& footer = object.read.footer;
        return footer.kind == ObjectKind::squashed && footer.first.value <= at && at < footer.last.value;
      })) << at;
    }
    ASSERT_EQ(result.dropped.size(), before.size() - after.size());
    std::uint64_t newest = 0;
    for (const AgedObject& object : history.objects) newest = std::max(newest, object.read.footer.last.value);
    bool has_head = false;
    for (std::size_t k = 0; k < history.objects.size(); ++k) {
      const AgedObject& object = history.objects[k];
      const segment::Footer& footer = object.read.footer;
      has_head = has_head || (footer.last.value == newest && result.fates[k] != Fate::goes);
      if (result.fates[k] != Fate::goes) continue;
      ++gone;
      ASSERT_NE(footer.kind, ObjectKind::snapshot);
      ASSERT_LE(object.modified_ms + policy.grace_ms, kNow);
      for (const segment::RestorePoint& point : footer.points) ASSERT_TRUE(before.contains(point.sequence.value));
    }
    for (const AgedObject& object : history.objects) behind_gaps += !before.contains(object.read.footer.last.value);
    ASSERT_TRUE(has_head);
    // Once more: what is left is needed.
    History left;
    left.times = history.times;
    for (std::size_t k = 0; k < history.objects.size(); ++k) {
      if (result.fates[k] != Fate::goes) left.objects.push_back(history.objects[k]);
    }
    const Retention again = decide_retention(left.objects, kNow, policy, Purpose::replace);
    ASSERT_EQ(reachable(left, again.fates), after);
  }
  EXPECT_GT(gone, 4000u);
  EXPECT_GT(behind_gaps, 1000u);
  EXPECT_GT(given_up, 100u);
}

TEST(Replacing, ReachesPastTheNewestSnapshotAndLeavesTheHead) {
  History history;
  history.times = {0, 1, 2, 3, 4};
  history.add(ObjectKind::snapshot, 0, 0);
  history.add_level0();
  history.add(ObjectKind::bundle, 1, 4);
  PrunePolicy policy = nothing_but(1ll << 62);
  const Retention result = decide_retention(history.objects, kNow, policy, Purpose::replace);
  EXPECT_EQ(result.fates, (std::vector<Fate>{Fate::needed, Fate::goes, Fate::goes, Fate::goes, Fate::newest,
                                             Fate::needed}));
  policy.grace_ms = kNow + 1;
  const Retention young = decide_retention(history.objects, kNow, policy, Purpose::replace);
  EXPECT_THAT(keys_with(history, young, Fate::goes), IsEmpty());
}

// Whoever comes back late finds the key taken that it would put next.
TEST(Retention, TheFirstSegmentOfAWriterThatTookOverStays) {
  for (const Purpose purpose : {Purpose::thin, Purpose::replace}) {
    History history;
    for (int i = 0; i <= 20; ++i) history.times.push_back(100 * kDay + i * kMinute);
    history.add(ObjectKind::snapshot, 0, 0);
    history.add_level0();
    history.add(ObjectKind::bundle, 1, 20);
    history.add(ObjectKind::snapshot, 19, 19);
    set_writers(history, {{0, 1}, {5, 2}, {12, 3}});
    const Retention retention = decide_retention(history.objects, kNow, nothing_but(0), purpose);
    std::set<std::string> stay;
    for (std::size_t i = 0; i < history.objects.size(); ++i) {
      const AgedObject& object = history.objects[i];
      const bool is_old_level0 = object.read.footer.kind == ObjectKind::segment && object.read.footer.last.value < 19;
      if (is_old_level0 && retention.fates[i] != Fate::goes) stay.insert(object.read.object.name.key);
    }
    EXPECT_EQ(stay, (std::set{segment::segment_key("", Sequence(5)), segment::segment_key("", Sequence(12))}));
  }
}

}  // namespace
}  // namespace cairn::compact
