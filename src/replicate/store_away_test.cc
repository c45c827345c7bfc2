// Capture while the store has not answered yet: what is committed meanwhile becomes part of the replica, and what the
// store says in the end decides.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <utility>

#include "segment/keys.h"
#include "store/counting.h"
#include "store/faulty.h"
#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;
namespace fs = std::filesystem;

// Something happens while the store is at work on a put, once.
class DuringPut final : public CountingStore {
 public:
  DuringPut(Store& inner, std::string key) : CountingStore(inner), key_(std::move(key)) {}
  Result<std::string> put_new(std::string_view key, const Source& body) override {
    if (key == key_ && work) std::exchange(work, nullptr)();
    return CountingStore::put_new(key, body);
  }
  std::function<void()> work;

 private:
  const std::string key_;
};

// A store that is away when replication begins, and comes back.
class StoreAway : public ReplicatorTest {
 public:
  StoreAway() : inner_(std::move(store_)) { store_ = make_faulty_store(*inner_, plan_, chance_); }
  ~StoreAway() override {
    replicator_.reset();
    store_ = std::move(inner_);
  }
  void away() { plan_.set_all({.before = 1000, .after = 0, .lost = 0, .denied = 0}); }
  void back() { plan_ = FaultPlan{}; }
  // Some seconds of turns.
  void wait() {
    for (int i = 0; i < 150; ++i) {
      const auto error = turn();
      ASSERT_FALSE(error) << error->message();
    }
  }
  std::size_t objects() { return inner_->list("")->objects.size(); }
  // Commits one by one, each with the turns that capture it; what the database was after each.
  std::vector<std::string> commit_and_capture(App& app, int commits) {
    std::vector<std::string> states;
    for (int i = 0; i < commits; ++i) {
      app.must(fill(3 + i));
      for (int turns = 0; turns < 10; ++turns) EXPECT_FALSE(turn());
      states.push_back(committed());
    }
    return states;
  }
  // Each of them is a restore point, in this order, the last one the newest.
  void expect_restore_points(const std::vector<std::string>& states) {
    const std::uint64_t newest = replicator_->status().published_sequence;
    ASSERT_GE(newest + 1, states.size());
    for (std::size_t i = 0; i < states.size(); ++i) {
      RestoreTarget target;
      target.sequence = newest + 1 - states.size() + i;
      EXPECT_TRUE(restored(target) == states[i]) << "sequence " << *target.sequence;
    }
  }

  FaultPlan plan_;
  SeededRandom chance_{11};
  std::unique_ptr<Store> inner_;
};

TEST_F(StoreAway, AfterARestartEachCommitGoesIntoTheSpoolAndBecomesARestorePoint) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  stop(StopMode::crash);
  const std::size_t before = objects();
  away();
  start();
  wait();
  EXPECT_EQ(replicator_->status().phase, Phase::attaching);
  EXPECT_FALSE(replicator_->status().store_trouble.empty());
  const auto states = commit_and_capture(app, 5);
  const auto status = replicator_->status();
  EXPECT_EQ(status.spool_segments, 5u);
  EXPECT_EQ(status.captured_sequence, 5u);
  EXPECT_FALSE(status.settled);
  EXPECT_EQ(objects(), before);
  back();
  must_settle();
  EXPECT_EQ(replicator_->status().published_sequence, 5u);
  EXPECT_EQ(replicator_->status().spool_segments, 0u);
  expect_restore_points(states);
  expect_replica_is_current();
}

// A disk that loses what it was given before it was synced, and has said so to nobody who asked again.
TEST_F(StoreAway, WhatTheDiskHasLostOfTheSpoolIsNotPublished) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  away();
  const auto states = commit_and_capture(app, 2);
  const std::size_t before = objects();
  const std::string lost = options().state_directory + "/spool/00000000000000000002.wal.zst";
  ASSERT_TRUE(fs::exists(lost));
  (*files_->open(lost, OpenMode::write))->write_at(300, Bytes(100)).value();
  back();
  std::optional<Error> error;
  for (int i = 0; i < 300 && !error; ++i) error = turn();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::corrupt);
  EXPECT_EQ(objects(), before + 1);  // the first of the two
  stop(StopMode::crash);
  start();  // the database has it still
  must_settle();
  EXPECT_EQ(replicator_->status().published_sequence, 2u);
  expect_restore_points(states);
  expect_replica_is_current();
}

