// Compacting random replicas with each strategy: the history before and after is the same, state by state and byte by
// byte, whatever happens in between.

#include "compact/test_compactor.h"
#include "store/counting.h"
#include "store/faulty.h"
#include "support/interrupted_store.h"

namespace cairn::compact {
namespace {

using namespace testing;
using cairn::testing::InterruptedStore;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

CompactOptions options_of(Strategy strategy) {
  CompactOptions options;
  options.strategy = strategy;
  options.fan = 4;
  return options;
}

class Compacting : public CompactorTest {};

TEST_F(Compacting, EachStrategyKeepsEveryStateOfRandomHistories) {
  std::uint64_t merged = 0, removed = 0, rounds_without_work = 0;
  for (std::uint64_t seed = 0; seed < 36; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    begin();
    live(random, 30);
    CompactOptions options = options_of(static_cast<Strategy>(seed % 3));
    if (random.chance(1, 3)) options.max_object_bytes = 2000 + random.below(6000);
    for (int round = 0; round < 3; ++round) {
      const std::uint64_t points = list_restore_points(*store_, "")->size();
      const auto report = compact(*store_, options, std::to_string(seed));
      ASSERT_TRUE(report) << report.error().message();
      EXPECT_THAT(report->problems, IsEmpty());
      EXPECT_FALSE(report->not_removed);
      EXPECT_EQ(report->points_before, points);
      EXPECT_EQ(report->points_after, points);
      EXPECT_EQ(report->objects_after, count("snapshots/") + count("wal/") + count("levels/"));
      for (const CompactedObject& object : report->merged) {
        EXPECT_FALSE(object.is_squashed);
        EXPECT_EQ(object.restore_points, object.last_sequence - object.first_sequence + 1);
        EXPECT_LE(object.source_bytes, options.max_object_bytes);
      }
      EXPECT_LE(report->restore_after->requests, report->restore_before->requests);
      EXPECT_EQ(report->restore_after->sequence, replica_->newest().value);
      merged += report->merged.size();
      removed += report->removed_objects;
      expect_all_states();
      expect_verified();
      const auto again = compact(*store_, options, std::to_string(seed));
      ASSERT_TRUE(again);
      EXPECT_THAT(again->merged, IsEmpty()) << "nothing is new";
      rounds_without_work += again->removed_objects == 0;
      if (HasFailure()) return;
      clock_.wall_ms += 2 * kHour;
      Image image = replica_->state(replica_->newest());
      for (std::uint64_t i = random.below(6); i > 0; --i) publish(random, image);
    }
  }
  EXPECT_GT(merged, 100u);
  EXPECT_GT(removed, 500u);
  EXPECT_EQ(rounds_without_work, 36u * 3);
}

TEST_F(Compacting, SourcesGoWhenTheGraceIsOverAndNotBefore) {
  publish_plainly(64);
  const auto first = compact(*store_, options_of(Strategy::levelled));
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->merged.size(), 1u) << "64 are a level 3";
  EXPECT_EQ(first->removed_objects, 0u);
  EXPECT_EQ(first->waiting_objects, 63u) << "all but the one at the head";
  EXPECT_EQ(count("wal/"), 64u);
  clock_.wall_ms += kHour - 1;
  EXPECT_EQ(compact(*store_, options_of(Strategy::levelled))->removed_objects, 0u);
  clock_.wall_ms += 1;
  const auto second = compact(*store_, options_of(Strategy::levelled));
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(second->removed_objects, 63u);
  EXPECT_EQ(second->waiting_objects, 0u);
  EXPECT_EQ(second->objects_after, 3u);
  EXPECT_LT(second->restore_after->requests, 5u);
  EXPECT_GT(first->restore_before->requests, 60u);
  EXPECT_EQ(count("wal/"), 1u);
  expect_all_states();
  expect_verified();
  publish_plainly(3);
  expect_all_states();
}

// By which the writer before it is refused, should it come back: also where the footers are known from the catalogue.
TEST_F(Compacting, TheFirstSegmentOfAWriterThatTookOverStays) {
  publish_plainly(20);
  replica_->set_writer(2);
  publish_plainly(20);
  clock_.wall_ms += 2 * kHour;
  for (int round = 0; round < 3; ++round) {
    const auto report = compact(*store_, options_of(Strategy::identity));
    ASSERT_TRUE(report) << report.error().message();
    clock_.wall_ms += 2 * kHour;
  }
  EXPECT_EQ(count("wal/"), 2u) << "this one, and the one at the head";
  EXPECT_TRUE(store_->head(replica_->segment_key(Sequence(21))));
  EXPECT_TRUE(store_->head(replica_->segment_key(Sequence(40))));
}

TEST_F(Compacting, ADryRunTouchesNothing) {
  publish_plainly(40);
  const auto before = all_objects(*store_);
  CompactOptions options = options_of(Strategy::levelled);
  options.dry_run = true;
  const auto report = compact(*store_, options);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->merged.size(), 4u) << "two of 16, two of 4";
  EXPECT_EQ(report->objects_after, 41u - 40 + 4);
  EXPECT_EQ(all_objects(*store_), before);
}

