// Pruning random replicas: whatever happens in between (a crash at any removal, another prune, a restore, a publish, a
// store that fails), every restore point that is kept is what it was, byte for byte.

#include <gmock/gmock.h>

#include <functional>
#include <set>

#include "base/bytes.h"
#include "base/mutex.h"
#include "cairn/compactor.h"
#include "compact/survey.h"
#include "compact/test_times.h"
#include "restore/metadata.h"
#include "restore/test_replica.h"
#include "segment/keys.h"
#include "store/around.h"
#include "store/counting.h"
#include "store/faulty.h"
#include "store/memory_store.h"
#include "support/interrupted_store.h"
#include "support/unsynced_files.h"

namespace cairn::compact {
namespace {

using cairn::testing::all_objects;
using cairn::testing::Image;
using cairn::testing::InterruptedStore;
using cairn::testing::ReplicaBuilder;
using segment::ObjectKind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;


class HandClock final : public Clock {
 public:
  Time now() override { return {wall_ms, wall_ms * 1000}; }
  std::int64_t wall_ms = 1'000 * kDay;
};

// Removes one by one, and calls `each` before every removal; after `most` of them it is gone.
class RemovalsStore final : public StoreAround<RemovalsStore> {
 public:
  explicit RemovalsStore(Store& store) : inner_(store) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall& what, const Call& call) -> decltype(call()) {
    if (what.operation != Operation::remove || segment::parse_pruned_key("app.db", what.key)) return call();
    if (removed == most) return Error(ErrorKind::retry_later, "gone");
    if (each) each();
    ++removed;
    return call();
  }
  Result<std::vector<NotRemoved>> remove_many(std::span<const std::string> keys) override {
    for (const std::string& key : keys) CAIRN_TRY(remove(key));
    return std::vector<NotRemoved>();
  }

  std::function<void()> each;
  std::uint64_t removed = 0, most = 1'000'000;

 private:
  Store& inner_;
};

// Each merged object is gone at the moment at which it is opened for the first time.
class VanishingStore final : public StoreAround<VanishingStore> {
 public:
  explicit VanishingStore(Store& store) : inner_(store) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall& what, const Call& call) -> decltype(call()) {
    const bool opens = what.operation == Operation::get_suffix && what.key.find("levels/") != std::string_view::npos;
    const MutexLock lock(mutex_);
    if (opens && gone.emplace(what.key).second) (void)inner_.remove(what.key);
    return call();
  }

  std::set<std::string> gone;

 private:
  Store& inner_;
  Mutex mutex_;
};

class PruneTest : public restore::testing::ReplicaTest {
 protected:
  PruneTest() {
    files_ = std::make_unique<cairn::testing::UnsyncedFiles>();
    store_ = make_memory_store(clock_);
    replica_ = std::make_unique<ReplicaBuilder>(*store_, "app.db");
  }

  // Hours of a database, merged here and there.
  void live(SeededRandom& random, int length) {
    Image image = Image::made(512, 2 + static_cast<std::uint32_t>(random.below(6)), random.next());
    replica_->begin(image, clock_.wall_ms);
    for (int i = 0; i < length; ++i) {
      publish(random, image);
      if (random.chance(1, 6)) replica_->snapshot();
    }
    const std::uint64_t last = replica_->newest().value;
    std::set<std::pair<std::uint64_t, std::uint64_t>> made;
    for (std::uint64_t n = random.below(8); n > 0; --n) {
      const std::uint64_t first = 1 + random.below(last);
      const std::uint64_t end = first + random.below(std::min<std::uint64_t>(9, last - first + 1));
      if (!made.emplace(first, end).second) continue;
      replica_->merge(1, Sequence(first), Sequence(end),
                      random.chance(1, 2) ? ObjectKind::bundle : ObjectKind::squashed);
    }
  }
  void publish(SeededRandom& random, Image& image) {
    clock_.wall_ms += static_cast<std::int64_t>(random.below(random.chance(1, 5) ? 20 * kHour : 10 * kMinute));
    if (random.chance(1, 15)) clock_.wall_ms += random.chance(1, 2) ? kDay : -kDay;
    if (random.chance(1, 3)) image.resize(1 + static_cast<std::uint32_t>(random.below(image.page_count + 3)));
    image.change(1 + static_cast<std::uint32_t>(random.below(image.page_count + 1)), random.next());
    replica_->add(image, clock_.wall_ms);
  }

