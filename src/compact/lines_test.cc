// Lines over made-up objects, against their definition; the awkward ones by name.

#include "compact/lines.h"

#include <gmock/gmock.h>

#include <set>

#include "base/clock.h"
#include "segment/keys.h"

namespace cairn::compact {
namespace {

using restore::ReadObject;
using segment::ObjectKind;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::uint64_t hash_at(std::uint64_t sequence) { return 1'000'003 * (sequence + 1); }

// A replica of objects without bytes: states are their sequences.
class Replica {
 public:
  Replica() { snapshot(0); }

  void snapshot(std::uint64_t at) {
    add(ObjectKind::snapshot, at, at, segment::snapshot_key("", 0, Sequence(at)), {at});
  }
  ReadObject& level0(std::uint64_t at) {
    return add(ObjectKind::segment, at, at, segment::segment_key("", Sequence(at)), {at});
  }
  ReadObject& bundle(std::uint64_t first, std::uint64_t last, int level = 1) {
    std::vector<std::uint64_t> points;
    for (std::uint64_t at = first; at <= last; ++at) points.push_back(at);
    return add(ObjectKind::bundle, first, last, segment::merged_key("", level, Sequence(first), Sequence(last)),
               points);
  }
  ReadObject& squashed(std::uint64_t first, std::uint64_t last, int level = 1) {
    return add(ObjectKind::squashed, first, last, segment::merged_key("", level, Sequence(first), Sequence(last)),
               {last});
  }

  // Each line as "first-last first-last ...".
  std::vector<std::string> lines(std::uint64_t keep_from = 0) const {
    std::vector<std::string> all;
    for (const Line& line : find_lines(objects, Sequence(keep_from))) {
      std::string text;
      for (const std::size_t i : line) {
        const segment::Footer& footer = objects[i].footer;
        if (!text.empty()) text += " ";
        text += std::to_string(footer.first.value) + "-" + std::to_string(footer.last.value);
      }
      all.push_back(text);
    }
    return all;
  }

  std::vector<ReadObject> objects;

