// A small segment that is put into a folder at once needs no file beside the one there: what a kill, a stop, a full
// disk or a store that is away makes of it, and of its merging.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "replicate/from_memory_fixture.h"
#include "segment/keys.h"

namespace cairn {
namespace {

using namespace replicator_test;

TEST_F(FromMemory, WhatIsPutAtOnceHasNoFile) {
  capture_one();
  EXPECT_EQ(files_in("spool"), 0);
  ASSERT_FALSE(turn());
  EXPECT_EQ(published(), 1u);
  EXPECT_EQ(files_in("spool"), 0);
  EXPECT_EQ(files_in("kept/0"), 0);
  EXPECT_EQ(replicator_->status().spool_bytes, 0u);
  expect_replica_is_current();
}

TEST_F(FromMemory, AFullDiskIsNotInItsWay) {
  follow_new_database();
  disk_->room = 0;
  App(db_path_).must(fill(1));
  ASSERT_FALSE(turn());
  EXPECT_EQ(published(), 1u);
  EXPECT_EQ(replicator_->status().database_trouble, "");
  disk_->room = ~0ull;
  expect_replica_is_current();
}

TEST_F(FromMemory, WhatAStoreDoesNotTakeGetsItsFile) {
  capture_one();
  take_store_away();
  ASSERT_TRUE(replicator_->publish_step(now_));
  ASSERT_NE(replicator_->status().store_trouble, "");
  EXPECT_EQ(files_in("spool"), 1);
  stop(StopMode::crash);
  bring_store_back();
  start();
  expect_replica_is_current();
  EXPECT_EQ(published(), 1u);
  EXPECT_EQ(reconciles(), 0u) << "nothing had to be compared";
}

TEST_F(FromMemory, WhatAStoreThatHangsDoesNotTakeGetsItsFile) {
  capture_one();
  for (int i = 0; i < 110; ++i) capture();  // 2.2 s, in which nothing is published
  EXPECT_EQ(files_in("spool"), 1);
  stop(StopMode::crash);
  start();
  expect_replica_is_current();
  EXPECT_EQ(reconciles(), 0u);
}

TEST_F(FromMemory, OneBehindItGivesBothTheirFiles) {
  capture_one();
  App(db_path_).must(fill(1));
  for (int i = 0; i < 3; ++i) capture();
  ASSERT_EQ(replicator_->status().spool_segments, 2u);
  EXPECT_EQ(files_in("spool"), 2);
  stop(StopMode::crash);
  start();
  expect_replica_is_current();
  EXPECT_EQ(published(), 2u);
  EXPECT_EQ(reconciles(), 0u);
}

TEST_F(FromMemory, NoFileLacksTheOneBeforeIt) {
  capture_one();
  disk_->room = 0;
  App(db_path_).must(fill(1));
  for (int i = 0; i < 3; ++i) capture();
  EXPECT_EQ(replicator_->status().spool_segments, 1u) << "the WAL keeps the second";
  EXPECT_EQ(replicator_->status().database_trouble, "the disk is full");
  EXPECT_EQ(files_in("spool"), 0);
  disk_->room = ~0ull;
  expect_replica_is_current();
  EXPECT_EQ(published(), 2u);
}

TEST_F(FromMemory, KilledBeforeItIsPutAndTheDatabaseGoesOn) {
  capture_one();
  stop(StopMode::crash);
  {
    App app(db_path_);
    app.must(fill(2));
    app.must("PRAGMA wal_checkpoint(TRUNCATE)");
    app.must(fill(1));
  }
  start();
  expect_replica_is_current();
  EXPECT_EQ(published(), 1u) << "the difference, and nothing more";
}

TEST_F(FromMemory, KilledBeforeItIsPutAndNothingElse) {
  capture_one();
  stop(StopMode::crash);
  start();
  expect_replica_is_current();
  EXPECT_EQ(published(), 1u);
}

TEST_F(FromMemory, KilledBeforeItIsPutAndTheRowIsRemovedAgain) {
  capture_one();
  stop(StopMode::crash);
  App(db_path_).must("DELETE FROM t WHERE id = (SELECT max(id) FROM t)");
  start();
  expect_replica_is_current();
}

TEST_F(FromMemory, AStopInOrderGivesItItsFile) {
  capture_one();
  stop();
  EXPECT_EQ(files_in("spool"), 1);
  start();
  expect_replica_is_current();
  EXPECT_EQ(published(), 1u);
}

TEST_F(FromMemory, AStopThatCannotEndItsPutGivesItItsFile) {
  capture_one();
  replicator_->end_capture();
  EXPECT_EQ(files_in("spool"), 1);
}

TEST_F(FromMemory, ADatabaseThatIsGoneGivesItItsFile) {
  capture_one();
  fs::rename(db_path_, db_path_ + ".gone");
  capture();
  EXPECT_EQ(files_in("spool"), 1) << "nobody else has what was committed";
  fs::rename(db_path_ + ".gone", db_path_);
  expect_replica_is_current();
}

TEST_F(FromMemory, WhatAComparisonHasFoundGetsItsFile) {
  follow_new_database();
  stop(StopMode::crash);
  App(db_path_).must(fill(1) + "; PRAGMA wal_checkpoint(TRUNCATE)");
  start();
  ASSERT_TRUE(replicator_->publish_step(now_));
  for (int i = 0; i < 150; ++i) capture();  // nothing is published
  ASSERT_EQ(replicator_->status().spool_segments, 1u);
  EXPECT_EQ(files_in("spool"), 1);
  expect_replica_is_current();
}

TEST_F(FromMemory, ADiskThatStaysFullIsTold) {
  capture_one();
  disk_->room = 0;
  for (int i = 0; i < 150; ++i) capture();
  EXPECT_EQ(replicator_->status().database_trouble, "the disk is full");
  for (int i = 0; i < 150; ++i) {
    capture();
    ASSERT_EQ(replicator_->status().database_trouble, "the disk is full") << "all the time";
  }
  ASSERT_FALSE(turn());
  EXPECT_EQ(published(), 1u);
  ASSERT_FALSE(turn());
  EXPECT_EQ(replicator_->status().database_trouble, "");
  disk_->room = ~0ull;
  expect_replica_is_current();
}

TEST_F(FromMemory, ALargeDatabaseIsNotComparedForIt) {
  make_large_database();
  start();
  must_settle();
  App(db_path_).must(fill(1));
  for (int i = 0; i < 3 && replicator_->status().spool_segments == 0; ++i) capture();
  EXPECT_EQ(files_in("spool"), 1);
  expect_replica_is_current();
}

// What is noted of a put is written with the note of the next one, or when none follows: until then a kill leaves the
// intent, and what the store holds.

TEST_F(FromMemory, AKillThatTakesTheNoteOfAPutCostsNoComparison) {
  capture_one();
  ASSERT_TRUE(replicator_->publish_step(now_));
  ASSERT_EQ(published(), 1u);
  stop(StopMode::crash);
  ASSERT_EQ(noted().published.value, 0u);
  start();
  must_settle();
  App(db_path_).must(fill(1));
  expect_replica_is_current();
  EXPECT_EQ(published(), 2u);
  EXPECT_EQ(reconciles(), 0u);
}

TEST_F(FromMemory, ThatOneWasPutIsNotedWhenNoneFollows) {
  capture_one();
  const auto step = replicator_->publish_step(now_);
  ASSERT_TRUE(step);
  EXPECT_EQ(noted().published.value, 0u);
  ASSERT_LE(step->next_us, now_.mono_us + 2'000'000);
  now_.mono_us = step->next_us;
  ASSERT_TRUE(replicator_->publish_step(now_));
  EXPECT_EQ(noted().published.value, 1u);
  EXPECT_EQ(noted().captured.value, 1u);
}

TEST_F(FromMemory, ThatOneWasPutIsNotedByAStop) {
  capture_one();
  ASSERT_TRUE(replicator_->publish_step(now_));
  stop();
  EXPECT_EQ(noted().published.value, 1u);
}

// Without its claim the store is not the one that segments were put into.
TEST_F(FromMemory, AnEmptyFolderIsRefusedAfterAKillBesideTheFirstSnapshot) {
  make_database();
  start();
  for (int i = 0; i < 200 && published() == 0; ++i) {
    App(db_path_).must(fill(1));
    ASSERT_TRUE(replicator_->publish_step(now_));
    capture();
  }
  ASSERT_EQ(published(), 1u);
  ASSERT_FALSE(replicator_->status().has_snapshot);
  stop(StopMode::crash);
  ASSERT_EQ(noted().published.value, 0u);
  fs::remove_all(folder());
  open_store();
  start();
  const auto step = replicator_->publish_step(now_);
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error().kind(), ErrorKind::conflict) << step.error().message();
  EXPECT_TRUE(fs::is_empty(folder()));
}

// What was meant to be put is taken to have been, until the store says whether it was.
TEST_F(FromMemory, AfterAKillWithTheStoreAwayCaptureGoesOnFromWhatWasPut) {
  capture_one();
  ASSERT_TRUE(replicator_->publish_step(now_));
  stop(StopMode::crash);
  take_store_away();
  follow_without_store();
  App(db_path_).must(fill(1));
  for (int i = 0; i < 100; ++i) capture();
  EXPECT_EQ(replicator_->status().captured_sequence, 2u);
  bring_store_back();
  expect_replica_is_current();
  EXPECT_EQ(published(), 2u);
  EXPECT_EQ(reconciles(), 0u);
}

TEST_F(FromMemory, AfterAKillWithTheStoreAwayWhatWasNotPutAfterAllIsComparedAnew) {
  capture_one();
  ASSERT_TRUE(replicator_->publish_step(now_));
  stop(StopMode::crash);
  ASSERT_TRUE(fs::remove(folder() + "/" + segment::segment_key(options().replica, Sequence(1))));
  take_store_away();
  follow_without_store();
  bring_store_back();
  expect_replica_is_current();
  EXPECT_EQ(published(), 1u);
  EXPECT_EQ(reconciles(), 1u);
  App(db_path_).must(fill(1));
  expect_replica_is_current();
}

// Merging: what is in memory, and what a stop or a kill makes of it.

class FromMemoryMerged : public FromMemory {
 protected:
  FromMemoryMerged() {
    windows_ = options();
    windows_.level_windows_ms = {10'000, 100'000, 1'000'000};
    windows_.snapshot_interval_ms = 0;
    now_.wall_ms -= now_.wall_ms % 1'000'000;
    make_database();
    begin();
  }
  void begin() {
    start(windows_);
    must_settle();
    replicator_->upkeep_step(now_);
  }
  void publish(int count) {
    for (int i = 0; i < count; ++i) {
      App(db_path_).must(fill(1));
      must_settle();
      replicator_->upkeep_step(now_);
    }
  }
  void pass_a_window() {
    now_.mono_us += 11'000'000;
    now_.wall_ms += 11'000;
    for (int i = 0; i < 5; ++i) replicator_->upkeep_step(now_);
  }
  std::uint64_t merged() const { return replicator_->status().merged_objects; }

