#include "replicate/changes.h"

#include <gtest/gtest.h>

#include <map>

#include "support/scratch.h"

namespace cairn::replicate {
namespace {

constexpr std::uint32_t kPageSize = 512;

using Pages = std::map<std::uint32_t, char>;  // what each page is full of

Changes changes_of(const Pages& pages, std::uint32_t page_count, std::uint32_t commit_count) {
  Changes changes;
  changes.page_count = page_count;
  changes.commit_count = commit_count;
  changes.each_page = [pages](const TakePage& take) -> Result<void> {
    for (const auto& [page, letter] : pages) {
      CAIRN_TRY(take(PageNo(page), Bytes(kPageSize, static_cast<std::byte>(letter))));
    }
    return {};
  };
  return changes;
}

class BacklogTest : public ::testing::Test {
 protected:
  void add(const Pages& pages, std::uint32_t page_count, Ends ends) {
    const auto added = backlog_.add(changes_of(pages, page_count, 1), kPageSize, ends);
    ASSERT_TRUE(added) << added.error().message();
  }
  Pages front() {
    Pages pages;
    std::uint32_t last = 0;
    const auto read = backlog_.front().each_page([&](PageNo page, ByteView bytes) -> Result<void> {
      EXPECT_GT(page.value, last) << "not ascending";
      last = page.value;
      EXPECT_EQ(bytes.size(), kPageSize);
      for (const std::byte b : bytes) EXPECT_EQ(b, bytes.front());
      pages[page.value] = static_cast<char>(bytes.front());
      return {};
    });
    EXPECT_TRUE(read) << read.error().message();
    return pages;
  }

  cairn::testing::Scratch scratch_{"backlog"};
  std::unique_ptr<FileSystem> files_ = make_real_file_system();
  Backlog backlog_{*files_, scratch_ / "backlog"};
};

TEST_F(BacklogTest, ASegmentHasTheNewestVersionOfEachPage) {
  add({{1, 'a'}, {2, 'a'}, {5, 'a'}}, 5, Ends::no);
  add({{2, 'b'}, {3, 'b'}}, 5, Ends::no);
  EXPECT_FALSE(backlog_.has_segment());
  add({{3, 'c'}}, 5, Ends::yes);
  add({{1, 'd'}}, 5, Ends::no);
  ASSERT_TRUE(backlog_.has_segment());
  EXPECT_EQ(front(), (Pages{{1, 'a'}, {2, 'b'}, {3, 'c'}, {5, 'a'}}));
  EXPECT_EQ(backlog_.front().commit_count, 3u);
  backlog_.pop();
  EXPECT_FALSE(backlog_.has_segment());
  EXPECT_TRUE(backlog_.has_unended());
  backlog_.end_segment();
  EXPECT_EQ(front(), (Pages{{1, 'd'}}));
  backlog_.pop();
  EXPECT_TRUE(backlog_.empty());
  EXPECT_EQ(backlog_.size_bytes(), 0u);
}

TEST_F(BacklogTest, PagesPastTheLastSizeAreLeftOut) {
  add({{1, 'a'}, {9, 'a'}, {10, 'a'}}, 10, Ends::no);
  add({{1, 'b'}}, 4, Ends::yes);
  EXPECT_EQ(front(), (Pages{{1, 'b'}}));
  EXPECT_EQ(backlog_.front().page_count, 4u);
}

TEST_F(BacklogTest, ADatabaseThatShrinksAndGrowsAgainHasThePagesOfItsLastSize) {
  add({{1, 'a'}, {9, 'a'}, {10, 'a'}}, 10, Ends::no);
  add({{1, 'b'}}, 4, Ends::no);
  add({{1, 'c'}, {5, 'c'}, {6, 'c'}, {7, 'c'}, {8, 'c'}, {9, 'c'}}, 9, Ends::yes);
  EXPECT_EQ(front(), (Pages{{1, 'c'}, {5, 'c'}, {6, 'c'}, {7, 'c'}, {8, 'c'}, {9, 'c'}}));
}

TEST_F(BacklogTest, MuchIsWrittenInPieces) {
  Pages many;
  for (std::uint32_t page = 1; page <= 3000; ++page) many[page] = static_cast<char>('a' + page % 26);
  add(many, 3000, Ends::yes);
  EXPECT_EQ(front(), many);
  EXPECT_EQ(backlog_.size_bytes(), 3000u * (kPageSize + 4));
}

TEST_F(BacklogTest, NothingCanBeReadOutOfACutFile) {
  add({{1, 'a'}, {2, 'a'}}, 2, Ends::yes);
  auto file = files_->open(scratch_ / "backlog", OpenMode::write);
  ASSERT_TRUE(file && (*file)->truncate(kPageSize));
  const auto read = backlog_.front().each_page([](PageNo, ByteView) { return Result<void>(); });
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind(), ErrorKind::io);
}

}  // namespace
}  // namespace cairn::replicate
