// What a sync publishes, and when it publishes nothing. Names Z1 to Z10 are those of known failures of such tools.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "layer/catalogue.h"
#include "layer/manifest.h"
#include "layer/object.h"
#include "layer/prune.h"
#include "sqlite/local_database.h"
#include "store/memory_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using testing::describe_directory;
using testing::describe_sync;
using testing::difference;
using testing::difference_to;
using testing::LayerWorld;
using testing::RecordingStore;

struct LayerSync : ::testing::Test {
  LayerWorld world;
  std::unique_ptr<Store> inner = make_memory_store();
  RecordingStore store{*inner};

  LayerSnapshot sync(LayerManager& manager, const LayerSyncOptions& options = {}) {
    const auto synced = manager.sync_layer("web", options);
    EXPECT_TRUE(synced) << synced.error().message();
    if (!synced) return {};
    EXPECT_TRUE(*synced) << "nothing had changed";
    return synced->value_or(LayerSnapshot());
  }
  void expect_unchanged(LayerManager& manager) {
    const auto synced = manager.sync_layer("web");
    ASSERT_TRUE(synced) << synced.error().message();
    EXPECT_FALSE(*synced);
  }
  void expect_equal() { EXPECT_EQ(difference_to(store, "web", world.upper()), ""); }
};

TEST_F(LayerSync, WholeDirectoryThenWhatHasChanged) {
  world.fill();
  const auto manager = world.open(store);
  const LayerSnapshot first = sync(*manager);
  EXPECT_TRUE(first.is_full);
  EXPECT_EQ(first.sequence, 1u);
  EXPECT_EQ(first.sent_bytes, first.compressed_size_bytes);
  expect_equal();
  const std::string before = describe_directory(world.upper());

  world.write("etc/hosts", "another one");
  fs::remove_all(world / "etc/deep/er");
  fs::remove(world / "etc/two");  // "two" is no longer a link, and has to carry its contents
  const LayerSnapshot second = sync(*manager);
  EXPECT_FALSE(second.is_full);
  EXPECT_EQ(second.sequence, 2u);
  EXPECT_LT(second.file_count, first.file_count / 2);
  expect_equal();
  EXPECT_EQ(difference(describe_sync(store, "web", 1), before), "");
}

TEST_F(LayerSync, NothingChangedReadsNothingAndAsksNothing) {
  world.fill();
  const auto manager = world.open(store);
  sync(*manager);
  store.forget_calls();
  expect_unchanged(*manager);
  EXPECT_FALSE(*manager->check_for_changes("web"));
  EXPECT_TRUE(store.calls().empty());
}