  static PruneOptions random_options(SeededRandom& random) {
    PruneOptions options;
    options.policy = {static_cast<std::int64_t>(random.below(5 * kHour)), static_cast<std::uint32_t>(random.below(4)),
                      static_cast<std::uint32_t>(random.below(3)), 0, 1, 0};
    return options;
  }
  static PruneOptions strict() { return {{0, 0, 0, 0, 0, 0}, false}; }

  std::vector<KeptPoint> kept_by(const PruneOptions& options) {
    KnownFooters known;
    const auto found = survey(*store_, "app.db", known, Holes::refuse, *executor_);
    EXPECT_TRUE(found) << found.error().message();
    return decide_retention(found->objects, clock_.wall_ms, options.policy).kept;
  }
  Result<PruneReport> prune(Store& store, const PruneOptions& options) {
    return prune_replica(store, "app.db", options, clock_, executor_ ? *executor_ : inline_);
  }
  void expect_restores_each(const std::vector<KeptPoint>& kept) {
    for (const KeptPoint& point : kept) expect_restores(*store_, *replica_, point.sequence);
  }
  void expect_verified() {
    const auto report = verify_replica(*store_, "app.db", VerifyDepth::deep, path("scratch"), *files_, *executor_);
    ASSERT_TRUE(report) << report.error().message();
    for (const std::string& problem : report->problems) {
      // The pages of these tests are no SQLite database.
      EXPECT_THAT(problem, HasSubstr("SQLite")) << problem;
    }
  }
  // Twenty states, an hour apart, with a snapshot every five.
  void live_twenty() {
    Image image = Image::made(512, 3, 1);
    clock_.wall_ms = 1'000 * kDay + 12 * kHour;  // the day ends with state 11
    replica_->begin(image, clock_.wall_ms);
    for (std::uint64_t i = 1; i <= 20; ++i) {
      clock_.wall_ms += kHour;
      image.change(1 + static_cast<std::uint32_t>(i % 3), i);
      replica_->add(image, clock_.wall_ms);
      if (i % 5 == 0) replica_->snapshot();
    }
    clock_.wall_ms += kDay;
  }

  HandClock clock_;
  InlineExecutor inline_;
  std::unique_ptr<ReplicaBuilder> replica_;
};

TEST_F(PruneTest, EveryKeptPointIsThereBeforeEachRemovalAndAfterACrash) {
  std::uint64_t removals = 0, crashes = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    store_ = make_memory_store(clock_);
    replica_ = std::make_unique<ReplicaBuilder>(*store_, "app.db");
    live(random, 25);
    for (int round = 0; round < 2; ++round) {
      const PruneOptions options = random_options(random);
      const std::vector<KeptPoint> kept = kept_by(options);
      RemovalsStore watched(*store_);
      watched.each = [&] { expect_restores_each(kept); };
      watched.most = random.chance(1, 2) ? random.below(8) : 1'000'000;
      const auto report = prune(watched, options);
      const bool crashed = watched.removed == watched.most;
      ASSERT_TRUE(report || crashed) << report.error().message();
      removals += watched.removed;
      crashes += !report;
      expect_restores_each(kept);
      expect_verified();
      // The clock jumps, and the next prune goes on.
      clock_.wall_ms += random.chance(1, 2) ? kDay : -kDay;
      const std::vector<KeptPoint> still_kept = kept_by(options);
      const auto again = prune(*store_, options);
      ASSERT_TRUE(again) << again.error().message();
      expect_restores_each(still_kept);
      Image image = replica_->state(replica_->newest());
      publish(random, image);
      replica_->snapshot();
      if (HasFailure()) return;
    }
    const auto points = list_restore_points(*store_, "app.db");
    for (const RestorePointInfo& point : *points) expect_restores(*store_, *replica_, Sequence(point.sequence));
    expect_verified();
  }
  EXPECT_GT(removals, 100u);
  EXPECT_GT(crashes, 4u);
}

