// Blocks of big files that lie in an older layer are copied by the store and not sent.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "layer/manifest.h"
#include "layer/object.h"
#include "sqlite/local_database.h"
#include "store/memory_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"

namespace cairn {
namespace {

using testing::difference_to;
using testing::kMiB;
using testing::LayerWorld;
using testing::RecordingStore;


struct LayerBlocks : ::testing::Test {
  LayerWorld world;
  std::unique_ptr<Store> inner = make_memory_store();
  RecordingStore store{*inner};

  LayerBlocks() {
    store.can.min_part_bytes = 5 * kMiB;  // as S3's
    store.can.late_names = false;
  }

  void change(const std::string& path, std::uint64_t offset, std::string_view bytes) const {
    std::fstream file(world / path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(offset));
    file << bytes;
  }
  std::uint64_t sent_by(LayerManager& manager) {
    const std::uint64_t before = store.sent_bytes();
    const auto synced = manager.sync_layer("web");
    EXPECT_TRUE(synced) << synced.error().message();
    EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
    const std::uint64_t sent = store.sent_bytes() - before;
    if (synced && *synced) {
      EXPECT_LE((*synced)->sent_bytes, sent);
    }
    return sent;
  }
};

// However large the file is: what is sent is what has changed, and as much around it as the smallest part asks for.
TEST_F(LayerBlocks, OnePageOfALargeFile) {
  world.write("database", LayerWorld::noise(1, 192 * kMiB));
  const auto manager = world.open(store);
  EXPECT_GT(sent_by(*manager), 192 * kMiB);
  store.forget_calls();
  change("database", 100 * kMiB + 5000, "changed");
  EXPECT_LE(sent_by(*manager), 16 * kMiB);
  EXPECT_GT(store.count(Operation::copy_part), 1u);
}

TEST_F(LayerBlocks, ChangesAtTheEndsAndInTheMiddle) {
  world.write("big", LayerWorld::noise(1, 40 * kMiB + 1234));
  const auto manager = world.open(store);
  sent_by(*manager);
  const std::vector<std::uint64_t> places{0, 39 * kMiB + 9, 12 * kMiB, 14 * kMiB, 20 * kMiB - 1, 40 * kMiB + 1000};
  for (const std::uint64_t place : places) {
    change("big", place, "changed " + std::to_string(place));
    EXPECT_LE(sent_by(*manager), 26 * kMiB) << place;
  }
  std::ofstream(world / "big", std::ios::app | std::ios::binary) << LayerWorld::noise(3, 3 * kMiB);
  EXPECT_LE(sent_by(*manager), 26 * kMiB);
  std::filesystem::resize_file(world / "big", 30 * kMiB + 1);
  EXPECT_LE(sent_by(*manager), 26 * kMiB);
}

// A full layer after increments copies what has not changed, wherever it lies.
TEST_F(LayerBlocks, NewFullLayerCopiesOldFiles) {
  world.write("big", LayerWorld::noise(1, 30 * kMiB));
  const auto manager = world.open(store);
  sent_by(*manager);
  for (std::uint64_t i = 0; i < 2; ++i) {
    world.write("other", LayerWorld::noise(10 + i, 17 * kMiB));
    sent_by(*manager);
  }
  world.write("small", "x");
  store.forget_calls();
  EXPECT_LE(sent_by(*manager), 24 * kMiB);  // of 47
  EXPECT_EQ(layer::read_manifest(*inner, "web")->manifest.head().kind, layer::SyncKind::full);
  EXPECT_GT(store.count(Operation::copy_part), 0u);
}

// Such as R2's: parts of equal size only. Found out when the upload is completed; from then on nothing is copied.
TEST_F(LayerBlocks, StoreThatWantsPartsOfEqualSizeGetsEverything) {
  world.write("big", LayerWorld::noise(1, 40 * kMiB));
  auto manager = world.open(store);
  sent_by(*manager);
  change("big", 20 * kMiB, "changed");
  bool refused = false;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::complete_new || refused) return {};
    refused = true;
    return Error(ErrorKind::invalid, "All non-trailing parts must have the same length");
  };
  EXPECT_GT(sent_by(*manager), 40 * kMiB);
  EXPECT_TRUE(refused);
  EXPECT_TRUE(inner->list_uploads("")->empty());
  store.forget_calls();
  change("big", 10 * kMiB, "changed");
  manager.reset();
  manager = world.open(store);
  EXPECT_GT(sent_by(*manager), 39 * kMiB);
  EXPECT_EQ(store.count(Operation::copy_part), 0u);
}