TEST_F(Compacting, ADamagedSourceIsNamedAndTheRestIsCompacted) {
  for (const bool in_data : {true, false}) {
    SCOPED_TRACE(in_data);
    begin();
    publish_plainly(20);
    const std::string key = replica_->segment_key(Sequence(7));
    flip(key, in_data ? 60 : cairn::testing::get_object(*store_, key).size() - 200);
    const Bytes damaged = cairn::testing::get_object(*store_, key);
    clock_.wall_ms += kDay;
    for (int run = 0; run < 2; ++run) {
      const auto report = compact(*store_, options_of(Strategy::identity), in_data ? "a" : "b");
      ASSERT_TRUE(report) << report.error().message();
      ASSERT_THAT(report->problems, ElementsAre(HasSubstr(key)));
      EXPECT_THAT(report->problems[0], HasSubstr("is damaged"));
      clock_.wall_ms += 2 * kHour;
    }
    EXPECT_TRUE(cairn::testing::get_object(*store_, key) == damaged);
    std::vector<std::string> merged;
    for (const auto& [name, bytes] : all_objects(*store_)) {
      if (name.starts_with("levels/")) merged.push_back(name);
    }
    EXPECT_THAT(merged, ElementsAre(segment::merged_key("", 1, Sequence(1), Sequence(6)),
                                    segment::merged_key("", 1, Sequence(8), Sequence(20))));
    // What can be restored still can; what lies behind it is there for whoever brings segment 7 back.
    for (std::uint64_t at = 0; at <= 6; ++at) expect_restores(*store_, *replica_, Sequence(at));
    // The footer of 7 still tells how the states behind it are reached; without it nothing leads there, and all stays.
    EXPECT_EQ(count("wal/"), in_data ? 2u : 14u);
  }
}

TEST_F(Compacting, SegmentsThatContradictEachOtherAreLeftAlone) {
  publish_plainly(9);
  Image image = replica_->state(replica_->newest());
  image.change(1, 4711);
  image.change(2, 4711);
  replica_->add_only(image, {1});  // 10 claims both pages, and has one
  publish_plainly(9);
  const auto report = compact(*store_, options_of(Strategy::identity));
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_THAT(report->problems, Not(IsEmpty()));
  EXPECT_THAT(report->problems.front(), HasSubstr(replica_->segment_key(Sequence(10))));
  for (std::uint64_t at = 0; at <= 9; ++at) expect_restores(*store_, *replica_, Sequence(at));
  for (const CompactedObject& object : report->merged) {
    EXPECT_TRUE(object.last_sequence < 10 || object.first_sequence > 10) << object.key;
  }
  EXPECT_THAT(report->merged, Not(IsEmpty()));
}

