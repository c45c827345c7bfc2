// Uploads that the store drops before they are complete, as a rule for unfinished ones does: what was read once is sent
// again from the spool, whatever has become of the directory; where the spool lacks something, the directory is read.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "store/directory_store.h"
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

constexpr std::uint64_t kLostPartBytes = 300'000;

struct LayerExpired : ::testing::Test {
  LayerWorld world;
  std::unique_ptr<Store> inner = make_memory_store();
  RecordingStore store{*inner};
  std::string notices;
  LayerSyncOptions told;

  LayerExpired() {
    told.on_notice = [this](std::string_view notice) { notices += std::string(notice) + "\n"; };
    world.fill();
    world.write("a-first", LayerWorld::noise(1, 500'000));
    world.write("big", LayerWorld::noise(2, (3u << 20) + 77));
  }

  LayerOptions small_parts(int uploads = 4) const {
    LayerOptions options = world.options();
    options.part_size_bytes = kLostPartBytes;
    options.concurrent_uploads = uploads;
    return options;
  }
  Result<std::optional<LayerSnapshot>> sync(const LayerOptions& options) {
    return world.open(store, options, {})->sync_layer("web", told);
  }
  // All parts are there, but the object is not made of them.
  void interrupt_before_completing(const LayerOptions& options) {
    store.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation != Operation::complete_new) return {};
      return Error(ErrorKind::retry_later, "away");
    };
    EXPECT_FALSE(sync(options));
    store.before = {};
    store.forget_calls();
  }
  void expire() const {
    const auto uploads = inner->list_uploads("");
    ASSERT_FALSE(uploads->empty());
    for (const UploadInfo& upload : *uploads) ASSERT_TRUE(inner->abort_upload(upload.key, upload.upload_id));
  }
  void change_everything() const {
    for (const auto& entry : fs::directory_iterator(world.upper())) fs::remove_all(entry);
    world.write("other", "contents, and nothing of what was");
  }
  std::vector<fs::path> spooled() const {
    std::vector<fs::path> files;
    std::error_code gone;
    for (const auto& file : fs::recursive_directory_iterator(world.state() + "/spool", gone)) {
      if (file.is_regular_file(gone)) files.push_back(file.path());
    }
    std::ranges::sort(files);
    return files;
  }
  std::uint64_t spooled_bytes() const {
    std::uint64_t bytes = 0;
    std::error_code gone;
    for (const fs::path& file : spooled()) {
      const std::uint64_t size = fs::file_size(file, gone);
      if (!gone) bytes += size;
    }
    return bytes;
  }
  void expect_nothing_left() {
    EXPECT_TRUE(inner->list_uploads("")->empty());
    EXPECT_TRUE(inner->list("tmp/")->objects.empty());
    EXPECT_TRUE(spooled().empty());
  }
  // What an expired upload comes to when the spool does not have all of it: the directory as it is now.
  void expect_read_again(const LayerOptions& options) {
    const auto synced = sync(options);
    ASSERT_TRUE(synced && *synced) << synced.error().message();
    EXPECT_EQ((*synced)->sequence, 1u);
    EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
    EXPECT_NE(notices.find("the directory is read again"), std::string::npos) << notices;
    expect_nothing_left();
  }
};

