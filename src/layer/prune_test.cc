// Pruning beside syncs. The syncs here are only as much of one as the store sees of it: layer, meta, manifest, with the
// rules of docs/layers.md about what may be relied on.
#include "layer/prune.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>

#include "cairn/layer.h"
#include "layer/history.h"
#include "layer/manifest.h"
#include "layer/stored.h"
#include "store/around.h"
#include "store/faulty.h"
#include "store/memory_store.h"
#include "support/interrupted_store.h"
#include "support/mortal_store.h"

namespace cairn::layer {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr std::int64_t kHourMs = 3'600'000;
constexpr std::int64_t kDayMs = 24 * kHourMs;
constexpr std::size_t kManifestSyncs = 6;
constexpr std::string_view kTemporary = "tmp/0123.tar.zst";  // of a sync's layer

class FakeClock final : public Clock {
 public:
  Time now() override { return {wall_ms, wall_ms * 1000}; }
  std::int64_t wall_ms = 1000 * kDayMs;
};

std::string digest_of(std::uint64_t number) { return fmt::format("{:064x}", number); }

Bytes text(std::string_view words) {
  const auto* bytes = reinterpret_cast<const std::byte*>(words.data());
  return {bytes, bytes + words.size()};
}

Result<void> put_once(Store& store, const std::string& key, const Bytes& bytes) {
  const Result<std::string> put = store.put_new(key, BytesSource(bytes));
  return put || put.error().kind() == ErrorKind::conflict ? Result<void>() : put.error();
}

// Publishes a layer of that digest as the next sync of `name`, as a sync does: what it does not put itself it wants.
Result<void> publish_next(Store& store, Random& random, std::int64_t now_ms, const std::string& name,
                          std::uint64_t number, SyncKind kind) {
  Manifest manifest;
  std::string etag;
  Result<StoredManifest> stored = read_manifest(store, name);
  if (stored) {
    manifest = stored->manifest;
    etag = stored->etag;
  } else if (stored.error().kind() == ErrorKind::not_found) {
    manifest.name = name;
    manifest.lineage = manifest.writer = random.id();
  } else {
    return stored.error();
  }
  SyncRecord sync;
  sync.sequence = manifest.syncs.empty() ? 1 : manifest.head().sequence + 1;
  sync.time_ms = now_ms;
  sync.kind = manifest.syncs.empty() ? SyncKind::full : kind;
  sync.layer = {digest_of(number), 1024, 8, now_ms, 1, layer_key(digest_of(number))};
  std::optional<std::string> want;
  const Result<std::string> put = store.put_new(sync.layer.object, BytesSource(text("a layer.")));
  if (!put) {
    want = want_key_of(sync.layer.digest, kTemporary, random);
    CAIRN_TRY(want_layer(store, *want));
    CAIRN_TRY(put_once(store, sync.layer.object, text("a layer.")));
  }
  CAIRN_TRY(put_once(store, meta_key(sync.layer.digest), write_meta(sync.layer)));
  manifest.syncs.push_back(sync);
  CAIRN_TRY(move_history_out(store, random, manifest, kManifestSyncs));
  CAIRN_TRY(publish_manifest(store, manifest, etag));
  return want ? withdraw_want(store, *want) : Result<void>();
}

class PruneTest : public ::testing::Test {
 protected:
  void publish_layer(const std::string& name, std::uint64_t number, SyncKind kind = SyncKind::increment) {
    const Result<void> done = publish_next(*store_, random_, clock_.wall_ms, name, number, kind);
    ASSERT_TRUE(done) << done.error().message();
  }
  void put(const std::string& key) { ASSERT_TRUE(store_->put_new(key, BytesSource(text("x")))); }
  Result<LayerPruneReport> prune(std::optional<std::int64_t> keep_ms = std::nullopt, bool dry_run = false) {
    LayerPruneOptions options;
    options.keep_ms = keep_ms;
    options.dry_run = dry_run;
    return prune_layers(*store_, clock_.wall_ms, options);
  }
  std::vector<std::string> keys() {
    const std::vector<ObjectInfo> objects = list_all(*store_, "").value();
    std::vector<std::string> all;
    for (const ObjectInfo& object : objects) all.push_back(object.key);
    return all;
  }

