// A store that lists late, also at a start: what it does not show yet is asked for by its key, so nothing is begun anew
// over what is there, and nobody is told that a replica was rolled back when it was not.
#include <gtest/gtest.h>

#include "replicate/still_there.h"
#include "restore/head.h"
#include "restore/metadata.h"
#include "segment/keys.h"
#include "store/counting.h"
#include "support/stepped_replicator.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

using replicator_test::App;
using replicator_test::ReplicatorTest;

// Lists no key from some key on, and may die with a put that it has applied.
class HidingStore final : public CountingStore {
 public:
  using CountingStore::CountingStore;
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    auto page = CountingStore::list(prefix, start_after, limit);
    if (page) std::erase_if(page->objects, [&](const ObjectInfo& object) { return object.key >= hidden_from; });
    return page;
  }
  Result<std::string> put_new(std::string_view key, const Source& body) override {
    auto put = CountingStore::put_new(key, body);
    if (!answers_lost) return put;
    return Error(ErrorKind::retry_later, "the answer was lost");
  }
  std::string hidden_from = "~";
  bool answers_lost = false;
};

class ListsLate : public ReplicatorTest {
 public:
  ListsLate() : inner_(std::move(store_)) {
    auto hiding = std::make_unique<HidingStore>(*inner_);
    hiding_ = hiding.get();
    store_ = std::move(hiding);
  }
  ~ListsLate() override {
    replicator_.reset();
    store_ = std::move(inner_);
  }

  void begin(int commits) {
    make_database();
    app_ = std::make_unique<App>(db_path_);
    start();
    must_settle();
    for (int i = 0; i < commits; ++i) must_commit();
  }
  void must_commit() {
    app_->must(fill(3));
    must_settle();
  }
  std::string segment(std::uint64_t sequence) { return segment::segment_key("app", Sequence(sequence)); }
  std::uint64_t published() { return replicator_->status().published_sequence; }
  // Starts with a listing without what begins with `hidden_from`, and goes on.
  // All that is published lies in a bundle, and the objects that it was made of are gone.
  void merge_until_the_head_is_removed() {
    ReplicatorOptions o = options();
    o.level_windows_ms = {10'000};
    o.replaced_grace_ms = 1'000;
    o.snapshot_interval_ms = 0;
    make_database();
    app_ = std::make_unique<App>(db_path_);
    start(o);
    must_settle();
    for (int i = 0; i < 12; ++i) must_commit();
    for (int i = 0; i < 200; ++i) {
      now_.mono_us += 100'000;
      (void)replicator_->upkeep_step(now_);
    }
    ASSERT_FALSE(inner_->head(segment(published()))) << "it was to be merged and removed";
  }
  void start_late(const std::string& hidden_from) {
    hiding_->hidden_from = hidden_from;
    start();
    must_settle();
    must_commit();
    hiding_->hidden_from = "~";
  }
  // One history, which ends with what the database is.
  void expect_one_history(std::size_t snapshots) {
    expect_replica_is_current();
    EXPECT_EQ(inner_->list("app/snapshots/")->objects.size(), snapshots);
  }

  std::unique_ptr<Store> inner_;
  HidingStore* hiding_;
  std::unique_ptr<App> app_;
};

TEST_F(ListsLate, AStartGoesOnFromWhatWasPublishedLast) {
  begin(5);
  const std::uint64_t before = published();
  stop(StopMode::crash);
  start_late(segment(2));
  EXPECT_EQ(published(), before + 1);
  expect_one_history(1);
}

TEST_F(ListsLate, NothingListedIsNotNothingThere) {
  begin(5);
  const std::uint64_t before = published();
  stop(StopMode::crash);
  start_late("app/");
  EXPECT_EQ(published(), before + 1);
  expect_one_history(1);
}

// Otherwise a second history begins behind a first snapshot that stays.
TEST_F(ListsLate, AFirstSnapshotThatIsNotListedIsNotMadeAnew) {
  begin(0);
  ASSERT_EQ(published(), 0u);
  stop(StopMode::crash);
  app_->must(fill(20));
  start_late("app/");
  expect_one_history(1);
}

TEST_F(ListsLate, PageHashesAreRebuiltFromWhatIsNotListed) {
  begin(5);
  stop(StopMode::crash);
  fs::remove(options().state_directory + "/page_hashes");
  start_late("app/");
  expect_one_history(1);
}

// The put arrived, its answer did not, and the spool is gone with the machine's power.
TEST_F(ListsLate, ASegmentThatWasMeantToBePutIsFound) {
  begin(3);
  const std::uint64_t before = published();
  hiding_->answers_lost = true;
  app_->must(fill(3));
  for (int i = 0; i < 50; ++i) ASSERT_FALSE(turn());
  ASSERT_TRUE(inner_->head(segment(before + 1)));
  ASSERT_EQ(published(), before);
  stop(StopMode::crash);
  hiding_->answers_lost = false;
  fs::remove_all(options().state_directory + "/spool");
  app_->must(fill(3));
  start_late(segment(2));
  EXPECT_GE(published(), before + 2);
  expect_one_history(1);
}

// Its own object is gone, and the bundle that has it is not listed; nor are the page hashes here.
TEST_F(ListsLate, AHeadThatWasMergedIsFound) {
  merge_until_the_head_is_removed();
  const std::uint64_t before = published();
  stop(StopMode::crash);
  fs::remove(options().state_directory + "/page_hashes");
  start_late("app/");
  EXPECT_EQ(published(), before + 1);
  expect_one_history(1);
}

// So a restore that is not listed the bundle, nor can ask for a free number, is told that there is more.
TEST_F(ListsLate, BeforeAHeadIsRemovedTheClaimSaysThatItWasPublished) {
  merge_until_the_head_is_removed();
  const std::uint64_t before = published();
  const auto claim = restore::read_metadata(*inner_, "app");
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->latest_wal_sequence, before);
  hiding_->hidden_from = "app/levels";
  RestoreOptions restoring;
  const auto restored = run_restore(*store_, "app", (dir_ / "late.db").string(), restoring, *files_, executor_);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().kind(), ErrorKind::corrupt);
  hiding_->hidden_from = "~";
}