TEST_F(LayerExpired, WhatWasReadIsPublishedThoughEverythingHasChangedSince) {
  for (const bool late_names : {true, false}) {
    const LayerWorld here;
    here.fill();
    here.write("big", LayerWorld::noise(2, (3u << 20) + 77));
    const std::string was = describe_directory(here.upper());
    const auto memory = make_memory_store();
    RecordingStore asked(*memory);
    asked.can.late_names = late_names;
    LayerOptions options = here.options();
    options.part_size_bytes = kLostPartBytes;
    asked.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation != Operation::complete_new) return {};
      return Error(ErrorKind::retry_later, "away");
    };
    EXPECT_FALSE(here.open(asked, options, {})->sync_layer("web"));
    std::set<int> parts;
    for (const auto& call : asked.calls()) {
      if (call.operation == Operation::put_part) parts.insert(call.part);
    }
    EXPECT_GT(parts.size(), 10u);
    asked.before = {};
    asked.forget_calls();
    const auto uploads = memory->list_uploads("");
    for (const UploadInfo& upload : *uploads) {
      ASSERT_TRUE(memory->abort_upload(upload.key, upload.upload_id));
    }
    for (const auto& entry : fs::directory_iterator(here.upper())) fs::remove_all(entry);
    here.write("other", "contents, and nothing of what was");
    const auto synced = here.open(asked, options, {})->sync_layer("web");
    ASSERT_TRUE(synced && *synced) << synced.error().message();
    EXPECT_EQ((*synced)->sequence, 2u);
    EXPECT_EQ(difference(describe_sync(*memory, "web", 1), was), "");
    EXPECT_EQ(difference_to(*memory, "web", here.upper()), "");
    std::size_t sent = 0;
    for (const auto& call : asked.calls()) sent += call.operation == Operation::put_part ? 1 : 0;
    EXPECT_EQ(sent, parts.size());
    EXPECT_TRUE(memory->list_uploads("")->empty());
    EXPECT_TRUE(memory->list("tmp/")->objects.empty());
  }
}

// In the middle of a run: a file that has left for the store already may change; it is not looked at again.
TEST_F(LayerExpired, UnderWayGoesOnFromTheSpool) {
  const std::string was = describe_directory(world.upper());
  std::atomic<int> put = 0;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_part || ++put != 6) return {};
    expire();
    world.write("a-first", "changed");
    return {};
  };
  const auto synced = sync(small_parts());
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ((*synced)->sequence, 2u);
  EXPECT_EQ(difference(describe_sync(*inner, "web", 1), was), "");
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  EXPECT_NE(notices.find("sent again from the spool"), std::string::npos) << notices;
  EXPECT_EQ(store.count(Operation::begin_upload), 2u);
  expect_nothing_left();
}

TEST_F(LayerExpired, BeyondTheLimitTheDirectoryIsReadAgain) {
  LayerOptions options = small_parts(1);
  options.spool_limit_bytes = 10 * kLostPartBytes;
  interrupt_before_completing(options);
  EXPECT_FALSE(spooled().empty());
  EXPECT_FALSE(spooled().front().string().ends_with("part-00001"));  // the oldest has gone
  expire();
  change_everything();
  expect_read_again(options);
}

// With a limit of nothing it has what is under way: two parts that are sent, and the one that is written.
TEST_F(LayerExpired, SpoolStaysWithinItsLimit) {
  for (const std::uint64_t limit : {std::uint64_t{0}, 8 * kLostPartBytes}) {
    inner = make_memory_store();
    fs::remove_all(world.state());
    RecordingStore fresh(*inner);
    std::atomic<std::uint64_t> most = 0;
    fresh.after = [&](const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation == Operation::put_part) most = std::max<std::uint64_t>(most, spooled_bytes());
      return {};
    };
    LayerOptions options = small_parts(2);
    options.spool_limit_bytes = limit;
    ASSERT_TRUE(world.open(fresh, options, {})->sync_layer("web"));
    EXPECT_GT(most, limit == 0 ? 0 : limit - 2 * kLostPartBytes);
    EXPECT_LE(most, std::max(limit, 3 * kLostPartBytes));
    expect_nothing_left();
  }
}

// Each part's checksum is looked at before any is sent: nothing goes out of a spool that has not all.
TEST_F(LayerExpired, DamagedPartInTheSpoolHasTheDirectoryReadAgain) {
  const std::vector<std::function<void(const fs::path&)>> damages{
      [](const fs::path& file) { fs::resize_file(file, 1000); },
      [](const fs::path& file) {
        std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
        bytes.seekg(777);
        const auto byte = static_cast<char>(bytes.get() ^ 1);
        bytes.seekp(777).put(byte);
      },
      [](const fs::path& file) { fs::remove(file); },
  };
  for (const auto& damage : damages) {
    inner = make_memory_store();
    fs::remove_all(world.state());
    notices.clear();
    RecordingStore fresh(*inner);
    fresh.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation != Operation::complete_new) return {};
      return Error(ErrorKind::retry_later, "away");
    };
    EXPECT_FALSE(world.open(fresh, small_parts(), {})->sync_layer("web", told));
    fresh.before = {};
    expire();
    damage(spooled().at(4));
    world.write("a-first", "changed");
    const auto synced = world.open(fresh, small_parts(), {})->sync_layer("web", told);
    ASSERT_TRUE(synced && *synced) << synced.error().message();
    EXPECT_EQ((*synced)->sequence, 1u);
    EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
    EXPECT_NE(notices.find("part 5 of it is not whole"), std::string::npos) << notices;
    expect_nothing_left();
  }
}