  FakeClock clock_;
  SeededRandom random_{1};
  std::unique_ptr<Store> store_ = make_memory_store(clock_);
};

TEST_F(PruneTest, WhatNoManifestNamesGoesWhenItIsOldAndNothingElse) {
  publish_layer("web", 1);
  put(layer_key(digest_of(2)));
  put(meta_key(digest_of(2)));
  put("tmp/half.tar.zst");
  put("app.db/wal/00000000000000000001.wal.zst");
  put("notes.txt");
  const std::vector<std::string> before = keys();
  ASSERT_TRUE(prune());
  EXPECT_EQ(keys(), before);
  clock_.wall_ms += kDayMs;
  const LayerPruneReport report = prune().value();
  EXPECT_THAT(report.removed,
              UnorderedElementsAre(layer_key(digest_of(2)), meta_key(digest_of(2)), "tmp/half.tar.zst"));
  EXPECT_EQ(report.removed_bytes, 3u);
  EXPECT_EQ(report.kept_objects, 2u);
  EXPECT_THAT(keys(), UnorderedElementsAre(layer_key(digest_of(1)), meta_key(digest_of(1)), manifest_key("web"),
                                           "app.db/wal/00000000000000000001.wal.zst", "notes.txt"));
}

TEST_F(PruneTest, ADryRunSaysTheSameAndWritesNothing) {
  publish_layer("web", 1);
  put(layer_key(digest_of(2)));
  clock_.wall_ms += 2 * kDayMs;
  publish_layer("web", 3, SyncKind::full);
  clock_.wall_ms += 2 * kDayMs;
  const std::vector<std::string> before = keys();
  const LayerPruneReport would = prune(kDayMs, true).value();
  EXPECT_EQ(keys(), before);
  const LayerPruneReport did = prune(kDayMs).value();
  EXPECT_EQ(would.removed, did.removed);
  EXPECT_EQ(would.dropped_syncs, 1u);
  EXPECT_EQ(did.dropped_syncs, 1u);
}

TEST_F(PruneTest, KeepDropsWholeChainsAndNeverTheNewest) {
  publish_layer("web", 1);
  publish_layer("web", 2);
  clock_.wall_ms += 10 * kDayMs;
  publish_layer("web", 3, SyncKind::full);
  publish_layer("web", 4);
  clock_.wall_ms += 10 * kDayMs;
  // The chain of 1 and 2 is what a state of 15 days ago is made of.
  EXPECT_EQ(prune(15 * kDayMs)->dropped_syncs, 0u);
  EXPECT_EQ(prune(5 * kDayMs)->dropped_syncs, 2u);
  EXPECT_THAT(keys(), UnorderedElementsAre(layer_key(digest_of(3)), meta_key(digest_of(3)), layer_key(digest_of(4)),
                                           meta_key(digest_of(4)), manifest_key("web")));
  const Manifest left = read_manifest(*store_, "web")->manifest;
  EXPECT_EQ(left.syncs.front().sequence, 3u);
  EXPECT_EQ(prune(0)->dropped_syncs, 0u);
}

TEST_F(PruneTest, ALayerThatAnotherContainerNamesStays) {
  publish_layer("web", 1);
  publish_layer("other", 1);
  clock_.wall_ms += 10 * kDayMs;
  publish_layer("web", 2, SyncKind::full);
  clock_.wall_ms += 10 * kDayMs;
  EXPECT_EQ(prune(kDayMs)->dropped_syncs, 1u);
  EXPECT_THAT(keys(), Contains(layer_key(digest_of(1))));
}

// Where a store neither copies nor names an upload late.
TEST_F(PruneTest, ALayerThatKeptItsTemporaryNameStaysAsLongAsAManifestNamesIt) {
  publish_layer("web", 1);
  StoredManifest stored = read_manifest(*store_, "web").value();
  SyncRecord sync = stored.manifest.head();
  sync.sequence = 2;
  sync.layer.digest = digest_of(2);
  sync.layer.object = "tmp/0123.tar.zst";
  put(sync.layer.object);
  stored.manifest.syncs.push_back(sync);
  ASSERT_TRUE(publish_manifest(*store_, stored.manifest, stored.etag));
  clock_.wall_ms += 10 * kDayMs;
  ASSERT_TRUE(prune());
  EXPECT_THAT(keys(), Contains("tmp/0123.tar.zst"));
  publish_layer("web", 3, SyncKind::full);
  clock_.wall_ms += 10 * kDayMs;
  ASSERT_TRUE(prune(kDayMs));
  EXPECT_THAT(keys(), Not(Contains("tmp/0123.tar.zst")));
}

TEST_F(PruneTest, HistoryThatWasMovedOutCountsAndGoesWithItsLastChain) {
  for (std::uint64_t number = 1; number <= 6; ++number) {
    publish_layer("web", number, number % 2 == 1 ? SyncKind::full : SyncKind::increment);
    clock_.wall_ms += kDayMs;
  }
  StoredManifest stored = read_manifest(*store_, "web").value();
  Manifest lost = stored.manifest;  // of a swap that somebody else won
  ASSERT_TRUE(move_history_out(*store_, random_, lost, 3));
  ASSERT_TRUE(move_history_out(*store_, random_, stored.manifest, 3));
  ASSERT_TRUE(publish_manifest(*store_, stored.manifest, stored.etag));
  const std::string history = stored.manifest.older.at(0).object;
  clock_.wall_ms += kDayMs;
  EXPECT_THAT(prune()->removed, ElementsAre(lost.older.at(0).object));

  // 1 and 2 go: 3 to 6 are what the last four days are made of.
  const LayerPruneReport would = prune(4 * kDayMs, true).value();
  const LayerPruneReport first = prune(4 * kDayMs).value();
  EXPECT_EQ(would.removed, first.removed);
  EXPECT_EQ(first.dropped_syncs, 2u);
  EXPECT_THAT(first.removed, UnorderedElementsAre(layer_key(digest_of(1)), meta_key(digest_of(1)),
                                                  layer_key(digest_of(2)), meta_key(digest_of(2))));
  EXPECT_EQ(read_history(*store_, "web")->whole.syncs.front().sequence, 3u);
  const LayerPruneReport second = prune(kDayMs).value();
  EXPECT_EQ(second.dropped_syncs, 2u);
  EXPECT_THAT(second.removed, Contains(history));
  EXPECT_EQ(read_history(*store_, "web")->whole.syncs.size(), 2u);
}

TEST_F(PruneTest, UploadsThatNobodyFinishedAreAborted) {
  publish_layer("web", 1);
  const std::string ours = store_->begin_upload("tmp/half.tar.zst").value();
  const std::string theirs = store_->begin_upload("app.db/snapshots/x").value();
  EXPECT_EQ(prune()->aborted_uploads, 0u);
  clock_.wall_ms += 2 * kDayMs;
  EXPECT_EQ(prune()->aborted_uploads, 1u);
  ASSERT_EQ(store_->list_uploads("")->size(), 1u);
  EXPECT_EQ(store_->list_uploads("")->front().upload_id, theirs);
}

TEST_F(PruneTest, AClockThatIsAheadDoesNotMakeYoungThingsOld) {
  publish_layer("web", 1);
  put(layer_key(digest_of(2)));
  ASSERT_TRUE(prune_layers(*store_, clock_.wall_ms + 100 * kDayMs, {}));
  EXPECT_THAT(keys(), Contains(layer_key(digest_of(2))));
}

TEST_F(PruneTest, AStoreWithoutContainersIsLeftAlone) {
  put(layer_key(digest_of(2)));
  clock_.wall_ms += 2 * kDayMs;
  const auto report = prune();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind(), ErrorKind::not_found);
  EXPECT_THAT(keys(), ElementsAre(layer_key(digest_of(2))));
}

