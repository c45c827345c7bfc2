// Replicas whose segments were merged, again and again, and whose sources are gone: every restore point that is still
// offered is what it was, byte for byte, and what is no longer one is refused. The objects are made by the real merge,
// from what lies in the store.

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "restore/test_replica.h"
#include "segment/keys.h"
#include "segment/merge.h"
#include "store/counting.h"
#include "support/unsynced_files.h"

namespace cairn::restore {
namespace {

using cairn::testing::Image;
using cairn::testing::ReplicaBuilder;
using segment::ObjectKind;
using ::testing::IsEmpty;

class BytesSink final : public segment::Sink {
 public:
  Result<void> write(ByteView part) override {
    bytes.insert(bytes.end(), part.begin(), part.end());
    return {};
  }
  Bytes bytes;
};

struct Merged {
  Sequence first, last;
  std::string key;
};

// Merges what lies under `keys` and puts it into the store.
Merged merge_in_store(Store& store, const std::string& replica, const std::vector<std::string>& keys, int level,
                      ObjectKind kind, Executor& executor) {
  std::vector<std::unique_ptr<segment::ObjectReader>> readers;
  std::vector<segment::ObjectReader*> inputs;
  for (const std::string& key : keys) {
    auto reader = segment::ObjectReader::open(store, key, segment::KeepEnd::yes);
    EXPECT_TRUE(reader) << reader.error().message();
    readers.push_back(std::move(*reader));
    inputs.push_back(readers.back().get());
  }
  BytesSink sink;
  segment::MergeOptions options;
  options.memory_bytes = 16 * 512;
  const auto footer = segment::merge(inputs, kind, sink, executor, options);
  EXPECT_TRUE(footer) << footer.error().message();
  Merged merged{footer->first, footer->last, segment::merged_key(replica, level, footer->first, footer->last)};
  EXPECT_TRUE(store.put_new(merged.key, BytesSource(sink.bytes)));
  return merged;
}

// A replica of 512-byte pages that lives and is merged, and what must hold of it.
class MergedReplica {
 public:
  MergedReplica(Store& store, std::uint64_t seed, Executor& executor)
      : store_(store), random_(seed), executor_(executor), replica_(store, "app.db") {}

  void live(int length) {
    Image image = Image::made(512, 2 + static_cast<std::uint32_t>(random_.below(40)), random_.next());
    replica_.begin(image);
    for (int i = 0; i < length; ++i) {
      if (random_.chance(1, 3)) image.resize(1 + static_cast<std::uint32_t>(random_.below(image.page_count + 9)));
      for (std::uint64_t n = 1 + random_.below(6); n > 0; --n)
        image.change(1 + static_cast<std::uint32_t>(random_.below(image.page_count + 1)), random_.next());
      const Sequence sequence = replica_.add(image);
      objects_.push_back({sequence, sequence, replica_.segment_key(sequence)});
      if (random_.chance(1, 8)) replica_.snapshot();
    }
  }

  // Some neighbours become one; some of what another object covers goes.
  void merge_somewhere() {
    std::vector<Merged> chain{objects_[random_.below(objects_.size())]};
    for (std::uint64_t most = random_.below(6); most > 0; --most) {
      std::vector<Merged> next;
      for (const Merged& object : objects_) {
        if (object.first == chain.back().last.next()) next.push_back(object);
      }
      if (next.empty()) break;
      chain.push_back(next[random_.below(next.size())]);
    }
    std::vector<std::string> keys;
    for (const Merged& object : chain) keys.push_back(object.key);
    const ObjectKind kind = random_.chance(2, 3) ? ObjectKind::bundle : ObjectKind::squashed;
    objects_.push_back(merge_in_store(store_, "app.db", keys, ++level_, kind, executor_));
  }
  void prune_somewhere() {
    const Merged victim = objects_[random_.below(objects_.size())];
    const bool covered = std::any_of(objects_.begin(), objects_.end(), [&](const Merged& other) {
      return other.key != victim.key && other.first <= victim.first && victim.last <= other.last;
    });
    if (!covered) return;
    EXPECT_TRUE(store_.remove(victim.key));
    std::erase_if(objects_, [&](const Merged& object) { return object.key == victim.key; });
  }

  // Every state that can be reached by applying objects, one after the other, in any way at all.
  std::set<std::uint64_t> reachable() {
    std::map<std::string, segment::Footer> footers;
    std::set<std::uint64_t> states;
    for (const auto& [key, bytes] : cairn::testing::all_objects(store_)) {
      const auto name = segment::parse_key("app.db", key);
      if (!name) continue;
      if (name->kind == segment::KeyKind::snapshot) states.insert(name->last.value);
      else footers[key] = (*segment::ObjectReader::open(store_, key))->footer();
    }
    for (std::size_t before = 0; before != states.size();) {
      before = states.size();
      for (const auto& [key, footer] : footers) {
        for (const std::uint64_t state : std::set<std::uint64_t>(states)) {
          if (footer.first.value > state + 1) continue;
          for (const auto& point : footer.points) {
            if (point.sequence.value > state) states.insert(point.sequence.value);
          }
        }
      }
    }
    return states;
  }

  const ReplicaBuilder& builder() const { return replica_; }

 private:
  Store& store_;
  SeededRandom random_;
  Executor& executor_;
  ReplicaBuilder replica_;
  std::vector<Merged> objects_;
  int level_ = 0;
};

class MergedRestore : public testing::ReplicaTest {
 protected:
  MergedRestore() { files_ = std::make_unique<cairn::testing::UnsyncedFiles>(); }