TEST_F(PruneTest, WhatIsGivenUpAndStillThereIsAnUnbrokenBeginning) {
  live_twenty();
  RemovalsStore watched(*store_);
  std::size_t before = 21;
  watched.each = [&] {
    const auto points = list_restore_points(*store_, "app.db");
    ASSERT_TRUE(points);
    EXPECT_LE(points->size(), before);
    before = points->size();
    EXPECT_EQ(points->back().sequence, 20u);
    for (std::size_t i = 0; i + 1 < points->size(); ++i) EXPECT_EQ((*points)[i].sequence, i);
    expect_verified();
  };
  ASSERT_TRUE(prune(watched, strict()));
  EXPECT_EQ(before, 2u) << "states 0 and 20";
  EXPECT_EQ(watched.removed, 23u);
}

TEST_F(PruneTest, AFaultAtAnyRequestHurtsNothing) {
  for (std::uint64_t at = 0;; ++at) {
    SCOPED_TRACE(at);
    store_ = make_memory_store(clock_);
    replica_ = std::make_unique<ReplicaBuilder>(*store_, "app.db");
    live_twenty();
    const std::map<std::string, Bytes> before = all_objects(*store_);
    const std::vector<KeptPoint> kept = kept_by(strict());
    FaultPlan plan;
    SeededRandom random(at);
    plan.page_limit = 3;
    const auto faulty = make_faulty_store(*store_, plan, random);
    InterruptedStore failing(*faulty, at, [&] { plan.set_all({1000, 0, 0, 0}); });
    InlineExecutor one;
    const auto report = prune_replica(failing, "app.db", strict(), clock_, one);
    plan.set_all({});
    expect_restores_each(kept);
    expect_verified();
    if (HasFailure()) return;
    if (!failing.has_happened()) {
      ASSERT_TRUE(report);
      EXPECT_EQ(report->removed_objects, 4u + 19u) << "every page of the listing was seen: snapshots 0 to 15, 1 to 19";
      EXPECT_GT(at, 50u);
      return;
    }
    ASSERT_TRUE(prune(*store_, strict()));
    EXPECT_EQ(all_objects(*store_).size(), before.size() - 23 + 1) << "and a record";
  }
}

// For a restore that is listed neither what went nor what leads to the same states.
TEST_F(PruneTest, TheClaimSaysWhatWasPublishedBeforeAnythingGoes) {
  live_twenty();
  RemovalsStore store(*store_);
  store.each = [&] { EXPECT_EQ(restore::read_metadata(*store_, "app.db")->latest_wal_sequence, 20u); };
  ASSERT_TRUE(prune(store, strict()));
  EXPECT_GT(store.removed, 5u);
}

TEST_F(PruneTest, WhatIsKnownOfAnObjectIsBelievedOnlyOfThatOne) {
  live_twenty();
  replica_->merge(1, Sequence(2), Sequence(4), ObjectKind::bundle);
  KnownFooters known;
  ASSERT_TRUE(survey(*store_, "app.db", known, Holes::refuse, *executor_));
  CountingStore counting(*store_);
  ASSERT_TRUE(survey(counting, "app.db", known, Holes::refuse, *executor_));
  EXPECT_EQ(counting.counts().of(Operation::get_suffix).calls, 0u);
  const std::string key = segment::merged_key("app.db", 1, Sequence(2), Sequence(4));
  ASSERT_TRUE(store_->remove(key));
  replica_->merge(1, Sequence(2), Sequence(4), ObjectKind::squashed);
  const auto found = survey(*store_, "app.db", known, Holes::refuse, *executor_);
  ASSERT_TRUE(found);
  for (const AgedObject& object : found->objects) {
    if (object.read.object.name.key != key) continue;
    EXPECT_EQ(object.read.footer.points.size(), 1u) << "it is another one than was known";
  }
}

