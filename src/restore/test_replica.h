// What the tests of this module share: a folder, a memory store, and one call that restores and compares.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/executor.h"
#include "base/files.h"
#include "cairn/restore.h"
#include "support/replica_builder.h"
#include "support/whole_file.h"

namespace cairn::restore::testing {

inline RestoreTarget at_sequence(std::uint64_t sequence) {
  RestoreTarget target;
  target.sequence = sequence;
  return target;
}
inline RestoreTarget at_time(std::int64_t time_ms) {
  RestoreTarget target;
  target.time_ms = time_ms;
  return target;
}

class ReplicaTest : public ::testing::Test {
 protected:
  ReplicaTest() {
    std::string name = ::testing::TempDir() + "cairn-restore-XXXXXX";
    if (mkdtemp(name.data()) != nullptr) folder_ = name;
  }
  ~ReplicaTest() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  Bytes read(const std::string& name) const {
    const std::string text = cairn::testing::whole_file(path(name));
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    return Bytes(begin, begin + text.size());
  }
  void write(const std::string& name, ByteView bytes) const {
    std::ofstream file(path(name), std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  bool exists(const std::string& name) const { return std::filesystem::exists(path(name)); }
  // Names in the folder: what a restore leaves behind.
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }

  Result<RestoreResult> restore(Store& store, const RestoreTarget& target, RestoreOptions options = {},
                                const std::string& name = "out.db") {
    options.target = target;
    return run_restore(store, place_, path(name), options, *files_, *executor_);
  }
  // Restores `sequence` and compares with the builder's state, byte for byte.
  void expect_restores(Store& store, const cairn::testing::ReplicaBuilder& replica, Sequence sequence) {
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    auto result = restore(store, at_sequence(sequence.value), options);
    ASSERT_TRUE(result) << "sequence " << sequence.value << ": " << result.error().message();
    EXPECT_TRUE(read("out.db") == replica.state(sequence).bytes()) << "sequence " << sequence.value;
    EXPECT_EQ(result->plan.point.sequence, sequence.value);
    EXPECT_EQ(result->plan.point.database_hash, replica.state(sequence).hash());
  }
  void expect_restores_all(Store& store, const cairn::testing::ReplicaBuilder& replica) {
    for (Sequence at; at <= replica.newest(); at = at.next()) expect_restores(store, replica, at);
  }
  // The restore fails with `kind`, and an old file stays as it is, with nothing new beside it. Returns the message.
  std::string expect_refused(Store& store, const RestoreTarget& target, ErrorKind kind) {
    const Bytes old = cairn::testing::Image::made(512, 3, 4711).bytes();
    write("old.db", old);
    const std::vector<std::string> before = names();
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    auto result = restore(store, target, options, "old.db");
    EXPECT_FALSE(result);
    EXPECT_TRUE(read("old.db") == old) << "the old file changed";
    EXPECT_EQ(names(), before) << "something was left behind";
    if (result) return "";
    EXPECT_EQ(name_of(result.error().kind()), name_of(kind)) << result.error().message();
    return result.error().message();
  }

  std::string folder_;
  std::string place_ = "app.db";  // of the replica in the store
  std::unique_ptr<Store> store_ = make_memory_store();
  std::unique_ptr<FileSystem> files_ = make_real_file_system();
  std::unique_ptr<Executor> executor_ = make_thread_pool(2);
};

}  // namespace cairn::restore::testing
