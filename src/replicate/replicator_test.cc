// One Replicator, stepped by hand beside a real SQLite application: every state that it publishes is restored and
// compared with what SQLite itself says the database was.
#include "cairn/replicator.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <utility>

#include "segment/keys.h"
#include "store/counting.h"
#include "store/faulty.h"
#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::read_all;
using replicator_test::ReplicatorTest;
namespace fs = std::filesystem;

TEST_F(ReplicatorTest, FirstSnapshotThenEveryCommit) {
  make_database();
  App app(db_path_);
  start();
  expect_replica_is_current();
  for (int i = 0; i < 20; ++i) {
    app.must(fill(10));
    expect_replica_is_current();
  }
  EXPECT_EQ(replicator_->status().published_sequence, 20u);
}

TEST_F(ReplicatorTest, EveryPublishedStateRestoresByteForByte) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  std::vector<std::string> states{committed()};
  for (int i = 0; i < 10; ++i) {
    app.must(fill(5 * (i + 1)));
    must_settle();
    states.push_back(committed());
  }
  for (std::size_t i = 0; i < states.size(); ++i) {
    RestoreTarget target;
    target.sequence = i;
    EXPECT_TRUE(restored(target) == states[i]) << "sequence " << i;
  }
}

TEST_F(ReplicatorTest, NothingCommittedNothingPublished) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  const auto before = replicator_->status();
  for (int i = 0; i < 200; ++i) ASSERT_FALSE(turn());
  EXPECT_EQ(replicator_->status().published_sequence, before.published_sequence);
  EXPECT_EQ(replicator_->status().snapshots_published, 1u);
}

// Four threads that come when they are told to, for some minutes in which nobody writes.
TEST_F(ReplicatorTest, AnIdleDatabaseTakesFewStepsAndNoCalls) {
  make_database();
  auto counting = std::make_unique<CountingStore>(*store_);
  const std::unique_ptr<Store> inner = std::exchange(store_, nullptr);
  CountingStore& counts = *counting;
  store_ = std::move(counting);
  start();
  must_settle();
  counts.reset();
  const auto upkeep = [](Replicator& one, const Time& now) { return Result<Step>(one.upkeep_step(now)); };
  const std::vector<std::function<Result<Step>(Replicator&, const Time&)>> parts{
      std::mem_fn(&Replicator::capture_step), std::mem_fn(&Replicator::publish_step),
      std::mem_fn(&Replicator::snapshot_step), upkeep};
  std::vector<int> taken(parts.size());
  constexpr std::int64_t kMinutes = 4, kMinute_us = 60'000'000;
  for (std::size_t part = 0; part < parts.size(); ++part) {
    Time now = now_;
    while (now.mono_us < now_.mono_us + kMinutes * kMinute_us) {
      const auto step = parts[part](*replicator_, now);
      ASSERT_TRUE(step);
      ++taken[part];
      now.mono_us = std::max(step->next_us, now.mono_us + 1);
      now.wall_ms = now_.wall_ms + (now.mono_us - now_.mono_us) / 1000;
    }
  }
  EXPECT_LE(taken[0], 31 * kMinutes) << "capture";
  EXPECT_LE(taken[1], 2 * kMinutes) << "publish";
  EXPECT_LE(taken[2], 301 * kMinutes) << "snapshot";
  EXPECT_LE(taken[3], 61 * kMinutes) << "upkeep";
  EXPECT_EQ(counts.counts().total().calls, 0u);
  stop();
  store_.reset();  // before what it is around
}

// Z11 W7: the WAL restarts in place and its size does not change.
TEST_F(ReplicatorTest, Z11_RestartInPlaceIsFollowed) {
  make_database();
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=20");
  auto o = options();
  o.rollover_frames = 40;
  start(o);
  for (int i = 0; i < 120; ++i) {
    app.must(fill(8));
    ASSERT_FALSE(turn());
    if (i % 10 == 0) expect_replica_is_current();
  }
  expect_replica_is_current();
  EXPECT_GT(replicator_->status().wal_restarts, 3u);
  EXPECT_EQ(replicator_->status().reconciles, 0u);
}