TEST_F(StoreAway, AtTheVeryFirstStartTheSnapshotIsOfTheBeginningAndEachCommitFollows) {
  make_database();
  App app(db_path_);
  const std::string at_start = committed();
  away();
  start();
  wait();
  EXPECT_NE(replicator_->status().hold, "none");
  auto states = commit_and_capture(app, 4);
  EXPECT_EQ(objects(), 0u);
  back();
  must_settle();
  states.insert(states.begin(), at_start);
  expect_restore_points(states);
  expect_replica_is_current();
}

// One that is larger than what waits in memory to be uploaded: the rest of it is read when there is a store.
TEST_F(StoreAway, ALargeFirstSnapshotWaitsAndCommitsGoOn) {
  make_database();
  App app(db_path_);
  app.must(fill(150'000));
  const std::string at_start = committed();
  away();
  auto o = options();
  start(o);
  wait();
  const auto waiting = replicator_->status();
  ASSERT_GT(waiting.snapshot_pages_total, waiting.snapshot_pages_done) << "not large enough to show anything";
  auto states = commit_and_capture(app, 3);
  EXPECT_EQ(app.run("PRAGMA wal_checkpoint(TRUNCATE)"), SQLITE_OK);
  back();
  must_settle();
  states.insert(states.begin(), at_start);
  expect_restore_points(states);
  expect_replica_is_current();
}

// The threads do not wait for each other: while one asks the store whether what was presumed is so, the other finds
// that too many pages wait for the first snapshot, and would rather begin it when the store has been asked.
TEST_F(StoreAway, WhatIsBeingConfirmedIsNotLetGoOf) {
  make_database();
  App app(db_path_);
  app.must(fill(150'000));
  away();
  auto o = options();
  o.spool_limit_bytes = 100'000;
  DuringPut during(*inner_, segment::metadata_key("app"));
  store_ = make_faulty_store(during, plan_, chance_);
  start(o);
  wait();
  const auto waiting = replicator_->status();
  ASSERT_GT(waiting.snapshot_pages_total, waiting.snapshot_pages_done) << "not large enough to show anything";
  during.work = [&] {
    app.must("UPDATE t SET v = hex(randomblob(200)) WHERE id > 100000");
    for (int i = 0; i < 20; ++i) {
      now_.mono_us += 20'000;
      ASSERT_TRUE(replicator_->capture_step(now_));
    }
    EXPECT_EQ(app.run("PRAGMA wal_checkpoint(TRUNCATE)"), SQLITE_OK);
  };
  back();
  expect_replica_is_current();
  EXPECT_FALSE(during.work) << "nothing was put";
}

TEST_F(StoreAway, KilledAndStartedAgainItGoesOn) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  stop();
  away();
  start();
  wait();
  auto states = commit_and_capture(app, 2);
  stop(StopMode::crash);
  start();
  wait();
  for (std::string& state : commit_and_capture(app, 2)) states.push_back(std::move(state));
  EXPECT_EQ(replicator_->status().spool_segments, 4u);
  back();
  must_settle();
  expect_restore_points(states);
  expect_replica_is_current();
}

TEST_F(StoreAway, KilledInItsFirstStartItBeginsAnew) {
  make_database();
  App app(db_path_);
  away();
  start();
  wait();
  commit_and_capture(app, 2);
  stop(StopMode::crash);
  start();
  wait();
  commit_and_capture(app, 2);
  back();
  expect_replica_is_current();
}

// The put before the kill had arrived: the store is one segment further than is known here, the one that the spool
// begins with.
TEST_F(StoreAway, WhatArrivedBeforeTheKillIsNotPublishedTwice) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  plan_.set_all({.before = 1000, .after = 0, .lost = 0, .denied = 0});
  plan_.of(Operation::put_new) = {.before = 0, .after = 1000, .lost = 0, .denied = 0};
  app.must(fill(7));
  for (int i = 0; i < 200 && !inner_->head(segment::segment_key("app", Sequence(1))); ++i) ASSERT_FALSE(turn());
  ASSERT_TRUE(inner_->head(segment::segment_key("app", Sequence(1))));
  const std::string first = committed();
  stop(StopMode::crash);
  away();
  start();
  wait();
  auto states = commit_and_capture(app, 2);
  back();
  must_settle();
  states.insert(states.begin(), first);
  expect_restore_points(states);
  expect_replica_is_current();
}

TEST_F(StoreAway, AnotherWriterWasThereMeanwhileAndThisOneIsRefused) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  stop();
  app.must("PRAGMA wal_checkpoint(TRUNCATE)");
  const std::string other_path = (dir_ / "other.db").string();
  fs::copy_file(db_path_, other_path);
  away();
  start();
  wait();
  commit_and_capture(app, 3);
  auto here = std::move(replicator_);
  back();
  auto o = options();
  o.database = other_path;
  o.state_directory = (dir_ / "state2").string();
  start(o);
  must_settle();
  App other(other_path);
  other.must(fill(2));
  must_settle();
  const std::size_t before = objects();
  const std::string state = restored();
  auto there = std::move(replicator_);
  replicator_ = std::move(here);
  const auto error = settle();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::conflict);
  EXPECT_EQ(objects(), before);
  EXPECT_TRUE(restored() == state);
  there->close(StopMode::tidy);
}

