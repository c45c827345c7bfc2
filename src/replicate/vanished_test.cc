// A bucket that is emptied, or whose replica is deleted, under a running replicator: where looking is a request,
// nothing is asked before each put, and the claim that is looked at every five minutes tells.
#include <gtest/gtest.h>

#include <filesystem>

#include "replicate/claim.h"
#include "restore/head.h"
#include "segment/keys.h"
#include "segment/test_objects.h"
#include "store/counting.h"
#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;

constexpr std::int64_t kMinutes_us = 60'000'000;

// A store that finds some objects late: as if they were not there, so many times.
class LateStore final : public CountingStore {
 public:
  using CountingStore::CountingStore;
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    if (key == late_key && late > 0) {
      --late;
      return Error(ErrorKind::not_found, std::string(key) + " is late");
    }
    return CountingStore::get(key, offset, length);
  }
  Result<ListPage> list(std::string_view prefix, std::string_view start_after, int limit) override {
    auto page = CountingStore::list(prefix, start_after, limit);
    if (page) std::erase_if(page->objects, [&](const ObjectInfo& object) { return object.key >= unlisted_from; });
    return page;
  }
  std::string late_key;
  int late = 0;
  std::string unlisted_from = "~";
};

class Vanished : public ReplicatorTest {
 public:
  Vanished() : inner_(std::move(store_)) {
    auto late = std::make_unique<LateStore>(*inner_);
    late_ = late.get();
    store_ = std::move(late);
  }
  ~Vanished() override {
    replicator_.reset();
    store_ = std::move(inner_);
  }

  void begin() {
    make_database();
    app_ = std::make_unique<App>(db_path_);
    start();
    must_settle();
    must_commit();
  }
  // A commit, and what comes of it until it is published.
  std::optional<Error> commit() {
    app_->must(fill(3));
    return settle();
  }
  void start_adopting() {
    auto adopting = options();
    adopting.adopt = Adopt::local;
    start(adopting);
  }
  void must_commit() {
    const auto error = commit();
    ASSERT_FALSE(error) << error->message();
  }
  void publish_without_a_snapshot(std::uint64_t after) {
    for (int i = 0; i < 1000 && replicator_->status().published_sequence <= after; ++i) {
      now_.mono_us += 20'000;
      ASSERT_TRUE(replicator_->capture_step(now_));
      ASSERT_TRUE(replicator_->publish_step(now_));
    }
    ASSERT_EQ(replicator_->status().published_sequence, after + 1);
    ASSERT_EQ(replicator_->status().snapshots_published, 0u);
    EXPECT_FALSE(replicator_->status().has_snapshot) << "none that leads to it";
    EXPECT_FALSE(replicator_->status().settled);
  }
  // So that the newest object but one is of no use, and nothing here knows the pages of the newest.
  void damage_what_leads_to(std::uint64_t newest) {
    std::filesystem::remove(options().state_directory + "/page_hashes");
    damaged_key_ = segment::segment_key("app", Sequence(newest - 1));
    whole_ = inner_->get(damaged_key_)->bytes;
    Bytes bytes = whole_;
    bytes[bytes.size() - 3] ^= std::byte{1};
    replace_damaged(bytes);
  }
  void replace_damaged(const Bytes& bytes) {
    ASSERT_TRUE(inner_->remove(damaged_key_));
    ASSERT_TRUE(inner_->put_new(damaged_key_, BytesSource(bytes)));
  }
  void heal() { replace_damaged(whole_); }
  void expect_refused_for_damage() {
    const auto refused = settle();
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->kind(), ErrorKind::corrupt) << refused->message();
    for (const std::string& what :
         {damaged_key_, std::string("cannot be restored without"), std::string("snapshot --whole")}) {
      EXPECT_NE(refused->message().find(what), std::string::npos) << refused->message();
    }
  }
  void pass(std::int64_t us) { now_.mono_us += us; }
  void remove_everything() {
    const auto page = inner_->list("");
    for (const ObjectInfo& object : page->objects) ASSERT_TRUE(inner_->remove(object.key));
  }
  bool has_claim() { return inner_->head(segment::metadata_key("app")).has_value(); }
  void expect_vanished(const std::optional<Error>& error) {
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::conflict) << error->message();
    EXPECT_NE(error->message().find("was it deleted"), std::string::npos) << error->message();
  }

  std::unique_ptr<Store> inner_;
  LateStore* late_ = nullptr;
  std::unique_ptr<App> app_;
  std::string damaged_key_;
  Bytes whole_;
};

TEST_F(Vanished, EndsTheReplicationAtTheSecondLookAndEachStartUntilAdopted) {
  begin();
  remove_everything();
  must_commit();  // not noticed: nothing is asked
  pass(5 * kMinutes_us);
  must_commit();  // the first look
  must_commit();  // which is not repeated at once
  pass(1 * kMinutes_us);
  expect_vanished(commit());
  stop();
  start();
  expect_vanished(settle());
  stop();
  start_adopting();
  expect_replica_is_current();
}