TEST_F(PruneTest, WithoutTheRightToDeleteItSaysSoAndChangesNothing) {
  live_twenty();
  const std::map<std::string, Bytes> before = all_objects(*store_);
  FaultPlan plan;
  SeededRandom random(1);
  for (const Operation operation : {Operation::remove, Operation::remove_many}) plan.of(operation).denied = 1000;
  const auto keys = make_faulty_store(*store_, plan, random);
  const auto report = prune(*keys, strict());
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind(), ErrorKind::denied);
  EXPECT_THAT(report.error().message(), HasSubstr("may not delete"));
  EXPECT_EQ(all_objects(*store_), before);
}

TEST_F(PruneTest, ADryRunSaysTheSameAndTouchesNothing) {
  live_twenty();
  const std::map<std::string, Bytes> before = all_objects(*store_);
  PruneOptions dry = strict();
  dry.dry_run = true;
  const auto would = prune(*store_, dry);
  ASSERT_TRUE(would) << would.error().message();
  EXPECT_EQ(all_objects(*store_), before);
  const auto report = prune(*store_, strict());
  ASSERT_TRUE(report);
  for (const PrunedObject& object : would->objects) {
    EXPECT_EQ(object.fate == Fate::goes, !all_objects(*store_).contains(object.key)) << object.key;
  }
  EXPECT_EQ(would->removed_objects, 0u);
  EXPECT_EQ(report->removed_objects, 23u);
}

TEST_F(PruneTest, ARestoreEndsRightWhereverAPruneFallsIntoIt) {
  for (std::uint64_t at = 0;; ++at) {
    SCOPED_TRACE(at);
    store_ = make_memory_store(clock_);
    replica_ = std::make_unique<ReplicaBuilder>(*store_, "app.db");
    live_twenty();
    bool happened = false;
    for (const std::uint64_t sequence : {20u, 20u, 13u}) {
      InterruptedStore interrupted(*store_, at, [&] { ASSERT_TRUE(prune(*store_, strict())); });
      RestoreOptions options;
      options.overwrite = Overwrite::replace;
      const auto result = restore(interrupted, restore::testing::at_sequence(sequence), options);
      happened = happened || interrupted.has_happened();
      if (result) {
        EXPECT_TRUE(read("out.db") == replica_->state(Sequence(sequence)).bytes());
      } else {
        EXPECT_EQ(sequence, 13u) << result.error().message();
        EXPECT_EQ(name_of(result.error().kind()), name_of(ErrorKind::not_found)) << result.error().message();
      }
    }
    if (HasFailure() || !happened) break;
  }
}

TEST_F(PruneTest, ARestorePlansAgainAsOftenAsObjectsVanish) {
  live_twenty();
  // Three levels of the same, each cheaper to restore from: they vanish one after the other.
  for (const auto& [first, last] : {std::pair(16, 18), {16, 19}, {17, 19}, {16, 20}, {17, 20}, {18, 20}}) {
    replica_->merge(1, Sequence(first), Sequence(last), ObjectKind::squashed);
  }
  ASSERT_TRUE(store_->remove(replica_->snapshot_key(Sequence(20))));
  VanishingStore store(*store_);
  const auto result = restore(store, restore::testing::at_sequence(20));
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(read("out.db") == replica_->state(Sequence(20)).bytes());
  EXPECT_GT(store.gone.size(), 4u) << "more often than a listing that is wrong is believed";
}

