// There and back, through the manager: what was synced is restored, and a restored directory goes on being synced.
#include <gtest/gtest.h>

#include <filesystem>

#include "layer/manifest.h"
#include "store/memory_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using testing::describe_directory;
using testing::difference;
using testing::difference_to;
using testing::LayerWorld;
using testing::RecordingStore;

struct LayerRoundTrip : ::testing::Test {
  LayerWorld world;
  std::unique_ptr<Store> inner = make_memory_store();
  RecordingStore store{*inner};

  LayerOptions other_state() const {
    LayerOptions options = world.options();
    options.state_directory = world.beside("other-state");
    return options;
  }
  Result<std::unique_ptr<LayerManager>> elsewhere() {
    return LayerManager::open(store, world.machine(), other_state());
  }
};

TEST_F(LayerRoundTrip, EverySyncComesBack) {
  world.fill();
  world.write("big", LayerWorld::noise(1, (3u << 20) + 17));
  LayerOptions options = world.options();
  options.part_size_bytes = 700'000;
  const auto manager = world.open(store, options, {});
  std::vector<std::string> states;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(manager->sync_layer("web"));
    states.push_back(describe_directory(world.upper()));
    world.write("etc/changes", std::to_string(i));
    fs::remove(world / ("etc/deep/file-" + std::to_string(i)));
    if (i == 1) fs::remove_all(world / "etc/deep/er");
  }
  const auto other = elsewhere();  // needs no local state
  ASSERT_TRUE(other) << other.error().message();
  for (std::uint64_t sequence = 1; sequence <= states.size(); ++sequence) {
    const std::string target = world.beside("restored-" + std::to_string(sequence));
    LayerRestoreOptions restoring;
    restoring.sequence = sequence;
    const auto restored = (*other)->restore_layer("web", target, restoring);
    ASSERT_TRUE(restored) << restored.error().message();
    EXPECT_EQ(restored->snapshot.sequence, sequence);
    EXPECT_EQ(difference(describe_directory(target), states[sequence - 1]), "");
  }
}

// The machine is gone; another one restores the container, and goes on.
TEST_F(LayerRoundTrip, RestoredDirectoryIsSyncedOn) {
  world.fill();
  world.write("big", LayerWorld::noise(1, (3u << 20) + 17));
  { ASSERT_TRUE(world.open(store)->sync_layer("web")); }
  const auto other = elsewhere();
  ASSERT_TRUE(other);
  const std::string target = world.beside("restored");
  const auto restored = (*other)->restore_layer("web", target);
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_TRUE((*other)->list_containers()->empty());
  EXPECT_EQ((*other)->sync_layer("web").error().kind(), ErrorKind::not_found);  // nobody has named it here
  ASSERT_TRUE((*other)->register_container("web", target));
  EXPECT_EQ((*other)->sync_state("web")->sequence, 1u);
  store.forget_calls();
  const auto same = (*other)->sync_layer("web");
  ASSERT_TRUE(same) << same.error().message();
  EXPECT_FALSE(*same);
  EXPECT_TRUE(store.calls().empty());

  fs::remove(target + "/etc/hosts");
  const auto next = (*other)->sync_layer("web");
  ASSERT_TRUE(next && *next) << next.error().message();
  EXPECT_EQ((*next)->sequence, 2u);
  EXPECT_LE((*next)->file_count, 2u);
  EXPECT_EQ(difference_to(*inner, "web", target), "");
  // The old machine comes back, and is refused.
  world.write("late", "x");
  EXPECT_EQ(world.open(store)->sync_layer("web").error().kind(), ErrorKind::conflict);
}

TEST_F(LayerRoundTrip, RestoreElsewhereLeavesWhatIsKnownAlone) {
  world.fill();
  const auto manager = world.open(store);
  ASSERT_TRUE(manager->sync_layer("web"));
  ASSERT_TRUE(manager->restore_layer("web", world.beside("copy")));
  EXPECT_EQ(manager->sync_state("web")->directory, world.upper());
  store.forget_calls();
  EXPECT_FALSE(*manager->sync_layer("web"));
  EXPECT_TRUE(store.calls().empty());
}

TEST_F(LayerRoundTrip, OlderSyncProvesNothing) {
  world.fill();
  {
    const auto manager = world.open(store);
    ASSERT_TRUE(manager->sync_layer("web"));
    world.write("new", "x");
    ASSERT_TRUE(manager->sync_layer("web"));
  }
  const auto other = elsewhere();
  ASSERT_TRUE(other);
  LayerRestoreOptions first;
  first.sequence = 1;
  ASSERT_TRUE((*other)->restore_layer("web", world.beside("old"), first));
  ASSERT_TRUE((*other)->register_container("web", world.beside("old")));
  EXPECT_EQ((*other)->sync_layer("web").error().kind(), ErrorKind::conflict);
  EXPECT_EQ(layer::read_manifest(*inner, "web")->manifest.syncs.size(), 2u);
}

}  // namespace
}  // namespace cairn