// As a power loss leaves a file that was written in place and synced without its times.
TEST_F(LayerSync, NewBytesUnderAnOldStampAreFoundInTheNextBoot) {
  world.write("f", "old");
  const auto manager = world.open(store);
  sync(*manager);
  world.write("f", "new");
  struct stat now {};
  ASSERT_EQ(::stat((world / "f").c_str(), &now), 0);
  const auto database = sqlite::LocalDatabase::open(world.state() + "/state.db", "");
  ASSERT_TRUE(database);
  const auto ns = [](const timespec& time) { return std::to_string(time.tv_sec * 1'000'000'000ll + time.tv_nsec); };
  const auto good = std::to_string(static_cast<int>(layer::Proof::good));
  ASSERT_TRUE((*database)->execute("UPDATE layer_scan_row SET proof = " + good + ", ctime_ns = " + ns(now.st_ctim) +
                                   ", mtime_ns = " + ns(now.st_mtim) + " WHERE key = x'66'"));
  expect_unchanged(*manager);
  ASSERT_TRUE((*database)->execute("UPDATE layer_scan_boot SET boot = 'another'"));
  EXPECT_TRUE(*manager->check_for_changes("web"));
  sync(*manager);
  expect_equal();
  expect_unchanged(*manager);
}

TEST_F(LayerSync, CheckForChangesAsksNothing) {
  const auto manager = world.open(store);
  EXPECT_TRUE(*manager->check_for_changes("web"));  // never synced
  sync(*manager);
  world.write("new", "x");
  store.forget_calls();
  EXPECT_TRUE(*manager->check_for_changes("web"));
  EXPECT_TRUE(store.calls().empty());
}

// A small layer costs one put for each of its three objects, one look at the manifest before and after, and one at the
// times of layer and manifest when both are there.
TEST_F(LayerSync, SmallLayerIsOnePut) {
  world.fill();
  const auto manager = world.open(store);
  sync(*manager);
  EXPECT_EQ(store.count(Operation::put_new), 3u);
  EXPECT_EQ(store.count(Operation::begin_upload), 0u);
  EXPECT_EQ(store.count(Operation::head), 2u);
  EXPECT_LE(store.calls().size(), 7u);
}

// Z3: what is larger than one part, or one read, comes back whole.
TEST_F(LayerSync, TenMiBThatDoNotCompressComeBack) {
  world.write("noise", LayerWorld::noise(3, 10u << 20));
  LayerOptions options = world.options();
  options.part_size_bytes = 1u << 20;
  const auto manager = world.open(store, options, {});
  const LayerSnapshot snapshot = sync(*manager);
  EXPECT_GE(store.count(Operation::put_part), 10u);
  EXPECT_EQ(snapshot.sent_bytes, snapshot.compressed_size_bytes);
  expect_equal();
}

// Z5: more parts than a page of a listing has, resumed.
TEST_F(LayerSync, MoreThanAThousandPartsAreResumed) {
  world.write("noise", LayerWorld::noise(3, 3u << 20));
  LayerOptions options = world.options();
  options.part_size_bytes = 2500;
  std::atomic<int> put = 0;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_part || ++put < 1100) return {};
    return Error(ErrorKind::retry_later, "away");
  };
  auto manager = world.open(store, options, {});
  EXPECT_EQ(manager->sync_layer("web").error().kind(), ErrorKind::retry_later);
  EXPECT_GE(manager->sync_state("web")->pending_parts_done, 1000u);
  const std::uint64_t done = manager->sync_state("web")->pending_parts_done;
  store.before = {};
  store.forget_calls();
  sync(*manager);
  std::size_t again = 0;
  for (const auto& call : store.calls()) {
    if (call.operation == Operation::put_part && static_cast<std::uint64_t>(call.part) <= done) ++again;
  }
  EXPECT_LE(again, 4u);  // that were under way
  expect_equal();
}