// Another one had begun the replica before: what was presumed here is thrown away, and the database is compared.
TEST_F(StoreAway, WithoutALocalStateTheReplicaThatIsThereDecides) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  app.must(fill(4));
  must_settle();
  stop();
  const std::size_t before = objects();
  fs::remove_all(dir_ / "state");
  away();
  start();
  wait();
  back();
  must_settle();  // equal: it is followed
  EXPECT_EQ(objects(), before);
  commit_and_capture(app, 1);
  expect_replica_is_current();
  stop();

  fs::remove_all(dir_ / "state");
  const std::size_t after = objects();
  away();
  start();
  wait();
  commit_and_capture(app, 2);
  back();
  const auto error = settle();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::conflict);
  EXPECT_EQ(objects(), after);
}

// Past the limit the WAL keeps what is committed, and nothing is lost.
TEST_F(StoreAway, PastTheLimitOfTheSpoolTheWalIsHeld) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  stop();
  away();
  auto o = options();
  o.spool_limit_bytes = 60'000;
  start(o);
  wait();
  for (int i = 0; i < 40; ++i) commit_and_capture(app, 1);
  const auto status = replicator_->status();
  EXPECT_LT(status.spool_bytes, 120'000u);
  EXPECT_GT(status.spool_bytes, 0u);
  EXPECT_EQ(status.hold, "pin");
  EXPECT_LT(status.captured_sequence, 40u);
  EXPECT_GT(status.wal_frames, 40u);
  back();
  expect_replica_is_current();
}