TEST_F(PruneTest, AManifestThatCannotBeReadEndsItBeforeAnythingGoes) {
  publish_layer("web", 1);
  put(layer_key(digest_of(2)));
  put(manifest_key("broken"));
  clock_.wall_ms += 2 * kDayMs;
  const auto report = prune();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().kind(), ErrorKind::corrupt);
  EXPECT_THAT(keys(), Contains(layer_key(digest_of(2))));
  EXPECT_THAT(keys(), Not(Contains(::testing::StartsWith(std::string(kNoticePrefix)))));
}

TEST_F(PruneTest, NoFailureOfAListingOrAManifestRemovesAnything) {
  publish_layer("web", 1);
  put(layer_key(digest_of(2)));
  clock_.wall_ms += 2 * kDayMs;
  for (const Operation operation : {Operation::list, Operation::get, Operation::list_uploads, Operation::head}) {
    FaultPlan plan;
    plan.of(operation).before = 1000;
    const std::unique_ptr<Store> faulty = make_faulty_store(*store_, plan, random_);
    EXPECT_FALSE(prune_layers(*faulty, clock_.wall_ms, {})) << name_of(operation);
    EXPECT_THAT(keys(), Contains(layer_key(digest_of(2)))) << name_of(operation);
  }
}

// What a listing says of one object is not so, once.
class MisreadStore final : public StoreAround<MisreadStore> {
 public:
  using Misread = std::function<void(ObjectInfo&)>;
  MisreadStore(Store& inner, std::size_t which, Misread misread)
      : inner_(inner), which_(which), misread_(std::move(misread)) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    return call();
  }
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    CAIRN_ASSIGN(ListPage page, inner_.list(prefix, start_after, limit));
    for (ObjectInfo& object : page.objects) {
      if (listed_++ == which_) misread_(object);
    }
    return page;
  }
  std::size_t listed() const { return listed_; }

 private:
  Store& inner_;
  const std::size_t which_;
  const Misread misread_;
  std::size_t listed_ = 0;
};

