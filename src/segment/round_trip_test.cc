// What is written is read back, for every page size and shape of object.

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "segment/test_objects.h"
#include "segment/wal_layout.h"

namespace cairn::segment {
namespace {

using namespace testing;

// Every page of every run must be found through the index where locate() says.
void expect_runs(ByteView object, const ObjectHead& head, const std::vector<MadeRun>& runs) {
  BytesSource source(object);
  Result<std::unique_ptr<ObjectReader>> reader = ObjectReader::open(source, "object");
  ASSERT_TRUE(reader) << reader.error().message();
  const Footer& footer = (*reader)->footer();
  EXPECT_EQ(footer.kind, head.kind);
  EXPECT_EQ(footer.page_size, head.page_size);
  EXPECT_EQ(footer.lineage, head.lineage);
  EXPECT_EQ(footer.writer, head.writer);
  EXPECT_EQ(footer.first, head.first);
  EXPECT_EQ(footer.last, head.last);
  EXPECT_EQ(footer.first_time_ms, head.first_time_ms);
  EXPECT_EQ(footer.last_time_ms, head.last_time_ms);
  EXPECT_EQ(footer.hash_before, head.hash_before);
  ASSERT_EQ(footer.points.size(), runs.size());

  Result<PageIndex> index = (*reader)->index();
  ASSERT_TRUE(index) << index.error().message();
  ASSERT_EQ(index->pages.size(), footer.index_count);
  ASSERT_EQ(index->hashes.size(), footer.index_count);
  const auto block_count = static_cast<std::uint32_t>((*reader)->blocks().size());
  Result<std::vector<Bytes>> blocks = (*reader)->read_blocks(0, block_count);
  ASSERT_TRUE(blocks) << blocks.error().message();
  std::uint64_t entry = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    for (const auto& [number, bytes] : runs[i].pages) {
      ASSERT_EQ(index->pages[entry], PageNo(number));
      ASSERT_EQ(index->hashes[entry], page_hash(PageNo(number), bytes));
      PageLocation at = (*reader)->locate(entry);
      ByteView found = ByteView((*blocks)[at.block]).subspan(at.offset, head.page_size);
      ASSERT_TRUE(std::equal(found.begin(), found.end(), bytes.begin())) << "page " << number;
      ++entry;
    }
    EXPECT_EQ(footer.points[i].frame_end, entry);
    EXPECT_EQ(footer.points[i].page_count, runs[i].page_count);
  }
  EXPECT_EQ(entry, footer.index_count);
  Result<Footer> verified = verify_object(**reader);
  ASSERT_TRUE(verified) << verified.error().message();
  EXPECT_EQ(*verified, footer);
}

class AnyPageSize : public ::testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(PageSizes, AnyPageSize, ::testing::Values(512, 1024, 2048, 4096, 8192, 16384, 32768, 65536));

TEST_P(AnyPageSize, SegmentIsReadBack) {
  InlineExecutor executor;
  for (std::uint32_t pages : {1u, 2u, frames_per_block(GetParam()), frames_per_block(GetParam()) + 1,
                              3 * frames_per_block(GetParam()) + 2}) {
    ObjectHead head = made_head(ObjectKind::segment, GetParam(), 5, 5);
    std::vector<MadeRun> runs = {made_run(GetParam(), 3 * pages, 3, pages)};
    Result<Bytes> object = write_runs(head, runs, executor);
    ASSERT_TRUE(object) << object.error().message();
    expect_runs(*object, head, runs);
  }
}

TEST_P(AnyPageSize, BundleKeepsEachRun) {
  InlineExecutor executor;
  ObjectHead head = made_head(ObjectKind::bundle, GetParam(), 3, 12);
  std::vector<MadeRun> runs;
  for (std::uint32_t i = 0; i < 10; ++i)
    runs.push_back(made_run(GetParam(), 10 + 7 * (i % 4), 1 + i % 3, i));  // grows and shrinks
  Result<Bytes> object = write_runs(head, runs, executor);
  ASSERT_TRUE(object) << object.error().message();
  expect_runs(*object, head, runs);
}

TEST_P(AnyPageSize, SquashedIsReadBack) {
  InlineExecutor executor;
  ObjectHead head = made_head(ObjectKind::squashed, GetParam(), 3, 900);
  std::vector<MadeRun> runs = {made_run(GetParam(), 40, 2, 8)};
  Result<Bytes> object = write_runs(head, runs, executor);
  ASSERT_TRUE(object) << object.error().message();
  expect_runs(*object, head, runs);
}

TEST_P(AnyPageSize, SnapshotIsTheDatabase) {
  InlineExecutor executor;
  for (std::uint32_t pages : {1u, 2u, pages_per_block(GetParam()), pages_per_block(GetParam()) + 1,
                              3 * pages_per_block(GetParam()) + 2}) {
    ObjectHead head = made_head(ObjectKind::snapshot, GetParam(), 9, 9);
    Bytes database = made_database(GetParam(), pages, pages);
    Result<Bytes> object = write_snapshot(head, database, executor);
    ASSERT_TRUE(object) << object.error().message();
    BytesSource source(*object);
    Result<std::unique_ptr<ObjectReader>> reader = ObjectReader::open(source, "object");
    ASSERT_TRUE(reader) << reader.error().message();
    Result<Bytes> data = read_all(**reader);
    ASSERT_TRUE(data) << data.error().message();
    EXPECT_EQ(*data, database);
    EXPECT_EQ((*reader)->footer().page_count(), pages);
    EXPECT_EQ((*reader)->index()->hashes, hashes_of(database, GetParam()));
    for (std::uint64_t entry = 0; entry < pages; ++entry) {
      PageLocation at = (*reader)->locate(entry);
      EXPECT_EQ(at.block * std::uint64_t{pages_per_block(GetParam())} * GetParam() + at.offset, entry * GetParam());
    }
    Result<Footer> verified = verify_object(**reader);
    EXPECT_TRUE(verified) << verified.error().message();
  }
}

TEST(ObjectReader, AnyPartOfASnapshotsIndexCanBeRead) {
  InlineExecutor executor;
  Bytes database = made_database(512, 20'000, 3);  // three hash groups
  Result<Bytes> object = write_snapshot(made_head(ObjectKind::snapshot, 512, 1, 1), database, executor, 1);
  ASSERT_TRUE(object);
  std::vector<std::uint64_t> hashes = hashes_of(database, 512);
  BytesSource source(*object);
  auto reader = ObjectReader::open(source, "object");
  ASSERT_TRUE(reader) << reader.error().message();
  for (auto [first, count] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
           {0, 20'000}, {0, 1}, {8191, 1}, {8191, 2}, {8192, 8192}, {16'384, 3616}, {19'999, 1}, {20'000, 0},
           {5, 16'000}, {19'000, 5000}, {7, 0}}) {
    Result<PageIndex> index = (*reader)->index(first, count);
    ASSERT_TRUE(index) << index.error().message();
    std::uint64_t end = std::min<std::uint64_t>(first + count, hashes.size());
    std::vector<std::uint64_t> expected(hashes.begin() + static_cast<std::ptrdiff_t>(first),
                                        hashes.begin() + static_cast<std::ptrdiff_t>(end));
    EXPECT_EQ(index->hashes, expected) << first << " " << count;
    EXPECT_TRUE(index->pages.empty());
  }
  EXPECT_TRUE(verify_object(**reader));
}

TEST(ObjectReader, VisitedBlocksAreTheBlocks) {
  InlineExecutor executor;
  Bytes object = *write_runs(made_head(ObjectKind::segment, 4096, 2, 2), {made_run(4096, 300, 1, 5)}, executor);
  BytesSource source(object);
  auto reader = *ObjectReader::open(source, "object");
  ASSERT_EQ(reader->blocks().size(), 5u);
  const std::vector<Bytes> blocks = *reader->read_blocks(1, 3);
  std::uint32_t next = 1;
  Result<void> visited = reader->visit_blocks(1, 3, [&](std::uint32_t block, auto bytes) -> Result<void> {
    EXPECT_EQ(block, next++);
    EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), blocks[block - 1].begin(), blocks[block - 1].end()));
    std::fill(bytes.begin(), bytes.end(), std::byte{0});  // the buffer is the visitor's
    return {};
  });
  EXPECT_TRUE(visited);
  EXPECT_EQ(next, 4u);
  visited = reader->visit_blocks(0, 5, [&](std::uint32_t block, auto) -> Result<void> {
    if (block < 2) return {};
    return Error(ErrorKind::io, "the disk is full");
  });
  ASSERT_FALSE(visited);
  EXPECT_EQ(visited.error().message(), "the disk is full");
}

TEST(ObjectReader, FooterBeyondTheFirstReadIsFound) {
  InlineExecutor executor;
  ObjectHead head = made_head(ObjectKind::segment, 512, 2, 2);
  std::vector<MadeRun> runs = {made_run(512, 30'000, 1, 5)};  // 9 bytes a page of index: four times 64 KiB
  Result<Bytes> object = write_runs(head, runs, executor);
  ASSERT_TRUE(object);
  expect_runs(*object, head, runs);
}

TEST(Snapshot, SizeNeedNotFitAnything) {
  InlineExecutor executor;
  Bytes database(512 * 5, std::byte{0});  // compresses to almost nothing
  Result<Bytes> object = write_snapshot(made_head(ObjectKind::snapshot, 512, 0, 0), database, executor);
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_TRUE(open_and_verify(*object));
}

}  // namespace
}  // namespace cairn::segment
