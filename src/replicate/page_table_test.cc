#include "replicate/page_table.h"

#include <gtest/gtest.h>

#include "support/scratch.h"

namespace cairn::replicate {
namespace {

class PageTableTest : public ::testing::Test {
 protected:
  PageTable table() {
    const auto open = [this]() -> Result<std::unique_ptr<MappedFile>> {
      ++opened_;
      if (is_full_) return Error(ErrorKind::io, "the disk is full");
      return files_->map(scratch_ / "table", 4000);
    };
    return PageTable(open, 10);
  }
  static void expect_all(const PageTable& table, std::uint32_t count) {
    EXPECT_EQ(table.size(), count);
    for (std::uint32_t i = 1; i <= 1000; ++i) EXPECT_EQ(table.find(PageNo(i)), i <= count ? i * 7 : 0);
  }

  cairn::testing::Scratch scratch_{"page_table"};
  std::unique_ptr<FileSystem> files_ = make_real_file_system();
  int opened_ = 0;
  bool is_full_ = false;
};

// Setting one may happen while others wait for a lock; only make_room() takes long.
TEST_F(PageTableTest, MovesToTheFileWhenRoomIsMadeAndNeverBefore) {
  PageTable pages = table();
  for (std::uint32_t i = 1; i <= 9; ++i) pages.set(PageNo(i), i * 7);
  ASSERT_TRUE(pages.make_room());
  EXPECT_EQ(opened_, 0) << "few";
  for (std::uint32_t i = 10; i <= 500; ++i) pages.set(PageNo(i), i * 7);
  EXPECT_EQ(opened_, 0);
  expect_all(pages, 500);
  is_full_ = true;
  ASSERT_EQ(pages.make_room().error().kind(), ErrorKind::io);
  expect_all(pages, 500);
  is_full_ = false;
  opened_ = 0;
  ASSERT_TRUE(pages.make_room());
  ASSERT_TRUE(pages.make_room());
  EXPECT_EQ(opened_, 1);
  expect_all(pages, 500);
  for (std::uint32_t i = 400; i <= 600; ++i) pages.set(PageNo(i), i * 7);
  expect_all(pages, 600);
  pages.clear();
  expect_all(pages, 0);
}

}  // namespace
}  // namespace cairn::replicate
