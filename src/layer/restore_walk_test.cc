// How a restore goes: what it tells and in which order, how much it holds, where it ends when something fails.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "layer/restore_fixture.h"
#include "store/counting.h"
#include "support/held_executor.h"
#include "support/interrupted_store.h"

namespace cairn::layer {
namespace {

using namespace testing;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

// What is written beside the names changes neither their order nor what is told of them: a stamp that is not the last
// one would have the next sync read the file again.
TEST_F(LayerRestore, WhatIsToldOfAFileIsHowItStays) {
  std::vector<Item> items{dir("")};
  for (int i = 0; i < 10; ++i) {
    const std::string folder = "d" + std::to_string(100 + i);
    items.push_back(dir(folder));
    items.back().entry.mode = 0500;
    for (int k = 0; k < 8; ++k) {
      const std::size_t size = static_cast<std::size_t>(k * k * k) * 3001;
      items.push_back(file(folder + "/f" + std::to_string(k), noise(size, static_cast<unsigned>(i * 8 + k))));
      items.back().entry.mtime_s = 1000 + k;
      items.back().entry.xattrs = {{"user.k", std::to_string(k)}};
    }
    items.push_back(symlink(folder + "/g", "f1"));
    items.push_back(hard_link(folder + "/h", folder + "/f7"));
  }
  publish_layers({items});
  std::vector<std::pair<std::string, struct ::statx>> told;
  const OnRestored tell = [&](const MergedEntry& entry, const LayerReader&, const auto& status) -> Result<void> {
    told.emplace_back(entry.indexed.entry.path, status);
    return {};
  };
  ASSERT_TRUE(restore(scratch_ / "copy", {}, tell));
  ASSERT_EQ(told.size(), items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    ASSERT_EQ(told[i].first, items[i].entry.path);
    if (items[i].entry.kind == EntryKind::directory) continue;
    const std::string path = scratch_ / ("copy/" + told[i].first);
    struct ::statx now{};
    ASSERT_EQ(::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &now), 0);
    const struct ::statx& then = told[i].second;
    EXPECT_EQ(now.stx_ino, then.stx_ino) << path;
    EXPECT_EQ(now.stx_size, then.stx_size) << path;
    EXPECT_EQ(now.stx_mtime.tv_sec, then.stx_mtime.tv_sec) << path;
    if (items[i].entry.kind == EntryKind::file) { EXPECT_TRUE(file_text(path) == items[i].contents) << path; }
    if (path.ends_with("/f7")) continue;  // moved by the link that came later
    EXPECT_EQ(now.stx_ctime.tv_sec, then.stx_ctime.tv_sec) << path;
    EXPECT_EQ(now.stx_ctime.tv_nsec, then.stx_ctime.tv_nsec) << path;
  }
}

TEST_F(LayerRestore, TellsOfEachNameOnceItIsComplete) {
  publish_layers({{dir(""), file("a", "1"), gone("b", Mark::file)}, {file("a", "2")}});
  std::string told;
  const OnRestored tell = [&](const MergedEntry& entry, const LayerReader&, const auto& status) -> Result<void> {
    const bool is_file = entry.indexed.entry.kind == EntryKind::file;
    told += entry.indexed.entry.path + ":" + std::to_string(entry.layer) + ":" +
            std::to_string(is_file ? status.stx_size : 0) + " ";
    return {};
  };
  ASSERT_TRUE(restore(scratch_ / "copy", {}, tell));
  EXPECT_EQ(told, ":0:0 a:1:1 b:0:0 ");
  const auto failed = restore(scratch_ / "other", {}, [](const auto&, const auto&, const auto&) -> Result<void> {
    return Error(ErrorKind::busy, "no");
  });
  EXPECT_EQ(failed.error().kind(), ErrorKind::busy);
  expect_only({"copy"});
}

// Threads that are busy elsewhere: this one does all. Each file lies in a frame of its own, and of a frame as much is
// held as somebody waits for.
TEST_F(LayerRestore, HoldsFewFilesAndFramesHoweverBusyTheThreadsAre) {
  decode_ = std::make_unique<cairn::testing::HeldExecutor>();
  std::vector<Item> base{dir("")}, above{dir("")};
  for (int i = 100; i < 300; ++i) {
    base.push_back(file(std::to_string(i) + "a", std::string(20'000, 'a')));
    base.push_back(file(std::to_string(i) + "b", std::string(1'000'000, 'b')));
    above.push_back(gone(std::to_string(i) + "b"));
  }
  publish(*store_, "web", {make_layer(base, 1'000'000), make_layer(above)});
  const auto count = [](const fs::path& directory) {
    return std::distance(fs::directory_iterator(directory), fs::directory_iterator());
  };
  std::ptrdiff_t told = 0, most_ahead = 0, most_open = 0;
  const OnRestored tell = [&](const MergedEntry& entry, const LayerReader&, const auto&) -> Result<void> {
    if (entry.indexed.entry.kind != EntryKind::file) return {};
    ++told;
    for (const auto& place : fs::directory_iterator(scratch_.path())) {
      most_ahead = std::max(most_ahead, count(place.path() / "target") - told);
    }
    most_open = std::max(most_open, count("/proc/self/fd"));
    return {};
  };
  const std::ptrdiff_t open_before = count("/proc/self/fd");
  const auto restored = restore(scratch_ / "copy", {}, tell);
  ASSERT_TRUE(restored) << restored.error().message();
  EXPECT_EQ(told, 200);
  EXPECT_GT(most_ahead, 3);
  EXPECT_LT(most_ahead, 50);
  EXPECT_LT(most_open - open_before, 70);
}

TEST_F(LayerRestore, WhatCannotBeWrittenEndsItThereAndThen) {
  Item large = file("large", noise(96u << 20, 5));
  large.entry.holes = {{4096, 4096}};  // there is something in it
  publish_layers({{dir(""), file("a", "1"), large, file("z", "1")}});
  CountingStore counting(*store_);
  const auto restored = restore_layer(counting, "web", scratch_ / "copy", {}, {*decode_, *transfers_, random_});
  ASSERT_FALSE(restored);
  EXPECT_THAT(restored.error().message(), HasSubstr("'large' has bytes where it says that it has a hole"));
  // What is fetched, decoded and on its way to the file meanwhile has a bound each: 24, 16 and 8 MiB, and one request.
  EXPECT_LT(counting.counts().total().received_bytes, 60u << 20);
  expect_only({});
}

TEST_F(LayerRestore, StopsWhenAsked) {
  publish_layers({{dir(""), file("a", noise(3'000'000, 1)), file("b", noise(3'000'000, 2))}});
  std::stop_source stop;
  LayerRestoreOptions options{.stop = stop.get_token()};
  options.progress = [&](std::uint64_t, std::uint64_t) { stop.request_stop(); };
  const auto restored = restore(scratch_ / "copy", options);
  ASSERT_FALSE(restored);
  EXPECT_EQ(restored.error().kind(), ErrorKind::cancelled);
  expect_only({});
}

TEST_F(LayerRestore, ProgressGoesUpToTheWhole) {
  publish_layers({{dir(""), file("a", noise(5'000'000, 1)), file("b", "x")}});
  std::uint64_t last = 0, whole = 0;
  LayerRestoreOptions options;
  options.progress = [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_GE(done, last);
    last = done;
    whole = total;
  };
  ASSERT_TRUE(restore(scratch_ / "copy", options));
  EXPECT_EQ(last, 5'000'001u);
  EXPECT_EQ(whole, 5'000'001u);
}

TEST_F(LayerRestore, StoresThatFailAreToldOfAndHarmNothing) {
  publish_layers({{dir(""), file("a", noise(4'000'000, 1))}, {file("b", noise(4'000'000, 2))}});
  const std::unique_ptr<Store> good = std::move(store_);
  int complete = 0, failed = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    FaultPlan plan;
    SeededRandom random(seed);
    plan.of(Operation::get).before = 150;
    plan.of(Operation::get_suffix).before = 150;
    plan.truncated = 100;
    plan.flipped = 100;
    store_ = make_faulty_store(*good, plan, random);
    // Faults come one call at a time.
    decode_ = std::make_unique<InlineExecutor>();
    transfers_ = std::make_unique<InlineExecutor>();
    const auto restored = restore(scratch_ / "copy");
    ++(restored ? complete : failed);
    if (!restored) {
      EXPECT_FALSE(fs::exists(scratch_ / "copy"));
      continue;
    }
    EXPECT_TRUE(file_text(scratch_ / "copy/a") == noise(4'000'000, 1));
    EXPECT_TRUE(file_text(scratch_ / "copy/b") == noise(4'000'000, 2));
    fs::remove_all(scratch_ / "copy");
  }
  store_.reset();
  EXPECT_GT(complete, 0);
  EXPECT_GT(failed, 0);
}

// The history becomes a new chain, and the objects of the old one go, before any one request of a restore.
TEST_F(LayerRestore, APruneAtAnyMomentIsPlannedAroundOrSaid) {
  const MadeLayer before = make_layer({dir(""), file("old", noise(6'000'000, 1))});
  const MadeLayer after = make_layer({dir(""), file("new", noise(6'000'000, 2))});
  int around = 0, said = 0;
  for (std::uint64_t at = 0;; ++at) {
    store_ = make_memory_store();
    Manifest manifest = publish(*store_, "web", {before});
    cairn::testing::InterruptedStore interrupted(*store_, at, [&] {
      ASSERT_TRUE(store_->put_new(after.meta.object, BytesSource(after.object)));
      manifest.syncs = {{2, manifest.head().time_ms + 1, SyncKind::full, after.meta, 0, 0}};
      ASSERT_TRUE(publish_manifest(*store_, manifest, read_manifest(*store_, "web")->etag));
      ASSERT_TRUE(store_->remove(before.meta.object));
    });
    const std::string target = scratch_ / "target";
    const auto restored = restore_layer(interrupted, "web", target, {}, {*decode_, *transfers_, random_});
    if (!interrupted.has_happened()) break;
    if (restored) {
      const bool is_new = restored->sync.sequence == 2;
      EXPECT_EQ(names_in(target), std::vector<std::string>{is_new ? "new" : "old"}) << at;
      around += is_new ? 1 : 0;
    } else {
      EXPECT_EQ(restored.error().kind(), ErrorKind::retry_later) << at << ": " << restored.error().message();
      ++said;
    }
    fs::remove_all(target);
    expect_only({});
  }
  EXPECT_GT(around, 0);
  EXPECT_GT(said, 0);
}

}  // namespace
}  // namespace cairn::layer