TEST_F(LayerBlocks, StoreThatCopiesNothingGetsEverything) {
  store.can.copy_part = false;
  world.write("big", LayerWorld::noise(1, 24 * kMiB));
  const auto manager = world.open(store);
  sent_by(*manager);
  change("big", 20 * kMiB, "changed");
  EXPECT_GT(sent_by(*manager), 24 * kMiB);
  EXPECT_EQ(store.count(Operation::copy_part), 0u);
}

// The layer that the blocks lie in is gone, or is another one than the catalogue says.
TEST_F(LayerBlocks, OlderLayerThatCannotBeTrustedIsNotUsed) {
  world.write("big", LayerWorld::noise(1, 24 * kMiB));
  world.write("small", "x");
  LayerOptions options = world.options();
  options.part_size_bytes = 8 * kMiB;
  const auto manager = world.open(store, options, {});
  sent_by(*manager);
  const std::string key = layer::read_manifest(*inner, "web")->manifest.head().layer.object;
  const auto kept = inner->get(key, 0, {});
  ASSERT_TRUE(kept && inner->remove(key));
  ASSERT_TRUE(inner->put_new(key, BytesSource(ByteView(kept->bytes).first(kept->bytes.size() - 100))));
  change("big", 20 * kMiB, "changed");
  const auto synced = manager->sync_layer("web");
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_GT((*synced)->sent_bytes, 24 * kMiB);
}

// A copy fails at the wrong moment: sent again, or begun anew, but never half.
TEST_F(LayerBlocks, CopyThatFailsIsTriedAgainByTheNextSync) {
  world.write("big", LayerWorld::noise(1, 40 * kMiB));
  const auto manager = world.open(store);
  sent_by(*manager);
  change("big", 20 * kMiB, "changed");
  bool failed = false;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::copy_part || std::exchange(failed, true)) return {};
    return Error(ErrorKind::retry_later, "away");
  };
  EXPECT_EQ(manager->sync_layer("web").error().kind(), ErrorKind::retry_later);
  store.forget_calls();
  EXPECT_LE(sent_by(*manager), 16 * kMiB);
}

