// One synced intent serves for the puts of ten seconds: a power loss may take all notes behind it, and what lies in the
// store then is known for this writer's own.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "fmt/format.h"
#include "replicate/from_memory_fixture.h"
#include "segment/keys.h"
#include "support/whole_file.h"

namespace cairn {
namespace {

using namespace replicator_test;

class OneIntent : public FromMemory {
 protected:
  static constexpr std::uint64_t kSlotBytes = 4096;
  static constexpr std::uint64_t kSyncedBytes = 2 * kSlotBytes;  // two places that take turns, then those of the others

  static std::uint64_t generation_at(std::istream& file, std::uint64_t slot) {
    std::uint64_t generation = 0;
    file.seekg(static_cast<std::streamoff>(slot * kSlotBytes + 8));
    file.read(reinterpret_cast<char*>(&generation), sizeof generation);
    return generation;
  }
  std::string position() const { return (dir_ / "state" / "position").string(); }
  void publish(int count) {
    for (int i = 0; i < count; ++i) {
      App(db_path_).must(fill(1));
      must_settle();
    }
  }
  void pass(std::int64_t ms) {
    now_.mono_us += ms * 1000;
    now_.wall_ms += ms;
  }
  void begin() { start(booted()); }
  void follow() {
    make_database();
    begin();
    must_settle();
  }
  ReplicatorOptions booted() {
    ReplicatorOptions o = options();
    o.boot = fmt::format("{:032x}", boots_);
    return o;
  }
  void lose_power() {
    stop(StopMode::crash);
    fs::resize_file(position(), kSyncedBytes);
    ++boots_;
  }
  void expect_refused() {
    const auto error = settle();
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind(), ErrorKind::conflict);
    EXPECT_NE(error->message().find("another writer has published"), std::string::npos) << error->message();
  }
  // Of the state directory, which takes its place after what happens then.
  void expect_a_copy_is_refused_after(const std::function<void()>& what_happens) {
    follow();
    publish(2);
    const fs::path copy = dir_ / "position of before";
    fs::copy_file(position(), copy);
    what_happens();
    fs::copy_file(copy, position(), fs::copy_options::overwrite_existing);
    begin();
    expect_refused();
  }

  std::uint64_t boots_ = 1;
};

TEST_F(OneIntent, APowerLossThatTakesTheNotesOfSeveralPutsCostsAComparison) {
  follow();
  publish(5);
  lose_power();
  ASSERT_LT(noted().published.value, 4u) << "each put was noted durably";
  begin();
  expect_replica_is_current();
  EXPECT_EQ(published(), 5u);
  EXPECT_EQ(reconciles(), 1u);
  publish(2);
  EXPECT_EQ(published(), 7u);
  expect_replica_is_current();
}

TEST_F(OneIntent, WhatThePowerLossTookOfTheDatabaseToo) {
  follow();
  publish(2);
  const std::string paths[] = {db_path_, db_path_ + "-wal"};
  const std::string before[] = {testing::whole_file(paths[0]), testing::whole_file(paths[1])};
  publish(3);
  lose_power();
  for (int i = 0; i < 2; ++i) std::ofstream(paths[i], std::ios::binary | std::ios::trunc) << before[i];
  fs::remove(db_path_ + "-shm");
  begin();
  expect_replica_is_current();
  EXPECT_EQ(published(), 6u) << "five that were put, and what the database lost";
  RestoreTarget target;
  target.sequence = 5;
  EXPECT_NE(restored(target), restored());
}

TEST_F(OneIntent, EndsAfterTenSeconds) {
  follow();
  publish(3);
  pass(11'000);
  publish(1);
  lose_power();
  EXPECT_EQ(noted().published.value, 3u);
  EXPECT_EQ(noted().intent.value, 4u);
}

TEST_F(OneIntent, ACopyOfTheStateDirectoryIsRefusedAfterIt) {
  expect_a_copy_is_refused_after([&] {
    publish(2);
    pass(11'000);
    publish(1);
    lose_power();
  });
}

// As long as the machine runs, no note is lost: what is missing here was never noted here.
TEST_F(OneIntent, ACopyOfTheStateDirectoryIsRefusedInTheSameBoot) {
  expect_a_copy_is_refused_after([&] {
    publish(3);
    stop(StopMode::crash);
  });
}

TEST_F(OneIntent, DoesNotCoverWhatTheClaimMissesThere) {
  follow();
  publish(5);
  stop();  // the claim says so
  begin();
  must_settle();
  lose_power();
  ASSERT_TRUE(fs::remove(folder() + "/" + segment::segment_key(options().replica, Sequence(5))));
  begin();
  const auto error = settle();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind(), ErrorKind::conflict);
  EXPECT_NE(error->message().find("has been published from here"), std::string::npos) << error->message();
}

TEST_F(OneIntent, IsOfNoOtherWriter) {
  follow();
  publish(2);
  lose_power();
  ReplicatorOptions other = booted();
  other.state_directory = (dir_ / "state of another").string();
  other.adopt = Adopt::local;
  start(other);
  publish(1);
  stop();
  begin();
  expect_refused();
}

TEST_F(OneIntent, IsForStoresOfAnotherMachineToo) {
  lay_folder_on_another_machine();
  follow();
  publish(3);
  lose_power();
  ASSERT_LT(noted().published.value, 2u);
  begin();
  expect_replica_is_current();
  EXPECT_EQ(published(), 3u);
  EXPECT_EQ(reconciles(), 1u);
}

// A kill in the middle of writing it: then the put that it was for was not begun.
TEST_F(OneIntent, ATornNoteLeavesTheOneBeforeIt) {
  follow();
  publish(3);
  commit_and_capture();
  ASSERT_TRUE(replicator_->publish_step(now_));
  stop(StopMode::crash);
  ASSERT_TRUE(fs::remove(folder() + "/" + segment::segment_key(options().replica, Sequence(4))));
  ASSERT_EQ(noted().intent, Sequence(4));
  std::fstream file(position(), std::ios::in | std::ios::out | std::ios::binary);
  const std::uint64_t newest = generation_at(file, 2) > generation_at(file, 3) ? 2 : 3;
  file.seekp(static_cast<std::streamoff>(newest * kSlotBytes + 100)) << "torn";
  file.close();
  ASSERT_EQ(noted().intent, Sequence(3));
  begin();
  expect_replica_is_current();
  EXPECT_EQ(published(), 4u);
}

TEST_F(OneIntent, IsNoneWhereAComparisonTakesLong) {
  make_large_database();
  begin();
  must_settle();
  publish(3);
  lose_power();
  EXPECT_EQ(noted().published.value, 2u);
  EXPECT_EQ(noted().intent.value, 3u);
}

}  // namespace
}  // namespace cairn
