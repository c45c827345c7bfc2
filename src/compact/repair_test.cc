// Damage of every kind, and what a repair makes of it: what others hold comes back byte for byte, and whatever happens
// meanwhile, no state that could be restored before is lost.

#include <algorithm>

#include "compact/test_compactor.h"
#include "restore/metadata.h"
#include "segment/reader.h"
#include "segment/reseal.h"
#include "store/around.h"

namespace cairn::compact {
namespace {

using cairn::testing::get_object;
using cairn::testing::Image;
using cairn::testing::ReplicaBuilder;
using segment::ObjectKind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

// From its `most`th change on it is gone; the last one is applied, and its answer lost, when `applied`. (An end between
// two readings is one before the next change.)
class CrashingStore final : public StoreAround<CrashingStore> {
 public:
  CrashingStore(Store& inner, std::uint64_t most, bool applied) : inner_(inner), most_(most), applied_(applied) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall& what, const Call& call) -> decltype(call()) {
    using enum Operation;
    const bool changes = what.operation == put_new || what.operation == put_if || what.operation == remove;
    if (changes ? calls_++ < most_ : calls_ <= most_) return call();
    if (calls_ == most_ + 1 && applied_) (void)call();
    return Error(ErrorKind::maybe_done, "gone");
  }
  bool crashed() const { return calls_ > most_; }

 private:
  Store& inner_;
  const std::uint64_t most_;
  const bool applied_;
  std::uint64_t calls_ = 0;
};

// Its listings show nothing from a key on.
class LateStore final : public StoreAround<LateStore> {
 public:
  LateStore(Store& inner, std::string hidden_from) : inner_(inner), hidden_from_(std::move(hidden_from)) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    return call();
  }
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    auto page = inner_.list(prefix, start_after, limit);
    if (page) std::erase_if(page->objects, [&](const ObjectInfo& object) { return object.key >= hidden_from_; });
    return page;
  }

 private:
  Store& inner_;
  const std::string hidden_from_;
};

class RepairTest : public testing::CompactorTest {
 protected:
  // Nine states, snapshots at 0 and 5, bundles of 1 to 4 and 5 to 8, a squashed segment of 1 to 8.
  void make() {
    clock_.wall_ms = 1'000 * kDay;
    begin();
    publish_plainly(5);
    replica_->snapshot();
    publish_plainly(3);
    replica_->merge(1, Sequence(1), Sequence(4), ObjectKind::bundle);
    replica_->merge(1, Sequence(5), Sequence(8), ObjectKind::bundle);
    replica_->merge(2, Sequence(1), Sequence(8), ObjectKind::squashed);
  }
  static std::string merged(int level, std::uint64_t first, std::uint64_t last) {
    return segment::merged_key("", level, Sequence(first), Sequence(last));
  }
  std::string level0(std::uint64_t at) const { return replica_->segment_key(Sequence(at)); }
  Result<RepairReport> repair(Store& store, bool dry_run = false) {
    RepairOptions options;
    options.scratch_directory = scratch_ / "repair";
    options.dry_run = dry_run;
    return repair_replica(store, "", options, *files_, inline_);
  }
  RepairReport repaired(bool dry_run = false) {
    auto report = repair(*store_, dry_run);
    EXPECT_TRUE(report) << report.error().message();
    return report ? *report : RepairReport{};
  }
  // The states that a restore brings back right now; each must be what it was.
  std::vector<std::uint64_t> restorable() {
    std::vector<std::uint64_t> states;
    for (Sequence at; at <= replica_->newest(); at = at.next()) {
      RestoreOptions options;
      options.overwrite = Overwrite::replace;
      if (!restore(*store_, restore::testing::at_sequence(at.value), options)) continue;
      EXPECT_TRUE(read("out.db") == replica_->state(at).bytes()) << at.value;
      states.push_back(at.value);
    }
    return states;
  }
};

TEST_F(RepairTest, AWholeReplicaIsLeftAlone) {
  make();
  const auto before = testing::all_objects(*store_);
  const RepairReport report = repaired();
  EXPECT_THAT(report.damaged, IsEmpty());
  EXPECT_THAT(report.lost, IsEmpty());
  EXPECT_EQ(report.objects, before.size() - 1) << "all but metadata.json";
  EXPECT_TRUE(testing::all_objects(*store_) == before);
}