 private:
  ReadObject& add(ObjectKind kind, std::uint64_t first, std::uint64_t last, const std::string& key,
                  const std::vector<std::uint64_t>& points) {
    ReadObject object;
    object.object.name = *segment::parse_key("", key);
    object.footer.kind = kind;
    object.footer.page_size = 4096;
    object.footer.first = Sequence(first);
    object.footer.last = Sequence(last);
    object.footer.hash_before = kind == ObjectKind::snapshot ? 0 : hash_at(first - 1);
    for (const std::uint64_t at : points) object.footer.points.push_back({Sequence(at), 0, 1, at, 1, hash_at(at)});
    objects.push_back(std::move(object));
    return objects.back();
  }
};

TEST(Lines, AreTheFewestObjectsWhateverOverlaps) {
  Replica replica;  // two objects are the shortest path, and a search that guesses distances takes six
  replica.bundle(1, 50);
  replica.bundle(51, 100);
  replica.bundle(1, 90);
  for (std::uint64_t at = 91; at < 100; at += 2) replica.bundle(at, at + 1);
  EXPECT_THAT(replica.lines(), ElementsAre("1-50 51-100"));
}

TEST(Lines, AnObjectOfOneSequenceIsNothingSpecial) {
  Replica replica;
  replica.bundle(1, 4);
  replica.level0(5);
  replica.bundle(6, 9);
  EXPECT_THAT(replica.lines(), ElementsAre("1-4 5-5 6-9"));
  replica.bundle(4, 5);  // beside its sources' other half
  replica.level0(4);
  EXPECT_THAT(replica.lines(), ElementsAre("1-4 5-5 6-9"));
  Replica alone;
  alone.level0(1);
  EXPECT_THAT(alone.lines(), ElementsAre("1-1"));
}

TEST(Lines, AGapEndsOneAndTheNextGoesOnBehindIt) {
  Replica replica;
  for (const std::uint64_t at : {1, 2, 3, 5, 6, 9}) replica.level0(at);
  EXPECT_THAT(replica.lines(), ElementsAre("1-1 2-2 3-3", "5-5 6-6", "9-9"));
  EXPECT_THAT(Replica().lines(), IsEmpty());
}

TEST(Lines, AnotherPageSizeAndAnotherStateAreBoundaries) {
  Replica replica;
  for (std::uint64_t at = 1; at <= 6; ++at) replica.level0(at);
  for (std::size_t i = 4; i <= 6; ++i) replica.objects[i].footer.page_size = 8192;
  EXPECT_THAT(replica.lines(), ElementsAre("1-1 2-2 3-3", "4-4 5-5 6-6"));
  replica.objects[2].footer.points[0].hash_after = 1;  // another writer's segment 2
  EXPECT_THAT(replica.lines(), ElementsAre("1-1 2-2", "3-3", "4-4 5-5 6-6"));
}

TEST(Lines, WhatIsInFrontOfTheFirstSnapshotIsLeftOut) {
  Replica replica;
  for (std::uint64_t at = 1; at <= 4; ++at) replica.level0(at);
  replica.objects.erase(replica.objects.begin());
  replica.snapshot(2);
  EXPECT_THAT(replica.lines(), ElementsAre("3-3 4-4"));
}

TEST(Lines, ASquashedSegmentStandsForItsSourcesOnlyWhereTheirPointsMayGo) {
  Replica replica;
  for (std::uint64_t at = 1; at <= 6; ++at) replica.level0(at);
  replica.squashed(1, 3);
  replica.squashed(4, 6);
  EXPECT_THAT(replica.lines(0), ElementsAre("1-1 2-2 3-3 4-4 5-5 6-6"));
  EXPECT_THAT(replica.lines(4), ElementsAre("1-3 4-4 5-5 6-6"));
  EXPECT_THAT(replica.lines(6), ElementsAre("1-3 4-6"));
  replica.bundle(1, 6);
  EXPECT_THAT(replica.lines(0), ElementsAre("1-6"));
  Replica gone;  // what it stands for is not there any more
  gone.squashed(1, 3);
  gone.level0(4);
  EXPECT_THAT(gone.lines(0), ElementsAre("1-3 4-4"));
}

TEST(Lines, OfRandomReplicasAreContiguousAndLoseNothing) {
  std::uint64_t joins = 0, objects_used = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    Replica replica;
    const std::uint64_t last = 1 + random.below(25);
    for (std::uint64_t at = 1; at <= last; ++at) {
      if (random.chance(7, 8)) replica.level0(at);
    }
    for (std::uint64_t n = random.below(8); n > 0; --n) {
      const std::uint64_t first = 1 + random.below(last), end = first + random.below(last - first + 1);
      if (random.chance(1, 2)) replica.bundle(first, end, static_cast<int>(n));
      else replica.squashed(first, end, static_cast<int>(n));
    }
    std::set<Sequence> points, held;
    for (const ReadObject& object : replica.objects) {
      if (object.footer.kind == ObjectKind::snapshot) continue;
      for (const auto& point : object.footer.points) points.insert(point.sequence);
    }
    std::optional<Sequence> end_before;
    for (const Line& line : find_lines(replica.objects, Sequence(0))) {
      ASSERT_FALSE(line.empty());
      for (std::size_t i = 0; i < line.size(); ++i) {
        const segment::Footer& footer = replica.objects[line[i]].footer;
        if (i > 0) {
          const segment::Footer& before = replica.objects[line[i - 1]].footer;
          ASSERT_EQ(footer.first, before.last.next());
          ASSERT_EQ(footer.hash_before, before.hash_after());
          ++joins;
        }
        ++objects_used;
        std::set<Sequence> own;
        for (const auto& point : footer.points) own.insert(point.sequence);
        for (auto at = points.lower_bound(footer.first); at != points.end() && *at <= footer.last; ++at) {
          ASSERT_TRUE(own.contains(*at)) << at->value;
        }
        held.merge(own);
      }
      const Sequence end = replica.objects[line.back()].footer.last;
      ASSERT_TRUE(!end_before || *end_before < end);
      end_before = end;
    }
    // A state that level 0 alone reaches is on a line.
    std::set<Sequence> chain;
    for (std::uint64_t at = 1; at <= last; ++at) {
      const bool there = std::any_of(replica.objects.begin(), replica.objects.end(), [&](const ReadObject& object) {
        return object.footer.kind == ObjectKind::segment && object.footer.last == Sequence(at);
      });
      if (!there) break;
      ASSERT_TRUE(held.contains(Sequence(at))) << at;
    }
  }
  EXPECT_GT(joins, 5000u);
  EXPECT_GT(objects_used, joins);
}

}  // namespace
}  // namespace cairn::compact
