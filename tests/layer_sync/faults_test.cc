// Stores that fail, disks that are full, callers that stop: the sync says so, and the next one goes on.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include "base/executor.h"
#include "base/files.h"
#include "layer/manifest.h"
#include "store/faulty.h"
#include "store/memory_store.h"
#include "support/layer_world.h"
#include "support/recording_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
using testing::difference_to;
using testing::LayerWorld;
using testing::RecordingStore;

struct LayerFaults : ::testing::Test {
  LayerWorld world;
  std::unique_ptr<Store> inner = make_memory_store();
  RecordingStore store{*inner};

  LayerOptions small_parts() const {
    LayerOptions options = world.options();
    options.part_size_bytes = 300'000;
    return options;
  }
  void fill() const {
    world.fill();
    world.write("big", LayerWorld::noise(1, (3u << 20) + 77));
    world.write("small", LayerWorld::noise(2, 400'000));
  }
  void expect_equal() { EXPECT_EQ(difference_to(*inner, "web", world.upper()), ""); }
  // As of a store that was away.
  void fail(Operation operation, ErrorKind kind, int times = 1) {
    store.before = [operation, kind, left = std::make_shared<std::atomic<int>>(times)](
                       const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation != operation || left->fetch_sub(1) <= 0) return {};
      return Error(kind, "injected");
    };
  }
};

// Every call may fail before or after its effect. Each sync may end with an error; in the end all is there.
TEST_F(LayerFaults, FaultyStoreAtSeveralRates) {
  std::uint64_t injected = 0;
  for (const int rate : {5, 30, 100}) {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      const LayerWorld faulty_world;
      faulty_world.fill();
      faulty_world.write("big", LayerWorld::noise(seed, (3u << 20) + 77));
      const auto memory = make_memory_store();
      RecordingStore as_asked(*memory);
      as_asked.can.late_names = seed % 2 == 0;
      FaultPlan plan;
      plan.set_all({.before = rate, .after = rate, .lost = rate, .denied = 0});
      SeededRandom random(seed);
      const auto faulty = make_faulty_store(as_asked, plan, random);
      LayerOptions options = faulty_world.options();
      options.part_size_bytes = 300'000;
      auto manager = faulty_world.open(*faulty, options, {});
      int attempts = 0;
      for (int syncs = 0; syncs < 3; ++attempts) {
        ASSERT_LT(attempts, 500);
        const auto synced = manager->sync_layer("web");
        if (!synced) {
          EXPECT_TRUE(synced.error().kind() == ErrorKind::retry_later || synced.error().kind() == ErrorKind::maybe_done)
              << synced.error().message();
          if (attempts % 3 == 0) {
            manager.reset();
            manager = faulty_world.open(*faulty, options, {});
          }
          continue;
        }
        EXPECT_EQ(difference_to(*memory, "web", faulty_world.upper()), "") << rate << " " << seed;
        faulty_world.write("changes", LayerWorld::noise(seed + static_cast<unsigned>(syncs) * 100, 700'000));
        ++syncs;
      }
      injected += plan.injected;
      const auto manifest = layer::read_manifest(*memory, "web");
      ASSERT_TRUE(manifest);
      EXPECT_GE(manifest->manifest.syncs.size(), 3u);
    }
  }
  EXPECT_GT(injected, 50u);
}

TEST_F(LayerFaults, StoreAwayInTheMiddle) {
  fill();
  std::atomic<int> put = 0;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_part || ++put <= 5) return {};
    return Error(ErrorKind::retry_later, "away");
  };
  const auto manager = world.open(store, small_parts(), {});
  EXPECT_EQ(manager->sync_layer("web").error().kind(), ErrorKind::retry_later);
  const auto state = manager->sync_state("web");
  EXPECT_TRUE(state->upload_pending);
  EXPECT_EQ(state->pending_parts_done, 5u);
  EXPECT_TRUE(*manager->check_for_changes("web"));
  store.before = {};
  store.forget_calls();
  ASSERT_TRUE(manager->sync_layer("web"));
  for (const auto& call : store.calls()) {
    if (call.operation != Operation::put_part) continue;
    EXPECT_GT(call.part, 5);
  }
  expect_equal();
}