TEST_F(RepairTest, EachObjectAloneIsRebuiltAsItWasWhereverItIsDamaged) {
  make();
  std::vector<std::string> keys;
  for (const auto& [key, bytes] : testing::all_objects(*store_)) {
    // Nothing leads to the first snapshot.
    if (key != "metadata.json" && key != replica_->snapshot_key(Sequence(0))) keys.push_back(key);
  }
  for (const std::string& key : keys) {
    const std::size_t size = get_object(*store_, key).size();
    for (const std::size_t at : {std::size_t{20}, size - 100, size - 3}) {
      SCOPED_TRACE(key + " at " + std::to_string(at));
      make();
      flip(key, at);
      const Bytes damaged = get_object(*store_, key);
      const RepairReport report = repaired();
      ASSERT_EQ(report.damaged.size(), 1u);
      EXPECT_EQ(report.damaged[0].key, key);
      EXPECT_THAT(report.damaged[0].problem, HasSubstr(key));
      ASSERT_EQ(report.damaged[0].mended, Mended::rebuilt) << report.damaged[0].what;
      EXPECT_THAT(report.lost, IsEmpty());
      EXPECT_TRUE(get_object(*store_, report.damaged[0].kept_as) == damaged) << "the damaged bytes are kept";
      expect_verified();
      expect_all_states();
    }
  }
}

TEST_F(RepairTest, ADryRunChangesNothingAndSaysTheSame) {
  make();
  flip(level0(3), 20);
  flip(merged(1, 5, 8), 20);
  const auto before = testing::all_objects(*store_);
  const RepairReport dry = repaired(true);
  EXPECT_TRUE(testing::all_objects(*store_) == before);
  const RepairReport report = repaired();
  ASSERT_EQ(dry.damaged.size(), report.damaged.size());
  for (std::size_t i = 0; i < dry.damaged.size(); ++i) {
    EXPECT_EQ(dry.damaged[i].mended, Mended::rebuilt);
    EXPECT_EQ(dry.damaged[i].what, report.damaged[i].what);
    EXPECT_EQ(dry.damaged[i].kept_as, "");
  }
}

TEST_F(RepairTest, WhatNobodyHoldsIsLeftAndWhatIsLostIsNamed) {
  begin();
  publish_plainly(4);
  replica_->snapshot();
  publish_plainly(2);
  flip(level0(2), 20);
  const Bytes damaged = get_object(*store_, level0(2));
  const RepairReport report = repaired();
  ASSERT_EQ(report.damaged.size(), 1u);
  EXPECT_EQ(report.damaged[0].mended, Mended::no);
  EXPECT_THAT(report.lost, ElementsAre(Pair(2, 3)));
  EXPECT_TRUE(get_object(*store_, level0(2)) == damaged) << "it is still there";
  EXPECT_THAT(restorable(), ElementsAre(0, 1, 4, 5, 6));
}

TEST_F(RepairTest, AFirstSnapshotThatIsGoneTakesWhatFollowsItAndNoMore) {
  begin();
  publish_plainly(3);
  replica_->snapshot();
  publish_plainly(2);
  flip(replica_->snapshot_key(Sequence(0)), 20);
  const RepairReport report = repaired();
  EXPECT_EQ(report.damaged.at(0).mended, Mended::no);
  EXPECT_THAT(report.lost, ElementsAre(Pair(0, 2)));
  EXPECT_THAT(restorable(), ElementsAre(3, 4, 5));
}

TEST_F(RepairTest, ASquashedSegmentThatCannotBeMadeAgainAndIsNotNeededStandsInTheWayNoLonger) {
  begin();
  publish_plainly(6);
  replica_->merge(1, Sequence(1), Sequence(4), ObjectKind::bundle);
  replica_->merge(2, Sequence(3), Sequence(6), ObjectKind::squashed);
  for (std::uint64_t at : {1, 2, 3, 4}) ASSERT_TRUE(store_->remove(level0(at)));
  flip(merged(2, 3, 6), 20);
  EXPECT_THAT(restorable(), ::testing::Contains(6)) << "the plan goes around the damaged one";
  const RepairReport report = repaired();
  ASSERT_EQ(report.damaged.size(), 1u);
  EXPECT_EQ(report.damaged[0].mended, Mended::put_aside) << report.damaged[0].what;
  EXPECT_THAT(report.lost, IsEmpty());
  expect_all_states();
  expect_verified();
}