TEST_F(PruneTest, NothingThatIsNeededGoesWhateverOneListingSaysWrong) {
  const std::string want = want_key_of(digest_of(61), "tmp/x", random_);
  const auto flip = [](std::size_t from_end) {
    return [from_end](ObjectInfo& object) {
      char& c = object.key[object.key.size() - 1 - from_end % object.key.size()];
      c = static_cast<char>(c ^ 1);
    };
  };
  const std::vector<MisreadStore::Misread> misreadings{
      flip(0), flip(3), flip(9), flip(20), flip(60),
      [](ObjectInfo& object) { object.modified_ms -= 400 * kDayMs; },
      [](ObjectInfo& object) { object.modified_ms += 400 * kDayMs; }};
  for (const auto& misread : misreadings) {
    std::size_t listed = 1;
    for (std::size_t which = 0; which < listed; ++which) {
      store_ = make_memory_store(clock_);
      for (std::uint64_t i = 1; i <= 9; ++i) publish_layer("web", i, i % 3 == 1 ? SyncKind::full : SyncKind::increment);
      publish_layer("db", 20);
      put(layer_key(digest_of(60)));  // nobody's
      put(layer_key(digest_of(61)));
      clock_.wall_ms += 3 * kDayMs;
      ASSERT_TRUE(want_layer(*store_, want));
      put(layer_key(digest_of(62)));  // of a sync at work
      MisreadStore store(*store_, which, misread);
      (void)prune_layers(store, clock_.wall_ms, {});
      listed = store.listed();
      for (const std::uint64_t number : {1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 61, 62}) {
        ASSERT_TRUE(store_->head(layer_key(digest_of(number)))) << which << ": layer " << number << " is gone";
      }
      ASSERT_TRUE(store_->head(want)) << which;
      const Result<StoredHistory> web = read_history(*store_, "web");
      ASSERT_TRUE(web) << which << ": " << web.error().message();
      ASSERT_EQ(web->whole.syncs.size(), 9u);
    }
    EXPECT_GT(listed, 40u);
  }
}

TEST_F(PruneTest, ASyncThatMeetsAPruneWaitsAndOneThatMeetsWhatAPruneLeftDoesNot) {
  put(fmt::format("{}1", kNoticePrefix));
  const auto wanted = want_layer(*store_, want_key_of(digest_of(1), kTemporary, random_));
  ASSERT_FALSE(wanted);
  EXPECT_EQ(wanted.error().kind(), ErrorKind::retry_later);
  // Killed, it keeps syncs waiting for an hour: so the message says what to do.
  EXPECT_THAT(wanted.error().message(), ::testing::HasSubstr("If it was killed, tmp/prune-1 tells of it"));
  EXPECT_THAT(keys(), Not(Contains(::testing::StartsWith(std::string(kWantPrefix)))));
  clock_.wall_ms += kNoticeLasts_ms;
  EXPECT_TRUE(want_layer(*store_, want_key_of(digest_of(1), kTemporary, random_)));
  clock_.wall_ms -= 2 * kNoticeLasts_ms;  // and one from a time when the clock was wrong
  EXPECT_TRUE(want_layer(*store_, want_key_of(digest_of(1), kTemporary, random_)));
}