// Z2: an upload that the store has forgotten is no reason to fail for ever.
TEST_F(LayerFaults, UploadThatHasExpiredStartsOver) {
  fill();
  fail(Operation::put_part, ErrorKind::retry_later, 1000);
  const auto manager = world.open(store, small_parts(), {});
  EXPECT_FALSE(manager->sync_layer("web"));
  store.before = {};
  const auto uploads = inner->list_uploads("");
  ASSERT_EQ(uploads->size(), 1u);
  ASSERT_TRUE(inner->abort_upload(uploads->front().key, uploads->front().upload_id));
  const auto synced = manager->sync_layer("web");
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_EQ((*synced)->sequence, 1u);
  expect_equal();
  EXPECT_TRUE(inner->list_uploads("")->empty());
}

// The same while it is being sent to.
TEST_F(LayerFaults, UploadThatExpiresUnderWayStartsOver) {
  fill();
  std::atomic<int> put = 0;
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_part || ++put != 5) return {};
    const auto uploads = inner->list_uploads("");
    EXPECT_TRUE(inner->abort_upload(uploads->front().key, uploads->front().upload_id));
    return {};
  };
  const auto synced = world.open(store, small_parts(), {})->sync_layer("web");
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  expect_equal();
  EXPECT_TRUE(inner->list_uploads("")->empty());
}

// Z1, Z4: completed, and the reply was lost; then everything that follows is there too.
TEST_F(LayerFaults, ReplyOfCompletingIsLost) {
  for (const bool late_names : {true, false}) {
    const LayerWorld here;
    here.fill();
    here.write("big", LayerWorld::noise(1, 3u << 20));
    const auto memory = make_memory_store();
    RecordingStore asked(*memory);
    asked.can.late_names = late_names;
    bool lost = false;
    asked.after = [&](const RecordingStore::Call& call) -> std::optional<Error> {
      if (call.operation != Operation::complete_new || std::exchange(lost, true)) return {};
      return Error(ErrorKind::retry_later, "lost");  // the least that a store can know of it
    };
    LayerOptions options = here.options();
    options.part_size_bytes = 300'000;
    const auto manager = here.open(asked, options, {});
    EXPECT_FALSE(manager->sync_layer("web"));
    const std::uint64_t sent = asked.sent_bytes();
    ASSERT_TRUE(manager->sync_layer("web"));
    EXPECT_LT(asked.sent_bytes() - sent, 10'000u);  // meta and manifest
    EXPECT_EQ(difference_to(*memory, "web", here.upper()), "");
    EXPECT_TRUE(memory->list_uploads("")->empty());
  }
}

TEST_F(LayerFaults, EveryCallFailsOnce) {
  for (const bool late_names : {true, false}) {
    for (int n = 1;; ++n) {
      const LayerWorld here;
      here.write("big", LayerWorld::noise(1, (2u << 20) + 7));
      const auto memory = make_memory_store();
      RecordingStore asked(*memory);
      asked.can.late_names = late_names;
      std::atomic<int> calls = 0;
      asked.before = [&](const RecordingStore::Call&) -> std::optional<Error> {
        if (++calls != n) return {};
        return Error(ErrorKind::denied, "injected");
      };
      LayerOptions options = here.options();
      options.part_size_bytes = 500'000;
      const auto manager = here.open(asked, options, {});
      const auto first = manager->sync_layer("web");
      if (calls < n) break;
      if (!first) {
        ASSERT_TRUE(manager->sync_layer("web")) << n;
      }
      EXPECT_EQ(difference_to(*memory, "web", here.upper()), "") << n;
      EXPECT_TRUE(memory->list_uploads("")->empty()) << n;
    }
  }
}

TEST_F(LayerFaults, StopIsObeyedAndWhatWasSentStays) {
  fill();
  std::stop_source stop;
  LayerSyncOptions options;
  options.stop = stop.get_token();
  std::atomic<int> put = 0;
  store.after = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation == Operation::put_part && ++put == 3) stop.request_stop();
    return {};
  };
  const auto manager = world.open(store, small_parts(), {});
  EXPECT_EQ(manager->sync_layer("web", options).error().kind(), ErrorKind::cancelled);
  EXPECT_GE(manager->sync_state("web")->pending_parts_done, 3u);
  store.after = {};
  ASSERT_TRUE(manager->sync_layer("web"));
  expect_equal();
}