TEST_F(Compacting, WhatIsDamagedUnderTheKeyOfTheOutputIsLeftThere) {
  publish_plainly(4);
  const std::string key = segment::merged_key("", 1, Sequence(1), Sequence(4));
  replica_->merge(1, Sequence(1), Sequence(4), segment::ObjectKind::bundle);
  flip(key, cairn::testing::get_object(*store_, key).size() - 100);
  const Bytes damaged = cairn::testing::get_object(*store_, key);
  const auto report = compact(*store_, options_of(Strategy::identity));
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_THAT(report->problems, Not(IsEmpty()));
  EXPECT_TRUE(cairn::testing::get_object(*store_, key) == damaged);
  ASSERT_EQ(report->merged.size(), 1u);
  EXPECT_EQ(report->merged[0].key, segment::merged_key("", 2, Sequence(1), Sequence(4)));
  ASSERT_TRUE(store_->remove(key));
  expect_all_states();
}

TEST_F(Compacting, WhatKeepsFewerStatesUnderTheKeyOfTheOutputDoesNotStandForTheSources) {
  publish_plainly(4);
  replica_->merge(1, Sequence(1), Sequence(4), segment::ObjectKind::squashed);
  publish_plainly(1);
  for (int run = 0; run < 2; ++run) {
    const auto report = compact(*store_, options_of(Strategy::identity));
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_EQ(report->points_after, 6u);
    clock_.wall_ms += 2 * kHour;
  }
  const std::string key = segment::merged_key("", 1, Sequence(1), Sequence(4));
  EXPECT_FALSE(store_->head(key)) << "the bundle has all of it";
  expect_all_states();
  begin();
  publish_plainly(4);
  replica_->merge(1, Sequence(1), Sequence(4), segment::ObjectKind::squashed);
  for (int run = 0; run < 2; ++run) {
    const auto report = compact(*store_, options_of(Strategy::identity), "other");
    ASSERT_TRUE(report) << report.error().message();
    if (run == 0) {
      ASSERT_EQ(report->merged.size(), 1u);
      EXPECT_EQ(report->merged[0].key, segment::merged_key("", 2, Sequence(1), Sequence(4)));
    }
    clock_.wall_ms += 2 * kHour;
  }
  expect_all_states();
}

TEST_F(Compacting, StatesGoOnlyWhereTheCallerSaysSo) {
  publish_plainly(60);
  CompactOptions options = options_of(Strategy::levelled);
  options.squash_older_ms = 20'000;
  for (int run = 0; run < 2; ++run) {
    const auto report = compact(*store_, options);
    ASSERT_TRUE(report) << report.error().message();
    if (run == 0) {
      EXPECT_EQ(report->points_after, 61u) << "the sources are still there";
      EXPECT_THAT(report->merged, Not(IsEmpty()));
      for (const CompactedObject& object : report->merged) {
        EXPECT_EQ(object.is_squashed, object.last_sequence < 40) << object.key;
        EXPECT_EQ(object.restore_points, object.is_squashed ? 1 : object.last_sequence - object.first_sequence + 1);
      }
    } else {
      EXPECT_LT(report->points_after, 40u);
    }
    clock_.wall_ms += 2 * kHour;
  }
  for (std::uint64_t at = 40; at <= 60; ++at) expect_restores(*store_, *replica_, Sequence(at));
  expect_restores(*store_, *replica_, Sequence(32));  // two of 16
  expect_refused(*store_, restore::testing::at_sequence(31), ErrorKind::not_found);
  expect_verified();
  publish_plainly(30);
  ASSERT_TRUE(compact(*store_, options_of(Strategy::levelled)));
  for (std::uint64_t at = 40; at <= 90; ++at) expect_restores(*store_, *replica_, Sequence(at));
}

TEST_F(Compacting, EverythingOlderThanNothingIsSquashedAndTheNewestStateStays) {
  SeededRandom random(5);
  live(random, 40);
  CompactOptions options = options_of(Strategy::identity);
  options.squash_older_ms = 0;
  options.grace_ms = 0;
  std::uint64_t before = 0;
  for (const auto& [key, bytes] : all_objects(*store_)) before += bytes.size();
  const auto report = compact(*store_, options);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_LT(report->points_after, report->points_before);
  EXPECT_LT(report->bytes_after, before);
  expect_restores(*store_, *replica_, replica_->newest());
  const auto points = list_restore_points(*store_, "");
  for (const RestorePointInfo& point : *points) {
    expect_restores(*store_, *replica_, Sequence(point.sequence));
  }
  expect_verified();
}

