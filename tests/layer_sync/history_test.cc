// A container that is synced very often: its manifest stays small, and all of its history can be restored, listed,
// verified and pruned.
#include "layer/history.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "layer/stored.h"
#include "store/memory_store.h"
#include "support/layer_world.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using testing::describe_directory;
using testing::describe_sync;
using testing::difference;
using testing::LayerWorld;

struct LayerLongHistory : ::testing::Test {
  static constexpr std::uint64_t kSyncs = 40;

  LayerWorld world;
  std::unique_ptr<Store> store = make_memory_store();
  std::vector<std::string> states;
  std::uint64_t largest_manifest = 0;

  LayerOptions options() const {
    LayerOptions with = world.options();
    with.manifest_syncs = 5;
    return with;
  }
  void sync_often() {
    const auto manager = world.open(*store, options(), {});
    for (std::uint64_t i = 1; i <= kSyncs; ++i) {
      world.write("file", LayerWorld::noise(i, 3000));
      world.write("number", std::to_string(i));
      const auto synced = manager->sync_layer("web");
      ASSERT_TRUE(synced && *synced) << synced.error().message();
      states.push_back(describe_directory(world.upper()));
      largest_manifest = std::max(largest_manifest, store->head(layer::manifest_key("web"))->size_bytes);
    }
  }
  layer::Manifest manifest() { return layer::read_manifest(*store, "web")->manifest; }
};

TEST_F(LayerLongHistory, ManifestStaysSmallAndEverySyncComesBack) {
  sync_often();
  EXPECT_LT(largest_manifest, 6000u);  // 40 syncs take 16,000 bytes
  EXPECT_LE(manifest().syncs.size(), 6u);
  EXPECT_GE(manifest().older.size(), 5u);
  EXPECT_EQ(layer_history(*store, "web")->size(), kSyncs);
  for (std::uint64_t sequence = 1; sequence <= kSyncs; ++sequence) {
    EXPECT_EQ(difference(describe_sync(*store, "web", sequence), states[sequence - 1]), "") << sequence;
  }
  const auto verified = verify_layers(*store, "web", world.machine());
  ASSERT_TRUE(verified);
  EXPECT_TRUE(verified->problems.empty());
  EXPECT_EQ(verified->layers, kSyncs);

  const auto manager = world.open(*store, options(), {});
  const std::string target = world.beside("restored");
  const std::vector<LayerSnapshot> history = *layer_history(*store, "web");
  ASSERT_TRUE(manager->restore_layer("web", target, {.sequence = 3}));
  EXPECT_EQ(difference(describe_directory(target), states[2]), "");
  // By time: of syncs of the same moment it is the last one.
  const auto restored = manager->restore_layer("web", target, {.at_ms = history[9].created_at_ms, .overwrite = true});
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_GE(restored->snapshot.sequence, 10u);
  EXPECT_LT(restored->snapshot.sequence, 30u);
  EXPECT_EQ(difference(describe_directory(target), states[restored->snapshot.sequence - 1]), "");
  EXPECT_EQ(manager->restore_layer("web", target, {.at_ms = 1, .overwrite = true}).error().kind(),
            ErrorKind::not_found);
}

// The state of the past is gone: what the manifest itself holds is enough to go on.
TEST_F(LayerLongHistory, GoesOnWithoutLocalState) {
  sync_often();
  fs::remove_all(world.state());
  const auto manager = world.open(*store, options(), {});
  EXPECT_FALSE(*manager->sync_layer("web"));
  world.write("number", "more");
  EXPECT_EQ((*manager->sync_layer("web"))->sequence, kSyncs + 1);
}

TEST_F(LayerLongHistory, PruneLeavesWhatIsKeptAndNothingElse) {
  sync_often();
  const auto pruned = prune_layers(*store, 1'000'000'000'000'000, {.grace_ms = 0, .keep_ms = 0});
  ASSERT_TRUE(pruned) << pruned.error().message();
  // The store's clock counts from 1, so no sync is older than it says: all stay.
  EXPECT_EQ(pruned->dropped_syncs, 0u);
  EXPECT_TRUE(pruned->removed.empty());

  layer::StoredManifest stored = *layer::read_manifest(*store, "web");
  const std::size_t parts = stored.manifest.older.size();
  layer::drop_before(stored.manifest, stored.manifest.older[parts - 1].first);
  ASSERT_TRUE(layer::publish_manifest(*store, stored.manifest, stored.etag));
  ASSERT_TRUE(prune_layers(*store, 1'000'000'000'000'000, {.grace_ms = 0, .keep_ms = {}}));
  std::size_t history_objects = 0, layers = 0;
  const auto left = layer::list_all(*store, "");
  for (const ObjectInfo& object : *left) {
    history_objects += layer::is_history_key(object.key) ? 1 : 0;
    layers += object.key.ends_with(".tar.zst") ? 1 : 0;
  }
  EXPECT_EQ(history_objects, 1u);
  EXPECT_EQ(layers, layer_history(*store, "web")->size());
  EXPECT_LT(layers, 15u);
  EXPECT_EQ(difference(describe_sync(*store, "web"), states.back()), "");
}

}  // namespace
}  // namespace cairn
