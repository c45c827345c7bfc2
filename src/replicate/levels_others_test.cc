// What another replicator, or a store that went back in time, has put where merged objects go: nothing of one history
// is merged into another, and whoever is not the writer any more is refused.
#include <gtest/gtest.h>

#include "replicate/levels_fixture.h"

namespace cairn {
namespace {

using namespace replicator_test;

TEST_F(Levels, WhatSomebodyElseHasPutThereReplacesNothing) {
  begin();
  next_window();
  publish(6);
  const std::uint64_t last = published();
  const Bytes other = merged_at_once(ObjectKind::squashed, last - 5, last);
  ASSERT_TRUE(inner_->put_new(merged(1, last - 5, last), BytesSource(other)));
  next_window();
  publish();
  keep_up();
  pass(2 * options().replaced_grace_ms);
  rest();
  EXPECT_TRUE(inner_->get(merged(1, last - 5, last))->bytes == other);
  EXPECT_TRUE(keys("wal/").contains(segment::segment_key("app", Sequence(last - 1))));
  expect_every_state();
}

TEST_F(Levels, AReplicaThatIsGoneGetsNoMergedObject) {
  begin();
  next_window();
  publish(6);
  next_window();
  publish();
  remove_all();
  keep_up();
  EXPECT_TRUE(keys("").empty());
}

// A writer that another one has put aside, and that comes back when all that the other one has published is merged and
// gone, whatever its clocks say.
TEST_F(Levels, AStaleWriterIsRefusedAlthoughTheKeyThatItWantsHasBeenMerged) {
  for (const bool clocks_stood_still : {true, false}) {
    const std::string name = clocks_stood_still ? "still" : "running";
    begin();
    publish(3);
    Replicator& stale = *replicator_;
    const std::unique_ptr<Replicator> held = std::move(replicator_);
    const Time then = now_;
    app_->must(fill(2));
    ASSERT_TRUE(stale.capture_step(now_));
    pass(20);
    ASSERT_TRUE(stale.capture_step(now_));

    ReplicatorOptions o = options();
    o.state_directory = (dir_ / ("other" + name)).string();
    o.adopt = Adopt::local;
    start(o);
    must_settle();
    for (int window = 0; window < 4; ++window) {
      next_window();
      publish(6);
      keep_up();
    }
    rest();
    ASSERT_GT(replicator_->status().replaced_objects, 10u);
    const auto before = keys("");
    const auto refused = stale.publish_step(clocks_stood_still ? then : now_);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind(), ErrorKind::conflict);
    EXPECT_EQ(keys(""), before);
    expect_every_state();
    held->close(StopMode::crash);
    stop();
    remove_all();
    app_.reset();
    states_.clear();
    for (const char* left : {"app.db", "app.db-wal", "app.db-shm", "state"}) {
      replicator_test::fs::remove_all(dir_ / left);
    }
  }
}

// One that has nothing to publish, and so does not hear that the store was rolled back to an older copy of itself and
// that another goes on there, merges nothing of what is no longer there.
TEST_F(Levels, WhatAnotherHasPublishedInAStoreThatWasRolledBackIsMergedWithNothing) {
  begin();
  publish(2);
  next_window();
  publish(3);
  const std::uint64_t kept = published();
  publish(3);
  const std::uint64_t last = published();
  const std::unique_ptr<Replicator> idle = std::move(replicator_);
  const Time then = now_;
  for (std::uint64_t at = kept + 1; at <= last; ++at) {
    ASSERT_TRUE(inner_->remove(segment::segment_key("app", Sequence(at))));
    states_.erase(at);
  }

  ReplicatorOptions o = options();
  o.state_directory = (dir_ / "other").string();
  o.adopt = Adopt::local;
  start(o);
  must_settle();
  publish(5);
  ASSERT_GT(published(), last);
  Time later = then;
  for (int i = 0; i < 20; ++i) {
    later.mono_us += 1'000'000;
    later.wall_ms += 1'000;
    (void)idle->upkeep_step(later);
  }
  EXPECT_EQ(keys("levels/"), std::set<std::string>{merged(2, 1, 2)});
  rest();
  expect_every_state();
  idle->close(StopMode::crash);
}

// The same with one that has more to publish, under a key that the other one has not come to: that its key is free says
// nothing of those before it.
TEST_F(Levels, WhatAnotherHasPublishedUnderTheKeysOfABundleIsNotReplaced) {
  begin();
  next_window();
  publish(6);
  const std::uint64_t last = published();
  const std::unique_ptr<Replicator> stale = std::move(replicator_);
  const Time then = now_;
  for (std::uint64_t at = last - 2; at <= last; ++at) {
    ASSERT_TRUE(inner_->remove(segment::segment_key("app", Sequence(at))));
    states_.erase(at);
  }
  app_->must(fill(2));
  Time later = then;
  later.mono_us += 4'000'000;
  later.wall_ms += 4'000;
  ASSERT_TRUE(stale->capture_step(later));

  ReplicatorOptions o = options();
  o.state_directory = (dir_ / "other").string();
  o.adopt = Adopt::local;
  start(o);
  must_settle();
  while (published() < last - 1) publish();
  const auto others = keys("wal/");

  later.mono_us += 2'000'000;
  later.wall_ms += 2'000;
  ASSERT_TRUE(stale->capture_step(later));
  ASSERT_TRUE(stale->publish_step(later));
  ASSERT_TRUE(inner_->head(segment::segment_key("app", Sequence(last + 1)))) << "its key was free";
  for (int i = 0; i < 20; ++i) (void)stale->upkeep_step(later);
  EXPECT_FALSE(keys("levels/").contains(merged(1, last - 5, last)));
  stale->close(StopMode::crash);
  for (const std::string& key : others) EXPECT_TRUE(keys("wal/").contains(key)) << key;
}

// What a bundle is made of may have been brought back from a copy, under another etag.
TEST_F(Levels, ASourceThatWasPutBackAsItWasIsMerged) {
  begin();
  next_window();
  publish(6);
  const std::uint64_t last = published();
  const std::string newest = segment::segment_key("app", Sequence(last));
  const Bytes bytes = inner_->get(newest)->bytes;
  ASSERT_TRUE(inner_->remove(newest));
  ASSERT_TRUE(inner_->put_new(newest, BytesSource(bytes)));
  next_window();
  publish();
  keep_up();
  EXPECT_TRUE(keys("levels/").contains(merged(1, last - 5, last)));
  expect_every_state();
}

// The same state directory twice, as a machine's snapshot that is brought back leaves it: its own first segment is no
// help, but a look is, once the clocks say how long it was away.
TEST_F(Levels, ATwinOfTheSameWriterIsRefusedToo) {
  begin();
  publish(3);
  const std::unique_ptr<Replicator> stale = std::move(replicator_);
  app_->must(fill(2));
  ASSERT_TRUE(stale->capture_step(now_));
  pass(20);
  ASSERT_TRUE(stale->capture_step(now_));
  ReplicatorOptions o = options();
  o.state_directory = (dir_ / "twin").string();
  replicator_test::fs::copy(dir_ / "state", o.state_directory, replicator_test::fs::copy_options::recursive);
  replicator_test::fs::remove_all(dir_ / "twin" / "spool");
  start(o);
  must_settle();
  for (int window = 0; window < 4; ++window) {
    next_window();
    publish(6);
    keep_up();
  }
  rest();
  const auto refused = stale->publish_step(now_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::conflict);
  expect_every_state();
  stale->close(StopMode::crash);
}

}  // namespace
}  // namespace cairn