TEST_F(Compacting, ABundleAloneIsSquashedAndGoes) {
  publish_plainly(20);
  CompactOptions options = options_of(Strategy::identity);
  options.grace_ms = 0;
  ASSERT_TRUE(compact(*store_, options));
  publish_plainly(2);
  options.squash_older_ms = 0;
  const auto report = compact(*store_, options);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->points_after, 3u) << "of 0, 21 and 22";
  EXPECT_EQ(count("levels/"), 1u);
  EXPECT_THAT(compact(*store_, options)->merged, IsEmpty());
  expect_restores(*store_, *replica_, Sequence(22));
}

TEST_F(Compacting, WithoutTheRightToDeleteItMergesAndSaysSo) {
  publish_plainly(20);
  ASSERT_TRUE(compact(*store_, options_of(Strategy::levelled)));
  clock_.wall_ms += kDay;
  publish_plainly(20);
  const std::uint64_t level0 = count("wal/");
  FaultPlan plan;
  SeededRandom random(1);
  for (const Operation operation : {Operation::remove, Operation::remove_many}) plan.of(operation).denied = 1000;
  const auto keys = make_faulty_store(*store_, plan, random);
  const auto report = compact(*keys, options_of(Strategy::levelled));
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_THAT(report->merged, Not(IsEmpty()));
  ASSERT_TRUE(report->not_removed);
  EXPECT_EQ(report->not_removed->kind(), ErrorKind::denied);
  EXPECT_EQ(count("wal/"), level0);
  expect_all_states();
}

TEST_F(Compacting, AFaultAtAnyRequestHurtsNothing) {
  std::uint64_t failed = 0;
  for (std::uint64_t at = 0;; at += 1 + at / 20) {
    SCOPED_TRACE(at);
    begin();
    publish_plainly(40);
    clock_.wall_ms += kDay;
    ASSERT_TRUE(compact(*store_, options_of(Strategy::logarithmic), "first" + std::to_string(at)));
    clock_.wall_ms += kDay;
    publish_plainly(20);
    FaultPlan plan;
    SeededRandom random(at);
    plan.page_limit = 7;
    const auto faulty = make_faulty_store(*store_, plan, random);
    InterruptedStore failing(*faulty, at, [&] { plan.set_all(at % 2 == 0 ? FaultRates{1000, 0, 0, 0}
                                                                        : FaultRates{300, 300, 300, 0}); });
    const std::string name = "then" + std::to_string(at);
    const auto report = compact(failing, options_of(Strategy::levelled), name);
    plan.set_all({});
    failed += !report;
    for (std::uint64_t each = 0; each <= 60; each += 7) expect_restores(*store_, *replica_, Sequence(each));
    expect_restores(*store_, *replica_, replica_->newest());
    const auto again = compact(*store_, options_of(Strategy::levelled), name);
    ASSERT_TRUE(again) << again.error().message();
    expect_verified();
    EXPECT_EQ(list_restore_points(*store_, "")->size(), 61u);
    if (HasFailure()) return;
    if (failing.has_happened()) continue;
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_GT(at, 60u);
    break;
  }
  EXPECT_GT(failed, 10u);
  EXPECT_THAT(files_->list(scratch_ / "merging").value(), IsEmpty()) << "nothing is left of a merge";
}

