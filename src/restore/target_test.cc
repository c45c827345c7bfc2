// Times and concurrent pruning: which state is meant, and what happens when objects go away meanwhile.
#include "restore/target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "restore/plan.h"
#include "restore/test_replica.h"
#include "restore/watched_store.h"
#include "store/counting.h"

namespace cairn::restore {
namespace {

using cairn::testing::Image;
using cairn::testing::ReplicaBuilder;
using segment::ObjectKind;
using ::testing::HasSubstr;

class Target : public testing::ReplicaTest {
 protected:
  Target() : replica_(*store_, "app.db"), image_(Image::made(512, 5, 1)) {}

  void build(const std::vector<std::int64_t>& times_s) {
    replica_.begin(image_, times_s[0] * 1000);
    for (std::size_t i = 1; i < times_s.size(); ++i) add(times_s[i]);
  }
  void add(std::int64_t time_s) {
    image_.change(1, ++seed_);
    replica_.add(image_, time_s * 1000);
  }
  // What a time means, by looking at all of them.
  static std::optional<std::uint64_t> obvious(const ReplicaBuilder& replica, std::int64_t time_ms) {
    std::optional<std::uint64_t> best;
    for (Sequence at; at <= replica.newest(); at = at.next()) {
      if (replica.time_ms(at) <= time_ms) best = at.value;
    }
    return best;
  }
  void expect_obvious(std::int64_t time_ms) { expect_obvious(*store_, replica_, time_ms); }
  void expect_obvious(Store& store, const ReplicaBuilder& replica, std::int64_t time_ms) {
    auto found = locate(store, "app.db", testing::at_time(time_ms), *executor_);
    const auto expected = obvious(replica, time_ms);
    if (!expected) {
      ASSERT_FALSE(found) << time_ms;
      EXPECT_EQ(found.error().kind(), ErrorKind::not_found) << found.error().message();
      return;
    }
    ASSERT_TRUE(found) << time_ms << ": " << found.error().message();
    EXPECT_EQ(found->target.value, *expected) << time_ms;
    EXPECT_TRUE(plan_restore(store, "app.db", testing::at_time(time_ms))) << time_ms;
  }

  ReplicaBuilder replica_;
  Image image_;
  std::uint64_t seed_ = 100;
};

TEST_F(Target, L16_ATimeMeansTheNewestPointNotAfterIt) {
  build({10, 20, 30, 40});
  for (std::int64_t ms = 9'000; ms <= 50'000; ms += 500) expect_obvious(ms);
  expect_obvious(19'999);
  expect_obvious(20'001);
}

TEST_F(Target, ATimeIsFoundThoughTheClockJumpedBack) {
  build({10, 20, 300, 310, 25, 30, 31, 500, 40, 45});
  for (std::int64_t ms = 5'000; ms <= 600'000; ms += 1'000) expect_obvious(ms);
}

TEST_F(Target, ATimeIsFoundAmongSnapshotsAndBundles) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    auto store = make_memory_store();
    ReplicaBuilder replica(*store, "app.db");
    SeededRandom random(seed);
    std::int64_t time_s = 1000;
    replica.begin(image_, time_s * 1000);
    for (int i = 1; i <= 30; ++i) {
      image_.change(1 + static_cast<std::uint32_t>(random.below(5)), random.next());
      time_s += 1 + static_cast<std::int64_t>(random.below(20));
      if (random.chance(1, 10)) time_s -= 60;
      replica.add(image_, time_s * 1000);
      if (random.chance(1, 8)) replica.snapshot();
    }
    replica.merge(1, Sequence(1), Sequence(10), ObjectKind::bundle);
    replica.merge(1, Sequence(11), Sequence(20), ObjectKind::bundle);
    replica.merge(2, Sequence(5), Sequence(25), ObjectKind::bundle);
    for (std::int64_t ms = 990'000; ms <= 1'400'000; ms += 3'000) expect_obvious(*store, replica, ms);
  }
}

// Of ten neighbours at level 1, of a hundred at level 2; level 0 is gone there, but for the newest and for a stretch in
// which nothing was merged.
class TargetAmongMany : public Target {
 protected:
  static constexpr std::uint64_t kMany = 1500, kUnmerged = 700, kMergedAgain = 730, kLast = 1450;

  void build_many(SeededRandom& random, std::int64_t most_ms, const std::function<std::int64_t(std::uint64_t)>& jump) {
    std::int64_t time_ms = 1'000'000;
    replica_.begin(image_, time_ms);
    for (std::uint64_t i = 1; i <= kMany; ++i) {
      image_.change(1, i);
      time_ms += static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(most_ms))) + jump(i);
      replica_.add(image_, time_ms);
      if (i % 500 == 0) replica_.snapshot();
    }
    for (std::uint64_t first = 1; first < kLast; first += 10) {
      if (first > kUnmerged && first < kMergedAgain) continue;
      replica_.merge(1, Sequence(first), Sequence(first + 9), ObjectKind::bundle);
      if (first % 100 == 1 && (first + 99 <= kUnmerged || first > kMergedAgain + 70) && first + 99 <= kLast) {
        replica_.merge(2, Sequence(first), Sequence(first + 99), ObjectKind::bundle);
      }
      for (std::uint64_t at = first; at < first + 10; ++at) {
        ASSERT_TRUE(store_->remove(replica_.segment_key(Sequence(at))));
      }
    }
  }
  void expect_obvious_and_few(std::int64_t time_ms) {
    CountingStore counted(*store_);
    const auto found = locate(counted, "app.db", testing::at_time(time_ms), *executor_);
    ASSERT_TRUE(found) << found.error().message();
    EXPECT_EQ(found->target.value, obvious(replica_, time_ms)) << time_ms;
    EXPECT_LE(counted.counts().total().calls, 18u) << time_ms;
    EXPECT_TRUE(cheapest_cover(found->snapshots, found->segments, found->target)) << time_ms;
  }
};

TEST_F(TargetAmongMany, ATimeTakesFewRequests) {
  SeededRandom random(1);
  build_many(random, 3000, [](std::uint64_t) { return 0; });
  const std::int64_t end_ms = replica_.time_ms(replica_.newest());
  for (int i = 0; i < 120; ++i) {
    expect_obvious_and_few(1'000'000 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(end_ms))) %
                                           (end_ms - 1'000'000 + 5000));
  }
  for (const std::uint64_t at : {kUnmerged, kUnmerged + 1, kUnmerged + 15, kMergedAgain, kLast, kLast + 1, kMany}) {
    for (const std::int64_t ms : {-1, 0, 1}) expect_obvious_and_few(replica_.time_ms(Sequence(at)) + ms);
  }
}

