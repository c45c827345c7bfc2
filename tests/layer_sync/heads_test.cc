// Who may publish: one history a container, whatever happens to state directories and stores.
#include <gtest/gtest.h>

#include <filesystem>

#include "layer/manifest.h"
#include "sqlite/local_database.h"
#include "store/memory_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using testing::difference_to;
using testing::LayerWorld;
using testing::RecordingStore;

struct LayerHeads : ::testing::Test {
  LayerWorld world;
  std::unique_ptr<Store> inner = make_memory_store();
  RecordingStore store{*inner};
  std::string notices;

  LayerSyncOptions telling(LayerAdopt adopt = LayerAdopt::none) {
    LayerSyncOptions options;
    options.adopt = adopt;
    options.on_notice = [this](std::string_view text) { notices += std::string(text) + "\n"; };
    return options;
  }
  LayerOptions other_state() const {
    LayerOptions options = world.options();
    options.state_directory = world.beside("other-state");
    return options;
  }
  layer::Manifest manifest() { return layer::read_manifest(*inner, "web")->manifest; }
  void expect_equal() { EXPECT_EQ(difference_to(*inner, "web", world.upper()), ""); }
};

TEST_F(LayerHeads, StateDirectoryIsOneProcesses) {
  const auto manager = world.open(store);
  const auto second = LayerManager::open(store, world.machine(), world.options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind(), ErrorKind::busy);
  EXPECT_NE(second.error().message().find(world.state()), std::string::npos);
}

TEST_F(LayerHeads, AnotherStateIsRefusedUntilItAdopts) {
  world.fill();
  const auto manager = world.open(store);
  ASSERT_TRUE(manager->sync_layer("web"));
  world.write("new", "since");
  auto other = world.open(store, other_state(), {});
  for (int i = 0; i < 2; ++i) {  // the second time, too: what it has learned of the store proves nothing
    const auto refused = other->sync_layer("web");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind(), ErrorKind::conflict);
    EXPECT_NE(refused.error().message().find("--adopt local"), std::string::npos) << refused.error().message();
    EXPECT_EQ(manifest().head().sequence, 1u);
    other.reset();
    other = world.open(store, other_state(), {});
  }
  const auto adopted = other->sync_layer("web", telling(LayerAdopt::local));
  ASSERT_TRUE(adopted && *adopted) << adopted.error().message();
  EXPECT_EQ((*adopted)->sequence, 2u);
  EXPECT_FALSE((*adopted)->is_full);
  EXPECT_LE((*adopted)->file_count, 2u);  // the file and its directory: everything else was known by its contents
  expect_equal();

  // The first one has lost the history now, and is told.
  world.write("new", "of the first one");
  const auto lost = manager->sync_layer("web");
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().kind(), ErrorKind::conflict);
  EXPECT_EQ(manifest().head().sequence, 2u);
}

TEST_F(LayerHeads, AnotherStateWhoseDirectoryEqualsTheHeadGoesOn) {
  world.fill();
  ASSERT_TRUE(world.open(store)->sync_layer("web"));
  const auto other = world.open(store, other_state(), {});
  const auto same = other->sync_layer("web", telling());
  ASSERT_TRUE(same) << same.error().message();
  EXPECT_FALSE(*same);
  world.write("new", "since");
  const auto next = other->sync_layer("web");
  ASSERT_TRUE(next && *next) << next.error().message();
  EXPECT_EQ((*next)->sequence, 2u);
  expect_equal();
}

// Two at work at the same moment: the one that publishes second finds that it has lost.
TEST_F(LayerHeads, RaceIsLostByOne) {
  world.fill();
  const auto manager = world.open(store);
  ASSERT_TRUE(manager->sync_layer("web"));
  const auto other = world.open(store, other_state(), {});
  ASSERT_TRUE(other->sync_layer("web"));
  world.write("new", "since");
  bool raced = false;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_if || std::exchange(raced, true)) return {};
    EXPECT_TRUE(other->sync_layer("web"));
    return {};
  };
  const auto lost = manager->sync_layer("web");
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().kind(), ErrorKind::conflict);
  EXPECT_EQ(manifest().syncs.size(), 2u);
  EXPECT_FALSE(manager->sync_state("web")->upload_pending);
  expect_equal();
}