TEST_F(PruneTest, TwoPrunesAtOnceNeverHarmEachOther) {
  std::uint64_t refused = 0, interrupted_ones = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    SeededRandom random(seed);
    store_ = make_memory_store(clock_);
    replica_ = std::make_unique<ReplicaBuilder>(*store_, "app.db");
    live(random, 25);
    const PruneOptions ours = random_options(random), theirs = random_options(random);
    const std::vector<KeptPoint> kept = kept_by(ours), also = kept_by(theirs);
    InterruptedStore interrupted(*store_, random.below(60), [&] {
      const auto report = prune(*store_, theirs);
      EXPECT_TRUE(report) << report.error().message();
    });
    InlineExecutor one;
    const auto report = prune_replica(interrupted, "app.db", ours, clock_, one);
    interrupted_ones += interrupted.has_happened();
    refused += !report;
    if (!report) {
      EXPECT_EQ(name_of(report.error().kind()), name_of(ErrorKind::busy)) << report.error().message();
    }
    for (const KeptPoint& point : kept) {
      const bool by_them = std::any_of(also.begin(), also.end(), [&](const KeptPoint& other) {
        return other.sequence == point.sequence;
      });
      if (by_them || !interrupted.has_happened()) expect_restores(*store_, *replica_, point.sequence);
    }
    expect_verified();
    if (HasFailure()) return;
  }
  EXPECT_GT(interrupted_ones, 20u);
  EXPECT_GT(refused, 0u);
}

TEST_F(PruneTest, WhatIsPublishedMeanwhileStays) {
  for (std::uint64_t at = 0;; ++at) {
    SCOPED_TRACE(at);
    store_ = make_memory_store(clock_);
    replica_ = std::make_unique<ReplicaBuilder>(*store_, "app.db");
    live_twenty();
    PruneOptions options = strict();
    options.policy.grace_ms = kHour;
    clock_.wall_ms -= kDay;  // all that is put now is as young as the newest object
    const std::vector<KeptPoint> kept = kept_by(options);
    InterruptedStore interrupted(*store_, at, [&] {
      Image image = replica_->state(replica_->newest());
      image.change(2, 4711);
      replica_->add(image, clock_.wall_ms);
      replica_->snapshot();
      replica_->merge(1, Sequence(12), Sequence(14), ObjectKind::squashed);
    });
    InlineExecutor one;
    const auto report = prune_replica(interrupted, "app.db", options, clock_, one);
    ASSERT_TRUE(report) << report.error().message();
    if (interrupted.has_happened()) {
      expect_restores(*store_, *replica_, Sequence(21));
      EXPECT_TRUE(all_objects(*store_).contains(segment::merged_key("app.db", 1, Sequence(12), Sequence(14))));
    }
    expect_restores_each(kept);
    expect_verified();
    if (HasFailure() || !interrupted.has_happened()) return;
  }
}

TEST_F(PruneTest, ADecisionIsUsedNoLongerThanTheGraceAndNotWhenAnotherPruneCame) {
  for (const bool other_came : {false, true}) {
    SCOPED_TRACE(other_came);
    store_ = make_memory_store(clock_);
    replica_ = std::make_unique<ReplicaBuilder>(*store_, "app.db");
    Image image = Image::made(512, 1, 1);
    replica_->begin(image, clock_.wall_ms);
    for (std::uint64_t i = 1; i <= 1500; ++i) {  // more than a batch
      image.change(1, i);
      replica_->add(image);
    }
    replica_->snapshot();
    clock_.wall_ms += kDay;
    image.change(1, 4711);
    replica_->add(image);  // so all before is old
    PruneOptions options = strict();
    options.policy.grace_ms = kHour;
    RemovalsStore slow(*store_);
    slow.each = [&] {
      clock_.wall_ms += 5000;
      if (slow.removed != 10 || !other_came) return;
      const Bytes record = cairn::testing::get_object(*store_, segment::pruned_key("app.db", 1));
      ASSERT_TRUE(store_->put_new(segment::pruned_key("app.db", 2), BytesSource(record)));
    };
    CountingStore counting(slow);
    const auto report = prune(counting, options);
    ASSERT_EQ(report.has_value(), !other_came) << report.error().message();
    if (other_came) {
      EXPECT_EQ(report.error().kind(), ErrorKind::busy);
    } else {
      EXPECT_GT(counting.counts().of(Operation::list).calls, 3u * 4 + 2) << "three surveys, and the record twice";
    }
    EXPECT_EQ(slow.removed, other_came ? 1000u : 1500u);
    expect_restores(*store_, *replica_, Sequence(1501));
  }
}