// The claim says what was published. It was, and nothing of it is left: who adopts begins anew, and what is the newest
// state then is taken for the newest.
TEST_F(Vanished, ButForTheClaimItBeginsAnewWhenAdoptedAndCanBeRestored) {
  begin();
  for (int i = 0; i < 3; ++i) must_commit();
  stop();
  const std::string claim = segment::metadata_key("app");
  ASSERT_GT((*replicate::read_claim(*inner_, "app"))->latest_wal_sequence, 2u);
  const auto page = inner_->list("");
  for (const ObjectInfo& object : page->objects) {
    if (object.key == claim) continue;
    ASSERT_TRUE(inner_->remove(object.key));
  }
  start();
  expect_vanished(settle());
  stop();
  start_adopting();
  must_settle();
  EXPECT_EQ((*replicate::read_claim(*inner_, "app"))->latest_wal_sequence, 0u);
  expect_replica_is_current();
}

// The store was rolled back, or what was published last is lost; but for the claim.
TEST_F(Vanished, WhatIsLeftIsGoneOnFromWhenAdoptedAndItsNewestStateCanBeRestored) {
  begin();
  for (int i = 0; i < 3; ++i) must_commit();
  stop();
  const std::uint64_t published = (*replicate::read_claim(*inner_, "app"))->latest_wal_sequence;
  for (std::uint64_t at = published; at > published - 2; --at) {
    ASSERT_TRUE(inner_->remove(segment::segment_key("app", Sequence(at))));
  }
  start();
  const auto refused = settle();
  ASSERT_TRUE(refused);
  EXPECT_NE(refused->message().find("rolled back"), std::string::npos) << refused->message();
  stop();
  start_adopting();
  must_settle();
  EXPECT_EQ(replicator_->status().published_sequence, published - 1);
  expect_replica_is_current();
}

// Nothing here tells the pages of the newest state, and nothing there does: it goes on only when that is asked for, and
// then all that follows can be restored.
TEST_F(Vanished, WhatOnlyDamageLeadsToIsGoneOnFromWhenThatIsAskedFor) {
  auto anew = options();
  for (const int which : {0, 1, 2, 3}) {
    SCOPED_TRACE(which);
    const bool adopts = which % 2 == 0, dies_before_the_snapshot = which >= 2;
    if (which == 0) begin();
    else start(anew);
    for (int i = 0; i < 3; ++i) must_commit();
    const std::uint64_t published = replicator_->status().published_sequence;
    stop();
    damage_what_leads_to(published);
    start();
    expect_refused_for_damage();
    stop();
    anew = options();
    if (adopts) anew.adopt = Adopt::local;
    else anew.copy_unchanged = CopyUnchanged::no;
    start(anew);
    if (dies_before_the_snapshot) {
      publish_without_a_snapshot(published);
      stop(StopMode::crash);
      start();
    }
    must_settle();
    EXPECT_GT(replicator_->status().published_sequence, published);
    EXPECT_TRUE(committed() == restored());
    must_commit();
    EXPECT_TRUE(committed() == restored());
    stop();
    anew = options();
  }
}

// Killed before anything came of it, and the damage repaired: nothing is owed any more, and nothing is sent again and
// again.
TEST_F(Vanished, WhatWasOwedBehindDamageIsNotOwedOnceItIsRepaired) {
  for (const bool loses_hashes : {true, false}) {
    SCOPED_TRACE(loses_hashes);
    auto anew = options();
    anew.copy_unchanged = CopyUnchanged::no;
    if (app_) start();
    else begin();
    for (int i = 0; i < 3; ++i) must_commit();
    const std::uint64_t published = replicator_->status().published_sequence;
    stop();
    damage_what_leads_to(published);
    start(anew);
    ASSERT_TRUE(replicator_->publish_step(now_));  // attached, and no more
    stop(StopMode::crash);
    heal();
    if (loses_hashes) std::filesystem::remove(options().state_directory + "/page_hashes");
    start();
    must_settle();
    EXPECT_LE(replicator_->status().snapshots_published, 1u);
    EXPECT_TRUE(committed() == restored());
    stop();
  }
}

// A database that equals the newest state is a reason to go on only if that can be restored.
TEST_F(Vanished, AnEqualDatabaseWithoutStateIsRefusedToo) {
  begin();
  for (int i = 0; i < 3; ++i) must_commit();
  const std::uint64_t published = replicator_->status().published_sequence;
  stop();
  damage_what_leads_to(published);
  std::filesystem::remove_all(options().state_directory);
  start();
  expect_refused_for_damage();
  stop();
  heal();
  start();
  must_settle();
  must_commit();
  EXPECT_TRUE(committed() == restored());
}