// Z6: the same tree gives the same object, whatever the order in which its names were made.
TEST_F(LayerSync, SameTreeIsTheSameObject) {
  const auto make = [](const LayerWorld& into, const std::vector<int>& order) {
    for (const int i : order)
      into.write("file-" + std::to_string(i), LayerWorld::noise(7, 1000 + static_cast<unsigned>(i)));
    into.write("big", LayerWorld::noise(1, 5u << 20));
    const timespec times[2] = {{1'700'000'000, 5}, {1'700'000'000, 5}};
    for (const auto& name : fs::recursive_directory_iterator(into.upper()))
      ASSERT_EQ(::utimensat(AT_FDCWD, name.path().c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
    ASSERT_EQ(::utimensat(AT_FDCWD, into.upper().c_str(), times, 0), 0);
  };
  make(world, {1, 2, 3, 4});
  const LayerWorld other;
  make(other, {3, 1, 4, 2});
  const LayerSnapshot one = sync(*world.open(store));
  const auto store_of_other = make_memory_store();
  const auto manager = other.open(*store_of_other);
  const auto two = manager->sync_layer("web");
  ASSERT_TRUE(two && *two);
  EXPECT_EQ(one.digest, (*two)->digest);
  EXPECT_EQ(inner->get(layer::layer_key(one.digest))->bytes, store_of_other->get(layer::layer_key(one.digest))->bytes);
}

// An object that is there already is used as it is.
TEST_F(LayerSync, SameLayerIsStoredOnce) {
  world.fill();
  const auto manager = world.open(store);
  const LayerSnapshot first = sync(*manager);
  ASSERT_TRUE(manager->register_container("web_2", world.upper()));
  store.forget_calls();
  const auto second = manager->sync_layer("web_2");
  ASSERT_TRUE(second && *second) << second.error().message();
  EXPECT_EQ((*second)->digest, first.digest);
  EXPECT_EQ((*second)->sent_bytes, 0u);
  EXPECT_EQ(difference_to(store, "web_2", world.upper()), "");
  const auto left = inner->list("tmp/");
  EXPECT_TRUE(left->objects.empty());
}

// What lies under the layer's name is damaged: objects are never replaced, so ours gets another name.
TEST_F(LayerSync, DamagedObjectUnderTheSameNameIsPassedBy) {
  world.fill();
  const LayerSnapshot first = sync(*world.open(store));
  const auto other_store = make_memory_store();
  ASSERT_TRUE(other_store->put_new(layer::layer_key(first.digest), BytesSource(as_bytes("damaged"))));
  RecordingStore other(*other_store);
  fs::remove_all(world.state());
  sync(*world.open(other));
  EXPECT_EQ(difference_to(other, "web", world.upper()), "");
}

// Z8: nothing is sent for a container that nobody has named.
TEST_F(LayerSync, UnregisteredContainerIsRefused) {
  const auto manager = world.open(store);
  store.forget_calls();
  EXPECT_EQ(manager->sync_layer("other").error().kind(), ErrorKind::not_found);
  EXPECT_EQ(manager->check_for_changes("other").error().kind(), ErrorKind::not_found);
  EXPECT_EQ(manager->sync_state("other").error().kind(), ErrorKind::not_found);
  EXPECT_TRUE(store.calls().empty());
  EXPECT_EQ(manager->register_container("other", world.beside("nothing")).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(manager->register_container("", world.upper()).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(manager->register_container("\xff", world.upper()).error().kind(), ErrorKind::invalid);
}

// Z9: links are never followed, wherever they lead.
TEST_F(LayerSync, LinksAreKeptAsLinks) {
  fs::create_symlink("/etc/passwd", world / "absolute");
  fs::create_symlink("nowhere", world / "dangling");
  world.mkdir("dir");
  fs::create_symlink("..", world / "dir/loop");
  sync(*world.open(store));
  expect_equal();
}

// Z10: names that would collide when they are joined by a character do not.
TEST_F(LayerSync, NamesOfContainersDoNotCollide) {
  const auto manager = world.open(store);
  const std::vector<std::string> names{"a_b/c", "a/b_c", "a%2Fb_c", "a b", "..", "\u00e9"};
  for (const std::string& name : names) ASSERT_TRUE(manager->register_container(name, world.upper()));
  for (const std::string& name : names) {
    const auto synced = manager->sync_layer(name);
    ASSERT_TRUE(synced && *synced) << name << ": " << synced.error().message();
    EXPECT_EQ(difference_to(store, name, world.upper()), "") << name;
  }
  EXPECT_EQ(inner->list("containers/")->objects.size(), names.size());
  EXPECT_EQ(manager->list_containers()->size(), names.size() + 1);
}

TEST_F(LayerSync, SocketsAreLeftOutAndCounted) {
  const std::string path = world / "socket";
  ASSERT_EQ(::mknod(path.c_str(), S_IFSOCK | 0600, 0), 0);
  std::string notices;
  LayerSyncOptions options;
  options.on_notice = [&](std::string_view text) { notices += text; };
  const LayerSnapshot snapshot = sync(*world.open(store), options);
  EXPECT_EQ(snapshot.skipped_sockets, 1u);
  EXPECT_NE(notices.find("socket"), std::string::npos) << notices;
  expect_equal();
}

TEST_F(LayerSync, EmptyDirectoryIsALayer) {
  const LayerSnapshot snapshot = sync(*world.open(store));
  EXPECT_EQ(snapshot.file_count, 1u);
  expect_equal();
}

TEST_F(LayerSync, StateIsTold) {
  const auto manager = world.open(store);
  EXPECT_EQ(manager->sync_state("web")->sequence, 0u);
  const LayerSnapshot snapshot = sync(*manager);
  const auto state = manager->sync_state("web");
  ASSERT_TRUE(state);
  EXPECT_EQ(state->digest, snapshot.digest);
  EXPECT_EQ(state->sequence, 1u);
  EXPECT_EQ(state->directory, world.upper());
  EXPECT_FALSE(state->upload_pending);
  EXPECT_EQ(state->lineage, layer::read_manifest(store, "web")->manifest.lineage.hex());
}

// Those who only ask wait for nobody.
TEST_F(LayerSync, StateIsToldWhileASyncIsAtWork) {
  world.write("noise", LayerWorld::noise(3, 40u << 20));
  LayerOptions options = world.options();
  options.part_size_bytes = 1u << 20;
  const auto manager = world.open(store, options, {});
  std::uint64_t most_done = 0, asked = 0;
  LayerSyncOptions telling;
  telling.progress = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_LE(done, total);
    const auto state = manager->sync_state("web");
    ASSERT_TRUE(state) << state.error().message();
    EXPECT_TRUE(state->upload_pending);
    most_done = std::max(most_done, state->pending_parts_done);
    EXPECT_EQ(manager->list_containers()->size(), 1u);
    ++asked;
  };
  sync(*manager, telling);
  EXPECT_GE(asked, 40u);
  EXPECT_GT(most_done, 0u);
}

// When the increments hold more than the full layer, the next sync is full again.
TEST_F(LayerSync, FullAgainWhenIncrementsHaveGrown) {
  world.write("stays", LayerWorld::noise(1, 20'000));
  const auto manager = world.open(store);
  EXPECT_TRUE(sync(*manager).is_full);
  bool was_full = false;
  for (std::uint64_t i = 2; i < 10 && !was_full; ++i) {
    world.write("changes", LayerWorld::noise(i, 9'000));
    was_full = sync(*manager).is_full;
    expect_equal();
    if (was_full) {
      EXPECT_GE(i, 4u);
    }
  }
  EXPECT_TRUE(was_full);
  world.write("changes", "little");
  EXPECT_FALSE(sync(*manager).is_full);
  expect_equal();
}

// What lies below a mount is in the store alone, and stays there.
TEST_F(LayerSync, FullIsPutOffWhileAMountHidesWhatTheStoreHas) {
  world.mkdir("volume");
  world.write("volume/precious", "data");
  const auto manager = world.open(store);
  sync(*manager);
  const std::string volume = world / "volume";
  if (::mount("tmpfs", volume.c_str(), "tmpfs", 0, nullptr) != 0) GTEST_SKIP() << "mounting is not allowed";
  LayerSyncOptions told;
  std::string notices;
  told.on_notice = [&](std::string_view notice) { notices += std::string(notice) + "\n"; };
  for (std::uint64_t i = 0; i < 3; ++i) {
    world.write("changes", LayerWorld::noise(i, 9'000));
    EXPECT_FALSE(sync(*manager, told).is_full);
  }
  EXPECT_NE(notices.find("put off"), std::string::npos) << notices;
  ASSERT_EQ(::umount(volume.c_str()), 0);
  world.write("changes", "little");
  EXPECT_EQ(difference_to(store, "web", world.upper()).find("volume"), std::string::npos);
  EXPECT_TRUE(sync(*manager).is_full);
  expect_equal();
}

TEST_F(LayerSync, FullAgainAfterManyIncrements) {
  world.write("stays", LayerWorld::noise(1, 200'000));
  const auto manager = world.open(store);
  sync(*manager);
  int increments = 0;
  for (;; ++increments) {
    world.write("changes", std::to_string(increments));
    if (sync(*manager).is_full) break;
    ASSERT_LT(increments, 100);
  }
  EXPECT_EQ(increments, 65);
  expect_equal();
}

TEST_F(LayerSync, StoreWithoutMultipartTakesOnePut) {
  store.can.multipart = false;
  store.can.copy_part = false;
  world.write("noise", LayerWorld::noise(3, 3u << 20));
  LayerOptions options = world.options();
  options.part_size_bytes = 1u << 20;
  sync(*world.open(store, options, {}));
  EXPECT_EQ(store.count(Operation::put_part), 0u);
  expect_equal();
}

}  // namespace
}  // namespace cairn