// A disk that has no room for the spool.
class FullDisk final : public FileSystem {
 public:
  explicit FullDisk(FileSystem& inner) : inner_(inner) {}
  std::atomic<std::int64_t> room_bytes = 0;
  bool gives_back = true;  // what is removed; else somebody else takes it
  bool removes = true;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode, int permissions) override {
    auto file = inner_.open(path, mode, permissions);
    if (!file || path.find("/spool/") == std::string::npos) return file;
    return std::unique_ptr<File>(std::make_unique<Full>(std::move(*file), room_bytes));
  }
  Result<std::unique_ptr<MappedFile>> map(const std::string& path, std::uint64_t size) override {
    return inner_.map(path, size);
  }
  Result<FileInfo> info(const std::string& path) override { return inner_.info(path); }
  Result<void> rename(const std::string& from, const std::string& to) override { return inner_.rename(from, to); }
  Result<void> link_new(const std::string& from, const std::string& to) override { return inner_.link_new(from, to); }
  Result<void> remove(const std::string& path) override {
    const auto info = inner_.info(path);
    if (!removes && info) return Error(ErrorKind::io, "the disk is read-only");
    auto removed = inner_.remove(path);
    if (gives_back && info && removed && path.find("/spool/") != std::string::npos)
      room_bytes += static_cast<std::int64_t>(info->size_bytes);
    return removed;
  }
  Result<void> make_directories(const std::string& path, int permissions) override {
    return inner_.make_directories(path, permissions);
  }
  Result<void> sync_directory(const std::string& path) override { return inner_.sync_directory(path); }
  Result<std::vector<std::string>> list(const std::string& path) override { return inner_.list(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return inner_.lock(path); }

 private:
  class Full final : public File {
   public:
    Full(std::unique_ptr<File> inner, std::atomic<std::int64_t>& room) : inner_(std::move(inner)), room_(room) {}
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
      return inner_->read_at(offset, into);
    }
    Result<void> write_at(std::uint64_t offset, ByteView bytes) override {
      const auto size = static_cast<std::int64_t>(bytes.size());
      if ((room_ -= size) >= 0) return inner_->write_at(offset, bytes);
      room_ += size;
      return Error(ErrorKind::io, "the disk is full");
    }
    Result<std::uint64_t> size() const override { return inner_->size(); }
    Result<void> truncate(std::uint64_t size) override { return inner_->truncate(size); }
    Result<void> sync() override { return inner_->sync(); }
    void start_writeback(std::uint64_t offset, std::uint64_t length) override {
      inner_->start_writeback(offset, length);
    }

   private:
    std::unique_ptr<File> inner_;
    std::atomic<std::int64_t>& room_;
  };
  FileSystem& inner_;
};

class MachineWithDisk final : public Machine {
 public:
  MachineWithDisk(Machine& inner, FileSystem& files) : inner_(inner), files_(files) {}
  Clock& clock() override { return inner_.clock(); }
  Random& random() override { return inner_.random(); }
  FileSystem& files() override { return files_; }
  Executor& executor() override { return inner_.executor(); }

 private:
  Machine& inner_;
  FileSystem& files_;
};

TEST_F(LayerFaults, DiskFullInTheSpool) {
  fill();
  FullDisk disk(world.machine().files());
  disk.gives_back = false;
  MachineWithDisk machine(world.machine(), disk);
  auto manager = LayerManager::open(store, machine, small_parts());
  ASSERT_TRUE(manager);
  ASSERT_TRUE((*manager)->register_container("web", world.upper()));
  disk.room_bytes = 1'500'000;
  const auto failed = (*manager)->sync_layer("web");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind(), ErrorKind::io);
  EXPECT_NE(failed.error().message().find("full"), std::string::npos) << failed.error().message();
  const std::uint64_t done = (*manager)->sync_state("web")->pending_parts_done;
  EXPECT_GE(done, 3u);
  disk.room_bytes = 1ll << 40;
  store.forget_calls();
  const auto synced = (*manager)->sync_layer("web");
  ASSERT_TRUE(synced) << synced.error().message();
  for (const auto& call : store.calls()) {
    if (call.operation != Operation::put_part) continue;
    EXPECT_GT(static_cast<std::uint64_t>(call.part), done);
  }
  expect_equal();
}

