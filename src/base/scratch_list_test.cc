#include "base/scratch_list.h"

#include <gtest/gtest.h>

#include <numeric>

#include "support/scratch.h"

namespace cairn {
namespace {

class ScratchListTest : public ::testing::Test {
 protected:
  using List = ScratchList<std::uint32_t>;
  ScratchSpace space(std::size_t most) {
    return {.open = [this] { return files_->open(path_, OpenMode::write); }, .most_in_memory = most, .path = path_};
  }
  static List list_of(std::uint32_t count, ScratchSpace space) {
    List list(std::move(space));
    for (std::uint32_t i = 0; i < count; ++i) EXPECT_TRUE(list.push_back(i));
    return list;
  }
  void put(std::uint64_t offset, ByteView bytes) {
    ASSERT_TRUE((*files_->open(path_, OpenMode::write))->write_at(offset, bytes));
  }

  cairn::testing::Scratch scratch_{"scratch_list"};
  std::unique_ptr<FileSystem> files_ = make_real_file_system();
  const std::string path_ = scratch_ / "kept";
};

TEST_F(ScratchListTest, GivesBackWhatWasPushedHoweverLittleMayBeInMemory) {
  for (const std::size_t most : {0u, 1u, 7u, 1000u}) {
    const List list = list_of(300, space(most));
    EXPECT_LE(list.in_memory(), std::max<std::size_t>(most, 1));
    for (const std::uint32_t first : {0u, 1u, 6u, 255u}) {
      std::vector<std::uint32_t> got(list.size() - first), expected(got.size());
      std::iota(expected.begin(), expected.end(), first);
      ASSERT_TRUE(list.read(first, got));
      EXPECT_EQ(got, expected) << most;
    }
  }
}

TEST_F(ScratchListTest, RefusesWhatTheDiskDoesNotGiveBack) {
  const List list = list_of(100, space(10));
  std::vector<std::uint32_t> got(100), some(10);
  put(4 * 55, Bytes(4));
  const auto read = list.read(0, got);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind(), ErrorKind::io);
  EXPECT_EQ(read.error().message().find(path_ + " does not give back what was written to it"), 0u);
  EXPECT_FALSE(list.read(52, std::span(some).first(1)));
  EXPECT_TRUE(list.read(40, some)) << "that is as it was";
  ASSERT_TRUE((*files_->open(path_, OpenMode::write))->truncate(100));
  EXPECT_FALSE(list.read(40, some));
}

}  // namespace
}  // namespace cairn