// Its index is damaged as well: that it was a bundle, and of which states, is not known. What holds its end alone is
// not put in its place, nor is it taken for all that it held.
TEST_F(RepairTest, ABundleThatCannotBeReadAtAllIsNotTakenForASquashedSegment) {
  for (const bool has_same_range : {true, false}) {
    SCOPED_TRACE(has_same_range);
    begin();
    publish_plainly(6);
    replica_->merge(1, Sequence(2), Sequence(4), ObjectKind::bundle);
    replica_->merge(2, Sequence(has_same_range ? 2 : 1), Sequence(4), ObjectKind::squashed);
    for (std::uint64_t at : {2, 3, 4}) ASSERT_TRUE(store_->remove(level0(at)));
    const Bytes whole = get_object(*store_, merged(1, 2, 4));
    flip(merged(1, 2, 4), whole.size() - 3);
    const RepairReport report = repaired();
    ASSERT_EQ(report.damaged.size(), 1u);
    EXPECT_EQ(report.damaged[0].mended, Mended::no) << report.damaged[0].what;
    EXPECT_THAT(report.lost, ElementsAre(Pair(2, 3)));
    EXPECT_THAT(restorable(), ElementsAre(0, 1, 4, 5, 6));
    const auto refused = restore(*store_, restore::testing::at_time(replica_->time_ms(Sequence(3))), {}, "at.db");
    EXPECT_FALSE(refused) << "it may be in what is damaged, and is " << refused->plan.point.sequence;
    cairn::testing::replace_object(*store_, merged(1, 2, 4), whole);
    expect_all_states();
  }
}

// What a prune gave up is neither lost nor in the way.
TEST_F(RepairTest, WhatWasGivenUpIsNotLost) {
  clock_.wall_ms = 1'000 * kDay;
  begin();
  publish_plainly(5);
  replica_->snapshot();
  publish_plainly(3);
  replica_->merge(1, Sequence(3), Sequence(8), ObjectKind::bundle);
  PruneOptions options;
  options.policy = {0, 0, 0, 0, 0, 0};
  ASSERT_TRUE(prune_replica(*store_, "", options, clock_, inline_));
  ASSERT_THAT(restorable(), ElementsAre(5, 6, 7, 8));
  EXPECT_THAT(repaired().lost, IsEmpty()) << "of the bundle's states the first two";
  flip(merged(1, 3, 8), get_object(*store_, merged(1, 3, 8)).size() - 3);
  const RepairReport report = repaired();
  ASSERT_THAT(report.damaged, ::testing::SizeIs(1));
  EXPECT_EQ(report.damaged[0].mended, Mended::put_aside) << report.damaged[0].what;
  EXPECT_THAT(report.lost, IsEmpty());
}

// Nothing that is there speaks of these states.
TEST_F(RepairTest, WhatIsGoneBetweenObjectsAndBehindThemIsLost) {
  begin();
  publish_plainly(5);
  replica_->snapshot();
  publish_plainly(3);
  ASSERT_TRUE(restore::claim_before_removing(*store_, "", Sequence(8), Sequence(8)));
  for (const std::uint64_t at : {4, 5, 7, 8}) ASSERT_TRUE(store_->remove(level0(at)));
  const RepairReport report = repaired();
  EXPECT_THAT(report.damaged, IsEmpty());
  EXPECT_THAT(report.lost, ElementsAre(Pair(4, 4), Pair(7, 8)));
  EXPECT_THAT(restorable(), ElementsAre(0, 1, 2, 3, 5, 6));
}

// Published while the objects were being listed: metadata.json is ahead of what was.
TEST_F(RepairTest, WhatIsListedLateIsNotLost) {
  begin();
  publish_plainly(3);
  replica_->snapshot();
  publish_plainly(4);
  ASSERT_TRUE(restore::claim_before_removing(*store_, "", Sequence(7), Sequence(7)));
  flip(replica_->snapshot_key(Sequence(3)), 20);
  LateStore late(*store_, level0(5));
  const auto report = repair(late);
  ASSERT_TRUE(report) << report.error().message();
  ASSERT_THAT(report->damaged, ::testing::SizeIs(1));
  EXPECT_EQ(report->damaged[0].mended, Mended::rebuilt);
  EXPECT_THAT(report->lost, IsEmpty());
  EXPECT_EQ(report->objects, 9u);
}

TEST_F(RepairTest, AnObjectOfAnotherHistoryMakesNoHole) {
  begin();
  publish_plainly(2);
  auto other_store = make_memory_store(clock_);
  ReplicaBuilder other(*other_store, "", 4);
  other.begin(replica_->state(Sequence(0)));
  for (int i = 0; i < 9; ++i) other.add(replica_->state(Sequence(1)));
  ASSERT_TRUE(store_->put_new(level0(9), BytesSource(get_object(*other_store, other.segment_key(Sequence(9))))));
  EXPECT_THAT(repaired().lost, IsEmpty());
}

