// What is published is merged by time, from the local disk alone; what a bundle replaces goes after a while; and
// whatever happens to clocks, store and process, every restore point stays what it was.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replicate/levels_fixture.h"

namespace cairn {
namespace {

using namespace replicator_test;

constexpr std::int64_t kDay_ms = 86'400'000;

TEST_F(Levels, WhatWasPublishedInAWindowBecomesABundleWithoutADownload) {
  begin();
  next_window();
  publish(6);
  const std::uint64_t last = published();
  recording_->forget_calls();
  keep_up();
  EXPECT_TRUE(keys("levels/").empty()) << "the window is still open";
  next_window();
  publish();
  keep_up();
  ASSERT_EQ(keys("levels/"), std::set<std::string>{merged(1, last - 5, last)});
  EXPECT_EQ(pages_read(), 0u);
  EXPECT_EQ(footer(merged(1, last - 5, last)).points.size(), 6u);
  EXPECT_TRUE(inner_->get(merged(1, last - 5, last))->bytes == merged_at_once(ObjectKind::bundle, last - 5, last));
  expect_every_state();
}

TEST_F(Levels, HigherLevelsAreMadeOfLowerOnesAndHoldTheSameBytes) {
  begin();
  next_window();
  for (int window = 0; window < 70; ++window) {
    publish(window % 3 == 0 ? 5 : 1);
    keep_up();
    next_window();
  }
  recording_->forget_calls();
  rest();
  EXPECT_EQ(pages_read(), 0u);
  bool bundle = false, squashed = false;
  for (const std::string& key : keys("levels/2/")) {
    const segment::Footer it = footer(key);
    EXPECT_EQ(it.kind, ObjectKind::bundle);
    EXPECT_EQ(it.points.size(), it.last.value - it.first.value + 1);
    bundle = true;
  }
  for (const std::string& key : keys("levels/3/")) {
    EXPECT_EQ(footer(key).kind, ObjectKind::squashed);
    squashed = true;
  }
  EXPECT_TRUE(bundle && squashed);
  expect_every_state();
}

// The last object of the narrower window would be part of the wider one as soon as it is there.
TEST_F(Levels, AWindowThatEndsWithAWiderOneGoesIntoThatAtOnce) {
  begin();
  pass(10'000 - now_.wall_ms % 10'000);
  const std::uint64_t first = published() + 1;
  std::set<std::string> narrow;
  for (int second = 0; second < 10; ++second) {
    publish(5);
    if (second < 9) narrow.insert(merged(1, published() - 4, published()));
    keep_up();
    next_window();
  }
  const std::uint64_t last = published();
  publish();
  recording_->forget_calls();
  keep_up();
  EXPECT_EQ(recording_->count(Operation::put_new), 1u);
  EXPECT_EQ(keys("levels/1/"), narrow);
  ASSERT_EQ(keys("levels/2/"), std::set<std::string>{merged(2, first, last)});
  EXPECT_TRUE(inner_->get(merged(2, first, last))->bytes == merged_at_once(ObjectKind::bundle, first, last));
  rest();
  EXPECT_TRUE(keys("levels/1/").empty());
  EXPECT_FALSE(keys("wal/").contains(segment::segment_key("app", Sequence(last))));
  expect_every_state();
}

// What was passed on without being merged is found by a start as if it had come last.
TEST_F(Levels, AStartDoesNotEndAWindowBecauseOfWhatIsOlder) {
  begin();
  pass(10'000 - now_.wall_ms % 10'000);
  const std::uint64_t first = published() + 1;
  publish(2);  // too few for an object of a second
  keep_up();
  next_window();
  publish(5);
  keep_up();
  pass(1'100);
  keep_up();
  ASSERT_EQ(keys("levels/1/"), std::set<std::string>{merged(1, first + 2, first + 6)});
  stop();
  start(options());
  must_settle();
  keep_up();
  EXPECT_EQ(keys("levels/"), std::set<std::string>{merged(1, first + 2, first + 6)}) << "the wider one is open";
  pass(10'000 - now_.wall_ms % 10'000);
  publish();
  for (int i = 0; i < 5; ++i) {
    pass(500);
    keep_up();
  }
  EXPECT_EQ(keys("levels/2/"), std::set<std::string>{merged(2, first, first + 6)});
  rest();
  expect_every_state();
}

TEST_F(Levels, MergingWhatIsMergedGivesTheBytesOfMergingTheSources) {
  ReplicatorOptions o = options();
  o.replaced_grace_ms = 3'600'000;  // they stay, to be compared with
  begin(o);
  pass(60'000 - now_.wall_ms % 60'000);
  const std::uint64_t first = published() + 1;
  for (int window = 0; window < 12; ++window) {
    publish(5);
    next_window();
  }
  for (int i = 0; i < 300; ++i) {
    keep_up(1);
    pass(500);
  }
  ASSERT_FALSE(keys("levels/2/").empty());
  ASSERT_FALSE(keys("levels/3/").empty());
  for (const std::string& key : keys("levels/2/")) {
    const segment::Footer it = footer(key);
    EXPECT_TRUE(inner_->get(key)->bytes == merged_at_once(ObjectKind::bundle, it.first.value, it.last.value)) << key;
  }
  for (const std::string& key : keys("levels/3/")) {
    const segment::Footer it = footer(key);
    EXPECT_TRUE(inner_->get(key)->bytes == merged_at_once(ObjectKind::squashed, it.first.value, it.last.value)) << key;
  }
  EXPECT_GE(published(), first + 50);
}

TEST_F(Levels, AnIdleDatabaseMergesItsLastWindowAndThenAsksNothing) {
  begin();
  next_window();
  publish(6);
  rest();
  EXPECT_FALSE(keys("levels/").empty());
  recording_->forget_calls();
  for (int i = 0; i < 50; ++i) {
    keep_up(1);
    ASSERT_FALSE(turn());
    pass(100'000);
  }
  EXPECT_TRUE(recording_->calls().empty()) << recording_->calls().front().key;
  EXPECT_GE(replicator_->upkeep_step(now_).next_us - now_.mono_us, 3'000'000'000);
}

TEST_F(Levels, ASingleSegmentMakesNoObject) {
  begin();
  for (int i = 0; i < 3; ++i) {
    publish();
    pass(120'000);
    keep_up();
  }
  rest();
  EXPECT_TRUE(keys("levels/").empty());
  expect_every_state();
}

TEST_F(Levels, ClocksThatJumpMergeNothingTwice) {
  begin();
  constexpr std::int64_t kJumps_ms[]{0, kDay_ms, -kDay_ms, -kDay_ms, 2 * kDay_ms, 0, -5'000, 5'000, -kDay_ms};
  for (const std::int64_t jump_ms : kJumps_ms) {
    now_.wall_ms += jump_ms;
    for (int window = 0; window < 3; ++window) {
      publish(5);
      keep_up();
      next_window();
    }
  }
  for (int i = 0; i < 200; ++i) {
    keep_up(1);
    pass(500);
  }
  std::map<int, std::uint64_t> ends;
  for (const std::string& key : keys("levels/")) {
    const auto name = segment::parse_key("app", key);
    EXPECT_GT(name->first.value, ends[name->level]) << key;
    ends[name->level] = name->last.value;
  }
  EXPECT_GT(ends[1], 100u);
  expect_every_state();
}

TEST_F(Levels, WhatABundleReplacesGoesAfterTheGracePeriod) {
  begin();
  next_window();
  publish(6);
  const std::uint64_t last = published();
  next_window();
  publish();
  keep_up();
  ASSERT_TRUE(keys("levels/").contains(merged(1, last - 5, last)));
  pass(options().replaced_grace_ms - 3'000);
  keep_up(1);
  keep_up();
  EXPECT_TRUE(keys("wal/").contains(segment::segment_key("app", Sequence(last))));
  pass(5'000);
  keep_up();
  EXPECT_FALSE(keys("wal/").contains(segment::segment_key("app", Sequence(last))));
  EXPECT_TRUE(keys("wal/").contains(segment::segment_key("app", Sequence(1)))) << "the first of a writer stays";
  EXPECT_GT(replicator_->status().replaced_objects, 0u);
  expect_every_state();
  // A start finds where it was, and what follows is published.
  stop();
  start(options());
  must_settle();
  publish(2);
  expect_every_state();
}

TEST_F(Levels, ABundleThatIsGoneReplacesNothing) {
  begin();
  next_window();
  publish(6);
  const std::uint64_t last = published();
  next_window();
  publish();
  keep_up();
  ASSERT_TRUE(inner_->remove(merged(1, last - 5, last)));
  pass(2 * options().replaced_grace_ms);
  for (int i = 0; i < 40; ++i) keep_up();
  EXPECT_TRUE(keys("wal/").contains(segment::segment_key("app", Sequence(last))));
  expect_every_state();
}

TEST_F(Levels, WithoutTheRightToDeleteReplicationGoesOnAndSaysSo) {
  begin();
  recording_->before = [](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation == Operation::remove) return Error(ErrorKind::denied, "AccessDenied");
    return std::nullopt;
  };
  next_window();
  publish(6);
  next_window();
  publish();
  keep_up();
  pass(2 * options().replaced_grace_ms);
  keep_up();
  keep_up();
  EXPECT_NE(replicator_->status().upkeep_trouble.find("s3:DeleteObject"), std::string::npos);
  EXPECT_EQ(replicator_->status().upkeep_trouble_kind, ErrorKind::denied);
  recording_->forget_calls();
  for (int i = 0; i < 20; ++i) {
    publish();
    keep_up(3);
  }
  EXPECT_EQ(recording_->count(Operation::remove), 0u) << "it is not tried again and again";
  EXPECT_TRUE(replicator_->status().store_trouble.empty());
  expect_every_state();
  recording_->before = nullptr;
  pass(3'600'000);
  keep_up();
  EXPECT_TRUE(replicator_->status().upkeep_trouble.empty());
  EXPECT_GT(replicator_->status().replaced_objects, 0u);
}

TEST_F(Levels, APutThatFailsStopsNothingAndIsMadeUpFor) {
  begin();
  recording_->before = [](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.key.find("/levels/") == std::string::npos) return std::nullopt;
    return Error(ErrorKind::denied, "AccessDenied");
  };
  next_window();
  publish(6);
  next_window();
  publish();
  keep_up();
  EXPECT_TRUE(keys("levels/").empty());
  EXPECT_FALSE(replicator_->status().upkeep_trouble.empty());
  publish(3);
  recording_->before = nullptr;
  pass(60'000);
  keep_up();
  EXPECT_FALSE(keys("levels/").empty());
  EXPECT_TRUE(replicator_->status().upkeep_trouble.empty());
  expect_every_state();
}

TEST_F(Levels, AnAnswerThatIsLostIsLookedFor) {
  begin();
  recording_->after = [](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_new || call.key.find("/levels/") == std::string::npos) return std::nullopt;
    return Error(ErrorKind::maybe_done, "the answer was lost");
  };
  next_window();
  publish(6);
  next_window();
  publish();
  keep_up();
  EXPECT_EQ(keys("levels/").size(), 1u);
  EXPECT_EQ(replicator_->status().merged_objects, 1u);
}

// While the store was away the disk has lost what was written to it and never synced.
TEST_F(Levels, WhatTheDiskHasLostOfAMergedObjectIsNotPut) {
  begin();
  recording_->before = [](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_new || call.key.find("/levels/") == std::string::npos) return std::nullopt;
    return Error(ErrorKind::retry_later, "away");
  };
  next_window();
  publish(6);
  next_window();
  publish();
  keep_up();
  (*files_->open(options().state_directory + "/kept/partial", OpenMode::write))->write_at(500, Bytes(200)).value();
  recording_->before = nullptr;
  rest();
  EXPECT_TRUE(keys("levels/1").empty());
  expect_every_state();
}

TEST_F(Levels, WhatIsKeptIsBounded) {
  ReplicatorOptions o = options();
  o.kept_limit_bytes = 200'000;  // a window took up to 130,000, and without a limit all of it 600,000
  begin(o);
  std::uint64_t most = 0;
  for (int window = 0; window < 15; ++window) {
    publish(4);
    keep_up(window % 4);
    std::uint64_t on_disk = 0;
    for (const auto& entry : replicator_test::fs::recursive_directory_iterator(dir_ / "state" / "kept")) {
      if (entry.is_regular_file() && entry.path().extension() == ".kept") on_disk += entry.file_size();
    }
    EXPECT_LE(on_disk, replicator_->status().kept_bytes);
    most = std::max(most, replicator_->status().kept_bytes);
    next_window();
  }
  EXPECT_GT(most, 0u);
  EXPECT_LE(most, o.kept_limit_bytes / 4 * 3);  // so that what is published next finds room
  rest();
  expect_every_state();
}

TEST_F(Levels, NoMergedObjectIsLargerThanTheLimit) {
  ReplicatorOptions o = options();
  o.merged_limit_bytes = 150'000;
  begin(o);
  next_window();
  for (int window = 0; window < 15; ++window) {
    publish(6);
    keep_up();
    next_window();
  }
  rest();
  EXPECT_FALSE(keys("levels/").empty());
  for (const std::string& key : keys("levels/")) EXPECT_LE(inner_->head(key)->size_bytes, o.merged_limit_bytes) << key;
  expect_every_state();
}

TEST_F(Levels, ANextProcessGoesOnWithoutADownload) {
  begin();
  next_window();
  publish(6);
  const std::uint64_t last = published();
  stop(StopMode::crash);
  next_window();
  start(options());
  must_settle();
  publish();
  recording_->forget_calls();
  keep_up();
  EXPECT_TRUE(keys("levels/").contains(merged(1, last - 5, last)));
  EXPECT_EQ(pages_read(), 1u) << "the end of the newest source, whose etag the process before this one knew";
}

TEST_F(Levels, AFileThatAPowerLossHasGarbledIsNotMerged) {
  begin();
  next_window();
  publish(6);
  const std::uint64_t last = published();
  stop();
  for (const auto& [sequence, at] : {std::pair(last - 2, 100), std::pair(last - 1, 0)}) {
    const std::string path =
        (dir_ / "state" / "kept" / "0" / fmt::format("{0:020}-{0:020}.kept", sequence)).string();
    if (at == 0) replicator_test::fs::resize_file(path, 50);
    else std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(at) << "garbled";
  }
  start(options());
  must_settle();
  next_window();
  publish();
  rest();
  expect_every_state();
}

TEST(LevelWindows, WhereLookingIsFreeThoseOfSecondsAndOfAMinuteAreLeftOut) {
  StoreCapabilities store;
  EXPECT_THAT(default_level_windows_ms(store),
              ::testing::ElementsAre(15'000, 60'000, 300'000, 1'200'000, 3'600'000, 21'600'000));
  store.looking_is_free = true;
  EXPECT_THAT(default_level_windows_ms(store), ::testing::ElementsAre(300'000, 1'200'000, 3'600'000, 21'600'000));
}

TEST_F(Levels, WindowsThatAreNoMultiplesAreRefused) {
  ReplicatorOptions o = options();
  o.level_windows_ms = {1'000, 2'500};
  const auto opened = Replicator::open(*store_, *files_, executor_, random_, o);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind(), ErrorKind::invalid);
}

}  // namespace
}  // namespace cairn
