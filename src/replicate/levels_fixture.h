// A database whose segments are merged in windows of seconds, for tests.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "segment/keys.h"
#include "segment/merge.h"
#include "segment/reader.h"
#include "support/recording_store.h"
#include "support/stepped_replicator.h"

namespace cairn::replicator_test {

using segment::ObjectKind;
using testing::RecordingStore;

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

inline std::string merged(int level, std::uint64_t first, std::uint64_t last) {
  return segment::merged_key("app", level, Sequence(first), Sequence(last));
}

}  // namespace cairn::replicator_test
