// A sync that ends between any two steps of its journal, as a thrown-away manager and as a killed process: the next one
// goes on, what the store has comes out equal to the directory, and no part that was acknowledged is sent again.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

#include "store/directory_store.h"
#include "store/memory_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"
#include "support/scratch.h"

namespace cairn {
namespace {

using testing::difference_to;
using testing::LayerWorld;
using testing::RecordingStore;

constexpr std::uint64_t kPartBytes = 300'000;

LayerOptions options_of(const LayerWorld& world) {
  LayerOptions options = world.options();
  options.part_size_bytes = kPartBytes;
  options.concurrent_uploads = 2;
  return options;
}

// Ends the sync at the n-th point that is passed.
layer::Hook end_at(int n, std::string* point) {
  return layer::Hook([n, point, passed = 0](std::string_view name) mutable -> Result<void> {
    if (++passed != n) return {};
    *point = name;
    return Error(ErrorKind::cancelled, "thrown away");
  });
}

// The parts that an interrupted sync has left in the store.
std::map<int, std::uint64_t> arrived(Store& store) {
  std::map<int, std::uint64_t> parts;
  const auto uploads = store.list_uploads("tmp/");
  for (const UploadInfo& upload : *uploads) {
    const auto listed = store.list_parts(upload.key, upload.upload_id);
    for (const PartInfo& part : *listed) parts[part.number] = part.size_bytes;
  }
  return parts;
}

void fill(const LayerWorld& world) {
  world.fill();
  world.write("beside the big one, with a name that is longer than what a string holds in itself", "small");
  world.write("big", LayerWorld::noise(1, (2u << 20) + 12345));
  world.write("behind", "small, and behind the big one");
}

void expect_whole(const LayerWorld& world, Store& store, const std::string& at) {
  for (const auto& file : std::filesystem::recursive_directory_iterator(world.state() + "/spool"))
    EXPECT_FALSE(file.is_regular_file()) << at << ": " << file.path();
  EXPECT_EQ(difference_to(store, "web", world.upper()), "") << at;
  EXPECT_TRUE(store.list("tmp/")->objects.empty()) << at << ": " << store.list("tmp/")->objects[0].key;
  const bool is_prunes = at.starts_with("copy-not-journaled");
  EXPECT_EQ(store.list_uploads("")->size(), is_prunes ? 1u : 0u) << at;
  if (!is_prunes) return;
  const auto pruned = prune_layers(store, 1'000'000, {.grace_ms = 0, .keep_ms = {}});
  ASSERT_TRUE(pruned) << pruned.error().message();
  EXPECT_EQ(pruned->aborted_uploads, 1u);
  EXPECT_TRUE(store.list_uploads("")->empty());
  EXPECT_EQ(difference_to(store, "web", world.upper()), "");
}

// Stores name an upload late, by a copy, or not at all.
enum class Naming { late, copy, never };
// increment: of a big file, most of which is copied from the first layer.
enum class Layer { first, increment };

void end_everywhere(Naming naming, Layer layer) {
  for (int n = 1;; ++n) {
    const LayerWorld world;
    fill(world);
    const auto inner = make_memory_store();
    RecordingStore store(*inner);
    store.can.late_names = naming == Naming::late;
    store.can.copy_part = naming != Naming::never;
    if (layer == Layer::increment) {
      world.write("big", LayerWorld::noise(1, (5u << 20) + 12345));
      ASSERT_TRUE(world.open(store, options_of(world), {})->sync_layer("web"));
      std::fstream(world / "big", std::ios::in | std::ios::out | std::ios::binary).seekp(2 << 20) << "changed";
      store.forget_calls();
    }
    std::string point;
    std::uint64_t acknowledged = 0;
    {
      const auto manager = world.open(store, options_of(world), end_at(n, &point));
      const auto synced = manager->sync_layer("web");
      if (synced) {
        EXPECT_TRUE(point.empty());
        EXPECT_GT(n, 20);  // or the hook is not called any more
        const bool may_copy = layer == Layer::increment && naming != Naming::never;
        EXPECT_EQ(store.count(Operation::copy_part) > 1, may_copy);
        return;
      }
      EXPECT_EQ(synced.error().kind(), ErrorKind::cancelled) << synced.error().message();
      acknowledged = manager->sync_state("web")->pending_parts_done;
    }
    const std::string at = point + " (point " + std::to_string(n) + ")";
    const auto there = arrived(store);
    store.forget_calls();
    const auto manager = world.open(store, options_of(world), {});
    const auto synced = manager->sync_layer("web");
    ASSERT_TRUE(synced) << at << ": " << synced.error().message();
    if (naming == Naming::never) {
      EXPECT_EQ(difference_to(store, "web", world.upper()), "") << at;
    } else {
      expect_whole(world, store, at);
    }
    std::size_t again = 0;
    for (const auto& call : store.calls()) {
      if (call.operation == Operation::put_part && there.contains(call.part)) ++again;
    }
    EXPECT_LE(again, there.size() - std::min<std::size_t>(acknowledged, there.size())) << at;
    EXPECT_FALSE(*manager->check_for_changes("web")) << at;
    EXPECT_FALSE(manager->sync_state("web")->upload_pending) << at;
  }
}

TEST(LayerCrash, ThrownAwayAtAnyPointGoesOnWithLateNames) { end_everywhere(Naming::late, Layer::first); }
TEST(LayerCrash, ThrownAwayAtAnyPointGoesOnWithCopies) { end_everywhere(Naming::copy, Layer::first); }
TEST(LayerCrash, ThrownAwayAtAnyPointGoesOnWithRandomNames) { end_everywhere(Naming::never, Layer::first); }
TEST(LayerCrash, ThrownAwayAtAnyPointOfAnIncrementWithCopiedBlocks) { end_everywhere(Naming::copy, Layer::increment); }
TEST(LayerCrash, ThrownAwayAtAnyPointOfAnIncrementWithLateNames) { end_everywhere(Naming::late, Layer::increment); }

// How a process ended that did nothing but sync.
int sync_in_child(const LayerWorld& world, Store& store, layer::Hook hook) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto manager = world.open_in_child(store, options_of(world), std::move(hook));
    ::_exit(manager->sync_layer("web") ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

layer::Hook kill_at(int n) {
  return layer::Hook([n, passed = 0](std::string_view) mutable {
    if (++passed == n) ::kill(::getpid(), SIGKILL);
    return Result<void>();
  });
}

// The same with a process that is killed, and sources that change before the next one runs.
TEST(LayerCrash, KilledAtAnyPointGoesOnAndSeesWhatHasChangedSince) {
  for (int n = 1;; ++n) {
    const LayerWorld world;
    fill(world);
    const auto store = *make_directory_store(world.beside("store"));
    const int status = sync_in_child(world, *store, kill_at(n));
    const std::string at = "point " + std::to_string(n);
    const bool was_killed = WIFSIGNALED(status);
    if (!was_killed) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      EXPECT_GT(n, 20);
      return;
    }
    world.write("behind", "changed");
    world.write("etc/hosts", "changed");
    if (n % 2 == 0) world.write("big", LayerWorld::noise(2, (2u << 20) + 500));
    const auto manager = world.open(*store, options_of(world), {});
    const auto synced = manager->sync_layer("web");
    ASSERT_TRUE(synced) << at << ": " << synced.error().message();
    expect_whole(world, *store, at);
    EXPECT_FALSE(*manager->check_for_changes("web")) << at;
  }
}

// A directory that was read, but of which no part has anything yet, vanishes before the next sync goes on, and is back
// after it as it was: the layer does not have it, and the catalogue must not say so.
TEST(LayerCrash, DirectoryThatVanishesBeforeTheSyncGoesOnIsStoredWhenItIsBack) {
  for (const bool is_back : {true, false}) {
    const LayerWorld world;
    world.fill();
    world.write("a-first", LayerWorld::noise(1, 500'000));
    world.write("big", LayerWorld::noise(2, 3'000'000));
    LayerOptions options = options_of(world);
    options.concurrent_uploads = 64;
    const auto inner = make_memory_store();
    RecordingStore store(*inner);
    store.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation != Operation::put_part || call.part != 1) return {};
      return Error(ErrorKind::retry_later, "away");
    };
    EXPECT_FALSE(world.open(store, options, {})->sync_layer("web"));
    store.before = {};
    std::filesystem::rename(world / "etc", world.beside("etc"));
    std::filesystem::remove(world / "two");
    bool is_to_come = is_back;
    const layer::Hook hook([&](std::string_view point) -> Result<void> {
      if (point == "taken-over" && std::exchange(is_to_come, false))
        std::filesystem::rename(world.beside("etc"), world / "etc");
      return {};
    });
    const auto synced = world.open(store, options, hook)->sync_layer("web");
    ASSERT_TRUE(synced && *synced) << synced.error().message();
    EXPECT_EQ(difference_to(*inner, "web", world.upper()), "") << is_back;
  }
}

// The upload of a sync has been dropped by the store: all of it is sent again from the spool. Ended at any point of
// that, it goes on, and publishes what was read at first, although nothing of that is in the directory any more.
struct LostUpload {
  explicit LostUpload(Store& inner) : store(inner) {
    fill(world);
    was = testing::describe_directory(world.upper());
    RecordingStore without_end(store);
    without_end.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation != Operation::complete_new) return {};
      return Error(ErrorKind::retry_later, "away");
    };
    EXPECT_FALSE(world.open(without_end, options_of(world), {})->sync_layer("web"));
    const auto uploads = store.list_uploads("tmp/");
    for (const UploadInfo& upload : *uploads)
      EXPECT_TRUE(store.abort_upload(upload.key, upload.upload_id));
    for (const auto& entry : std::filesystem::directory_iterator(world.upper()))
      std::filesystem::remove_all(entry.path());
    world.write("other", "contents, and nothing of what was");
  }
  // What is there at the end, wherever it was ended.
  void expect_both_states(Store& asked, const std::string& at) {
    const auto manager = world.open(asked, options_of(world), {});
    const auto synced = manager->sync_layer("web");
    ASSERT_TRUE(synced) << at << ": " << synced.error().message();
    EXPECT_EQ(testing::difference(testing::describe_sync(store, "web", 1), was), "") << at;
    expect_whole(world, store, at);
    EXPECT_EQ(manager->sync_state("web")->sequence, 2u) << at;
    EXPECT_FALSE(*manager->check_for_changes("web")) << at;
  }

