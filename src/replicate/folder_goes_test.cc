// The folder that a replica lies in goes from under a replicator, at every moment that it can go at, and comes back:
// what is put meanwhile lands in the place that is left, and stays there, and none of that may count. As a file system
// that is unmounted and mounted again does.
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "restore/head.h"
#include "segment/keys.h"
#include "store/around.h"
#include "store/directory_store.h"
#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;

constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();

// A store in a folder that goes before one request, and is back before another.
class GoingStore final : public StoreAround<GoingStore> {
 public:
  GoingStore(std::unique_ptr<Store> inner, std::filesystem::path folder)
      : inner_(std::move(inner)), folder_(std::move(folder)), elsewhere_(folder_.string() + ".elsewhere"),
        below_(folder_.string() + ".below") {
    std::filesystem::create_directories(below_);
  }

  void go_before(std::uint64_t request, std::uint64_t requests_away) {
    requests_ = 0;
    goes_at_ = request;
    is_back_at_ = requests_away == kNever ? kNever : request + requests_away;
  }
  void go() {
    std::filesystem::rename(folder_, elsewhere_);
    std::filesystem::rename(below_, folder_);
  }
  void come_back() {
    if (!std::filesystem::exists(elsewhere_)) return;
    std::filesystem::rename(folder_, below_);
    std::filesystem::rename(elsewhere_, folder_);
  }
  std::uint64_t requests() const { return requests_; }

  Result<void> remove(std::string_view key) override {
    ++removed;
    return keeps_all ? Error(ErrorKind::io, "it cannot be removed") : StoreAround::remove(key);
  }
  bool keeps_all = false;
  bool goes_at_put = false;  // once
  std::uint64_t removed = 0;
  std::uint64_t look_fails_at = kNever;  // the next look from this request on, as on a network that is in trouble
  std::function<void()> meanwhile;  // once, at this request
  std::uint64_t meanwhile_at = 0;

  Store& inner() const { return *inner_; }
  template <class Call>
  auto around(const StoreCall& what, const Call& call) -> decltype(call()) {
    const bool puts = what.operation == Operation::put_new || what.operation == Operation::put_if;
    if (!puts && requests_ >= look_fails_at) {
      look_fails_at = kNever;
      return Error(ErrorKind::retry_later, "it cannot be looked at");
    }
    if (requests_ == goes_at_ || (puts && std::exchange(goes_at_put, false))) go();
    if (requests_ == is_back_at_) come_back();
    if (++requests_ == meanwhile_at && meanwhile) std::exchange(meanwhile, {})();
    return call();
  }

 private:
  const std::unique_ptr<Store> inner_;
  const std::filesystem::path folder_, elsewhere_, below_;  // what lies in the place when it is away
  std::uint64_t requests_ = 0, goes_at_ = kNever, is_back_at_ = kNever;
};

class FolderGoes : public ReplicatorTest {
 public:
  FolderGoes() {
    std::filesystem::create_directories(dir_ / "mount");
    auto inner = make_directory_store((dir_ / "mount").string(), StoreUse::publishing);
    EXPECT_TRUE(inner);
    auto going = std::make_unique<GoingStore>(std::move(*inner), dir_ / "mount");
    going_ = going.get();
    store_ = std::move(going);
  }

  // A commit and a snapshot, and what comes of them, however often the folder can go meanwhile.
  void goes_at_every_moment(std::uint64_t requests_away, std::uint64_t part_bytes = ReplicatorOptions().part_bytes) {
    make_database();
    auto with_parts = options();
    with_parts.part_bytes = part_bytes;
    start(with_parts);
    must_settle();
    App app(db_path_);
    std::uint64_t moments = 0;
    for (std::uint64_t at = 0; at < 200; ++at) {
      SCOPED_TRACE(at);
      const Sequence before(replicator_->status().published_sequence);
      app.must(fill(3));
      replicator_->request_snapshot();
      going_->go_before(at, requests_away);
      for (int i = 0; i < 50; ++i) {
        const auto error = turn();
        ASSERT_FALSE(error) << error->message();
      }
      const bool went = going_->requests() > at;
      going_->go_before(kNever, kNever);
      going_->come_back();
      now_.mono_us += 60'000'000;  // it had been told to wait
      expect_replica_is_current();
      EXPECT_GT(newest_snapshot(), before) << "the one that was asked for";
      ASSERT_FALSE(HasFailure());
      if (!went) break;
      ++moments;
    }
    EXPECT_GE(moments, 8u);
    EXPECT_LT(moments, 200u);
  }

