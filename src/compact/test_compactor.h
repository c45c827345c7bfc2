// What the tests of the compactor share: a replica in memory, a clock that is set by hand, compactors over any store.
#pragma once

#include <gmock/gmock.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cairn/compactor.h"
#include "compact/test_times.h"
#include "restore/test_replica.h"
#include "segment/keys.h"
#include "store/memory_store.h"
#include "support/scratch.h"
#include "support/unsynced_files.h"

namespace cairn::compact::testing {

using cairn::testing::all_objects;
using cairn::testing::Image;
using cairn::testing::ReplicaBuilder;

class HandClock final : public Clock {
 public:
  Time now() override { return {wall_ms, wall_ms * 1000}; }
  std::int64_t wall_ms = 1'000 * kDay;
};

class CompactorTest : public restore::testing::ReplicaTest {
 protected:
  CompactorTest() {
    files_ = std::make_unique<cairn::testing::UnsyncedFiles>();
    place_ = "";
    begin();
  }

  void begin() {
    store_ = make_memory_store(clock_);
    replica_ = std::make_unique<ReplicaBuilder>(*store_, "");
  }
  // A compactor with a catalogue of that name; its one URL, whatever it says, is `store`.
  std::unique_ptr<Compactor> compactor(Store& store, const std::string& name = "catalogue") {
    CompactorOptions options;
    options.catalogue = scratch_ / (name + ".db");
    options.scratch_directory = scratch_ / "merging";
    options.open_store = [&store](const std::string&) { return std::shared_ptr<Store>(&store, [](Store*) {}); };
    auto opened = Compactor::open(options, clock_, *files_, inline_);
    EXPECT_TRUE(opened) << opened.error().message();
    return std::move(*opened);
  }
  Result<CompactReport> compact(Store& store, const CompactOptions& options, const std::string& name = "catalogue") {
    auto one = compactor(store, name);
    CAIRN_TRY(one->monitor("r"));
    return one->compact("r", options);
  }

  // States of a database that grows, shrinks, and now and then changes its page size.
  void live(SeededRandom& random, int length) {
    Image image = Image::made(512, 2 + static_cast<std::uint32_t>(random.below(6)), random.next());
    replica_->begin(image, clock_.wall_ms);
    for (int i = 0; i < length; ++i) {
      publish(random, image);
      if (random.chance(1, 12)) replica_->snapshot();
    }
  }
  void publish(SeededRandom& random, Image& image) {
    clock_.wall_ms += 1 + static_cast<std::int64_t>(random.below(5 * kMinute));
    if (random.chance(1, 40)) {
      image = Image::made(image.page_size == 512 ? 1024 : 512, 1 + static_cast<std::uint32_t>(random.below(5)),
                          random.next());
    }
    if (random.chance(1, 3)) image.resize(1 + static_cast<std::uint32_t>(random.below(image.page_count + 3)));
    image.change(1 + static_cast<std::uint32_t>(random.below(image.page_count + 1)), random.next());
    replica_->add(image, clock_.wall_ms);
  }
  // `count` more states of a page or two, a second apart, without a snapshot.
  void publish_plainly(std::uint64_t count) {
    Image image;
    if (replica_is_empty()) {
      image = Image::made(512, 4, 1);
      replica_->begin(image, clock_.wall_ms);
    } else {
      image = replica_->state(replica_->newest());
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      clock_.wall_ms += 1000;
      const auto seed = static_cast<std::uint64_t>(clock_.wall_ms);
      image.change(1 + static_cast<std::uint32_t>(seed / 1000 % 4), seed);
      replica_->add(image, clock_.wall_ms);
    }
  }
  bool replica_is_empty() { return all_objects(*store_).empty(); }

  // Every state that was ever published.
  void expect_all_states() { expect_restores_all(*store_, *replica_); }
  void expect_verified() {
    const auto report = verify_replica(*store_, "", VerifyDepth::chain, path("scratch"), *files_, inline_);
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_THAT(report->problems, ::testing::IsEmpty());
  }
  std::uint64_t count(const std::string& prefix) {
    std::uint64_t found = 0;
    for (const auto& [key, bytes] : all_objects(*store_)) found += key.starts_with(prefix);
    return found;
  }
  void flip(const std::string& key, std::size_t at) {
    Bytes bytes = cairn::testing::get_object(*store_, key);
    bytes[at % bytes.size()] ^= std::byte{16};
    cairn::testing::replace_object(*store_, key, bytes);
  }

  HandClock clock_;
  InlineExecutor inline_;
  cairn::testing::Scratch scratch_{"compact"};
  std::unique_ptr<ReplicaBuilder> replica_;
};

}  // namespace cairn::compact::testing