// A file that is cut by a crash in the middle, and has changed when the next sync comes: its header is behind us, so it
// is taken back to where it began.
struct LayerBigFiles : LayerBlocks {
  LayerOptions small_parts() const {
    LayerOptions small = world.options();
    small.part_size_bytes = 300'000;
    small.concurrent_uploads = 1;
    return small;
  }
  // Fails each part from that number on.
  void fail_from(int number) {
    store.before = [number](const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation != Operation::put_part || call.part < number) return {};
      return Error(ErrorKind::retry_later, "away");
    };
  }
  std::size_t parts_sent_up_to(int number) const {
    std::size_t sent = 0;
    for (const auto& call : store.calls()) {
      if (call.operation == Operation::put_part && call.part <= number) ++sent;
    }
    return sent;
  }
  // While a sync has come so far, for the first time.
  void change_once_at(std::uint64_t at, const std::function<void()>& make_change) {
    changes = 0;
    options.progress = [this, at, make_change](std::uint64_t done, std::uint64_t) {
      if (done < at || changes > 0) return;
      ++changes;
      make_change();
    };
  }
  LayerSyncOptions options;
  std::string notices;
  int changes = 0;

  LayerBigFiles() {
    options.on_notice = [this](std::string_view text) { notices += text; };
    store.can.min_part_bytes = 0;
    world.write("a", LayerWorld::noise(5, 900'000));
    world.write("big", LayerWorld::noise(1, 6 * kMiB + 99));
    world.write("c", LayerWorld::noise(6, 900'000));
  }
};

TEST_F(LayerBigFiles, UnchangedGoesOnInTheMiddle) {
  fail_from(15);
  { EXPECT_FALSE(world.open(store, small_parts(), {})->sync_layer("web")); }
  store.before = {};
  store.forget_calls();
  sent_by(*world.open(store, small_parts(), {}));
  EXPECT_EQ(parts_sent_up_to(14), 0u);
}

TEST_F(LayerBigFiles, ChangedIsTakenBackToItsBeginning) {
  fail_from(15);
  { EXPECT_FALSE(world.open(store, small_parts(), {})->sync_layer("web")); }
  store.before = {};
  store.forget_calls();
  change("big", 100, "changed");
  sent_by(*world.open(store, small_parts(), {}));
  EXPECT_EQ(parts_sent_up_to(3), 0u);   // what was before it had arrived
  EXPECT_GT(parts_sent_up_to(14), 8u);  // and the file is sent again
}

// The stamp of a file says nothing of what a power loss has left of it.
TEST_F(LayerBigFiles, ReadInPartInAnotherBootIsReadFromItsBeginning) {
  fail_from(15);
  { EXPECT_FALSE(world.open(store, small_parts(), {})->sync_layer("web")); }
  store.before = {};
  store.forget_calls();
  {
    const auto database = sqlite::LocalDatabase::open(world.state() + "/state.db", "");
    ASSERT_TRUE(database && (*database)->execute("UPDATE layer_scan_boot SET boot = 'another'"));
  }
  sent_by(*world.open(store, small_parts(), {}));
  EXPECT_EQ(parts_sent_up_to(3), 0u);
  EXPECT_GT(parts_sent_up_to(14), 8u);
}

TEST_F(LayerBigFiles, VanishedIsLeftOut) {
  fail_from(15);
  { EXPECT_FALSE(world.open(store, small_parts(), {})->sync_layer("web")); }
  store.before = {};
  std::filesystem::remove(world / "big");
  sent_by(*world.open(store, small_parts(), {}));
}

// It changes while it is read, and nothing of it has left us: it is read again, and is whole.
TEST_F(LayerBigFiles, ChangedWhileReadIsReadAgain) {
  change_once_at(3 * kMiB, [this] { change("big", 100, "changed"); });
  const auto synced = world.open(store)->sync_layer("web", options);
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ(changes, 1);
  EXPECT_EQ((*synced)->torn_files, 0u);
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
}

// The same when parts of it are on their way, or have arrived.
TEST_F(LayerBigFiles, ChangedWhileReadAndSentIsReadAgain) {
  change_once_at(3 * kMiB, [this] { change("big", 100, "changed"); });
  const auto synced = world.open(store, small_parts(), {})->sync_layer("web", options);
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ(changes, 1);
  EXPECT_EQ((*synced)->torn_files, 0u);
  EXPECT_EQ(notices, "");
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  EXPECT_EQ(parts_sent_up_to(3), 3u);  // what is before it is not sent again
}

TEST_F(LayerBigFiles, BigFileBeforeTheOneThatChangedIsNotSentAgain) {
  world.write("big-too", LayerWorld::noise(2, 6 * kMiB));
  change_once_at(11 * kMiB, [this] { change("big-too", 100, "changed"); });
  const auto synced = world.open(store, small_parts(), {})->sync_layer("web", options);
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ(changes, 1);
  EXPECT_EQ((*synced)->torn_files, 0u);
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  EXPECT_EQ(parts_sent_up_to(20), 20u);
  EXPECT_GT(parts_sent_up_to(100), 44u + 10);
}

// A crash while it is read again, at the first step of that or a later one.
TEST_F(LayerBigFiles, EndedWhileItIsReadAgainGoesOn) {
  for (const int end : {0, 3, 20, 47}) {
    SCOPED_TRACE(end);
    world.write("big", LayerWorld::noise(end + 10, 6 * kMiB));
    change_once_at(3 * kMiB, [this] { change("big", 100, "changed"); });
    int resumed = 0, steps = 0;
    const layer::Hook hook([&](std::string_view step) -> Result<void> {
      if (step == "resumed") ++resumed;
      if (resumed < 2 || steps++ != end) return {};
      return Error(ErrorKind::cancelled, "thrown away");
    });
    EXPECT_FALSE(world.open(store, small_parts(), hook)->sync_layer("web", options));
    const auto synced = world.open(store, small_parts(), {})->sync_layer("web");
    ASSERT_TRUE(synced && *synced) << synced.error().message();
    EXPECT_EQ((*synced)->torn_files, 0u);
    EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
    EXPECT_TRUE(inner->list_uploads("")->empty());
  }
}

// One that was gone on with after a crash, and changes behind that.
TEST_F(LayerBigFiles, ChangedAfterACrashIsReadAgain) {
  fail_from(15);
  { EXPECT_FALSE(world.open(store, small_parts(), {})->sync_layer("web")); }
  store.before = {};
  change_once_at(5 * kMiB, [this] { change("big", 100, "changed"); });
  const auto synced = world.open(store, small_parts(), {})->sync_layer("web", options);
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ(changes, 1);
  EXPECT_EQ((*synced)->torn_files, 0u);
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
}

// It changes again: it is kept, flagged, and read again by the next sync.
TEST_F(LayerBigFiles, ChangingWhileItIsReadAndSentIsFlaggedAsTorn) {
  options.progress = [&](std::uint64_t done, std::uint64_t) {
    if (done > 3 * kMiB && done < 5 * kMiB) change("big", 100, std::to_string(++changes));
  };
  const auto manager = world.open(store, small_parts(), {});
  const auto synced = manager->sync_layer("web", options);
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ((*synced)->torn_files, 1u);
  EXPECT_NE(notices.find("/big kept changing"), std::string::npos) << notices;
  EXPECT_EQ(layer::read_manifest(*inner, "web")->manifest.head().torn_files, 1u);
  const auto reader = layer::LayerReader::open(*inner, layer::layer_key((*synced)->digest));
  const auto entries = (*reader)->entries();
  std::size_t torn = 0;
  while (auto next = *entries->next()) torn += next->contents == layer::Contents::torn ? 1 : 0;
  EXPECT_EQ(torn, 1u);
  EXPECT_TRUE(*manager->check_for_changes("web"));
  sent_by(*manager);
}

// It never stands still: a few times, then it is kept.
TEST_F(LayerBigFiles, ChangingForEverIsKeptAsTorn) {
  options.progress = [&](std::uint64_t done, std::uint64_t) {
    if (done > 3 * kMiB && done < 5 * kMiB) change("big", 100, std::to_string(++changes));
  };
  const auto synced = world.open(store)->sync_layer("web", options);
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ((*synced)->torn_files, 1u);
  EXPECT_GT(changes, 3);
}

// The layer needs fewer parts than have arrived by then.
TEST_F(LayerBigFiles, ShrunkWhileReadAndSentIsReadAgain) {
  for (const bool leaves_out : {true, false}) {
    store.can.leaves_out_parts = leaves_out;
    store.forget_calls();
    world.write("big", LayerWorld::noise(leaves_out ? 3 : 4, 6 * kMiB));
    change_once_at(5 * kMiB, [this] { std::filesystem::resize_file(world / "big", 2 * kMiB + 5); });
    const auto synced = world.open(store, small_parts(), {})->sync_layer("web", options);
    ASSERT_TRUE(synced && *synced) << synced.error().message();
    EXPECT_EQ(changes, 1);
    EXPECT_EQ((*synced)->torn_files, 0u);
    EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
    EXPECT_TRUE(inner->list_uploads("")->empty());
    // What the store would complain of is given up, and sent anew.
    EXPECT_EQ(store.count(Operation::abort_upload) > 0, !leaves_out);
  }
}

TEST_F(LayerBigFiles, ShrinkingWhileItIsReadAndSentIsFilledUpAndFlagged) {
  std::uint64_t size = 6 * kMiB, seen = 0;
  options.progress = [&](std::uint64_t done, std::uint64_t) {
    const bool passed = seen < 3 * kMiB && done >= 3 * kMiB;
    seen = done;
    if (passed) std::filesystem::resize_file(world / "big", size -= kMiB);
  };
  const auto manager = world.open(store, small_parts(), {});
  const auto synced = manager->sync_layer("web", options);
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ((*synced)->torn_files, 1u);
  sent_by(*manager);
}

TEST_F(LayerBigFiles, VanishedWhileReadAndSentIsLeftOut) {
  change_once_at(3 * kMiB, [this] {
    change("big", 100, "changed");
    std::filesystem::remove(world / "big");
  });
  const auto manager = world.open(store, small_parts(), {});
  const auto synced = manager->sync_layer("web", options);
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ((*synced)->torn_files, 0u);
  const std::string stored = testing::describe_sync(*inner, "web", 1);
  EXPECT_NE(stored.find("a file"), std::string::npos) << stored;
  EXPECT_EQ(stored.find("big file"), std::string::npos) << stored;
  sent_by(*manager);
}

}  // namespace
}  // namespace cairn
