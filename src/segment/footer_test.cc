// Decoding of crafted footers: what no writer of ours makes, and a reader may be given all the same.

#include "segment/footer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"

namespace cairn::segment {
namespace {

using ::testing::HasSubstr;

using EndAndPages = std::pair<std::uint64_t, std::uint32_t>;

Footer footer_with_runs(std::uint32_t page_size, std::vector<EndAndPages> ends_and_pages) {
  Footer footer;
  footer.kind = ends_and_pages.size() > 1 ? ObjectKind::bundle : ObjectKind::segment;
  footer.page_size = page_size;
  footer.first = Sequence(1);
  footer.last = Sequence(ends_and_pages.size());
  for (auto [end, pages] : ends_and_pages) {
    RestorePoint point;
    point.sequence = Sequence(footer.points.size() + 1);
    point.frame_end = end;
    point.page_count = pages;
    footer.points.push_back(point);
  }
  footer.index_count = footer.points.back().frame_end;
  return footer;
}

Bytes page_list(std::vector<std::vector<std::uint32_t>> runs) {
  PageListWriter writer;
  for (const auto& run : runs) {
    for (std::uint32_t page : run) writer.add(PageNo(page));
    writer.end_run();
  }
  return writer.bytes();
}

TEST(PageList, IsReadBackWithLargeDistances) {
  std::vector<std::uint32_t> pages = {1, 2, 129, 130, 16514, 2'000'000'000, 4'294'967'294};
  Footer footer = footer_with_runs(512, {{7, 4'294'967'294}});
  Result<std::vector<PageNo>> read = parse_page_list(page_list({pages}), footer);
  ASSERT_TRUE(read) << read.error().message();
  for (std::size_t i = 0; i < pages.size(); ++i) EXPECT_EQ((*read)[i].value, pages[i]);
}

TEST(PageList, StartsAgainAtEachRun) {
  Footer footer = footer_with_runs(4096, {{2, 10}, {3, 10}, {6, 5}});
  Result<std::vector<PageNo>> read = parse_page_list(page_list({{9, 10}, {1}, {1, 4, 5}}), footer);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ((*read)[2], PageNo(1));
  EXPECT_EQ((*read)[5], PageNo(5));
}

TEST(PageList, PageBeyondTheRunsDatabaseIsCorrupt) {
  Footer footer = footer_with_runs(4096, {{1, 10}, {2, 5}});
  Result<std::vector<PageNo>> read = parse_page_list(page_list({{6}, {6}}), footer);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message(), HasSubstr("page 6 of a database of 5 pages"));
}

TEST(PageList, PageTwiceOrPageZeroIsCorrupt) {
  Footer footer = footer_with_runs(4096, {{2, 10}});
  EXPECT_FALSE(parse_page_list(Bytes{std::byte{0}, std::byte{1}}, footer));
  EXPECT_FALSE(parse_page_list(Bytes{std::byte{1}, std::byte{0}}, footer));
}

TEST(PageList, OverflowAndIdleBytesAreCorrupt) {
  Footer footer = footer_with_runs(4096, {{1, 0xFFFFFFFF}});
  auto list = [](std::initializer_list<int> values) {
    Bytes bytes;
    for (int value : values) bytes.push_back(static_cast<std::byte>(value));
    return bytes;
  };
  EXPECT_TRUE(parse_page_list(list({0xFF, 0xFF, 0xFF, 0xFF, 0x0F}), footer));
  EXPECT_FALSE(parse_page_list(list({0xFF, 0xFF, 0xFF, 0xFF, 0x1F}), footer));        // 33 bits
  EXPECT_FALSE(parse_page_list(list({0x80, 0x80, 0x80, 0x80, 0x80, 0x01}), footer));  // six bytes
  EXPECT_FALSE(parse_page_list(list({0x81, 0x00}), footer));                          // 1, the long way
  EXPECT_FALSE(parse_page_list(list({0x81}), footer));                                // cut
  EXPECT_FALSE(parse_page_list(list({}), footer));
  EXPECT_FALSE(parse_page_list(list({0x01, 0x01}), footer));                          // more than the frames
}

class LockBytePage : public ::testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(PageSizes, LockBytePage,
                         ::testing::Values(512, 1024, 2048, 4096, 8192, 16384, 32768, 65536));

TEST_P(LockBytePage, L11_IsWhereSqliteHasIt) {
  std::uint64_t begin = std::uint64_t{lock_byte_page(GetParam()).value - 1} * GetParam();
  EXPECT_EQ(begin, 1u << 30);
}

TEST_P(LockBytePage, L11_InAPageListIsCorruptAndItsNeighboursAreNot) {
  std::uint32_t lock_page = lock_byte_page(GetParam()).value;
  Footer footer = footer_with_runs(GetParam(), {{3, lock_page + 1}});
  EXPECT_TRUE(parse_page_list(page_list({{1, lock_page - 1, lock_page + 1}}), footer));
  Result<std::vector<PageNo>> read = parse_page_list(page_list({{1, lock_page - 1, lock_page}}), footer);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message(), HasSubstr("SQLite's locks"));
}

TEST(CheckFooter, RulesBetweenFields) {
  const Footer good = footer_with_runs(4096, {{2, 10}, {3, 10}, {6, 5}});
  EXPECT_TRUE(check_footer(good));
  auto broken = [&good](auto change) {
    Footer footer = good;
    change(footer);
    Result<void> checked = check_footer(footer);
    return !checked && checked.error().kind() == ErrorKind::corrupt;
  };
  EXPECT_TRUE(broken([](Footer& f) { f.points.clear(); }));
  EXPECT_TRUE(broken([](Footer& f) { f.points[1].frame_end = 2; }));
  EXPECT_TRUE(broken([](Footer& f) { f.points[2].frame_end = 9; }));         // 6 frames of a database of 5 pages
  EXPECT_TRUE(broken([](Footer& f) { f.index_count = 7; }));
  EXPECT_TRUE(broken([](Footer& f) { f.points[1].sequence = Sequence(1); }));
  EXPECT_TRUE(broken([](Footer& f) { f.points[2].sequence = Sequence(4); }));
  EXPECT_TRUE(broken([](Footer& f) { f.last = Sequence(4); }));
  EXPECT_TRUE(broken([](Footer& f) { f.first = Sequence(2); }));
  EXPECT_TRUE(broken([](Footer& f) { f.first = Sequence(9); }));
  EXPECT_TRUE(broken([](Footer& f) { f.points[2].page_count = 0; }));
  EXPECT_TRUE(broken([](Footer& f) { f.kind = ObjectKind::segment; }));
  EXPECT_TRUE(broken([](Footer& f) { f.kind = ObjectKind::squashed; }));
  EXPECT_TRUE(broken([](Footer& f) { f.kind = ObjectKind::snapshot; }));
  EXPECT_TRUE(broken([](Footer& f) { f.kind = ObjectKind{0}; }));
  EXPECT_TRUE(broken([](Footer& f) { f.kind = ObjectKind{5}; }));
  EXPECT_TRUE(broken([](Footer& f) { f.page_size = 1000; }));
  EXPECT_TRUE(broken([](Footer& f) { f.index_count = kMaxIndexEntries + 1; }));
}

TEST(CheckFooter, OnlySnapshotsHaveSequenceZero) {
  Footer footer = footer_with_runs(4096, {{1, 1}});
  footer.first = footer.last = footer.points[0].sequence = Sequence(0);
  EXPECT_FALSE(check_footer(footer));
  footer.kind = ObjectKind::snapshot;
  footer.points[0].frame_end = 0;
  EXPECT_TRUE(check_footer(footer));
}

TEST(Tail, IsReadBack) {
  Tail tail;
  tail.footer = footer_with_runs(65536, {{6, 9}});
  tail.footer.points.clear();
  for (std::uint8_t i = 0; i < 16; ++i) tail.footer.lineage.bytes[i] = i, tail.footer.writer.bytes[i] = 100 + i;
  tail.footer.first_time_ms = -5;
  tail.footer.last_time_ms = 1LL << 50;
  tail.footer.hash_before = 0xFFEEDDCCBBAA9988;
  tail.footer.data_size_bytes = data_bytes(ObjectKind::segment, 65536, 6);
  tail.entries_per_block = 3;
  tail.point_count = 1;
  tail.pages_bytes = 6;
  tail.hashes_bytes = hashes_section_bytes(6);
  tail.block_sums_bytes = 16;
  tail.points_bytes = kPointBytes;
  tail.pages_checksum = 1;
  tail.points_checksum = 2;
  tail.block_sums_checksum = 3;
  Result<Tail> read = parse_tail(write_tail(tail));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->footer, tail.footer);
  EXPECT_EQ(read->entries_per_block, 3u);
  EXPECT_EQ(read->point_count, 1u);
  EXPECT_EQ(read->pages_checksum, 1u);
  EXPECT_EQ(read->points_checksum, 2u);
  EXPECT_EQ(read->block_sums_checksum, 3u);
  EXPECT_EQ(write_tail(*read), write_tail(tail));
}

}  // namespace
}  // namespace cairn::segment