TEST_F(ReplicatorTest, ForeignCheckpointsOfEveryMode) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  int step = 0;
  // An application's waiting checkpoint must find us moving aside.
  sqlite3_busy_handler(app.handle(), [](void* self, int) {
    auto* test = static_cast<ReplicatorTest*>(self);
    return test->turn_in_handler() ? 1 : 0;
  }, this);
  for (const char* mode : {"PASSIVE", "FULL", "RESTART", "TRUNCATE", "FULL", "TRUNCATE", "RESTART", "PASSIVE"}) {
    for (int i = 0; i < 5; ++i) {
      app.must(fill(3 + step++));
      if (i % 2) {
        ASSERT_FALSE(turn());
      }
      handler_calls_ = 0;
      EXPECT_EQ(app.ask(fmt::format("PRAGMA wal_checkpoint({})", mode)), "0") << mode << " " << i;
      EXPECT_LT(handler_calls_, 20) << mode;
    }
    expect_replica_is_current();
  }
  EXPECT_EQ(replicator_->status().reconciles, 0u);
}

TEST_F(ReplicatorTest, OurRollOverKeepsTheWalShort) {
  make_database();
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=0");
  auto o = options();
  o.rollover_frames = 50;
  start(o);
  must_settle();
  for (int i = 0; i < 200; ++i) {
    app.must(fill(5));
    ASSERT_FALSE(turn());
  }
  expect_replica_is_current();
  EXPECT_GT(replicator_->status().rollovers, 3u);
  EXPECT_GT(replicator_->status().wal_restarts, 3u);
  EXPECT_LT(fs::file_size(db_path_ + "-wal"), 1000u * 4096);
}

TEST_F(ReplicatorTest, VacuumThatShrinksAndGrowingAgain) {
  make_database();
  App app(db_path_);
  start();
  app.must(fill(3000));
  expect_replica_is_current();
  app.must("DELETE FROM t WHERE id > 20");
  app.must("VACUUM");
  expect_replica_is_current();
  app.must(fill(1000));
  expect_replica_is_current();
}

TEST_F(ReplicatorTest, AutoVacuumAndIncrementalVacuum) {
  for (const char* mode : {"FULL", "INCREMENTAL"}) {
    stop();
    fs::remove_all(dir_ / "state");
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(db_path_ + suffix);
    store_ = make_memory_store();
    make_database(fmt::format("PRAGMA auto_vacuum={}", mode));
    App app(db_path_);
    start();
    app.must(fill(2000));
    expect_replica_is_current();
    app.must("DELETE FROM t WHERE id % 3 = 0");
    expect_replica_is_current();
    app.must("PRAGMA incremental_vacuum(50)");
    expect_replica_is_current();
    app.must("PRAGMA incremental_vacuum");
    expect_replica_is_current();
  }
}

class PageSizes : public ReplicatorTest, public ::testing::WithParamInterface<int> {};
TEST_P(PageSizes, AreFollowed) {
  make_database(fmt::format("PRAGMA page_size={}", GetParam()));
  App app(db_path_);
  start();
  expect_replica_is_current();
  app.must(fill(300));
  expect_replica_is_current();
  app.must("DELETE FROM t; VACUUM");
  expect_replica_is_current();
}
INSTANTIATE_TEST_SUITE_P(All, PageSizes, ::testing::Values(512, 1024, 2048, 4096, 8192, 16384, 32768, 65536));

TEST_F(ReplicatorTest, LongReaderPinsTheWal) {
  make_database();
  App app(db_path_), reader(db_path_);
  start();
  must_settle();
  reader.must("BEGIN");
  reader.ask("SELECT count(*) FROM t");
  for (int i = 0; i < 60; ++i) {
    app.must(fill(20));
    ASSERT_FALSE(turn());
  }
  expect_replica_is_current();
  reader.must("COMMIT");
  app.must(fill(20));
  expect_replica_is_current();
}

TEST_F(ReplicatorTest, KilledAndContinuedPublishesTheDifferenceAndNothingMore) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  app.must(fill(100));
  must_settle();
  const auto published = replicator_->status().published_sequence;
  stop(StopMode::crash);
  start();
  must_settle();
  EXPECT_EQ(replicator_->status().published_sequence, published);
  stop(StopMode::crash);

  app.must(fill(10));
  app.must("PRAGMA wal_checkpoint(TRUNCATE)");
  app.must(fill(10));
  start();
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().published_sequence, published + 1);
  auto object = store_->head(fmt::format("app/wal/{:020}.wal.zst", published + 1));
  ASSERT_TRUE(object);
  EXPECT_LT(object->size_bytes, 100'000u);  // a difference, not a database
}