// Z7: the state that is lost is found out again from the store.
TEST_F(LayerHeads, LostCatalogueIsReadFromTheStore) {
  world.fill();
  world.write("big", LayerWorld::noise(1, 3u << 20));
  {
    const auto manager = world.open(store);
    ASSERT_TRUE(manager->sync_layer("web"));
    world.write("etc/hosts", "changed");
    ASSERT_TRUE(manager->sync_layer("web"));
  }
  {
    auto database = sqlite::LocalDatabase::open(world.state() + "/state.db", "");
    ASSERT_TRUE(database);
    ASSERT_TRUE((*database)->execute("DELETE FROM layer_scan_row"));
  }
  const auto manager = world.open(store);
  fs::remove(world / "etc/deep/file-7");
  const auto synced = manager->sync_layer("web", telling());
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ((*synced)->sequence, 3u);
  EXPECT_FALSE((*synced)->is_full);
  EXPECT_LE((*synced)->file_count, 2u);
  EXPECT_NE(notices.find("read anew"), std::string::npos) << notices;
  expect_equal();
  EXPECT_FALSE(*manager->sync_layer("web"));
}

// A machine that was cloned, state directory and all: the two do not take turns in one history.
TEST_F(LayerHeads, CopyOfTheStateIsAnotherWriter) {
  world.fill();
  { ASSERT_TRUE(world.open(store)->sync_layer("web")); }
  fs::copy(world.state(), world.beside("other-state"), fs::copy_options::recursive);
  world.write("etc/hosts", "of the first one");
  { ASSERT_TRUE(world.open(store)->sync_layer("web")); }
  // A directory that equals the head goes on: it may be the same machine, whose state was put back.
  const auto same = world.open(store, other_state(), {})->sync_layer("web");
  ASSERT_TRUE(same && !*same) << same.error().message();
  world.write("etc/hosts", "of the copy");
  {
    const auto next = world.open(store, other_state(), {})->sync_layer("web");
    ASSERT_TRUE(next && *next) << next.error().message();
  }
  world.write("new", "of the first one");
  for (int i = 0; i < 2; ++i) {  // the second time, too
    const auto refused = world.open(store)->sync_layer("web");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind(), ErrorKind::conflict);
    EXPECT_EQ(manifest().head().sequence, 3u);
  }
  ASSERT_TRUE(world.open(store)->sync_layer("web", telling(LayerAdopt::local)));
  EXPECT_EQ(manifest().head().sequence, 4u);
  expect_equal();
  world.write("new", "of the copy");
  EXPECT_FALSE(world.open(store, other_state(), {})->sync_layer("web"));
  EXPECT_EQ(manifest().head().sequence, 4u);
}

TEST_F(LayerHeads, EmptiedStoreIsRefusedUntilANewHistoryIsWanted) {
  world.fill();
  const auto manager = world.open(store);
  ASSERT_TRUE(manager->sync_layer("web"));
  const std::string lineage = manifest().lineage.hex();
  const auto all = inner->list("");
  for (const ObjectInfo& object : all->objects) ASSERT_TRUE(inner->remove(object.key));
  world.write("new", "since");
  const auto refused = manager->sync_layer("web", telling());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::conflict);
  EXPECT_TRUE(inner->list("")->objects.empty());
  const auto synced = manager->sync_layer("web", telling(LayerAdopt::local));
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ((*synced)->sequence, 1u);
  EXPECT_TRUE((*synced)->is_full);
  EXPECT_NE(manifest().lineage.hex(), lineage);
  expect_equal();
}

// The directory itself was a mount, and is not mounted: nothing is published as removed, however often it is tried.
TEST_F(LayerHeads, EmptyDirectoryInPlaceOfAnotherIsRefused) {
  world.fill();
  const auto manager = world.open(store);
  ASSERT_TRUE(manager->sync_layer("web"));
  fs::rename(world.upper(), world.beside("mounted"));
  fs::create_directory(world.upper());
  for (int i = 0; i < 2; ++i) {
    const auto refused = manager->sync_layer("web");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind(), ErrorKind::conflict);
    EXPECT_NE(refused.error().message().find("--adopt local"), std::string::npos) << refused.error().message();
  }
  EXPECT_EQ(manifest().head().sequence, 1u);
  fs::remove(world.upper());
  fs::rename(world.beside("mounted"), world.upper());
  ASSERT_TRUE(manager->sync_layer("web"));
  expect_equal();
  // What has a name, or was emptied as it is, or is said to be right, is published.
  fs::remove_all(world.upper());
  world.mkdir("");
  world.write("new", "since");
  ASSERT_TRUE(manager->sync_layer("web"));
  expect_equal();
  fs::remove(world / "new");
  ASSERT_TRUE(manager->sync_layer("web"));
  expect_equal();
  world.write("new", "since");
  ASSERT_TRUE(manager->sync_layer("web"));
  fs::rename(world.upper(), world.beside("mounted"));
  fs::create_directory(world.upper());
  ASSERT_TRUE(manager->sync_layer("web", telling(LayerAdopt::local)));
  expect_equal();
}