TEST_F(PruneTest, UploadsThatAreAMonthOldAreEnded) {
  live_twenty();
  ASSERT_TRUE(store_->begin_upload(segment::snapshot_key("app.db", clock_.wall_ms, Sequence(5))));
  ASSERT_TRUE(store_->begin_upload("app.db/other"));
  clock_.wall_ms += 29 * kDay;
  ASSERT_TRUE(store_->begin_upload(segment::segment_key("app.db", Sequence(99))));
  ASSERT_TRUE(prune(*store_, strict()));
  EXPECT_EQ(store_->list_uploads("")->size(), 3u);
  clock_.wall_ms += 2 * kDay;
  PruneOptions dry = strict();
  dry.dry_run = true;
  ASSERT_TRUE(prune(*store_, dry));
  EXPECT_EQ(store_->list_uploads("")->size(), 3u);
  ASSERT_TRUE(prune(*store_, strict()));
  const auto uploads = store_->list_uploads("");
  std::vector<std::string> left;
  for (const UploadInfo& upload : *uploads) left.push_back(upload.key);
  EXPECT_THAT(left, ElementsAre("app.db/other", segment::segment_key("app.db", Sequence(99))));
}

TEST_F(PruneTest, ARecordThatItHasNotReadStays) {
  live_twenty();
  const auto put = [&](std::uint64_t number, std::string_view json) {
    ASSERT_TRUE(store_->put_new(segment::pruned_key("app.db", number), BytesSource(as_bytes(json))));
  };
  put(1, R"({"format":1,"pruned":[[100,100]]})");
  put(2, "garbled on its way");
  put(3, R"({"format":1,"pruned":[[200,200]]})");
  ASSERT_TRUE(prune(*store_, strict()));
  const auto records = restore::list_pruned(*store_, "app.db");
  ASSERT_TRUE(records) << records.error().message();
  EXPECT_THAT(*records, ElementsAre(2, 4));
  const auto said = restore::read_pruned(*store_, "app.db");
  ASSERT_TRUE(said) << said.error().message();
  for (const std::uint64_t at : {100u, 200u}) EXPECT_TRUE(said->covers(Sequence(at), Sequence(at))) << at;
}

TEST_F(PruneTest, AStoreThatListsLateLosesNothing) {
  for (std::uint64_t hidden = 1; hidden < 40; hidden += 3) {
    SCOPED_TRACE(hidden);
    auto inner = make_memory_store(clock_);
    FaultPlan plan;
    SeededRandom random(hidden);
    plan.hidden_calls = hidden;
    store_ = make_faulty_store(*inner, plan, random);
    replica_ = std::make_unique<ReplicaBuilder>(*store_, "app.db");
    live_twenty();
    const auto report = prune(*store_, strict());
    plan.hidden_calls = 0;
    expect_restores(*store_, *replica_, Sequence(20));
    expect_verified();
    const auto points = list_restore_points(*store_, "app.db");
    for (const RestorePointInfo& point : *points) expect_restores(*store_, *replica_, Sequence(point.sequence));
    ASSERT_TRUE(prune(*store_, strict()));
    expect_restores(*store_, *replica_, Sequence(20));
    store_.reset();
    if (HasFailure()) return;
  }
}

TEST_F(PruneTest, WhatWasPrunedIsToldFromWhatWasLost) {
  live_twenty();
  PruneOptions options = strict();
  options.policy.daily = 2;
  ASSERT_TRUE(prune(*store_, options));
  expect_verified();
  EXPECT_THAT(expect_refused(*store_, restore::testing::at_sequence(13), ErrorKind::not_found),
              HasSubstr("was pruned"));
  // A time that was pruned means what is left before it.
  const auto by_time = plan_restore(*store_, "app.db", restore::testing::at_time(replica_->time_ms(Sequence(13))));
  ASSERT_TRUE(by_time) << by_time.error().message();
  EXPECT_EQ(by_time->point.sequence, 10u);

  Image image = replica_->state(Sequence(20));
  for (std::uint64_t i = 0; i < 3; ++i) {
    image.change(1, 900 + i);
    replica_->add(image);
  }
  ASSERT_TRUE(store_->remove(replica_->segment_key(Sequence(22))));
  const auto report = verify_replica(*store_, "app.db", VerifyDepth::chain, "", *files_, *executor_);
  EXPECT_THAT(report->problems, ::testing::ElementsAre(HasSubstr("segment 22 is missing")));
  const std::map<std::string, Bytes> before = all_objects(*store_);
  const auto refused = prune(*store_, strict());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::corrupt);
  EXPECT_EQ(all_objects(*store_), before);
}