// What is published in bursts, with long pauses between.
TEST_F(TargetAmongMany, SoDoesATimeWhereStatesComeUnevenly) {
  SeededRandom random(2);
  build_many(random, 2, [](std::uint64_t i) { return i % 300 == 0 ? 80'000'000 : 0; });
  for (std::uint64_t at = 1; at <= kMany; at += 37) expect_obvious_and_few(replica_.time_ms(Sequence(at)));
}

TEST_F(TargetAmongMany, AClockThatWasSetBackIsSeenAndAllIsLookedAt) {
  SeededRandom random(3);
  // Back by more than lies between two snapshots, and right again later.
  build_many(random, 3000, [](std::uint64_t i) { return i == 620 ? -1'200'000 : i == 1200 ? 1'200'000 : 0; });
  for (std::uint64_t at = 20; at <= kMany; at += 61) {
    auto found = locate(*store_, "app.db", testing::at_time(replica_.time_ms(Sequence(at))), *executor_);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->target.value, obvious(replica_, replica_.time_ms(Sequence(at)))) << at;
  }
}

TEST_F(Target, NowMeansTheNewestStateWithFewRequests) {
  build({10, 20, 30, 40, 50, 60, 70, 80});
  replica_.snapshot(Sequence(4));
  CountingStore counted(*store_);
  auto found = locate(counted, "app.db", testing::at_time(1'000'000), *executor_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->target.value, 7u);
  // Lists of snapshots, segments and levels; whether there is more than is listed; the footers of the snapshot and of
  // the newest segment; whether the claim knows of more.
  EXPECT_LE(counted.counts().total().calls, 7u);
}

TEST_F(Target, TheRestoredStateIsThatOfTheTime) {
  build({10, 20, 30, 40});
  auto result = restore(*store_, testing::at_time(35'000));
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(read("out.db") == replica_.state(Sequence(2)).bytes());
}

TEST_F(Target, SegmentsBeforeTheSnapshotAreNotListed) {
  build({10});
  for (int i = 0; i < 50; ++i) add(20 + i);
  replica_.snapshot(Sequence(48));
  auto found = locate(*store_, "app.db", {}, *executor_);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->segments.size(), 2u);
}

// A store in which somebody prunes right before a chosen get.
class PrunedStore final : public ReadingStore {
 public:
  PrunedStore(Store& inner, int before_get, std::function<void()> prune)
      : ReadingStore(inner), before_get_(before_get), prune_(std::move(prune)) {}

  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    step();
    return ReadingStore::get(key, offset, length);
  }
  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override {
    step();
    return ReadingStore::get_suffix(key, length);
  }
  bool pruned() const { return before_get_ < 0; }

 private:
  void step() {
    if (before_get_-- == 0) prune_();
  }
  int before_get_;
  std::function<void()> prune_;
};

// A store that lists an object which is not there.
class LyingStore final : public ReadingStore {
 public:
  LyingStore(Store& inner, std::string key) : ReadingStore(inner), key_(std::move(key)) {}

  Result<Object> get_suffix(std::string_view key, std::uint64_t length) override {
    if (key == key_) return Error(ErrorKind::not_found, "no such object");
    return ReadingStore::get_suffix(key, length);
  }

 private:
  const std::string key_;
};

TEST_F(Target, ObjectsThatVanishMeanwhileArePlannedAround) {
  executor_ = std::make_unique<InlineExecutor>();
  int at_get = 0;
  for (bool pruned = true; pruned; ++at_get) {
    SCOPED_TRACE("before get " + std::to_string(at_get));
    auto store = make_memory_store();
    ReplicaBuilder replica(*store, "app.db");
    Image image = Image::made(512, 40, 1);
    replica.begin(image);
    for (std::uint32_t i = 1; i <= 6; ++i) {
      image.change(i, 100 + i);
      replica.add(image);
    }
    PrunedStore pruning(*store, at_get, [&] {
      replica.merge(1, Sequence(1), Sequence(6), ObjectKind::squashed);
      for (std::uint64_t i = 1; i <= 6; ++i) (void)store->remove(replica.segment_key(Sequence(i)));
    });
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    auto result = restore(pruning, {}, options);
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_TRUE(read("out.db") == image.bytes());
    pruned = pruning.pruned();
  }
  EXPECT_GT(at_get, 5) << "the pruning must have hit every step of the restore";
}

TEST_F(Target, AnObjectThatIsListedButNeverThereIsCorrupt) {
  build({10, 20, 30});
  LyingStore lying(*store_, replica_.segment_key(Sequence(1)));
  EXPECT_THAT(expect_refused(lying, {}, ErrorKind::corrupt), HasSubstr("is listed, but is not there"));
}

}  // namespace
}  // namespace cairn::restore