TEST_F(ReplicatorTest, StateDirectoryLostButDatabaseEqual) {
  make_database();
  App app(db_path_);
  start();
  app.must(fill(100));
  must_settle();
  stop();
  fs::remove_all(dir_ / "state");
  start();
  must_settle();
  EXPECT_EQ(replicator_->status().snapshots_published, 0u);
  app.must(fill(5));
  expect_replica_is_current();
}

TEST_F(ReplicatorTest, StateDirectoryLostAndDatabaseDiffersIsRefusedUntilAdopted) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  stop();
  app.must(fill(10));
  fs::remove_all(dir_ / "state");
  start();
  auto error = settle();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::conflict);
  EXPECT_NE(error->message().find("--adopt local"), std::string::npos);
  stop();
  auto o = options();
  o.adopt = Adopt::local;
  start(o);
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().snapshots_published, 0u);
}

// V3 R8 B2: two writers, the later one is refused, and the history stays one.
TEST_F(ReplicatorTest, SecondWriterIsRefusedAtItsNextPublish) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  // The same database copied to another machine, equal to the head: it takes over.
  app.must("PRAGMA wal_checkpoint(TRUNCATE)");
  const std::string other_path = (dir_ / "other.db").string();
  fs::copy_file(db_path_, other_path);
  auto first = std::move(replicator_);
  auto o = options();
  o.database = other_path;
  o.state_directory = (dir_ / "state2").string();
  start(o);
  must_settle();
  App other(other_path);
  other.must(fill(7));
  must_settle();
  const std::string other_state = restored();
  auto second = std::move(replicator_);
  replicator_ = std::move(first);
  app.must(fill(9));
  auto error = settle();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::conflict);
  stop(StopMode::crash);
  EXPECT_TRUE(restored() == other_state);
  auto report = verify_replica(*store_, "app", VerifyDepth::chain, dir_.string(), *files_, executor_);
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->problems.empty());
  // Coming back it is refused again.
  start();
  error = settle();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::conflict);
  second->close(StopMode::tidy);
}

// On the wire, for a while: it is a garbled answer at every turn of publishing, looking and attaching.
TEST_F(ReplicatorTest, BitsFlippedOnTheirWayEndNothing) {
  make_database();
  App app(db_path_);
  FaultPlan plan;
  SeededRandom chance(3);
  auto inner = std::move(store_);
  store_ = make_faulty_store(*inner, plan, chance);
  plan.flipped = 100;
  plan.of(Operation::put_new).after = 300;  // so that what was put is looked at
  for (int round = 0; round < 30; ++round) {
    start();
    app.must(fill(5));
    must_settle();
    stop();
  }
  EXPECT_GT(plan.injected, 15u);
  plan = FaultPlan{};
  start();
  expect_replica_is_current();
  stop();
  store_ = std::move(inner);
}

// Not on the wire, but where it lies.
TEST_F(ReplicatorTest, AHeadThatStaysDamagedEndsTheReplicatorAndSaysSo) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  app.must(fill(5));
  must_settle();
  stop();
  const std::string key = segment::segment_key("app", Sequence(1));
  auto object = store_->get(key);
  ASSERT_TRUE(object);
  object->bytes.back() ^= std::byte{1};
  ASSERT_TRUE(store_->put_if(key, BytesSource(object->bytes), object->info.etag));
  start();
  const auto error = settle();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::corrupt);
  EXPECT_NE(error->message().find(key), std::string::npos) << error->message();
}

TEST_F(ReplicatorTest, AsLongAsAStoreAsksForItIsLeftAlone) {
  make_database();
  App app(db_path_);
  start();
  must_settle();
  stop();
  FaultPlan plan;
  SeededRandom chance(3);
  auto inner = std::move(store_);
  const auto faulty = make_faulty_store(*inner, plan, chance);
  auto counting = std::make_unique<CountingStore>(*faulty);
  const auto puts = [&counted = *counting] { return counted.counts().of(Operation::put_new).calls; };
  store_ = std::move(counting);
  plan.of(Operation::put_new).before = 1000;
  plan.retry_after_ms = 60'000;
  start();
  app.must(fill(5));
  for (int i = 0; i < 1000 && puts() == 0; ++i) ASSERT_FALSE(turn());
  plan = FaultPlan{};
  const std::int64_t asked_us = now_.mono_us;
  while (now_.mono_us + 20'000 < asked_us + 60'000'000) {
    ASSERT_FALSE(turn());
    ASSERT_EQ(puts(), 1u) << now_.mono_us - asked_us;
  }
  expect_replica_is_current();
  EXPECT_EQ(puts(), 2u);
  stop();
  store_ = std::move(inner);
}

