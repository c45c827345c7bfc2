// What is published is merged by time, from the local disk alone; what a bundle replaces goes after a while; and
// whatever happens to clocks, store and process, every restore point stays what it was.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "segment/keys.h"
#include "segment/merge.h"
#include "segment/reader.h"
#include "store/faulty.h"
#include "support/recording_store.h"
#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;
using segment::ObjectKind;
using testing::RecordingStore;

constexpr std::int64_t kDay_ms = 86'400'000;

struct BytesSink final : segment::Sink {
  Result<void> write(ByteView part) override {
    bytes.insert(bytes.end(), part.begin(), part.end());
    return {};
  }
  Bytes bytes;
};

class Levels : public ReplicatorTest {
 public:
  Levels() : inner_(std::move(store_)) {
    auto recording = std::make_unique<RecordingStore>(*inner_);
    recording_ = recording.get();
    store_ = std::move(recording);
    now_.wall_ms = 1'700'000'000'000;  // where a window of each level begins, nearly
    now_.wall_ms -= now_.wall_ms % 60'000;
  }
  ~Levels() override {
    replicator_.reset();
    store_ = std::move(inner_);
  }

  ReplicatorOptions options() {
    ReplicatorOptions o = ReplicatorTest::options();
    o.level_windows_ms = {1'000, 10'000, 60'000};
    o.replaced_grace_ms = 100'000;
    o.snapshot_interval_ms = 0;
    return o;
  }
  void begin(const ReplicatorOptions& o) {
    make_database();
    app_ = std::make_unique<App>(db_path_);
    start(o);
    must_settle();
  }
  void begin() { begin(options()); }
  std::uint64_t published() { return replicator_->status().published_sequence; }

  // Commits and publishes, and remembers what was published.
  void publish() {
    app_->must(fill(3));
    app_->must("UPDATE t SET v = v || 'x' WHERE id % 50 = 1");
    must_settle();
    states_[published()] = committed();
  }
  void publish(int count) {
    for (int i = 0; i < count; ++i) publish();
  }
  void pass(std::int64_t ms) {
    now_.mono_us += ms * 1000;
    now_.wall_ms += ms;
  }
  // To the beginning of the next window of level 1.
  void next_window() {
    pass(1000 - now_.wall_ms % 1000);
    pass(1);
  }
  void keep_up(int steps = 20) {
    for (int i = 0; i < steps; ++i) (void)replicator_->upkeep_step(now_);
  }
  // Until nothing is left to do.
  void rest() {
    for (int i = 0; i < 3000; ++i) {
      keep_up(1);
      const ReplicatorStatus s = replicator_->status();
      if (s.kept_objects == 0 && s.replacing_objects == 0 && i > 3) return;
      pass(500);
    }
    ADD_FAILURE() << "it never rests: " << replicator_->status().upkeep_trouble;
  }

  std::set<std::string> keys(const std::string& below) {
    std::set<std::string> found;
    const auto page = inner_->list("app/" + below);
    for (const ObjectInfo& info : page->objects) found.insert(info.key);
    return found;
  }
  void remove_all() {
    for (const std::string& key : keys("")) ASSERT_TRUE(inner_->remove(key));
  }
  segment::Footer footer(const std::string& key) { return (*segment::ObjectReader::open(*inner_, key))->footer(); }
  // Of many, some that lie apart.
  void expect_every_state() {
    const std::size_t apart = states_.size() / 8 + 1;
    std::size_t number = 0;
    for (const auto& [sequence, state] : states_) {
      if (number++ % apart != 0 && sequence != states_.rbegin()->first) continue;
      RestoreTarget target;
      target.sequence = sequence;
      EXPECT_TRUE(restored(target) == state) << "sequence " << sequence;
    }
    const auto report = verify_replica(*inner_, "app", VerifyDepth::chain, dir_.string(), *files_, executor_);
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_TRUE(report->problems.empty()) << report->problems.front();
  }
  // What is read of the objects that hold pages.
  std::size_t pages_read() {
    std::size_t count = 0;
    for (const auto& call : recording_->calls()) {
      const bool reads = call.operation == Operation::get || call.operation == Operation::get_suffix;
      count += reads && call.key.find("metadata.json") == std::string::npos ? 1 : 0;
    }
    return count;
  }
  Bytes merged_at_once(ObjectKind kind, std::uint64_t first, std::uint64_t last) {
    std::vector<std::unique_ptr<segment::ObjectReader>> readers;
    std::vector<segment::ObjectReader*> inputs;
    for (std::uint64_t at = first; at <= last; ++at) {
      readers.push_back(*segment::ObjectReader::open(*inner_, segment::segment_key("app", Sequence(at))));
      inputs.push_back(readers.back().get());
    }
    BytesSink sink;
    EXPECT_TRUE(segment::merge(inputs, kind, sink, executor_));
    return std::move(sink.bytes);
  }

  std::unique_ptr<Store> inner_;
  RecordingStore* recording_ = nullptr;
  std::unique_ptr<App> app_;
  std::map<std::uint64_t, std::string> states_;
};

std::string merged(int level, std::uint64_t first, std::uint64_t last) {
  return segment::merged_key("app", level, Sequence(first), Sequence(last));
}

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

TEST_F(Levels, WhatIsKeptIsBounded) {
  ReplicatorOptions o = options();
  o.kept_limit_bytes = 60'000;
  begin(o);
  std::uint64_t most = 0;
  for (int window = 0; window < 15; ++window) {
    publish(4);
    keep_up(window % 4);
    std::uint64_t on_disk = 0;
    for (const auto& entry : replicator_test::fs::recursive_directory_iterator(dir_ / "state" / "kept")) {
      if (entry.is_regular_file() && entry.path().extension() == ".kept") on_disk += entry.file_size();
    }
    most = std::max(most, on_disk);
    next_window();
  }
  EXPECT_GT(most, 0u);
  EXPECT_LE(most, o.kept_limit_bytes);
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
  stop(StopMode::crash);
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

TEST_F(Levels, WindowsThatAreNoMultiplesAreRefused) {
  ReplicatorOptions o = options();
  o.level_windows_ms = {1'000, 2'500};
  const auto opened = Replicator::open(*store_, *files_, executor_, random_, o);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind(), ErrorKind::invalid);
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