TEST_F(Vanished, IsNotWhatARemovedSummaryMeans) {
  begin();
  ASSERT_TRUE(inner_->remove(segment::metadata_key("app")));
  pass(5 * kMinutes_us);
  must_commit();
  EXPECT_FALSE(has_claim());
  pass(1 * kMinutes_us);
  must_commit();
  ASSERT_TRUE(has_claim()) << "it is put again";
  EXPECT_EQ((*replicate::read_claim(*inner_, "app"))->lineage.hex(), replicator_->status().lineage);
  pass(5 * kMinutes_us);
  must_commit();
  EXPECT_EQ((*replicate::read_claim(*inner_, "app"))->latest_wal_sequence, replicator_->status().published_sequence);
  expect_replica_is_current();
}

TEST_F(Vanished, IsNotWhatAStoreThatAnswersLateSays) {
  begin();
  late_->late_key = segment::metadata_key("app");
  late_->late = 1;
  pass(5 * kMinutes_us);
  must_commit();
  pass(1 * kMinutes_us);
  must_commit();
  ASSERT_EQ(late_->late, 0);
  // At both looks; and its listing lacks what was published since the first one.
  late_->late = 2;
  pass(5 * kMinutes_us);
  must_commit();
  late_->unlisted_from = segment::segment_key("app", Sequence(replicator_->status().published_sequence + 1));
  must_commit();
  pass(1 * kMinutes_us);
  must_commit();
  EXPECT_EQ(late_->late, 0);
  late_->unlisted_from = "~";
  expect_replica_is_current();
}

// What lies there now is another one's, and what is published from here lies between it.
TEST_F(Vanished, IsWhatWasEmptiedAndClaimedByAnotherOne) {
  begin();
  remove_everything();
  replicate::Claim claim;
  claim.lineage = Id128{{1, 2, 3}};
  ASSERT_TRUE(replicate::create_claim(*inner_, "app", claim));
  pass(5 * kMinutes_us);
  must_commit();
  pass(1 * kMinutes_us);
  expect_vanished(commit());
}

// No snapshot is there yet, because it is being uploaded: then segments alone are right.
TEST_F(Vanished, IsNotAFirstSnapshotThatIsUnderWay) {
  make_database();
  app_ = std::make_unique<App>(db_path_);
  app_->must(fill(3000));
  auto o = options();
  o.slice_bytes = 1;
  start(o);
  // Its steps are not called: it does not come to its end.
  const auto publish = [&]() -> std::optional<Error> {
    app_->must(fill(1));
    for (int i = 0; i < 50; ++i) {
      now_.mono_us += 20'000;
      for (auto step : {&Replicator::capture_step, &Replicator::publish_step}) {
        if (auto done = (replicator_.get()->*step)(now_); !done) return done.error();
      }
    }
    return std::nullopt;
  };
  for (int i = 0; i < 200 && replicator_->status().published_sequence == 0; ++i) ASSERT_FALSE(publish());
  ASSERT_GT(replicator_->status().published_sequence, 0u);
  ASSERT_FALSE(replicator_->status().has_snapshot);
  ASSERT_TRUE(inner_->remove(segment::metadata_key("app")));
  pass(5 * kMinutes_us);
  ASSERT_FALSE(publish());
  pass(1 * kMinutes_us);
  ASSERT_FALSE(publish());
  EXPECT_TRUE(has_claim());
  expect_replica_is_current();
}

// A machine slept; another writer took over, and what it published was merged since, so that the next number is free.
class Overtaken : public Vanished {
 public:
  void overtake() {
    const auto head = restore::read_head(*inner_, "app");
    ASSERT_TRUE(head);
    segment::ObjectHead theirs{segment::ObjectKind::squashed, head->footer.page_size, head->lineage, {},
                               head->newest.next(), Sequence(head->newest.value + 5), 0, 0,
                               head->footer.hash_after()};
    next_ = segment::segment_key("app", theirs.first);
    const auto object = segment::testing::write_runs(
        theirs, {segment::testing::made_run(head->footer.page_size, 3, 1, 1)}, executor_);
    ASSERT_TRUE(object) << object.error().message();
    const std::string key = segment::merged_key("app", 1, theirs.first, theirs.last);
    ASSERT_TRUE(inner_->put_new(key, BytesSource(*object)));
  }
  std::string next_;  // the key that this writer would put
};

TEST_F(Overtaken, AWriterThatComesBackAfterLongPutsNothing) {
  begin();
  overtake();
  now_.wall_ms += 30ll * 60 * 1000;  // the other clock stood still
  const auto error = commit();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::conflict) << error->message();
  EXPECT_NE(error->message().find("another writer has published"), std::string::npos) << error->message();
  EXPECT_FALSE(inner_->head(next_)) << "it put a segment all the same";
}

TEST_F(Overtaken, NothingIsAskedBetweenPutsThatAreNear) {
  begin();
  late_->reset();
  must_commit();
  EXPECT_EQ(late_->counts().of(Operation::list).calls, 0u);
  now_.wall_ms -= 30ll * 60 * 1000;
  must_commit();
  EXPECT_GT(late_->counts().of(Operation::list).calls, 0u) << "a clock that was set may hide a sleep";
}

}  // namespace
}  // namespace cairn