// That the claim is gone is no sign that the rest is, when only nothing is listed.
TEST_F(ListsLate, WhatCanBeAskedForByItsKeyIsNotLost) {
  begin(3);
  const auto claim = restore::read_metadata(*inner_, "app");
  ASSERT_TRUE(claim);
  ASSERT_TRUE(inner_->remove("app/metadata.json"));
  restore::Known known;
  known.published = Sequence(published());
  known.begun_ms = claim->begun_ms;
  hiding_->hidden_from = "app/";
  EXPECT_TRUE(replicate::expect_restorable(*store_, "app", known.published, known,
                                           replicate::FirstSnapshot::published));
  ASSERT_TRUE(inner_->remove(segment(2)));
  const auto lost = replicate::expect_restorable(*store_, "app", known.published, known,
                                                 replicate::FirstSnapshot::published);
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().kind(), ErrorKind::conflict);
}

// Nothing is remembered: the database is held against the end that is there, not against the one that is listed.
TEST_F(ListsLate, AHeadThatIsNotListedIsFoundWithoutAStateDirectory) {
  begin(5);
  const std::uint64_t before = published();
  stop();
  fs::remove_all(options().state_directory);
  start_late(segment(2));
  EXPECT_EQ(published(), before + 1);
  expect_one_history(1);
}

TEST_F(ListsLate, WhatIsGoneIsStillSaidToBe) {
  begin(5);
  const std::uint64_t before = published();
  stop(StopMode::crash);
  ASSERT_TRUE(inner_->remove(segment(before)));
  start();
  const auto error = settle();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::conflict);
  EXPECT_NE(error->message().find("was rolled back"), std::string::npos) << error->message();
}

TEST_F(ListsLate, LookingCostsOneRequestWhenTheListingIsWhole) {
  begin(5);
  stop(StopMode::crash);
  hiding_->reset();
  start();
  must_settle();
  EXPECT_EQ(hiding_->counts().of(Operation::head).calls, 1u);
  must_commit();  // and the summary
  hiding_->reset();
  must_commit();
  EXPECT_EQ(hiding_->counts().of(Operation::put_new).calls, 1u);
  EXPECT_EQ(hiding_->counts().total().calls, 1u);
}

}  // namespace
}  // namespace cairn
