// A small segment on its way into a store whose puts may take place when the process that asked for them is gone: it
// lies in the front file, so that it is known for its own then, and until it is merged in the log beside what is kept.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "replicate/from_memory_fixture.h"
#include "replicate/held_files.h"
#include "segment/keys.h"
#include "support/whole_file.h"

namespace cairn {
namespace {

using namespace replicator_test;
using replicate::FrontFile;
using replicate::KeptLog;
using testing::whole_file;

class Front : public FromMemory {
 protected:
  Front() {
    lay_folder_on_another_machine();
    recording()->can.looking_is_free = false;
  }
  testing::RecordingStore* recording() { return static_cast<testing::RecordingStore*>(store_.get()); }
  std::string front() const { return (dir_ / "state" / "spool" / "front").string(); }
  std::string log() const { return (dir_ / "state" / "kept" / "log").string(); }
  std::string key(std::uint64_t sequence) { return segment::segment_key(options().replica, Sequence(sequence)); }
  // It comes back when capture goes on from what is known here.
  void start_without_store(const ReplicatorOptions& given) {
    recording()->before = [](const auto& call) -> std::optional<Error> {
      return Error(ErrorKind::retry_later, call.key + ": away");
    };
    start(given);
    for (int i = 0; i < 200; ++i) (void)turn();
    EXPECT_GE(replicator_->status().captured_sequence, 1u);
    recording()->before = nullptr;
  }
  // Whether it is in the front file.
  bool fronts(std::uint64_t sequence) {
    const auto held = FrontFile::read(*files_, front());
    return held && *held && (*held)->sequence == Sequence(sequence);
  }
};

TEST_F(Front, IsAllThatASmallSegmentHas) {
  capture_one();
  EXPECT_TRUE(fronts(1));
  EXPECT_EQ(files_in("spool"), 1);
  ASSERT_FALSE(turn());
  EXPECT_EQ(published(), 1u);
  EXPECT_TRUE(fronts(1)) << "until it is written over";
  EXPECT_EQ(files_in("kept/0"), 0);
  EXPECT_EQ(KeptLog::read(*files_, log())->size(), 1u);
  expect_replica_is_current();
}

TEST_F(Front, OfALargeDatabaseItHasAFile) {
  make_large_database();
  start();
  must_settle();
  commit_and_capture();
  EXPECT_TRUE(fs::exists(dir_ / "state" / "spool" / "00000000000000000001.wal.zst"));
  EXPECT_FALSE(fs::exists(front()));
  expect_replica_is_current();
}

// The put was asked for, the process is killed, the next one looks at the store, and then the put takes place.
TEST_F(Front, APutThatTakesPlaceAfterTheNextStartHasLookedIsItsOwn) {
  capture_one();
  const Bytes late = (**FrontFile::read(*files_, front())).bytes;
  stop(StopMode::crash);
  App(db_path_).must(fill(2));
  recording()->before = [&](const testing::RecordingStore::Call& call) {
    if (call.operation == Operation::put_new && call.key == key(1)) (void)inner_->put_new(key(1), BytesSource(late));
    return std::optional<Error>();
  };
  start();
  expect_replica_is_current();
  EXPECT_TRUE(inner_->get(key(1))->bytes == late);
  EXPECT_EQ(published(), 2u);
}

TEST_F(Front, AKillThatLeavesItLosesNoRestorePoint) {
  capture_one();
  stop(StopMode::crash);
  {
    App app(db_path_);
    app.must("PRAGMA wal_checkpoint(TRUNCATE)");
    app.must("DELETE FROM t WHERE id > 1");
    app.must("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  start();
  expect_replica_is_current();
  EXPECT_EQ(published(), 2u) << "what was captured, and then the difference";
}

TEST_F(Front, IsCountedByAStartWithoutTheStore) {
  capture_one();
  const std::uint64_t size_bytes = replicator_->status().spool_bytes;
  stop(StopMode::crash);
  start();
  EXPECT_EQ(replicator_->status().spool_segments, 1u);
  EXPECT_EQ(replicator_->status().spool_bytes, size_bytes);
}

// A power loss may leave the file as it was before.
TEST_F(Front, AnOldOneIsNoneOfWhatWaits) {
  for (const bool adjoins : {true, false}) {
    if (adjoins) follow_new_database();
    const std::uint64_t before = published();
    commit_and_capture();
    const std::string old = whole_file(front());
    ASSERT_FALSE(turn());
    if (!adjoins) {
      App(db_path_).must(fill(1));
      must_settle();
    }
    commit_and_capture();
    commit_and_capture();
    ASSERT_EQ(replicator_->status().spool_segments, 2u) << "both have files now";
    stop(StopMode::crash);
    std::ofstream(front(), std::ios::binary | std::ios::trunc) << old;
    start();
    expect_replica_is_current();
    EXPECT_EQ(published(), before + (adjoins ? 3 : 4));
    EXPECT_EQ(reconciles(), 0u) << "what waited was not thrown away";
    EXPECT_FALSE(fs::exists(front()));
  }
}

// What is published leaves the spool in two steps, and the next one may be captured between them.
TEST_F(Front, OneBehindThePublishedFileIsNotThrownAway) {
  follow_new_database();
  commit_and_capture();
  const std::string published_one = whole_file(front());
  ASSERT_FALSE(turn());
  commit_and_capture();
  ASSERT_TRUE(fronts(2));
  stop(StopMode::crash);
  const std::string file = (dir_ / "state" / "spool" / "00000000000000000001.wal.zst").string();
  std::ofstream(file, std::ios::binary) << published_one.substr(32);
  {
    App app(db_path_);
    app.must("DELETE FROM t WHERE id > 1");
    app.must("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  start();
  expect_replica_is_current();
  EXPECT_EQ(published(), 3u) << "the captured one, and the difference";
}

// A kill leaves it, and the database goes to rest at the next start without writing anything.
TEST_F(Front, APublishedOneIsRemovedByAStart) {
  capture_one();
  ASSERT_FALSE(turn());
  stop(StopMode::crash);
  ASSERT_TRUE(fronts(1));
  start();
  must_settle();
  EXPECT_FALSE(fs::exists(front()));
  EXPECT_EQ(published(), 1u);
  expect_replica_is_current();
}

// What is published is noted with what comes next: a kill before that leaves no note of it either.
TEST_F(Front, APublishedOneIsKnownAgainBehindAKillAndWithoutTheStore) {
  capture_one();
  ASSERT_FALSE(turn());
  stop(StopMode::crash);
  ASSERT_TRUE(fronts(1));
  start_without_store(options());
  App(db_path_).must(fill(1));
  must_settle();
  EXPECT_EQ(published(), 2u);
  expect_replica_is_current();
}

// It stays there behind its merge, too.
TEST_F(Front, APublishedOneThatIsMergedIsNotMergedAgainByTheNextProcess) {
  ReplicatorOptions windows = options();
  windows.level_windows_ms = {10'000, 100'000, 1'000'000};
  windows.snapshot_interval_ms = 0;
  now_.wall_ms -= now_.wall_ms % 1'000'000;
  make_database();
  start(windows);
  must_settle();
  const std::string position = (dir_ / "state" / "position").string();
  std::string noted;  // that the last one is published is not, at that moment
  const auto publish_and_merge = [&] {
    for (int i = 0; i < 6; ++i) {
      commit_and_capture();
      (void)turn();
      noted = whole_file(position);
      replicator_->upkeep_step(now_);
    }
    now_.mono_us += 11'000'000;
    now_.wall_ms += 11'000;
    for (int i = 0; i < 5; ++i) replicator_->upkeep_step(now_);
    return replicator_->status().merged_objects;
  };
  ASSERT_EQ(publish_and_merge(), 1u);
  ASSERT_TRUE(fronts(6));
  stop(StopMode::crash);
  std::ofstream(position, std::ios::binary | std::ios::trunc) << noted;
  start_without_store(windows);
  must_settle();
  EXPECT_EQ(publish_and_merge(), 1u);
  EXPECT_EQ(replicator_->status().kept_objects, 2u) << "what was merged by each of them";
  expect_replica_is_current();
}

TEST_F(Front, AStopInOrderLeavesNoFile) {
  capture_one();
  ASSERT_FALSE(turn());
  ASSERT_TRUE(fs::exists(front()));
  stop();
  EXPECT_FALSE(fs::exists(front()));
  EXPECT_FALSE(fs::exists(log()));
  EXPECT_EQ(files_in("kept/0"), 1) << "to be merged by the next process";
}

TEST_F(Front, AnOldOneOfWhatIsPublishedIsNotPublishedAgain) {
  capture_one();
  const std::string old = whole_file(front());
  ASSERT_FALSE(turn());
  App(db_path_).must(fill(1));
  must_settle();
  stop(StopMode::crash);
  std::ofstream(front(), std::ios::binary | std::ios::trunc) << old;
  start();
  expect_replica_is_current();
  EXPECT_EQ(published(), 2u);
  EXPECT_FALSE(fs::exists(front()));
}

TEST_F(Front, OfAHistoryThatWasLeftItIsGone) {
  capture_one();
  stop(StopMode::crash);
  ASSERT_TRUE(fronts(1));
  const auto page = inner_->list("");
  for (const ObjectInfo& object : page->objects) ASSERT_TRUE(inner_->remove(object.key));
  ReplicatorOptions anew = options();
  anew.adopt = Adopt::local;
  start(anew);
  must_settle();
  EXPECT_EQ(published(), 0u) << "one snapshot has it all";
  EXPECT_FALSE(fronts(1));
}

TEST_F(Front, AFullDiskIsToldAndLeavesNothingOfIt) {
  follow_new_database();
  App(db_path_).must(fill(1));
  disk_->room = 10;
  for (int i = 0; i < 3; ++i) capture();
  EXPECT_EQ(replicator_->status().database_trouble, "the disk is full");
  EXPECT_FALSE(fs::exists(front()));
  disk_->room = ~0ull;
  expect_replica_is_current();
  EXPECT_EQ(published(), 1u);
}

// What it was is written to a file then, for which there is no room.
TEST_F(Front, AFullDiskAtTheNextStartKeepsIt) {
  capture_one();
  stop(StopMode::crash);
  disk_->room = 0;
  start();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(replicator_->publish_step(now_));
    now_.mono_us += 60'000'000;
    (void)replicator_->capture_step(now_);
  }
  EXPECT_TRUE(fronts(1));
  disk_->room = ~0ull;
  now_.mono_us += 600'000'000;
  expect_replica_is_current();
  EXPECT_EQ(published(), 1u);
}

}  // namespace
}  // namespace cairn