TEST_F(PruneTest, AsLongAsItTakesASyncThatMeetsItWaits) {
  publish_layer("web", 1);
  for (std::uint64_t number = 100; number < 130; ++number) put(layer_key(digest_of(number)));
  clock_.wall_ms += 2 * kDayMs;
  int steps = 0;
  const auto each_step_takes_long = [&] {  // 11 minutes, of the store's clock too
    clock_.wall_ms += kNoticeLasts_ms / 6 + 60'000;
    if (steps++ > 0) {
      const auto wanted = want_layer(*store_, want_key_of(digest_of(1), kTemporary, random_));
      EXPECT_TRUE(!wanted && wanted.error().kind() == ErrorKind::retry_later) << "step " << steps;
    }
    return clock_.wall_ms;
  };
  const auto pruned = layer::prune(*store_, clock_.wall_ms, {}, each_step_takes_long);
  ASSERT_TRUE(pruned) << pruned.error().message();
  EXPECT_EQ(pruned->removed.size(), 30u);
  EXPECT_GT(steps, 30);
  EXPECT_TRUE(list_all(*store_, kNoticePrefix)->empty());
}

TEST_F(PruneTest, OneThatStoodStillRemovesNothingMore) {
  publish_layer("web", 1);
  for (std::uint64_t number = 100; number < 110; ++number) put(layer_key(digest_of(number)));
  clock_.wall_ms += 2 * kDayMs;
  std::int64_t now_ms = 0, looks = 0;
  const auto sleeps_in_the_middle = [&] {
    if (++looks == 8) now_ms += kNoticeLasts_ms;
    return now_ms;
  };
  const auto pruned = layer::prune(*store_, clock_.wall_ms, {}, sleeps_in_the_middle);
  ASSERT_FALSE(pruned);
  EXPECT_EQ(pruned.error().kind(), ErrorKind::retry_later) << pruned.error().message();
  EXPECT_EQ(looks, 8);
  EXPECT_GE(list_layer_objects(*store_)->size(), 5u);
  EXPECT_TRUE(prune()) << "and another one can";
}

TEST_F(PruneTest, AWantedLayerStaysUntilTheWantIsWithdrawnOrOld) {
  publish_layer("web", 1);
  put(layer_key(digest_of(2)));
  clock_.wall_ms += 2 * kDayMs;
  const std::string want = want_key_of(digest_of(2), kTemporary, random_);
  ASSERT_TRUE(want_layer(*store_, want));
  EXPECT_THAT(prune()->removed, IsEmpty());
  clock_.wall_ms += 2 * kDayMs;
  EXPECT_THAT(prune()->removed, UnorderedElementsAre(layer_key(digest_of(2)), want));
}

// As that of a sync that was interrupted for days, on a store that neither copies nor names an upload late.
TEST_F(PruneTest, AWantedLayerStaysUnderItsTemporaryNameToo) {
  publish_layer("web", 1);
  put(std::string(kTemporary));
  put("tmp/4567.tar.zst");
  clock_.wall_ms += 2 * kDayMs;
  ASSERT_TRUE(want_layer(*store_, want_key_of(digest_of(2), kTemporary, random_)));
  EXPECT_THAT(prune()->removed, ElementsAre("tmp/4567.tar.zst"));
}

bool restores(Store& store, const std::string& name) {
  const Result<StoredHistory> stored = read_history(store, name);
  if (!stored) return false;
  for (const SyncRecord& sync : stored->whole.syncs) {
    if (!store.head(sync.layer.object) || !store.head(meta_key(sync.layer.digest))) return false;
  }
  return true;
}

// A sync that finds its layer there already, and old, inside a prune that is about to remove it; and the other way
// round.
TEST_F(PruneTest, WhicheverRequestOfAPruneASyncFallsBetweenWhatItPublishedStays) {
  bool all_seen = false;
  int published_inside = 0;
  for (std::uint64_t at = 0; !all_seen; ++at) {
    store_ = make_memory_store(clock_);
    publish_layer("web", 1);
    put(layer_key(digest_of(2)));
    put(meta_key(digest_of(2)));
    clock_.wall_ms += 2 * kDayMs;
    Result<void> synced;
    cairn::testing::InterruptedStore interrupted(*store_, at, [&] {
      synced = publish_next(*store_, random_, clock_.wall_ms, "web", 2, SyncKind::increment);
    });
    ASSERT_TRUE(prune_layers(interrupted, clock_.wall_ms, {}));
    all_seen = !interrupted.has_happened();
    if (!all_seen && synced) ++published_inside;
    ASSERT_TRUE(restores(*store_, "web")) << at;
    EXPECT_TRUE(synced || synced.error().kind() == ErrorKind::retry_later) << at;
  }
  EXPECT_GT(published_inside, 0);
}