TEST_F(PruneTest, WhatBelongsToAnotherHistoryEndsIt) {
  live_twenty();
  ReplicaBuilder other(*store_, "other.db", 7);
  other.begin(Image::made(512, 3, 9), clock_.wall_ms);
  const std::string foreign = segment::snapshot_key("app.db", clock_.wall_ms, Sequence(0));
  const Bytes theirs = cairn::testing::get_object(*store_, other.snapshot_key(Sequence(0)));
  ASSERT_TRUE(store_->put_new(foreign, BytesSource(theirs)));
  const std::map<std::string, Bytes> before = all_objects(*store_);
  const auto report = prune(*store_, strict());
  ASSERT_FALSE(report);
  EXPECT_EQ(name_of(report.error().kind()), name_of(ErrorKind::conflict)) << report.error().message();
  EXPECT_EQ(all_objects(*store_), before);
}

TEST_F(PruneTest, WhatIsDamagedIsNotReliedOnAndStays) {
  live_twenty();
  const std::string key = replica_->snapshot_key(Sequence(20));
  Bytes bytes = cairn::testing::get_object(*store_, key);
  bytes[bytes.size() - 60] ^= std::byte{1};
  cairn::testing::replace_object(*store_, key, bytes);
  const auto report = prune(*store_, strict());
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_TRUE(all_objects(*store_).contains(key));
  ASSERT_TRUE(store_->remove(key));
  expect_restores(*store_, *replica_, Sequence(20));
}

// What leads to no state because what it builds on is damaged is not what nobody needs: a copy of the damaged object,
// put back, makes all of it good again.
TEST_F(PruneTest, WhatOnlyDamageKeepsFromBeingRestoredStays) {
  Image image = Image::made(512, 6, 1);
  SeededRandom random(1);
  replica_->begin(image, clock_.wall_ms);
  for (int i = 0; i < 6; ++i) publish(random, image);
  replica_->snapshot();
  for (int i = 0; i < 3; ++i) publish(random, image);
  replica_->merge(1, Sequence(3), Sequence(4), ObjectKind::bundle);
  replica_->merge(2, Sequence(1), Sequence(6), ObjectKind::squashed);
  for (std::uint64_t at : {3, 4}) ASSERT_TRUE(store_->remove(replica_->segment_key(Sequence(at))));
  const std::string first = replica_->snapshot_key(Sequence(0));
  const std::string bundle = segment::merged_key("app.db", 1, Sequence(3), Sequence(4));
  for (const std::string& key : {first, bundle}) {
    SCOPED_TRACE(key);
    const Bytes whole = cairn::testing::get_object(*store_, key);
    Bytes bytes = whole;
    bytes[bytes.size() - 60] ^= std::byte{1};
    cairn::testing::replace_object(*store_, key, bytes);
    const std::map<std::string, Bytes> before = all_objects(*store_);
    const auto report = prune(*store_, strict());
    ASSERT_FALSE(report);
    EXPECT_EQ(name_of(report.error().kind()), name_of(ErrorKind::corrupt)) << report.error().message();
    EXPECT_THAT(report.error().message(), HasSubstr(key + " is damaged"));
    EXPECT_EQ(all_objects(*store_), before);
    cairn::testing::replace_object(*store_, key, whole);
    expect_restores_all(*store_, *replica_);
  }
  ASSERT_TRUE(prune(*store_, strict()));
}

TEST_F(PruneTest, NothingThereIsSaid) {
  const auto report = prune(*store_, strict());
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind(), ErrorKind::not_found);
}

}  // namespace
}  // namespace cairn::compact