  Store& store;
  const LayerWorld world;
  std::string was;
};

void end_everywhere_of_starting_over(Naming naming) {
  std::map<std::string, int> points;
  for (int n = 1;; ++n) {
    const auto inner = make_memory_store();
    LostUpload lost(*inner);
    RecordingStore store(*inner);
    store.can.late_names = naming == Naming::late;
    std::string point;
    std::uint64_t acknowledged = 0;
    {
      const auto manager = lost.world.open(store, options_of(lost.world), end_at(n, &point));
      const auto synced = manager->sync_layer("web");
      if (synced) break;
      ASSERT_FALSE(point.empty()) << synced.error().message();
      acknowledged = manager->sync_state("web")->pending_parts_done;
    }
    ++points[point];
    const std::string at = point + " (point " + std::to_string(n) + ")";
    const auto there = arrived(*inner);
    store.forget_calls();
    lost.expect_both_states(store, at);
    std::size_t again = 0;
    for (const auto& call : store.calls()) {
      if (call.operation == Operation::put_part && there.contains(call.part)) ++again;
    }
    EXPECT_LE(again, there.size() - std::min<std::size_t>(acknowledged, there.size())) << at;
  }
  for (const char* point : {"upload-given-up", "upload-forgotten", "upload-wanted", "upload-begun", "upload-journaled",
                            "resumed", "part-arrived", "part-acknowledged"})
    EXPECT_GT(points[point], 0) << point;
}