// Two at once, with catalogues of their own, the second at every request of the first.
TEST_F(Compacting, TwoCompactorsNeverHarmEachOther) {
  std::uint64_t shared = 0, refused = 0;
  for (std::uint64_t at = 0;; at += 1 + at / 30) {
    SCOPED_TRACE(at);
    SeededRandom random(at);
    begin();
    publish_plainly(30);
    ASSERT_TRUE(compact(*store_, options_of(static_cast<Strategy>(random.below(3))), "before" + std::to_string(at)));
    clock_.wall_ms += 2 * kHour;  // there is something to remove
    publish_plainly(20);
    const CompactOptions ours = options_of(static_cast<Strategy>(random.below(3)));
    const CompactOptions theirs = random.chance(1, 2) ? ours : options_of(static_cast<Strategy>(random.below(3)));
    const std::string name = std::to_string(at);
    const auto theirs_report = [&](Store& store) {
      const auto report = compact(store, theirs, "theirs" + name);
      ASSERT_TRUE(report) << report.error().message();
    };
    InterruptedStore interrupted(*store_, at, [&] { theirs_report(*store_); });
    const auto report = compact(interrupted, ours, "ours" + name);
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_THAT(report->problems, IsEmpty());
    for (const CompactedObject& object : report->merged) shared += object.was_there;
    refused += report->not_removed.has_value();
    if (report->not_removed) {
      EXPECT_EQ(name_of(report->not_removed->kind()), "busy");
    }
    expect_all_states();
    expect_verified();
    if (HasFailure() || !interrupted.has_happened()) break;
  }
  EXPECT_GT(shared, 5u) << "both made the same";
  EXPECT_GT(refused, 0u) << "both would remove";
}

TEST_F(Compacting, APublisherAndAPruneMeanwhileAndTheCompactorHurtNeither) {
  for (std::uint64_t at = 0;; at += 1 + at / 30) {
    SCOPED_TRACE(at);
    SeededRandom random(at);
    begin();
    publish_plainly(20);
    replica_->snapshot();
    publish_plainly(20);
    ASSERT_TRUE(compact(*store_, options_of(Strategy::logarithmic), "before" + std::to_string(at)));
    clock_.wall_ms += 2 * kHour;
    publish_plainly(10);
    const bool prunes = random.chance(1, 2);
    PruneOptions pruning;
    pruning.policy = {10'000, 0, 0, 0, 0, kHour};  // of the first twenty states only the snapshot stays
    bool pruned = false;
    InterruptedStore interrupted(*store_, at, [&] {
      publish_plainly(2);
      if (random.chance(1, 2)) replica_->snapshot();
      if (!prunes) return;
      const auto report = prune_replica(*store_, "", pruning, clock_, inline_);
      ASSERT_TRUE(report) << report.error().message();
      pruned = true;
    });
    const auto report = compact(interrupted, options_of(Strategy::levelled), std::to_string(at));
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_THAT(report->problems, IsEmpty());
    const Sequence from(pruned ? 20 : 0);
    for (Sequence each = from; each <= replica_->newest(); each = each.next()) {
      expect_restores(*store_, *replica_, each);
    }
    expect_verified();
    if (HasFailure() || !interrupted.has_happened()) return;
  }
}

TEST_F(Compacting, AStoreThatListsLateCostsWorkAndNothingElse) {
  for (const std::uint64_t hidden : {3u, 40u, 200u, 2000u}) {
    SCOPED_TRACE(hidden);
    begin();
    FaultPlan plan;
    plan.hidden_calls = hidden;
    SeededRandom random(hidden);
    const auto late = make_faulty_store(*store_, plan, random);
    replica_ = std::make_unique<ReplicaBuilder>(*late, "");
    publish_plainly(30);
    replica_->snapshot();
    auto one = compactor(*late, "late" + std::to_string(hidden));
    for (int i = 0; i < 6; ++i) {
      publish_plainly(7);
      clock_.wall_ms += 2 * kHour;
      if (const auto added = one->monitor("r"); !added) continue;
      const auto report = one->compact("r", options_of(Strategy::levelled));
      if (!report) {
        EXPECT_EQ(name_of(report.error().kind()), "not_found") << report.error().message();
      }
      expect_all_states();
      ASSERT_FALSE(HasFailure());
    }
    plan.hidden_calls = 0;
    ASSERT_TRUE(one->monitor("r"));
    clock_.wall_ms += 2 * kHour;
    ASSERT_TRUE(one->compact("r", options_of(Strategy::levelled)));
    expect_all_states();
    expect_verified();
  }
}

}  // namespace
}  // namespace cairn::compact
