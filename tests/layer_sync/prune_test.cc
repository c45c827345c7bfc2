// Prunes beside real syncs, on a store whose clock is put right meanwhile: what was put a moment ago looks old then.
// (src/layer/prune_test.cc has prunes beside what a sync asks of a store, one request after the other.)
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "layer/manifest.h"
#include "layer/prune.h"
#include "layer/stored.h"
#include "store/memory_store.h"
#include "support/interrupted_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"

namespace cairn {
namespace {

using testing::difference_to;
using testing::InterruptedStore;
using testing::kDayMs;
using testing::LayerWorld;
using testing::RecordingStore;


class StoreClock final : public Clock {
 public:
  Time now() override { return {wall_ms, wall_ms * 1000}; }
  std::int64_t wall_ms = 1000 * kDayMs;
};

// A store with two containers: "other", and "web" with its directory, of which a change is to be synced.
struct Scene {
  explicit Scene(int syncs_before, bool late_names) {
    asked.can.late_names = late_names;
    const LayerWorld of_other;
    of_other.write("file", "of another one");
    const auto other = layer::open_manager(*store, of_other.machine(), of_other.options(), {});
    CAIRN_CHECK(other && (*other)->register_container("other", of_other.upper()) && (*other)->sync_layer("other"));
    for (int i = 0; i < syncs_before; ++i) {
      world.write("file", fmt::format("before {}", i));
      CAIRN_CHECK(world.open(asked, options(), {})->sync_layer("web").has_value());
    }
  }
  LayerOptions options() const {
    LayerOptions options = world.options();
    options.part_size_bytes = 50'000;
    options.concurrent_uploads = 1;
    return options;
  }
  // What there is to be removed, for who knows the manifests as they are now and takes all else for old.
  std::set<std::string> unnamed() const {
    std::set<std::string> named, found;
    const auto histories = layer::read_all_histories(*store).value();
    for (const layer::StoredHistory& history : histories) {
      for (const layer::SyncRecord& sync : history.whole.syncs) {
        named.insert(layer::meta_key(sync.layer.digest));
        named.insert(sync.layer.object);
      }
    }
    const auto objects = layer::list_all(*store, "").value();
    for (const ObjectInfo& object : objects) {
      const bool is_layer = object.key.ends_with(".tar.zst") || object.key.ends_with(".meta.json");
      if (is_layer && !named.contains(object.key)) found.insert(object.key);
    }
    return found;
  }

  StoreClock clock;
  LayerWorld world;
  std::unique_ptr<Store> store = make_memory_store(clock);
  RecordingStore asked{*store};
};

// Before each request of a sync, one after the other.
void at_every_request(const std::string& contents, const std::function<void(Scene&, std::uint64_t, bool&)>& happens) {
  const bool has_parts = contents.size() > 50'000;
  for (const bool late_names : {true, false}) {
    if (!late_names && !has_parts) continue;  // the same
    for (const int syncs_before : {0, 1}) {
      bool is_behind = false;
      for (std::uint64_t at = 0; !is_behind; ++at) {
        SCOPED_TRACE(fmt::format("late names {}, {} syncs, request {}", late_names, syncs_before, at));
        Scene scene(syncs_before, late_names);
        scene.world.write("file", contents);
        happens(scene, at, is_behind);
        if (::testing::Test::HasFailure()) return;
        EXPECT_EQ(difference_to(*scene.store, "web", scene.world.upper()), "");
        EXPECT_EQ(layer_history(*scene.store, "web")->size(), static_cast<std::size_t>(syncs_before) + 1);
      }
    }
  }
}

struct LayerPruneBesideSync : ::testing::TestWithParam<std::size_t> {
  const std::string contents = LayerWorld::noise(1, GetParam());
};

TEST_P(LayerPruneBesideSync, WhatAPruneTookBecauseOfTheClockIsSentAgain) {
  std::size_t taken = 0;
  at_every_request(contents, [&](Scene& scene, std::uint64_t at, bool& is_behind) {
    InterruptedStore interrupted(scene.asked, at, [&] {
      scene.clock.wall_ms += 2 * kDayMs;
      const auto pruned = prune_layers(*scene.store, scene.clock.wall_ms, {});
      ASSERT_TRUE(pruned) << pruned.error().message();
      taken += pruned->removed.size();
    });
    const auto synced = scene.world.open(interrupted, scene.options(), {})->sync_layer("web");
    ASSERT_TRUE(synced) << synced.error().message();
    is_behind = !interrupted.has_happened();
  });
  EXPECT_GT(taken, 4u);
}

// It has begun, knows what it will remove, and is slow.
TEST_P(LayerPruneBesideSync, APruneThatIsAtWorkIsWaitedForWhenTheClockJumped) {
  int waited = 0;
  at_every_request(contents, [&](Scene& scene, std::uint64_t at, bool& is_behind) {
    const std::string notice = fmt::format("{}1", layer::kNoticePrefix);
    std::set<std::string> doomed;
    InterruptedStore interrupted(scene.asked, at, [&] {
      scene.clock.wall_ms += 2 * kDayMs;
      ASSERT_TRUE(scene.store->put_new(notice, BytesSource({})));
      doomed = scene.unnamed();
    });
    const auto manager = scene.world.open(interrupted, scene.options(), {});
    const auto synced = manager->sync_layer("web");
    for (const std::string& key : doomed) ASSERT_TRUE(scene.store->remove(key));
    ASSERT_TRUE(scene.store->remove(notice));
    is_behind = !interrupted.has_happened();
    if (synced) return;
    EXPECT_EQ(synced.error().kind(), ErrorKind::retry_later) << synced.error().message();
    const auto again = manager->sync_layer("web");
    ASSERT_TRUE(again) << again.error().message();
    ++waited;
  });
  EXPECT_GT(waited, 2);
}

INSTANTIATE_TEST_SUITE_P(Sizes, LayerPruneBesideSync, ::testing::Values(2'000, 120'000));

}  // namespace
}  // namespace cairn