  void expect_all_of(Store& store, MergedReplica& replica) {
    const std::set<std::uint64_t> offered = replica.reachable();
    std::set<std::uint64_t> listed;
    const auto points = list_restore_points(store, "app.db", executor_.get());
    ASSERT_TRUE(points) << points.error().message();
    for (const RestorePointInfo& point : *points) listed.insert(point.sequence);
    EXPECT_EQ(listed, offered);
    for (Sequence at; at <= replica.builder().newest(); at = at.next()) {
      if (offered.contains(at.value)) expect_restores(store, replica.builder(), at);
      else expect_refused(store, testing::at_sequence(at.value), ErrorKind::not_found);
      expect_restores_time(store, replica, offered, at);
    }
    const auto report =
        verify_replica(store, "app.db", VerifyDepth::chain, path("scratch"), *files_, *executor_);
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_THAT(report->problems, IsEmpty());
    EXPECT_EQ(report->restore_points, offered.size());
  }

  // Half a second after a state's time: that state, or the newest one before it that is still offered.
  void expect_restores_time(Store& store, MergedReplica& replica, const std::set<std::uint64_t>& offered, Sequence at) {
    const std::uint64_t expected = *std::prev(offered.upper_bound(at.value));
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    // Onto what was restored before: another state of the same database.
    options.base = at.value % 2 == 0 ? Base::existing : Base::none;
    const auto result = restore(store, testing::at_time(replica.builder().time_ms(at) + 500), options);
    ASSERT_TRUE(result) << "at the time of " << at.value << ": " << result.error().message();
    EXPECT_EQ(result->plan.point.sequence, expected);
    EXPECT_TRUE(read("out.db") == replica.builder().state(Sequence(expected)).bytes()) << "time of " << at.value;
  }
};

TEST_F(MergedRestore, EveryPointThatIsStillOfferedIsWhatItWas) {
  for (std::uint64_t seed = 1; seed <= 80; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    auto store = make_memory_store();
    MergedReplica replica(*store, seed, *executor_);
    replica.live(4 + static_cast<int>(seed % 14));
    SeededRandom random(seed);
    for (int round = 0; round < 8; ++round) {
      replica.merge_somewhere();
      for (std::uint64_t n = random.below(8); n > 0; --n) replica.prune_somewhere();
    }
    expect_all_of(*store, replica);
    if (HasFailure()) return;
  }
}

// A day in small: 64 publishes, bundles of 4, bundles of 16 made of those, one squashed segment of them all.
class Levels : public MergedRestore {
 protected:
  Levels() : replica_(*store_, "app.db") {
    Image image = Image::made(512, 60, 1);
    replica_.begin(image);
    std::vector<std::string> keys;
    for (std::uint32_t i = 1; i <= 64; ++i) {
      for (std::uint32_t n = 0; n < 5; ++n) image.change(1 + (i * 37 + n * 11) % 60, i * 100 + n);
      keys.push_back(replica_.segment_key(replica_.add(image)));
    }
    for (int level = 1; level <= 3; ++level) {
      std::vector<std::string> merged;
      for (std::size_t at = 0; at < keys.size(); at += 4) {
        const std::vector<std::string> few(keys.begin() + static_cast<std::ptrdiff_t>(at),
                                           keys.begin() + static_cast<std::ptrdiff_t>(at + 4));
        const ObjectKind kind = level == 3 ? ObjectKind::squashed : ObjectKind::bundle;
        merged.push_back(merge_in_store(*store_, "app.db", few, level, kind, *executor_).key);
      }
      keys = merged;
    }
  }

  void prune(const std::string& prefix) {
    for (const auto& [key, bytes] : cairn::testing::all_objects(*store_)) {
      if (key.starts_with("app.db/" + prefix)) {
        ASSERT_TRUE(store_->remove(key));
      }
    }
  }

  ReplicaBuilder replica_;
};

TEST_F(Levels, EachLevelAloneRestoresWhatItHolds) {
  for (const char* level : {"wal/", "levels/1/", "levels/2/"}) {
    SCOPED_TRACE(level);
    EXPECT_EQ(list_restore_points(*store_, "app.db")->size(), 65u);
    for (const std::uint64_t sequence : {0u, 1u, 4u, 5u, 15u, 16u, 17u, 38u, 63u, 64u})
      expect_restores(*store_, replica_, Sequence(sequence));
    prune(level);
  }
  expect_restores(*store_, replica_, Sequence(64));
  EXPECT_EQ(list_restore_points(*store_, "app.db")->size(), 2u) << "0 and 64";
  expect_refused(*store_, testing::at_sequence(20), ErrorKind::not_found);
}

TEST_F(Levels, ARestoreInsideABundleReadsTheBundleAndNotWhatLiesBelow) {
  prune("wal/");
  CountingStore counting(*store_);
  auto result = restore(counting, testing::at_sequence(39));
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(read("out.db") == replica_.state(Sequence(39)).bytes());
  std::vector<std::string> keys;
  for (const PlannedObject& object : result->plan.objects) keys.push_back(object.key);
  EXPECT_EQ(keys.size(), 4u) << "the snapshot, two bundles of 16 whole and one in part";
  EXPECT_EQ(result->plan.objects.back().last_sequence, 48u);
  const StoreCounts counts = counting.counts();
  EXPECT_LE(counts.of(Operation::list).calls, 3u);
  EXPECT_LE(counts.of(Operation::get).calls + counts.of(Operation::get_suffix).calls, 16u);
}

}  // namespace
}  // namespace cairn::restore