// A store that has lost a single part of an upload is sent that part, and no other.
TEST_F(LayerExpired, PartThatTheStoreHasLostIsSentAgain) {
  interrupt_before_completing(small_parts());
  const auto uploads = inner->list_uploads("");
  const UploadInfo& upload = uploads->front();
  ASSERT_TRUE(inner->put_part(upload.key, upload.upload_id, 3, BytesSource(Bytes(1000))));
  change_everything();
  ASSERT_TRUE(sync(small_parts()));
  std::vector<int> sent;
  for (const auto& call : store.calls()) {
    if (call.operation == Operation::put_part) sent.push_back(call.part);
  }
  EXPECT_EQ(sent, std::vector<int>{3});
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  expect_nothing_left();
}

// Copied parts are copied again, and a copy that fails for want of its upload is no reason to do without copies.
TEST_F(LayerExpired, CopiedPartsAreCopiedAgain) {
  world.write("big", LayerWorld::noise(4, (6u << 20) + 5));
  ASSERT_TRUE(sync(small_parts(1)));
  const auto change = [&](int offset) {
    std::fstream(world / "big", std::ios::in | std::ios::out | std::ios::binary).seekp(offset) << "changed " << offset;
  };
  change(2 << 20);
  store.forget_calls();
  bool was_copied = false;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation == Operation::copy_part && !std::exchange(was_copied, true)) expire();
    return {};
  };
  ASSERT_TRUE(sync(small_parts(1)));
  EXPECT_TRUE(was_copied);
  store.before = {};
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  EXPECT_EQ(notices.find("does not take the copies"), std::string::npos) << notices;
  change(4 << 20);
  store.forget_calls();
  ASSERT_TRUE(sync(small_parts(1)));
  EXPECT_GT(store.count(Operation::copy_part), 0u);
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  expect_nothing_left();
}

// The upload is gone because the object is complete, and the reply was lost. A store that is away when that could be
// looked at is no reason to send anything again.
TEST_F(LayerExpired, CompletedUploadIsNotTakenForALostOne) {
  store.can.late_names = false;
  bool was_lost = false;
  store.after = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::complete_new || std::exchange(was_lost, true)) return {};
    return Error(ErrorKind::retry_later, "lost");
  };
  EXPECT_FALSE(sync(small_parts()));
  store.forget_calls();
  store.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_new) return {};
    return Error(ErrorKind::retry_later, "away");
  };
  EXPECT_EQ(sync(small_parts()).error().kind(), ErrorKind::retry_later);
  store.before = {};
  ASSERT_TRUE(sync(small_parts()));
  EXPECT_EQ(store.count(Operation::put_part), 0u);
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  expect_nothing_left();
}

// A store that drops every upload is given up on, and left alone with nothing.
TEST_F(LayerExpired, StoreThatDropsEveryUploadIsNotAskedForEver) {
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation == Operation::complete_new) expire();
    return {};
  };
  const auto failed = sync(small_parts());
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind(), ErrorKind::retry_later);
  store.before = {};
  ASSERT_TRUE(sync(small_parts()));
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  expect_nothing_left();
}

// The same where the spool keeps nothing: each attempt reads the directory again. That nothing came of it is said.
TEST_F(LayerExpired, StoreThatDropsEveryUploadIsNotTakenForADirectoryWithoutChanges) {
  LayerOptions options = small_parts();
  options.spool_limit_bytes = 0;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation == Operation::complete_new) expire();
    return {};
  };
  const auto failed = sync(options);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind(), ErrorKind::retry_later);
  store.before = {};
  ASSERT_TRUE(sync(options));
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  expect_nothing_left();
}