// The same state directory with another store: what is known is about the first one.
TEST_F(LayerHeads, AnotherStoreGetsAHistoryOfItsOwn) {
  world.fill();
  { ASSERT_TRUE(world.open(store)->sync_layer("web")); }
  const auto second = make_memory_store();
  RecordingStore elsewhere(*second);
  elsewhere.name = "memory://elsewhere";
  const auto synced = world.open(elsewhere)->sync_layer("web");
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_TRUE((*synced)->is_full);
  EXPECT_EQ(difference_to(elsewhere, "web", world.upper()), "");
}

// An interrupted sync whose history was taken over meanwhile is dropped, with all that it has sent.
TEST_F(LayerHeads, InterruptedSyncThatWasOvertakenIsDropped) {
  world.fill();
  const auto manager = world.open(store);
  ASSERT_TRUE(manager->sync_layer("web"));
  const auto other = world.open(store, other_state(), {});
  ASSERT_TRUE(other->sync_layer("web"));
  world.write("new", "since");
  store.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_if) return {};
    return Error(ErrorKind::retry_later, "away");
  };
  EXPECT_EQ(manager->sync_layer("web").error().kind(), ErrorKind::retry_later);
  EXPECT_TRUE(manager->sync_state("web")->upload_pending);
  store.before = {};
  ASSERT_TRUE(other->sync_layer("web"));
  EXPECT_EQ(manager->sync_layer("web").error().kind(), ErrorKind::conflict);
  EXPECT_FALSE(manager->sync_state("web")->upload_pending);
  EXPECT_EQ(manifest().syncs.size(), 2u);
  expect_equal();
}

// Layers that keep the name under which they were sent: what a manifest names stays, whatever the state makes of it.
struct LayerKeptNames : LayerHeads {
  LayerKeptNames() {
    store.can.late_names = store.can.copy_part = false;
    world.write("big", LayerWorld::noise(1, 800'000));
  }
  LayerOptions small_parts(LayerOptions options) const {
    options.part_size_bytes = 300'000;
    return options;
  }
  // Published, and the reply lost: the sync goes on later.
  void publish_without_reply() {
    const layer::Hook dies([](std::string_view point) -> Result<void> {
      if (point != "published") return {};
      return Error(ErrorKind::cancelled, "dead");
    });
    world.write("big", LayerWorld::noise(2, 900'000));
    EXPECT_FALSE(world.open(store, small_parts(world.options()), dies)->sync_layer("web"));
    ASSERT_EQ(manifest().head().sequence, 2u);
    ASSERT_TRUE(manifest().head().layer.object.starts_with("tmp/"));
  }
  void expect_sound() {
    const auto verified = verify_layers(*inner, "web", world.machine());
    ASSERT_TRUE(verified) << verified.error().message();
    EXPECT_TRUE(verified->problems.empty()) << verified->problems.front();
  }
};

TEST_F(LayerKeptNames, SyncThatWasPublishedAndThenOvertakenStays) {
  { ASSERT_TRUE(world.open(store, small_parts(world.options()), {})->sync_layer("web")); }
  publish_without_reply();
  const auto other = world.open(store, small_parts(other_state()), {});
  world.write("new", "since");
  ASSERT_TRUE(other->sync_layer("web", telling(LayerAdopt::local)));
  const auto manager = world.open(store, small_parts(world.options()), {});
  const auto synced = manager->sync_layer("web");
  ASSERT_TRUE(synced) << synced.error().message();  // the directory is what the other one has published
  EXPECT_FALSE(manager->sync_state("web")->upload_pending);
  EXPECT_EQ(manifest().syncs.size(), 3u);
  expect_sound();
}

TEST_F(LayerKeptNames, SyncThatTheStateKnowsNothingOfStays) {
  { ASSERT_TRUE(world.open(store, small_parts(world.options()), {})->sync_layer("web")); }
  world.write("big", LayerWorld::noise(2, 900'000));
  store.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_part || call.part != 2) return {};
    return Error(ErrorKind::retry_later, "away");
  };
  EXPECT_FALSE(world.open(store, small_parts(world.options()), {})->sync_layer("web"));
  store.before = {};
  fs::copy(world.state(), world.beside("copy"), fs::copy_options::recursive);
  { ASSERT_TRUE(world.open(store, small_parts(world.options()), {})->sync_layer("web")); }
  ASSERT_TRUE(manifest().head().layer.object.starts_with("tmp/"));
  fs::remove_all(world.state());
  fs::rename(world.beside("copy"), world.state());
  fs::remove_all(world.state() + "/spool");
  world.write("new", "since");
  EXPECT_EQ(world.open(store, small_parts(world.options()), {})->sync_layer("web").error().kind(),
            ErrorKind::conflict);
  expect_sound();
  const auto synced =
      world.open(store, small_parts(world.options()), {})->sync_layer("web", telling(LayerAdopt::local));
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ((*synced)->sequence, 3u);
  expect_sound();
  expect_equal();
}

}  // namespace
}  // namespace cairn