TEST(LayerCrash, ThrownAwayAtAnyPointOfSendingALostUploadAgainWithLateNames) {
  end_everywhere_of_starting_over(Naming::late);
}
TEST(LayerCrash, ThrownAwayAtAnyPointOfSendingALostUploadAgainWithCopies) {
  end_everywhere_of_starting_over(Naming::copy);
}

TEST(LayerCrash, KilledAtAnyPointOfSendingALostUploadAgain) {
  for (int n = 1;; ++n) {
    testing::Scratch scratch("lost-upload");
    const auto store = *make_directory_store(scratch / "store");
    LostUpload lost(*store);
    const int status = sync_in_child(lost.world, *store, kill_at(n));
    if (!WIFSIGNALED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      EXPECT_GT(n, 20);
      return;
    }
    lost.expect_both_states(*store, "point " + std::to_string(n));
  }
}

// The last part is damaged in the spool of a sync that has read all: it is read again. Thrown away once more before
// that is done, it is still not taken for complete.
TEST(LayerCrash, ThrownAwayWhileADamagedLastPartIsMadeAgain) {
  for (const bool late_names : {true, false}) {
    const LayerWorld world;
    fill(world);
    const auto inner = make_memory_store();
    RecordingStore store(*inner);
    store.can.late_names = late_names;
    {
      store.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
        if (call.operation != Operation::put_part || call.part < 8) return {};
        return Error(ErrorKind::retry_later, "away");
      };
      EXPECT_FALSE(world.open(store, options_of(world), {})->sync_layer("web"));
    }
    store.before = {};
    std::string last;
    for (const auto& file : std::filesystem::recursive_directory_iterator(world.state() + "/spool"))
      if (file.is_regular_file()) last = std::max(last, file.path().string());
    ASSERT_TRUE(last.ends_with("part-00008")) << last;
    std::filesystem::resize_file(last, 1000);
    {
      const layer::Hook hook([](std::string_view point) -> Result<void> {
        if (point == "resumed") return Error(ErrorKind::cancelled, "thrown away");
        return {};
      });
      EXPECT_FALSE(world.open(store, options_of(world), hook)->sync_layer("web"));
    }
    const auto synced = world.open(store, options_of(world), {})->sync_layer("web");
    ASSERT_TRUE(synced) << synced.error().message();
    expect_whole(world, store, "late names: " + std::to_string(late_names));
  }
}

}  // namespace
}  // namespace cairn