// All is archived, but the last part was never sent: the upload cannot have been completed, and a store that looks at
// the parts before it looks for their upload is not asked to complete it.
TEST_F(LayerExpired, UploadWithAPartThatNeverArrivedIsNotTakenForACompletedOne) {
  const std::string was = describe_directory(world.upper());
  const layer::Hook hook([](std::string_view point) -> Result<void> {
    if (point == "archived") return Error(ErrorKind::cancelled, "thrown away");
    return {};
  });
  EXPECT_FALSE(world.open(store, small_parts(), hook)->sync_layer("web", told));
  expire();
  change_everything();
  std::atomic<bool> was_begun = false;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation == Operation::begin_upload) was_begun = true;
    if (call.operation != Operation::complete_new || was_begun) return {};
    return Error(ErrorKind::invalid, "a part has no ETag");
  };
  const auto synced = sync(small_parts());
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ((*synced)->sequence, 2u);
  EXPECT_EQ(difference(describe_sync(*inner, "web", 1), was), "");
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  expect_nothing_left();
}

// Given up in the journal, then killed, and then the spool is damaged: the rest is read from the directory, which has
// changed by then. What was read before and is in no part is not taken for stored.
TEST_F(LayerExpired, DamagedAfterTheUploadWasGivenUp) {
  interrupt_before_completing(small_parts());
  expire();
  const layer::Hook hook([](std::string_view point) -> Result<void> {
    if (point == "upload-forgotten") return Error(ErrorKind::cancelled, "thrown away");
    return {};
  });
  EXPECT_FALSE(world.open(store, small_parts(), hook)->sync_layer("web", told));
  fs::resize_file(spooled().at(4), 1000);
  change_everything();
  const auto synced = sync(small_parts());
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  expect_nothing_left();
}

// A store that is not mounted has no upload either. Nothing is sent to where it should be, and nothing is given up.
TEST_F(LayerExpired, StoreThatIsNotMountedHasDroppedNothing) {
  const std::string mounted = world.beside("mount") + "/store", unmounted = world.beside("unmounted");
  const auto disk = *make_directory_store(mounted);
  RecordingStore on(*disk);
  ASSERT_TRUE(world.open(on, small_parts(), {})->sync_layer("web", told));
  on.before = [](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::complete_new) return {};
    return Error(ErrorKind::retry_later, "away");
  };
  world.write("big", LayerWorld::noise(20, (3u << 20) + 77));
  EXPECT_FALSE(world.open(on, small_parts(), {})->sync_layer("web", told));
  on.before = {};
  on.forget_calls();
  fs::rename(mounted, unmounted);
  for (int i = 0; i < 2; ++i) {
    const auto refused = world.open(on, small_parts(), {})->sync_layer("web", told);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message().find("If a mount is missing"), std::string::npos) << refused.error().message();
    EXPECT_EQ(on.count(Operation::begin_upload), 0u);
  }
  fs::remove_all(mounted);
  fs::rename(unmounted, mounted);
  ASSERT_TRUE(world.open(on, small_parts(), {})->sync_layer("web", told));
  EXPECT_EQ(on.count(Operation::put_part), 0u);
  EXPECT_EQ(difference_to(*disk, "web", world.upper()), "");
  EXPECT_TRUE(spooled().empty());
}

// The same with a history that is really gone, and is to begin anew.
TEST_F(LayerExpired, HistoryThatIsGoneBeginsAnewWhenThatIsWanted) {
  ASSERT_TRUE(sync(small_parts()));
  world.write("big", LayerWorld::noise(20, (3u << 20) + 77));
  interrupt_before_completing(small_parts());
  expire();
  const auto listed = inner->list("");
  for (const auto& object : listed->objects) ASSERT_TRUE(inner->remove(object.key));
  EXPECT_EQ(sync(small_parts()).error().kind(), ErrorKind::conflict);
  told.adopt = LayerAdopt::local;
  const auto synced = sync(small_parts());
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ((*synced)->sequence, 1u);
  EXPECT_EQ(difference_to(*inner, "web", world.upper()), "");
  expect_nothing_left();
}

}  // namespace
}  // namespace cairn