// It may say that what is missing was given up.
TEST_F(RepairTest, WithoutARecordThatCanBeReadNoHoleIsALoss) {
  begin();
  publish_plainly(3);
  replica_->snapshot();
  ASSERT_TRUE(store_->remove(level0(2)));
  ASSERT_THAT(repaired().lost, ElementsAre(Pair(2, 2)));
  ASSERT_TRUE(store_->put_new(segment::pruned_key("", 1), BytesSource(as_bytes("garbled"))));
  EXPECT_THAT(repaired().lost, IsEmpty());
}

TEST_F(RepairTest, WhatANewerCairnHasWrittenIsNotLost) {
  begin();
  publish_plainly(5);
  Bytes newer = get_object(*store_, level0(4));
  segment::make_newer(newer);
  cairn::testing::replace_object(*store_, level0(4), newer);
  const RepairReport report = repaired();
  EXPECT_THAT(report.damaged, IsEmpty());
  EXPECT_THAT(report.lost, IsEmpty());
}

// A reader that is listed neither it nor what has its states must not take what is in front of it for the end.
TEST_F(RepairTest, BeforeASegmentIsPutAsideTheClaimSaysThatItWasPublished) {
  begin();
  publish_plainly(3);
  replica_->merge(1, Sequence(1), Sequence(3), ObjectKind::squashed);
  replica_->snapshot(Sequence(2));
  flip(level0(2), 20);
  ASSERT_EQ(restore::read_metadata(*store_, "")->latest_wal_sequence, 0u);
  const RepairReport report = repaired();
  ASSERT_EQ(report.damaged.size(), 1u);
  ASSERT_EQ(report.damaged[0].mended, Mended::put_aside) << report.damaged[0].what;
  EXPECT_EQ(restore::read_metadata(*store_, "")->latest_wal_sequence, 3u);
  expect_all_states();
}

TEST_F(RepairTest, ContradictionsAndAFailingListEndItBeforeItBegins) {
  make();
  flip(level0(3), 20);
  auto other_store = make_memory_store(clock_);
  ReplicaBuilder other(*other_store, "");
  Image image = replica_->state(Sequence(4));
  other.begin(image);
  for (int i = 1; i <= 5; ++i) {
    image.change(1, 900 + static_cast<std::uint64_t>(i));
    other.add(image);
  }
  cairn::testing::replace_object(*store_, level0(5), get_object(*other_store, other.segment_key(Sequence(5))));
  const auto before = testing::all_objects(*store_);
  const auto report = repair(*store_);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind(), ErrorKind::corrupt);
  EXPECT_THAT(report.error().message(), HasSubstr("nothing was repaired"));
  EXPECT_TRUE(testing::all_objects(*store_) == before);
}

// Every kind of damage at once, and an end at every request: never less than before, and the next repair goes on.
TEST_F(RepairTest, ACrashAnywhereLeavesAReplicaThatIsAtLeastAsGood) {
  const auto damage = [&] {
    make();
    flip(level0(2), 20);
    flip(merged(1, 5, 8), 20);
    flip(replica_->snapshot_key(Sequence(5)), 20);
    // This one cannot be made again, and is not needed.
    replica_->merge(3, Sequence(4), Sequence(6), ObjectKind::squashed);
    flip(level0(4), 30);
    flip(merged(3, 4, 6), 20);
  };
  damage();
  const std::vector<std::uint64_t> before = restorable();
  ASSERT_EQ(before.size(), 9u) << "what is damaged is planned around";
  for (const bool applied : {false, true}) {
    bool crashed = true;
    for (std::uint64_t most = 0; crashed; ++most) {
      SCOPED_TRACE(most);
      damage();
      CrashingStore crashing(*store_, most, applied);
      const bool said = static_cast<bool>(repair(crashing));
      crashed = crashing.crashed();
      EXPECT_TRUE(!said || !crashed || applied);
      const std::vector<std::uint64_t> after = restorable();
      EXPECT_TRUE(std::includes(after.begin(), after.end(), before.begin(), before.end()));
      const RepairReport report = repaired();
      EXPECT_THAT(report.lost, IsEmpty());
      expect_all_states();
      expect_verified();
    }
  }
}

}  // namespace
}  // namespace cairn::compact