// One that has become read-only gives nothing back: that is tried once, and then said as it is.
TEST_F(LayerFaults, DiskThatGivesNothingBackIsToldByItsOwnError) {
  fill();
  FullDisk disk(world.machine().files());
  MachineWithDisk machine(world.machine(), disk);
  auto manager = LayerManager::open(store, machine, small_parts());
  ASSERT_TRUE(manager);
  ASSERT_TRUE((*manager)->register_container("web", world.upper()));
  disk.room_bytes = 1'500'000;
  store.after = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation == Operation::begin_upload) disk.removes = false;
    return {};
  };
  int notices = 0;
  LayerSyncOptions told;
  told.on_notice = [&](std::string_view) { ++notices; };
  const auto failed = (*manager)->sync_layer("web", told);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind(), ErrorKind::io) << failed.error().message();
  EXPECT_EQ(notices, 1);
  disk.removes = true;
  disk.room_bytes = 1ll << 40;
  ASSERT_TRUE((*manager)->sync_layer("web"));
  expect_equal();
}

// What is kept for an upload that may be lost is no reason to fail: it goes, and the sync goes on.
TEST_F(LayerFaults, DiskFullOfPartsThatNeedNotBeThereIsNoFailure) {
  fill();
  FullDisk disk(world.machine().files());
  MachineWithDisk machine(world.machine(), disk);
  LayerOptions options = small_parts();
  options.concurrent_uploads = 1;
  auto manager = LayerManager::open(store, machine, options);
  ASSERT_TRUE(manager);
  ASSERT_TRUE((*manager)->register_container("web", world.upper()));
  disk.room_bytes = 1'500'000;
  std::string notices;
  LayerSyncOptions told;
  told.on_notice = [&](std::string_view notice) { notices += notice; };
  const auto synced = (*manager)->sync_layer("web", told);
  ASSERT_TRUE(synced && *synced) << synced.error().message();
  EXPECT_NE(notices.find("let go of"), std::string::npos) << notices;
  expect_equal();
  std::map<int, int> sent;
  for (const auto& call : store.calls()) {
    if (call.operation == Operation::put_part) ++sent[call.part];
  }
  for (const auto& [part, times] : sent) EXPECT_EQ(times, 1) << part;
  EXPECT_EQ(disk.room_bytes, 1'500'000);
}

// A power loss: what lies in the spool is not what was written. It is made again; what had arrived is not sent again.
TEST_F(LayerFaults, DamagedSpoolIsMadeAgain) {
  fill();
  std::mutex mutex;
  std::set<int> arrived;  // several are on their way at once, so not always the first
  store.before = [&](const RecordingStore::Call& call) -> std::optional<Error> {
    if (call.operation != Operation::put_part) return {};
    const std::lock_guard lock(mutex);
    if (arrived.size() == 4) return Error(ErrorKind::retry_later, "away");
    arrived.insert(call.part);
    return {};
  };
  auto manager = world.open(store, small_parts(), {});
  EXPECT_FALSE(manager->sync_layer("web"));
  manager.reset();
  for (const auto& file : fs::recursive_directory_iterator(world.state() + "/spool")) {
    if (file.is_regular_file()) std::filesystem::resize_file(file.path(), 1000);
  }
  store.before = {};
  store.forget_calls();
  manager = world.open(store, small_parts(), {});
  const auto synced = manager->sync_layer("web");
  ASSERT_TRUE(synced) << synced.error().message();
  for (const auto& call : store.calls()) {
    if (call.operation != Operation::put_part) continue;
    EXPECT_FALSE(arrived.contains(call.part)) << call.part;
  }
  expect_equal();
}

}  // namespace
}  // namespace cairn