// The same of all that share a spool; but one of which nothing waits goes on, since its own store may be well.
TEST_F(StoreAway, PastTheLimitOfAllSpoolsOnlyWhoWaitsIsHeld) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  stop();
  away();
  SharedSpool shared({.size_bytes = 60'000, .drain_bytes_per_s = 0});
  auto o = options();
  o.shared_spool = &shared;
  start(o);
  wait();
  for (int i = 0; i < 40; ++i) commit_and_capture(app, 1);
  const auto status = replicator_->status();
  EXPECT_EQ(shared.size_bytes(), status.spool_bytes);
  EXPECT_GE(status.spool_bytes, 60'000u);
  EXPECT_LT(status.spool_bytes, 120'000u);
  EXPECT_EQ(status.hold, "pin");
  EXPECT_GT(status.wal_frames, 40u);
  back();
  must_settle();
  EXPECT_EQ(shared.size_bytes(), 0u);
  shared.grow(1'000'000);  // of others
  away();
  const std::uint64_t captured = replicator_->status().captured_sequence;
  commit_and_capture(app, 3);
  EXPECT_EQ(replicator_->status().captured_sequence, captured + 1) << "the second one waits behind the first";
  back();
  expect_replica_is_current();
  stop(StopMode::crash);
  EXPECT_EQ(shared.size_bytes(), 1'000'000u) << "what is closed holds nothing";
}

TEST_F(StoreAway, TheLongerTheStoreIsAwayTheMoreGoesIntoASegment) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  away();
  for (int second = 0; second < 3600; ++second) {
    app.must("INSERT INTO t(v) VALUES ('one more')");
    now_.mono_us += 1'000'000;
    now_.wall_ms += 1'000;
    ASSERT_FALSE(turn());
  }
  const auto status = replicator_->status();
  EXPECT_GT(status.spool_segments, 60u);   // 20 while they last a second, then as the logarithm of the time
  EXPECT_LT(status.spool_segments, 200u);
  back();
  must_settle();
  const std::uint64_t before = replicator_->status().captured_sequence;
  for (int i = 0; i < 3; ++i) commit_and_capture(app, 1);
  must_settle();
  EXPECT_GE(replicator_->status().captured_sequence, before + 3) << "with the store back a segment is short again";
  expect_replica_is_current();
}

// When the store is back, what has waited is put in order, and no faster than it was said.
TEST_F(StoreAway, WhatHasWaitedIsPutAtTheRateThatWasSaid) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  stop();
  away();
  SharedSpool shared({.size_bytes = 1 << 30, .drain_bytes_per_s = 1000});
  auto o = options();
  o.shared_spool = &shared;
  start(o);
  wait();
  const auto states = commit_and_capture(app, 5);
  const auto waiting = replicator_->status();
  ASSERT_EQ(waiting.spool_segments, 5u);
  back();
  const std::int64_t begun_us = now_.mono_us;
  must_settle();
  const auto last = static_cast<std::int64_t>(waiting.spool_bytes / 5);
  EXPECT_GE(now_.mono_us - begun_us, (static_cast<std::int64_t>(waiting.spool_bytes) - 2 * last) * 1000);
  expect_restore_points(states);
  expect_replica_is_current();
  stop();  // while there is `shared`
}

TEST_F(StoreAway, ARollbackDatabaseIsNotSwitchedBeforeTheStoreHasBeenAsked) {
  {
    App app(db_path_);
    app.must("PRAGMA journal_mode=DELETE; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); " + fill(10));
  }
  away();
  start();
  wait();
  EXPECT_EQ(App(db_path_).ask("PRAGMA journal_mode"), "delete");
  back();
  must_settle();
  EXPECT_EQ(App(db_path_).ask("PRAGMA journal_mode"), "wal");
  expect_replica_is_current();
}

// The state directory knows an earlier history, and a person has decided for the local database.
TEST_F(StoreAway, AdoptingWaitsForTheStore) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  stop();
  app.must("PRAGMA wal_checkpoint(TRUNCATE)");
  const std::string other_path = (dir_ / "other.db").string();
  fs::copy_file(db_path_, other_path);
  auto o = options();
  o.database = other_path;
  o.state_directory = (dir_ / "state2").string();
  start(o);
  must_settle();
  {
    App other(other_path);
    other.must(fill(2));
    must_settle();
  }
  stop();
  away();
  auto adopting = options();
  adopting.adopt = Adopt::local;
  start(adopting);
  wait();
  commit_and_capture(app, 2);
  back();
  must_settle();
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().published_sequence, 2u) << "one of the other writer's, and the difference";
}

}  // namespace
}  // namespace cairn
