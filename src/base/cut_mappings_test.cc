#include "base/cut_mappings.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/os.h"
#include "support/scratch.h"

namespace cairn {
namespace {

constexpr std::size_t kPiece = 32768;

bool is_cut(const volatile void* address) {
  std::uint64_t seen = 0;
  return is_cut_off(address, seen);
}

// To a thread sanitizer the exchange of a mapping is a write by the thread that does it, and what another thread reads
// there at that moment a race. It is what this is about: the page has its old bytes, or is missing, or has zeros.
__attribute__((no_sanitize("thread"))) char letter_at(const volatile char* place) { return *place; }

class CutMappings : public ::testing::Test {
 protected:
  // Two mappings, as SQLite makes them.
  void map(const std::string& name) {
    path_ = scratch_ / name;
    const FileDescriptor file(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    EXPECT_EQ(::ftruncate(file.get(), 2 * kPiece), 0);
    for (auto& piece : pieces_) {
      const off_t offset = &piece == pieces_ ? 0 : kPiece;
      piece = static_cast<volatile char*>(
          ::mmap(nullptr, kPiece, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), offset));
      ASSERT_NE(piece, MAP_FAILED);
      piece[0] = 'a';
      piece[5000] = 'b';
    }
  }
  void cut(std::uintmax_t size) { std::filesystem::resize_file(path_, size); }
  ~CutMappings() override {
    for (auto* piece : pieces_) {
      if (piece != nullptr) ::munmap(const_cast<char*>(piece), kPiece);
    }
  }

  testing::Scratch scratch_{"cut-mappings"};
  std::string path_;
  volatile char* pieces_[2] = {};
};

TEST_F(CutMappings, CutFileBecomesZerosOfOurOwn) {
  survive_cut_shm_files();
  map("app.db-shm");
  const std::uint64_t before = shm_cut_count();
  EXPECT_FALSE(is_cut(pieces_[0]));
  cut(4096);  // the first page is left
  EXPECT_EQ(pieces_[0][0], 'a');
  EXPECT_EQ(shm_cut_count(), before);
  EXPECT_EQ(pieces_[1][5000], 0);
  EXPECT_GT(shm_cut_count(), before);
  EXPECT_TRUE(is_cut(pieces_[0]));  // all of it: no half may be shared
  EXPECT_EQ(pieces_[0][0], 0);
  pieces_[0][0] = 'c';
  char in_file = 0;
  const FileDescriptor file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(::pread(file.get(), &in_file, 1, 0), 1);
  EXPECT_EQ(in_file, 'a');
}

TEST_F(CutMappings, FileThatWasRemovedCountsToo) {
  survive_cut_shm_files();
  map("app.db-shm");
  const FileDescriptor file(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  std::filesystem::remove(path_);
  EXPECT_EQ(::ftruncate(file.get(), 0), 0);
  pieces_[1][0] = 'x';
  EXPECT_EQ(pieces_[1][0], 'x');
  EXPECT_TRUE(is_cut(pieces_[0]));
}

TEST_F(CutMappings, OthersStayMapped) {
  survive_cut_shm_files();
  map("app.db-shm");
  volatile char* const cut_one = pieces_[0];
  volatile char* const cut_other = pieces_[1];
  const std::string path = path_;
  map("other.db-shm");
  std::filesystem::resize_file(path, 0);
  EXPECT_EQ(cut_one[0], 0);
  EXPECT_FALSE(is_cut(pieces_[0]));
  EXPECT_EQ(pieces_[1][5000], 'b');
  for (auto* piece : {cut_one, cut_other}) ::munmap(const_cast<char*>(piece), kPiece);
}

TEST_F(CutMappings, WhatWasSeenNeedNotBeLookedForAgain) {
  survive_cut_shm_files();
  map("other.db-shm");
  volatile char* const spared[] = {pieces_[0], pieces_[1]};
  std::uint64_t seen = 0;
  for (int round = 0; round < 300; ++round) {  // more than are remembered
    map("app.db-shm");
    EXPECT_FALSE(is_cut_off(pieces_[0], seen));  // its address was of another one that was cut
    cut(0);
    EXPECT_FALSE(is_cut_off(spared[0], seen));
    EXPECT_EQ(seen, shm_cut_count());
    EXPECT_EQ(pieces_[0][0], 0);
    EXPECT_NE(seen, shm_cut_count());
    std::uint64_t seen_by_another = round % 2 == 0 ? 0 : seen;
    EXPECT_TRUE(is_cut_off(pieces_[1], seen_by_another));
    EXPECT_FALSE(is_cut_off(spared[1], seen));
    for (auto* piece : pieces_) ::munmap(const_cast<char*>(piece), kPiece);
  }
  for (auto* piece : spared) ::munmap(const_cast<char*>(piece), kPiece);
  pieces_[0] = pieces_[1] = nullptr;
}

TEST_F(CutMappings, ManyThreadsMeetItAtOnce) {
  survive_cut_shm_files();
  for (int round = 0; round < 50; ++round) {
    map("app.db-shm");
    cut(0);
    std::vector<std::jthread> all;
    for (int i = 0; i < 4; ++i) all.emplace_back([this] { EXPECT_EQ(letter_at(pieces_[1] + 5000), 0); });
    all.clear();
    for (auto* piece : pieces_) ::munmap(const_cast<char*>(piece), kPiece);
  }
  pieces_[0] = pieces_[1] = nullptr;
}

TEST_F(CutMappings, AnyOtherBusErrorEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  map("app.db");
  cut(0);
  const auto touch = [this] {
    survive_cut_shm_files();
    pieces_[0][0] = 'x';
  };
  EXPECT_EXIT(touch(), ::testing::KilledBySignal(SIGBUS), "");
  const auto send = [] {
    survive_cut_shm_files();
    ::raise(SIGBUS);
  };
  EXPECT_EXIT(send(), ::testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace cairn