  void start_merging() {
    auto merging = options();
    merging.level_windows_ms = {1'000, 10'000, 60'000};
    merging.replaced_grace_ms = 100'000;
    start(merging);
    must_settle();
  }
  // Merged while nobody wrote: then neither the newest segment nor a name that ends there has to be left.
  void merge_newest_away(App& app) {
    for (int i = 0; i < 6; ++i) {
      app.must(fill(3));
      must_settle();
    }
    const auto newest = segment::segment_key("app", Sequence(replicator_->status().published_sequence));
    for (int i = 0; i < 1000 && store_->head(newest); ++i) {
      now_.mono_us += 1'000'000;
      now_.wall_ms += 1'000;
      (void)replicator_->upkeep_step(now_);
      if (i % 50 == 0) {
        ASSERT_FALSE(turn());
      }
    }
    ASSERT_FALSE(store_->head(newest)) << "it was not removed";
  }

  // The first from this request on. False: there were fewer.
  bool catches_up_though_a_look_fails(std::uint64_t at) {
    going_->go_before(kNever, kNever);  // they are counted from here
    going_->look_fails_at = at;
    for (int i = 0; i < 50; ++i) EXPECT_FALSE(turn());
    const bool has_failed = going_->look_fails_at == kNever;
    going_->look_fails_at = kNever;
    now_.mono_us += 60'000'000;  // it had been told to wait
    expect_replica_is_current();
    return has_failed;
  }

  // Each look that there is after `prepare` fails once, and nothing is removed for it.
  void each_look_may_fail(std::uint64_t least, const std::function<void()>& prepare) {
    for (std::uint64_t at = 0; at < 200; ++at) {
      SCOPED_TRACE(at);
      ASSERT_NO_FATAL_FAILURE(prepare());
      const std::uint64_t removed = going_->removed;
      const bool has_failed = catches_up_though_a_look_fails(at);
      ASSERT_EQ(going_->removed, removed);
      if (has_failed) continue;
      EXPECT_GE(at, least) << "there were so few";
      return;
    }
    FAIL() << "there was no end of them";
  }

  // Of another database, with another history, and of the same name.
  void another_replica_lies_in_its_place(int commits) {
    const std::string path = (dir_ / "other.db").string();
    App other(path);
    other.must("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
    auto store = make_directory_store((dir_ / "mount.below").string(), StoreUse::publishing);
    auto its = options();
    its.database = path;
    its.state_directory = (dir_ / "other-state").string();
    auto opened = Replicator::open(**store, *files_, executor_, random_, its);
    ASSERT_TRUE(opened) << opened.error().message();
    std::swap(replicator_, *opened);
    must_settle();
    for (int i = 0; i < commits; ++i) {
      other.must(fill(3));
      must_settle();
    }
    stop();
  }
  // The objects in the place that the folder leaves, each with its etag.
  std::vector<std::string> left_in_its_place() {
    auto store = make_directory_store((dir_ / "mount.below").string(), StoreUse::reading);
    std::vector<std::string> objects;
    const auto page = (*store)->list("");
    EXPECT_TRUE(page);
    for (const ObjectInfo& object : page->objects) objects.push_back(object.key + " " + object.etag);
    return objects;
  }

  Sequence newest_snapshot() {
    const auto head = restore::read_head(*store_, "app");
    EXPECT_TRUE(head && head->has_snapshot);
    return head ? head->newest_snapshot : Sequence();
  }

  GoingStore* going_ = nullptr;
};

TEST_F(FolderGoes, WhatAnEarlierPutHasLeftInItsPlaceIsNotThePredecessor) {
  follow_new_database();
  App app(db_path_);
  app.must(fill(3));
  must_settle();
  stop();
  start();
  must_settle();
  app.must(fill(3));
  // Its removal from the place that is left does not come to pass.
  going_->keeps_all = true;
  going_->goes_at_put = true;  // between the look and the put, which are one for the next
  for (int i = 0; i < 5; ++i) ASSERT_FALSE(turn());
  ASSERT_FALSE(going_->goes_at_put);
  going_->come_back();
  now_.mono_us += 60'000'000;
  must_settle();
  const auto published = replicator_->status().published_sequence;
  ASSERT_EQ(published, 2u);
  going_->go();
  ASSERT_TRUE(store_->head(segment::segment_key("app", Sequence(published)))) << "none was left";
  app.must(fill(3));
  for (int i = 0; i < 50; ++i) ASSERT_FALSE(turn());
  EXPECT_EQ(replicator_->status().published_sequence, published);
  EXPECT_NE(replicator_->status().store_trouble.find("any more"), std::string::npos);
  going_->come_back();
  now_.mono_us += 60'000'000;
  expect_replica_is_current();
}

// That it cannot be looked at says nothing of where it is. What was put stays: others may rest on it already.
TEST_F(FolderGoes, WhatCannotBeLookedAtHasNotGone) {
  follow_new_database();
  App app(db_path_);
  each_look_may_fail(8, [&] {
    app.must(fill(3));
    replicator_->request_snapshot();
  });
  EXPECT_EQ(going_->removed, 0u);
}

TEST_F(FolderGoes, WhatWasMergedAndCannotBeLookedAtHasNotGoneEither) {
  make_database();
  start_merging();
  App app(db_path_);
  each_look_may_fail(10, [&] {
    ASSERT_NO_FATAL_FAILURE(merge_newest_away(app));
    app.must(fill(3));
  });
}

TEST_F(FolderGoes, ANewestSegmentThatWasMergedHasNotGone) {
  make_database();
  start_merging();
  App app(db_path_);
  ASSERT_NO_FATAL_FAILURE(merge_newest_away(app));
  app.must(fill(3));
  expect_replica_is_current();
  replicator_->request_snapshot();
  app.must(fill(3));
  expect_replica_is_current();
  stop(StopMode::crash);
  start_merging();
  app.must(fill(3));
  expect_replica_is_current();
}

// metadata.json is a summary to a person, who may have removed it; without it what is there could be what was left.
TEST_F(FolderGoes, AClaimThatAPersonHasRemovedIsThereAgainAfterAStart) {
  make_database();
  start();
  must_settle();
  ASSERT_TRUE(store_->remove(segment::metadata_key("app")));
  App app(db_path_);
  app.must(fill(3));
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(turn());
  stop(StopMode::crash);
  start();
  now_.mono_us += 60'000'000;
  expect_replica_is_current();
  EXPECT_TRUE(store_->head(segment::metadata_key("app")));
}

// Killed between its claim and its first snapshot, and started while the folder was away: its claim in the place that
// is left is as good as that in the folder.
TEST_F(FolderGoes, NoSegmentIsPutBesideAClaimWhoseFirstSnapshotLiesElsewhere) {
  make_database();
  start();
  while (!store_->head(segment::metadata_key("app"))) ASSERT_TRUE(replicator_->publish_step(now_));
  stop(StopMode::crash);
  going_->go();
  start();
  must_settle();
  going_->come_back();
  App app(db_path_);
  app.must(fill(3));
  for (int i = 0; i < 50; ++i) ASSERT_FALSE(turn());
  EXPECT_EQ(replicator_->status().published_sequence, 0u);
  EXPECT_NE(replicator_->status().store_trouble.find("the first snapshot is not in"), std::string::npos)
      << replicator_->status().store_trouble;
  EXPECT_FALSE(store_->head(segment::segment_key("app", Sequence(1))));
  stop();
  start();
  app.must(fill(3));
  expect_replica_is_current();
}

// It has not gone: that another writer has taken the history over is a refusal, whatever was published from here.
TEST_F(FolderGoes, WhatAnotherWriterHasGoneOnWithHasNotGone) {
  make_database();
  start();
  must_settle();
  App app(db_path_);
  for (int round = 0; round < 2; ++round) {
    const std::string copy = (dir_ / "copy.db").string();
    app.must("PRAGMA wal_checkpoint(TRUNCATE)");
    std::filesystem::copy_file(db_path_, copy, std::filesystem::copy_options::overwrite_existing);
    auto first = std::move(replicator_);
    auto its = options();
    its.database = copy;
    its.state_directory = (dir_ / "copy-state").string();
    std::filesystem::remove_all(its.state_directory);
    its.adopt = Adopt::local;
    start(its);
    must_settle();
    App(copy).must(fill(3));
    must_settle();
    stop();
    replicator_ = std::move(first);
    app.must(fill(2));
    const auto error = settle();
    ASSERT_TRUE(error) << round;
    EXPECT_EQ(error->kind(), ErrorKind::conflict) << round << ": " << error->message();
    stop(StopMode::crash);
    auto ours = options();
    ours.adopt = Adopt::local;
    start(ours);
    expect_replica_is_current();
    ASSERT_GT(replicator_->status().published_sequence, 0u);
  }
}

// A snapshot is looked after by another thread than segments: what is published between two of its requests is ours.
TEST_F(FolderGoes, WhatIsPublishedWhileASnapshotIsLookedForIsOurs) {
  make_database();
  start();
  must_settle();
  App app(db_path_);
  std::uint64_t moments = 0;
  for (std::uint64_t at = 1; at < 200; ++at) {
    SCOPED_TRACE(at);
    stop(StopMode::crash);
    std::filesystem::remove_all(dir_ / "mount/app");
    std::filesystem::remove_all(dir_ / "state");
    start();
    must_settle();
    replicator_->request_snapshot();  // of sequence 0, which makes the check go the long way
    going_->go_before(kNever, kNever);
    going_->meanwhile_at = at;
    going_->meanwhile = [&] {
      for (int i = 0; i < 2; ++i) {
        app.must(fill(1));
        now_.mono_us += 20'000;
        ASSERT_TRUE(replicator_->capture_step(now_));
        ASSERT_TRUE(replicator_->publish_step(now_));
      }
    };
    for (int i = 0; i < 30; ++i) {
      now_.mono_us += 20'000;
      ASSERT_TRUE(replicator_->capture_step(now_));
      const auto done = replicator_->snapshot_step(now_);
      ASSERT_TRUE(done) << done.error().message();
    }
    const bool was_meanwhile = !going_->meanwhile;
    going_->meanwhile = {};
    EXPECT_EQ(replicator_->status().store_trouble, "");
    EXPECT_EQ(replicator_->status().snapshots_published, 2u) << "none was thrown away";
    ASSERT_FALSE(HasFailure());
    if (!was_meanwhile) break;
    EXPECT_EQ(replicator_->status().published_sequence, 2u);
    ++moments;
  }
  EXPECT_GE(moments, 5u);
}

TEST_F(FolderGoes, ADamagedFirstSnapshotIsThere) {
  follow_new_database();
  const auto page = store_->list("app/snapshots/");
  ASSERT_TRUE(page && page->objects.size() == 1);
  std::filesystem::resize_file(dir_ / "mount" / page->objects[0].key, page->objects[0].size_bytes / 2);
  App app(db_path_);
  app.must(fill(3));
  must_settle();
  EXPECT_EQ(replicator_->status().published_sequence, 1u);
}

TEST_F(FolderGoes, WhatIsLeftWithoutItsClaimIsClaimedByWhoAdoptsIt) {
  follow_new_database();
  App app(db_path_);
  app.must(fill(3));
  must_settle();
  stop(StopMode::crash);
  std::filesystem::remove_all(dir_ / "mount/app/snapshots");
  std::filesystem::remove(dir_ / "mount/app/metadata.json");
  auto adopting = options();
  adopting.adopt = Adopt::local;
  start(adopting);
  app.must(fill(3));
  expect_replica_is_current();
}

TEST_F(FolderGoes, AndAnotherReplicaIsInItsPlaceAndStaysAsItWas) {
  another_replica_lies_in_its_place(5);
  const auto were = left_in_its_place();
  goes_at_every_moment(kNever);
  EXPECT_EQ(left_in_its_place(), were);
}

TEST_F(FolderGoes, AndIsBackLater) { goes_at_every_moment(kNever); }
TEST_F(FolderGoes, AndIsBackAtTheNextRequest) { goes_at_every_moment(1); }
TEST_F(FolderGoes, AndIsBackAtTheOneAfter) { goes_at_every_moment(2); }
TEST_F(FolderGoes, WhileTheSnapshotIsSentInParts) { goes_at_every_moment(kNever, 16 << 10); }
TEST_F(FolderGoes, ForAMomentWhileTheSnapshotIsSentInParts) { goes_at_every_moment(1, 16 << 10); }

}  // namespace
}  // namespace cairn
