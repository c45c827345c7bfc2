// A database whose small segments are put into a folder at once, for tests.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>

#include "replicate/local_state.h"
#include "store/directory_store.h"
#include "support/recording_store.h"
#include "support/stepped_replicator.h"
#include "support/watched_disk.h"

namespace cairn::replicator_test {

using replicate::LocalRecord;
using replicate::LocalState;
namespace fs = std::filesystem;

class FromMemory : public ReplicatorTest {
 protected:
  FromMemory() {
    auto limited = std::make_unique<LimitedFiles>(std::move(files_));
    disk_ = limited.get();
    files_ = std::move(limited);
    open_store();
  }
  ~FromMemory() override { stop(StopMode::crash); }

  void open_store() {
    fs::create_directories(folder());
    auto store = make_directory_store(folder(), StoreUse::publishing);
    ASSERT_TRUE(store) << store.error().message();
    store_ = std::move(*store);
  }
  void lay_folder_on_another_machine() {
    inner_ = std::move(store_);
    auto of_another = std::make_unique<testing::RecordingStore>(*inner_);
    of_another->can.puts_on_this_machine = false;
    store_ = std::move(of_another);
  }
  // Too large to be compared soon.
  void make_large_database() {
    App app(db_path_);
    app.must("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); " + fill(1));
    app.must("CREATE TABLE large(v); INSERT INTO large VALUES (zeroblob(70000000))");
  }
  // With a commit that is captured, and not published.
  void capture_one() {
    follow_new_database();
    App(db_path_).must(fill(1));
    capture();
    ASSERT_EQ(replicator_->status().spool_segments, 1u);
  }
  void capture() {
    now_.mono_us += 20'000;
    const auto step = replicator_->capture_step(now_);
    ASSERT_TRUE(step) << step.error().message();
  }
  void commit_and_capture() {
    const std::uint64_t before = replicator_->status().captured_sequence;
    App(db_path_).must(fill(1));
    for (int i = 0; i < 100 && replicator_->status().captured_sequence == before; ++i) capture();
    ASSERT_EQ(replicator_->status().captured_sequence, before + 1);
  }
  // Until capture follows what is remembered.
  void follow_without_store() {
    start();
    for (int i = 0; i < 200 && replicator_->status().captured_sequence == 0; ++i) {
      (void)replicator_->publish_step(now_);
      capture();
    }
    ASSERT_EQ(replicator_->status().captured_sequence, 1u);
  }
  LocalRecord noted() {
    auto record = LocalState::read_record(*files_, (dir_ / "state").string());
    return record ? *record : LocalRecord{};
  }
  void take_store_away() { fs::rename(folder(), folder() + ".elsewhere"); }
  void bring_store_back() {
    fs::remove_all(folder());
    fs::rename(folder() + ".elsewhere", folder());
    now_.mono_us += 60'000'000;  // it had been told to wait
  }

  std::string folder() const { return (dir_ / "store").string(); }
  std::ptrdiff_t files_in(const std::string& below) const {
    if (!fs::exists(dir_ / "state" / below)) return 0;
    const auto is_file = [](const fs::directory_entry& entry) { return entry.is_regular_file(); };
    return std::ranges::count_if(fs::recursive_directory_iterator(dir_ / "state" / below), is_file);
  }
  std::uint64_t published() const { return replicator_->status().published_sequence; }
  std::uint64_t reconciles() const { return replicator_->status().reconciles; }

  LimitedFiles* disk_ = nullptr;
  std::unique_ptr<Store> inner_;  // of the store, where it is another's
};

}  // namespace cairn::replicator_test
