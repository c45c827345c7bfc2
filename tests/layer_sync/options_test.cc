// What the manager is configured with: each setting has the default that it is said to have, and is really used.
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>

#include "cairn/daemon.h"
#include "store/memory_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using testing::difference_to;
using testing::LayerWorld;
using testing::RecordingStore;

struct LayerConfiguration : ::testing::Test {
  LayerWorld world;
  std::unique_ptr<Store> inner = make_memory_store();
  RecordingStore store{*inner};

  LayerSnapshot sync(const LayerOptions& options) {
    const auto synced = world.open(store, options, {})->sync_layer("web");
    EXPECT_TRUE(synced && *synced) << synced.error().message();
    return synced && *synced ? **synced : LayerSnapshot();
  }
  // Of the first sync, with a state of its own.
  std::uint64_t compressed_with(const LayerOptions& options) {
    inner = make_memory_store();
    RecordingStore empty(*inner);
    fs::remove_all(world.state());
    const auto synced = world.open(empty, options, {})->sync_layer("web");
    EXPECT_TRUE(synced && *synced);
    return (*synced)->compressed_size_bytes;
  }
};

TEST_F(LayerConfiguration, DefaultsAreThoseOfTheDocumentation) {
  const LayerOptions options;
  EXPECT_EQ(LayerStorage().prefix, "layers/");
  EXPECT_EQ(options.part_size_bytes, 64u << 20);
  EXPECT_EQ(options.concurrent_uploads, 4);
  EXPECT_EQ(options.spool_limit_bytes, 256u << 20);
  EXPECT_EQ(options.compression_level, 3);
  EXPECT_EQ(options.sync_interval_ms, 30'000);
  const auto manager = world.open(store);
  EXPECT_EQ(manager->options().state_database, world.state() + "/state.db");
  EXPECT_EQ(manager->options().staging_directory, world.state() + "/spool");
  EXPECT_TRUE(fs::exists(world.state() + "/state.db"));
}

// It would store itself, each time anew.
TEST_F(LayerConfiguration, ADirectoryHoldsNeitherItsStoreNorTheState) {
  world.mkdir("inner");
  const std::string upper = world.upper(), apart = world.beside("apart");
  const auto kind_of = [&](const std::string& url, const std::string& database, const std::string& staging) {
    const auto checked = check_layer_places(upper, url, {.staging_directory = staging, .state_database = database});
    return checked ? std::string("good") : std::string(name_of(checked.error().kind()));
  };
  const std::string memory = store.url(), db = apart + "/db", staging = apart + "/staging";
  EXPECT_EQ(kind_of(memory, db, staging), "good");
  EXPECT_EQ(kind_of("file://" + apart, db, staging), "good");
  EXPECT_EQ(kind_of("file://" + upper + "-2", upper + "-2/db", upper + "-2/s"), "good");  // a name, not a way
  EXPECT_EQ(kind_of("file://" + upper, db, staging), "invalid");
  EXPECT_EQ(kind_of("file://" + upper + "/inner/store/", db, staging), "invalid");
  EXPECT_EQ(kind_of("file://" + world.beside(""), db, staging), "invalid");  // it lies in the store
  EXPECT_EQ(kind_of(memory, upper + "/db", staging), "invalid");
  EXPECT_EQ(kind_of(memory, db, upper + "/inner"), "invalid");
  fs::create_directory_symlink(upper, world.beside("link"));
  EXPECT_EQ(kind_of(memory, world.beside("link/not/there/yet"), staging), "invalid");
  EXPECT_EQ(check_layer_places(upper, memory, {.state_directory = upper}).error().kind(), ErrorKind::invalid);

  // Whoever opens a manager all the same is told when it names the directory, and by each sync.
  LayerOptions options = world.options();
  options.staging_directory = world.beside("moved/staging");
  const auto manager = world.open(store, options, {});
  ASSERT_TRUE(manager->sync_layer("web"));
  fs::rename(world.beside("moved"), upper + "/moved");
  fs::create_directory_symlink(upper + "/moved", world.beside("moved"));
  EXPECT_EQ(manager->sync_layer("web").error().kind(), ErrorKind::invalid);
  EXPECT_EQ(manager->check_for_changes("web").error().kind(), ErrorKind::invalid);
  EXPECT_EQ(manager->register_container("web", upper).error().kind(), ErrorKind::invalid);
}

// It is not looked into, so it may be a store.
TEST_F(LayerConfiguration, WhatIsMountedInADirectoryMayBeItsStore) {
  world.mkdir("mounted");
  const std::string place = world / "mounted";
  if (::mount("none", place.c_str(), "tmpfs", 0, "size=1m") != 0) GTEST_SKIP() << "only root can mount";
  const auto good = check_layer_places(world.upper(), "file://" + place + "/store", world.options());
  ::umount(place.c_str());
  EXPECT_TRUE(good) << good.error().message();
}

TEST_F(LayerConfiguration, StagingDirectoryAndStateDatabaseMayLieAnywhere) {
  world.write("noise", LayerWorld::noise(1, 900'000));
  LayerOptions options = world.options();
  options.state_directory.clear();
  options.staging_directory = world.beside("staging/of web");
  options.state_database = world.beside("databases/web.db");
  options.part_size_bytes = 300'000;
  bool was_staged = false;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_part) return {};
    for (const auto& name : fs::recursive_directory_iterator(options.staging_directory)) {
      was_staged = was_staged || (name.is_regular_file() && name.file_size() >= 300'000);
    }
    return {};
  };
  options.concurrent_uploads = 1;
  sync(options);
  EXPECT_TRUE(was_staged);
  EXPECT_TRUE(fs::exists(options.state_database));
  EXPECT_FALSE(fs::exists(world.state()));
  EXPECT_EQ(difference_to(store, "web", world.upper()), "");
  world.write("more", "of it");
  EXPECT_EQ(sync(options).sequence, 2u);  // what it knows is there again
}

TEST_F(LayerConfiguration, WhatIsLocalIsOneProcesses) {
  LayerOptions options = world.options();
  options.staging_directory = world.beside("staging");
  options.state_database = world.beside("web.db");
  const auto manager = world.open(store, options, {});
  LayerOptions same_staging = world.options();
  same_staging.state_directory = world.beside("other-state");
  same_staging.staging_directory = options.staging_directory;
  LayerOptions same_database = world.options();
  same_database.state_directory = world.beside("third-state");
  same_database.state_database = options.state_database;
  for (const LayerOptions& other : {same_staging, same_database}) {
    const auto refused = LayerManager::open(store, world.machine(), other);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind(), ErrorKind::busy);
  }
  LayerOptions nowhere;
  nowhere.staging_directory = options.staging_directory;
  EXPECT_EQ(LayerManager::open(store, world.machine(), nowhere).error().kind(), ErrorKind::invalid);
}

TEST_F(LayerConfiguration, PartsAreOfTheirSize) {
  world.write("noise", LayerWorld::noise(1, 1'000'000));
  LayerOptions options = world.options();
  options.part_size_bytes = 300'000;
  sync(options);
  std::size_t parts = 0;
  for (const auto& call : store.calls()) {
    if (call.operation != Operation::put_part) continue;
    ++parts;
    EXPECT_TRUE(call.sent_bytes == 300'000 || call.part == 4) << call.part << ": " << call.sent_bytes;
  }
  EXPECT_EQ(parts, 4u);
}

// A store that says 10,000 parts and takes 1,000, as some do: found out before the first part is made.
TEST_F(LayerConfiguration, PartsAreNoMoreThanTheStoreTakes) {
  world.write("noise", LayerWorld::noise(1, 3'000'000));
  LayerOptions options = world.options();
  options.part_size_bytes = 2'000;
  for (const bool copies : {true, false}) {
    inner = make_memory_store();
    RecordingStore fresh(*inner);
    fresh.can.copy_part = copies;
    fs::remove_all(world.state());
    int most = 0;
    fresh.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation == Operation::put_part && call.part > 1'000) return Error(ErrorKind::invalid, "too many");
      return {};
    };
    const auto synced = world.open(fresh, options, {})->sync_layer("web");
    ASSERT_TRUE(synced && *synced) << synced.error().message();
    EXPECT_EQ((*synced)->sent_bytes, (*synced)->compressed_size_bytes);  // at the first attempt
    for (const auto& call : fresh.calls()) {
      if (call.operation == Operation::put_part && call.succeeded) most = std::max(most, call.part);
    }
    EXPECT_GT(most, 1);
    EXPECT_LE(most, 500);  // the others are for copies
    EXPECT_EQ(fresh.count(Operation::begin_upload), 2u);  // it is tried once, and then used
    EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
    EXPECT_TRUE(inner->list_uploads("")->empty());
  }
}

// One that is known to take few.
TEST_F(LayerConfiguration, PartsAreLargerWhereAStoreTakesFew) {
  world.write("noise", LayerWorld::noise(1, 9'000'000));
  LayerOptions options = world.options();
  options.part_size_bytes = 100'000;
  store.can.max_parts = 12;
  sync(options);
  int most = 0;
  for (const auto& call : store.calls()) {
    if (call.operation == Operation::put_part) most = std::max(most, call.part);
  }
  EXPECT_GT(most, 1);
  EXPECT_LE(most, 6);
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
}

// The fourth part to come lets the others go; were they sent one after the other, or three at a time, it never came.
TEST_F(LayerConfiguration, AsManyPartsAreUnderWayAsMayBe) {
  world.write("noise", LayerWorld::noise(1, 1'000'000));
  LayerOptions options = world.options();
  options.part_size_bytes = 50'000;
  std::mutex mutex;
  std::condition_variable changed;
  int under_way = 0, most = 0;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_part) return {};
    std::unique_lock lock(mutex);
    most = std::max(most, ++under_way);
    changed.notify_all();
    changed.wait_for(lock, std::chrono::seconds(30), [&] { return most >= options.concurrent_uploads; });
    return {};
  };
  store.after = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_part) return {};
    std::lock_guard lock(mutex);
    --under_way;
    return {};
  };
  sync(options);
  EXPECT_EQ(most, 4);
  EXPECT_EQ(difference_to(store, "web", world.upper()), "");
}

TEST_F(LayerConfiguration, CompressionIsOfItsLevel) {
  std::string text;
  SeededRandom random(1);
  while (text.size() < 400'000) text += "word" + std::to_string(random.below(5000)) + " ";
  world.write("text", text);
  LayerOptions level_1 = world.options(), level_3 = world.options(), level_19 = world.options();
  level_1.compression_level = 1;
  level_3.compression_level = 3;
  level_19.compression_level = 19;
  const std::uint64_t usual = compressed_with(world.options());
  EXPECT_EQ(usual, compressed_with(level_3));
  EXPECT_NE(usual, compressed_with(level_1));
  EXPECT_GT(usual, compressed_with(level_19));
}

TEST_F(LayerConfiguration, WatchingTakesItsIntervalFromHere) {
  LayerOptions options = world.options();
  options.sync_interval_ms = 5000;
  EXPECT_EQ(watch_options_of(*world.open(store, options, {})).interval_ms, 5000);
  EXPECT_EQ(watch_options_of(*world.open(store)).interval_ms, 30'000);
}

}  // namespace
}  // namespace cairn