TEST_F(PruneTest, WhicheverRequestOfASyncAPruneFallsBetweenWhatItPublishesStays) {
  bool all_seen = false;
  for (std::uint64_t at = 0; !all_seen; ++at) {
    store_ = make_memory_store(clock_);
    publish_layer("web", 1);
    put(layer_key(digest_of(2)));
    put(meta_key(digest_of(2)));
    clock_.wall_ms += 2 * kDayMs;
    cairn::testing::InterruptedStore interrupted(*store_, at, [&] { ASSERT_TRUE(prune()); });
    ASSERT_TRUE(publish_next(interrupted, random_, clock_.wall_ms, "web", 2, SyncKind::increment)) << at;
    all_seen = !interrupted.has_happened();
    ASSERT_TRUE(restores(*store_, "web")) << at;
  }
}

TEST_F(PruneTest, APruneThatThinsAHistoryWhileASyncIsPublishedLosesNeither) {
  bool all_seen = false;
  for (std::uint64_t at = 0; !all_seen; ++at) {
    store_ = make_memory_store(clock_);
    publish_layer("web", 1);
    clock_.wall_ms += 2 * kDayMs;
    publish_layer("web", 2, SyncKind::full);
    clock_.wall_ms += 2 * kDayMs;
    cairn::testing::InterruptedStore interrupted(*store_, at, [&] { publish_layer("web", 3); });
    LayerPruneOptions options;
    options.keep_ms = kDayMs;
    ASSERT_TRUE(prune_layers(interrupted, clock_.wall_ms, options));
    all_seen = !interrupted.has_happened();
    ASSERT_TRUE(restores(*store_, "web")) << at;
    const Manifest left = read_manifest(*store_, "web")->manifest;
    EXPECT_EQ(left.syncs.front().sequence, 2u) << at;
    EXPECT_EQ(left.head().sequence, all_seen ? 2u : 3u) << at;
  }
}

// Syncs and prunes at random, each of which may die at any request, on a store that fails now and then.
TEST_F(PruneTest, WhateverDiesAndFailsEverySyncThatAManifestNamesCanBeRead) {
  int pruned = 0, published = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SeededRandom random(seed);
    store_ = make_memory_store(clock_);
    FaultPlan plan;
    plan.set_all({.before = 20, .after = 20, .lost = 20});
    const std::unique_ptr<Store> faulty = make_faulty_store(*store_, plan, random);
    for (int step = 0; step < 30; ++step) {
      clock_.wall_ms += static_cast<std::int64_t>(random.below(2 * kDayMs));
      cairn::testing::Life life;
      if (random.chance(1, 3)) life.end_after(random.below(12));
      cairn::testing::MortalStore mortal(*faulty, life, random);
      if (random.chance(1, 2)) {
        const std::string name = random.chance(1, 2) ? "web" : "db";
        const SyncKind kind = random.chance(1, 4) ? SyncKind::full : SyncKind::increment;
        published += publish_next(mortal, random, clock_.wall_ms, name, random.below(6), kind) ? 1 : 0;
      } else {
        LayerPruneOptions options;
        if (random.chance(1, 2)) options.keep_ms = static_cast<std::int64_t>(random.below(5)) * kDayMs;
        const auto report = prune_layers(mortal, clock_.wall_ms, options);
        pruned += report && !report->removed.empty() ? 1 : 0;
      }
      for (const char* name : {"web", "db"}) {
        const bool is_there = read_manifest(*store_, name).has_value();
        ASSERT_TRUE(!is_there || restores(*store_, name)) << "seed " << seed << " step " << step;
      }
    }
  }
  EXPECT_GT(pruned, 300);
  EXPECT_GT(published, 1000);
}

}  // namespace
}  // namespace cairn::layer