TEST_F(ReplicatorTest, SameStateDirectoryTwiceIsBusy) {
  make_database();
  start();
  auto second = Replicator::open(*store_, *files_, executor_, random_, options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind(), ErrorKind::busy);
}

TEST_F(ReplicatorTest, JournalModeChangedWhileDown) {
  follow_new_database();
  stop();
  {
    App app(db_path_);
    EXPECT_EQ(app.ask("PRAGMA journal_mode=DELETE"), "delete");
    app.must("PRAGMA page_size=8192; VACUUM");
    app.must(fill(10));
  }
  start();
  must_settle();
  expect_replica_is_current();
  App app(db_path_);
  EXPECT_EQ(app.ask("PRAGMA journal_mode"), "wal");
  EXPECT_EQ(app.ask("PRAGMA page_size"), "8192");
  app.must(fill(10));
  expect_replica_is_current();
}

TEST_F(ReplicatorTest, RollbackModeWithoutLeaveToSwitchIsRefusedAndUntouched) {
  {
    App app(db_path_);
    app.must("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); " + fill(5));
  }
  const std::string before = read_all(db_path_);
  auto o = options();
  o.wal_switch = AllowWalSwitch::no;
  start(o);
  auto error = settle();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::unsupported);
  EXPECT_TRUE(read_all(db_path_) == before);
}

TEST_F(ReplicatorTest, WhatIsNotADatabaseIsRefusedAndUntouched) {
  for (const std::string& content : {std::string("hello, this is text and long enough to be looked at as a header, "
                                                 "or at least so it seems to whoever reads a hundred bytes of it"),
                                     std::string(8192, '\x5a'), std::string()}) {
    stop();
    { std::ofstream(db_path_, std::ios::binary) << content; }
    store_ = make_memory_store();
    fs::remove_all(dir_ / "state");
    start();
    auto error = settle();
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), content.empty() ? ErrorKind::not_found : ErrorKind::invalid) << error->message();
    EXPECT_TRUE(read_all(db_path_) == content);
    EXPECT_FALSE(fs::exists(db_path_ + "-wal"));
  }
}

TEST_F(ReplicatorTest, SnapshotOnRequestWhileWriting) {
  make_database();
  App app(db_path_);
  app.must("PRAGMA wal_autocheckpoint=100");
  start();
  app.must(fill(20000));
  must_settle();
  replicator_->request_snapshot();
  for (int i = 0; i < 60; ++i) {
    app.must(fill(3));
    app.must(fmt::format("UPDATE t SET v='x{}' WHERE id % 97 = {}", i, i));
    ASSERT_FALSE(turn());
  }
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().snapshots_published, 2u);
  EXPECT_EQ(replicator_->status().reconciles, 0u);
}

TEST_F(ReplicatorTest, NothingInTheDatabaseChanges) {
  make_database();
  {
    App app(db_path_);
    app.must("PRAGMA user_version=77; PRAGMA application_id=99");
    app.must("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  const std::string before = read_all(db_path_);
  start();
  must_settle();
  stop();
  EXPECT_TRUE(read_all(db_path_) == before);
}

// The same with a store that is away and a full spool: the limit gives way before an application waits.
TEST_F(ReplicatorTest, ApplicationsCheckpointsDoNotWaitForRoomInTheSpool) {
  make_database();
  App app(db_path_);
  auto o = options();
  o.spool_limit_bytes = 1;
  start(o);
  must_settle();
  const auto capture = [&] {
    now_.mono_us += 20'000;
    ASSERT_TRUE(replicator_->capture_step(now_));
  };
  for (int i = 0; i < 5; ++i) {
    app.must(fill(20));
    for (int k = 0; k < 5; ++k) capture();
  }
  ASSERT_EQ(replicator_->status().captured_sequence, 1u) << "the rest waits in the WAL";
  struct Wait {
    decltype(capture)& turn;
    int calls = 0;
  } wait{capture};
  sqlite3_busy_handler(app.handle(), [](void* w, int) {
    auto& waiting = *static_cast<Wait*>(w);
    waiting.turn();
    return int{++waiting.calls < 100};
  }, &wait);
  EXPECT_EQ(app.ask("PRAGMA wal_checkpoint(RESTART)"), "0");
  EXPECT_LT(wait.calls, 4);
  sqlite3_busy_handler(app.handle(), nullptr, nullptr);
  expect_replica_is_current();
}

}  // namespace
}  // namespace cairn