  ReplicatorOptions windows_;
};

TEST_F(FromMemoryMerged, NothingHasAFileUntilItIsMerged) {
  publish(6);
  EXPECT_EQ(files_in("kept/0"), 0);
  EXPECT_EQ(replicator_->status().kept_objects, 6u);
  pass_a_window();
  EXPECT_EQ(merged(), 1u);
  EXPECT_EQ(files_in("kept/1"), 1);
  EXPECT_EQ(replicator_->status().kept_objects, 1u);
  expect_replica_is_current();
}

TEST_F(FromMemoryMerged, AStopInOrderKeepsItForTheNextProcess) {
  publish(6);
  stop();
  EXPECT_EQ(files_in("kept/0"), 6);
  begin();
  pass_a_window();
  EXPECT_EQ(merged(), 1u);
  expect_replica_is_current();
}

TEST_F(FromMemoryMerged, WhatAKillHasTakenIsNotMergedAndWhatFollowsIs) {
  publish(6);
  stop(StopMode::crash);
  EXPECT_EQ(files_in("kept/0"), 0);
  begin();
  publish(6);
  pass_a_window();
  EXPECT_EQ(merged(), 1u);
  EXPECT_EQ(files_in("kept/1"), 1);
  expect_replica_is_current();
}

TEST_F(FromMemoryMerged, WhatIsTooMuchForMemoryHasFiles) {
  for (int i = 0; i < 24; ++i) {
    App(db_path_).must(fill(60));  // about 13 KiB compressed
    must_settle();
    replicator_->upkeep_step(now_);
  }
  EXPECT_GT(files_in("kept/0"), 0);
  EXPECT_LT(files_in("kept/0"), 12);  // less than half of them
  pass_a_window();
  EXPECT_EQ(merged(), 1u);
  EXPECT_EQ(files_in("kept/0"), 0);
  publish(5);
  EXPECT_EQ(files_in("kept/0"), 0) << "there is room in memory again";
  expect_replica_is_current();
}

// A power loss has left the file of a segment that the store has lost and the record does not know.
TEST_F(FromMemoryMerged, AFileOfTheSameNumberIsNotTakenForWhatWasPublished) {
  publish(4);
  stop(StopMode::crash);
  const fs::path state = dir_ / "state", before = dir_ / "before";
  fs::copy(state, before, fs::copy_options::recursive);
  begin();
  publish(1);
  ASSERT_EQ(published(), 5u);
  stop(StopMode::crash);
  fs::remove_all(state);
  fs::rename(before, state);
  const fs::path stale = state / "kept" / "0" / fmt::format("{0:020}-{0:020}.kept", 5);
  fs::rename(fs::path(folder()) / segment::segment_key("app", Sequence(5)), stale);

  App(db_path_).must(fill(1));
  start(windows_);
  must_settle();  // before what is kept was looked at
  ASSERT_EQ(published(), 5u);
  publish(5);
  EXPECT_FALSE(fs::exists(stale));
  pass_a_window();
  EXPECT_EQ(merged(), 1u);
  expect_replica_is_current();
}

TEST_F(FromMemoryMerged, TooFewToBeMergedGetFilesForTheNextLevel) {
  publish(2);
  pass_a_window();
  EXPECT_EQ(merged(), 0u);
  EXPECT_EQ(files_in("kept/0"), 2);
  expect_replica_is_current();
}

}  // namespace
}  // namespace cairn
