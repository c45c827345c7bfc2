// The writers' rules: what they refuse, that their bytes do not depend on threads, and how the two halves of a
// snapshot writer meet.

#include "segment/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <thread>

#include "segment/footer.h"
#include "segment/test_objects.h"
#include "support/scratch.h"

namespace cairn::segment {
namespace {

using namespace testing;
using ::testing::HasSubstr;

class FailingSink final : public Sink {
 public:
  explicit FailingSink(std::size_t bytes) : left_(bytes) {}
  Result<void> write(ByteView part) override {
    if (part.size() > left_) return Error(ErrorKind::io, "the disk is full");
    left_ -= part.size();
    return {};
  }

 private:
  std::size_t left_;
};

// Runs what it is given only when told to: the opposite of inline.
class LateExecutor final : public Executor {
 public:
  void run(std::function<void()> work) override { queue.push_back(std::move(work)); }
  int width() const override { return 2; }
  void run_newest() {
    std::function<void()> work = std::move(queue.back());
    queue.pop_back();
    work();
  }
  std::deque<std::function<void()>> queue;
};

RestorePoint point_of(std::uint64_t sequence, std::uint32_t page_count) {
  RestorePoint point;
  point.sequence = Sequence(sequence);
  point.page_count = page_count;
  return point;
}

TEST(SegmentWriter, SameInputGivesSameBytesWhateverTheExecutor) {
  ObjectHead head = made_head(ObjectKind::bundle, 4096, 1, 3);
  std::vector<MadeRun> runs = {made_run(4096, 500, 1, 1), made_run(4096, 700, 2, 2), made_run(4096, 300, 3, 3)};
  InlineExecutor inline_executor;
  Bytes expected = *write_runs(head, runs, inline_executor);
  for (int threads : {1, 2, 3, 7}) {
    std::unique_ptr<Executor> pool = make_thread_pool(threads);
    for (int round = 0; round < 3; ++round) EXPECT_EQ(*write_runs(head, runs, *pool), expected) << threads;
  }
  LateExecutor late;  // never runs anything: the writer does it all
  EXPECT_EQ(*write_runs(head, runs, late), expected);
}

TEST(SnapshotWriter, SameInputGivesSameBytesWhateverTheExecutor) {
  ObjectHead head = made_head(ObjectKind::snapshot, 1024, 4, 4);
  Bytes database = made_database(1024, 5000, 1);
  InlineExecutor inline_executor;
  Bytes expected = *write_snapshot(head, database, inline_executor);
  for (int threads : {1, 2, 3, 7}) {
    std::unique_ptr<Executor> pool = make_thread_pool(threads);
    for (int round = 0; round < 3; ++round) EXPECT_EQ(*write_snapshot(head, database, *pool), expected) << threads;
  }
}

// Three runs, more pages than are held in memory, and a scratch file that holds the rest.
TEST(SegmentWriter, SameInputGivesSameBytesWithAScratchFile) {
  cairn::testing::Scratch directory{"segment_writer"};
  const auto files = make_real_file_system();
  const ObjectHead head = made_head(ObjectKind::bundle, 512, 1, 3);
  const std::vector<MadeRun> runs = {made_run(512, 5000, 1, 1), made_run(512, 9000, 2, 2), made_run(512, 300, 3, 3)};
  InlineExecutor executor;
  const Bytes expected = *write_runs(head, runs, executor);
  for (const std::size_t most : {1u, 100u, 8192u, 1'000'000u}) {
    int opened = 0;
    const auto open = [&] { return ++opened, open_unnamed(*files, directory / "scratch"); };
    const auto written = write_runs(head, runs, executor, 1, {.open = open, .most_in_memory = most});
    ASSERT_TRUE(written) << written.error().message();
    EXPECT_TRUE(*written == expected) << most;
    EXPECT_EQ(opened, most < 14'300 ? 1 : 0);
  }
}

TEST(SegmentWriter, TellsWhatWasAdded) {
  cairn::testing::Scratch directory{"segment_writer"};
  const auto files = make_real_file_system();
  const auto open = [&] { return open_unnamed(*files, directory / "scratch"); };
  for (const std::size_t most : {3u, 100'000u}) {
    InlineExecutor executor;
    BytesSink sink;
    const auto writer = *SegmentWriter::open(made_head(ObjectKind::segment, 512, 1, 1), sink, executor, 1,
                                             {.open = open, .most_in_memory = most});
    const Bytes page(512);
    std::vector<std::pair<std::uint32_t, std::uint64_t>> added, told;
    for (std::uint32_t i = 1; i <= 9000; ++i) {
      added.emplace_back(i * 3, 0x0123456789abcdefull * i);
      ASSERT_TRUE(writer->add_page(PageNo(i * 3), page, added.back().second));
    }
    ASSERT_TRUE(writer->end_run(point_of(1, 27'000)));
    ASSERT_TRUE(writer->finish());
    ASSERT_TRUE(writer->each_page_hash([&](PageNo at, std::uint64_t hash) { told.emplace_back(at.value, hash); }));
    EXPECT_EQ(told, added) << most;
  }
}

// Zeros in place of the first block or of one in the middle, or older bytes that say as much as those did.
TEST(SegmentWriter, RefusesWhatTheScratchFileDoesNotGiveBack) {
  cairn::testing::Scratch directory{"segment_writer"};
  const auto files = make_real_file_system();
  const std::string path = directory / "kept";
  const Bytes page(512), zeros(4096), older(4, std::byte{7});  // of a hash
  const auto refuses = [&](const auto& done) {
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().kind(), ErrorKind::io);
    EXPECT_THAT(done.error().message(), HasSubstr(path + " does not give back what was written to it"));
  };
  for (const auto& [offset, bytes] : std::vector<std::pair<std::uint64_t, Bytes>>{
           {0, zeros}, {10 * 4096, zeros}, {5000 * 12 + 4, older}}) {
    for (const bool is_finished : {false, true}) {
      InlineExecutor executor;
      BytesSink sink;
      const auto open = [&] { return files->open(path, OpenMode::write); };
      const auto writer = *SegmentWriter::open(made_head(ObjectKind::segment, 512, 1, 1), sink, executor, 1,
                                               {.open = open, .most_in_memory = 3000, .path = path});
      for (std::uint32_t i = 1; i <= 9001; ++i) ASSERT_TRUE(writer->add_page(PageNo(i), page, i));
      ASSERT_TRUE(writer->end_run(point_of(1, 9001)));
      if (is_finished) {
        ASSERT_TRUE(writer->finish());
      }
      ASSERT_TRUE((*files->open(path, OpenMode::write))->write_at(offset, bytes));
      if (!is_finished) refuses(writer->finish());
      std::uint32_t next = 1;
      refuses(writer->each_page_hash([&](PageNo at, std::uint64_t hash) {
        EXPECT_EQ(at.value, next++);
        EXPECT_EQ(hash, at.value);
      }));
    }
  }
}

TEST(SegmentWriter, WithoutRoomForTheScratchFileItEnds) {
  InlineExecutor executor;
  BytesSink sink;
  const auto open = []() -> Result<std::unique_ptr<File>> { return Error(ErrorKind::io, "the disk is full"); };
  const auto writer = *SegmentWriter::open(made_head(ObjectKind::segment, 512, 1, 1), sink, executor, 1,
                                           {.open = open, .most_in_memory = 2});
  const Bytes page(512);
  ASSERT_TRUE(writer->add_page(PageNo(1), page, 1) && writer->add_page(PageNo(2), page, 2));
  const auto added = writer->add_page(PageNo(3), page, 3);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().kind(), ErrorKind::io);
}

TEST(SegmentWriter, PagesOutOfOrderAreInvalid) {
  InlineExecutor executor;
  BytesSink sink;
  Bytes page(4096);
  for (std::uint32_t second : {1u, 3u}) {
    auto writer = *SegmentWriter::open(made_head(ObjectKind::segment, 4096, 1, 1), sink, executor);
    ASSERT_TRUE(writer->add_page(PageNo(3), page, 1));
    Result<void> added = writer->add_page(PageNo(second), page, 2);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().kind(), ErrorKind::invalid);
  }
  auto writer = *SegmentWriter::open(made_head(ObjectKind::segment, 4096, 1, 1), sink, executor);
  EXPECT_FALSE(writer->add_page(PageNo(0), page, 1));
}

TEST(SegmentWriter, L11_LockBytePageIsInvalidAndPagesBehindItAreFine) {
  for (std::uint32_t page_size : {512u, 4096u, 65536u}) {
    InlineExecutor executor;
    BytesSink sink;
    Bytes page = made_page(page_size, 1);
    std::uint32_t lock_page = lock_byte_page(page_size).value;
    auto writer = *SegmentWriter::open(made_head(ObjectKind::segment, page_size, 1, 1), sink, executor);
    for (std::uint32_t number : {1u, lock_page - 1, lock_page + 1})
      ASSERT_TRUE(writer->add_page(PageNo(number), page, page_hash(PageNo(number), page)));
    ASSERT_TRUE(writer->end_run(point_of(1, lock_page + 1)));
    ASSERT_TRUE(writer->finish());
    Result<Footer> read = open_and_verify(sink.bytes);
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(read->page_count(), lock_page + 1);

    auto other = *SegmentWriter::open(made_head(ObjectKind::segment, page_size, 1, 1), sink, executor);
    EXPECT_FALSE(other->add_page(PageNo(lock_page), page, 0));
  }
}

TEST(SegmentWriter, L10_PageBeyondTheShrunkDatabaseIsInvalid) {
  InlineExecutor executor;
  BytesSink sink;
  Bytes page(4096);
  auto writer = *SegmentWriter::open(made_head(ObjectKind::segment, 4096, 1, 1), sink, executor);
  ASSERT_TRUE(writer->add_page(PageNo(22), page, 1));
  Result<void> ended = writer->end_run(point_of(1, 21));
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error().message(), HasSubstr("page 22 of a database of 21 pages"));
}

TEST(SegmentWriter, RunsWithoutPagesAndPagesWithoutRunsAreInvalid) {
  InlineExecutor executor;
  BytesSink sink;
  ObjectHead head = made_head(ObjectKind::segment, 4096, 1, 1);
  EXPECT_FALSE((*SegmentWriter::open(head, sink, executor))->end_run(point_of(1, 1)));
  EXPECT_FALSE((*SegmentWriter::open(head, sink, executor))->finish());
  auto writer = *SegmentWriter::open(head, sink, executor);
  ASSERT_TRUE(writer->add_page(PageNo(1), Bytes(4096), 1));
  EXPECT_FALSE(writer->finish());
}

TEST(SegmentWriter, WhatTheReaderWouldRefuseIsNotWritten) {
  InlineExecutor executor;
  auto write = [&executor](ObjectKind kind, std::uint64_t first, std::uint64_t last,
                           std::vector<std::uint64_t> sequences) {
    BytesSink sink;
    auto writer = *SegmentWriter::open(made_head(kind, 512, first, last), sink, executor);
    for (std::uint64_t sequence : sequences) {
      EXPECT_TRUE(writer->add_page(PageNo(1), Bytes(512), 1));
      EXPECT_TRUE(writer->end_run(point_of(sequence, 1)));
    }
    return writer->finish();
  };
  EXPECT_TRUE(write(ObjectKind::segment, 4, 4, {4}));
  EXPECT_TRUE(write(ObjectKind::bundle, 4, 6, {4, 5, 6}));
  EXPECT_TRUE(write(ObjectKind::bundle, 4, 6, {5, 6}));
  EXPECT_TRUE(write(ObjectKind::squashed, 4, 6, {6}));
  EXPECT_FALSE(write(ObjectKind::segment, 4, 4, {5}));
  EXPECT_FALSE(write(ObjectKind::segment, 4, 5, {5}));
  EXPECT_FALSE(write(ObjectKind::segment, 0, 0, {0}));
  EXPECT_FALSE(write(ObjectKind::bundle, 4, 6, {4, 5}));
  EXPECT_FALSE(write(ObjectKind::bundle, 4, 6, {5, 4, 6}));
  EXPECT_FALSE(write(ObjectKind::bundle, 4, 6, {3, 6}));
  EXPECT_FALSE(write(ObjectKind::squashed, 4, 6, {5, 6}));
}

TEST(Writers, HeadsThatMakeNoSenseAreInvalid) {
  InlineExecutor executor;
  BytesSink sink;
  EXPECT_FALSE(SegmentWriter::open(made_head(ObjectKind::snapshot, 4096, 1, 1), sink, executor));
  EXPECT_FALSE(SnapshotWriter::open(made_head(ObjectKind::segment, 4096, 1, 1), executor));
  for (std::uint32_t page_size : {0u, 256u, 1000u, 131072u}) {
    EXPECT_FALSE(SegmentWriter::open(made_head(ObjectKind::segment, page_size, 1, 1), sink, executor));
    EXPECT_FALSE(SnapshotWriter::open(made_head(ObjectKind::snapshot, page_size, 1, 1), executor));
  }
  EXPECT_FALSE(SegmentWriter::open(made_head(ObjectKind::segment, 4096, 1, 1), sink, executor, 99));
  EXPECT_FALSE(SnapshotWriter::open(made_head(ObjectKind::snapshot, 4096, 1, 1), executor, 99));
}

TEST(SegmentWriter, ErrorOfTheSinkComesBackWhereverItHappens) {
  ObjectHead head = made_head(ObjectKind::segment, 4096, 1, 1);
  MadeRun run = made_run(4096, 400, 1, 1);
  InlineExecutor inline_executor;
  const std::size_t whole = write_runs(head, {run}, inline_executor)->size();
  std::unique_ptr<Executor> pool = make_thread_pool(3);
  for (std::size_t room : {std::size_t{0}, whole / 2, whole - 300, whole - 1}) {
    FailingSink sink(room);
    auto write = [&]() -> Result<void> {
      CAIRN_ASSIGN(auto writer, SegmentWriter::open(head, sink, *pool));
      for (const auto& [number, bytes] : run.pages)
        CAIRN_TRY(writer->add_page(PageNo(number), bytes, page_hash(PageNo(number), bytes)));
      CAIRN_TRY(writer->end_run(point_of(1, run.page_count)));
      CAIRN_TRY(writer->finish());
      return {};
    };
    Result<void> written = write();
    ASSERT_FALSE(written) << room;
    EXPECT_EQ(written.error().message(), "the disk is full");
  }
}

TEST(SegmentWriter, RunsOnAThreadOfItsOwnExecutor) {
  std::unique_ptr<Executor> pool = make_thread_pool(1);
  ObjectHead head = made_head(ObjectKind::segment, 4096, 1, 1);
  std::vector<MadeRun> runs = {made_run(4096, 2000, 1, 1)};
  InlineExecutor inline_executor;
  Bytes expected = *write_runs(head, runs, inline_executor);
  Bytes object;
  pool->run([&, &executor = *pool] { object = *write_runs(head, runs, executor); });
  pool.reset();  // finishes what was handed in
  EXPECT_EQ(object, expected);
}

TEST(SegmentWriter, DestroyedHalfwayLeavesNothingBehind) {
  std::unique_ptr<Executor> pool = make_thread_pool(2);
  LateExecutor late;
  for (Executor* executor : {pool.get(), static_cast<Executor*>(&late)}) {
    BytesSink sink;
    auto writer = *SegmentWriter::open(made_head(ObjectKind::segment, 4096, 1, 1), sink, *executor);
    for (std::uint32_t page = 1; page <= 300; ++page) ASSERT_TRUE(writer->add_page(PageNo(page), Bytes(4096), page));
  }
  while (!late.queue.empty()) late.run_newest();  // long after the writer has gone
}

// --- snapshots: producer and consumer ---

TEST(SnapshotWriter, HoldsAtMostItsWindow) {
  LateExecutor late;
  auto writer = *SnapshotWriter::open(made_head(ObjectKind::snapshot, 65536, 1, 1), late, 1, 3);
  BytesSink sink;
  int added = 0;
  for (; writer->room(); ++added) writer->add(Bytes(4 * 65536));
  EXPECT_EQ(added, 3);
  EXPECT_FALSE(*writer->drain(sink, 0));
  EXPECT_FALSE(writer->room());
  late.run_newest();  // the third: not what drain is waiting for
  EXPECT_FALSE(*writer->drain(sink, 0));
  EXPECT_TRUE(sink.bytes.empty());
  late.run_newest();
  late.run_newest();
  EXPECT_FALSE(*writer->drain(sink, 0));
  EXPECT_FALSE(sink.bytes.empty());
  EXPECT_TRUE(writer->room());
}

TEST(SnapshotWriter, TwoThreadsMeet) {
  std::unique_ptr<Executor> pool = make_thread_pool(3);
  const Bytes database = made_database(4096, 3000, 5);
  const std::vector<std::uint64_t> hashes = hashes_of(database, 4096);
  ObjectHead head = made_head(ObjectKind::snapshot, 4096, 5, 5);
  auto writer = *SnapshotWriter::open(head, *pool, 3, 2);
  std::thread producer([&] {
    const std::size_t block = pages_per_block(4096) * std::size_t{4096};
    for (std::size_t at = 0; at < database.size();) {
      if (!writer->room()) {
        std::this_thread::yield();
        continue;
      }
      ByteView part = ByteView(database).subspan(at, std::min(block, database.size() - at));
      writer->add(Bytes(part.begin(), part.end()));
      at += part.size();
    }
    writer->end(snapshot_point(head, hashes), hashes);
  });
  BytesSink sink;
  for (;;) {
    Result<bool> complete = writer->drain(sink, 10);
    ASSERT_TRUE(complete) << complete.error().message();
    if (*complete) break;
  }
  producer.join();
  InlineExecutor inline_executor;
  EXPECT_EQ(sink.bytes, *write_snapshot(head, database, inline_executor));
  EXPECT_EQ(writer->footer(), *open_and_verify(sink.bytes));
  EXPECT_TRUE(*writer->drain(sink, 0));  // and stays complete
}

// Blocks [2, 5) and the last one, a short one, are taken out of an object that is there already.
Result<Bytes> write_with_blocks_from(const Bytes& source, ByteView database, std::uint64_t hash_error) {
  const BytesSource input(source);
  CAIRN_ASSIGN(const auto reader, ObjectReader::open(input, "source"));
  CAIRN_ASSIGN(const std::vector<StoredBlock> stored, reader->stored_blocks());
  const std::vector<BlockInfo>& blocks = reader->blocks();
  const ObjectHead head = head_of(reader->footer());
  const std::vector<std::uint64_t> hashes = hashes_of(database, head.page_size);
  const std::size_t pages = pages_per_block(head.page_size), block_bytes = pages * head.page_size;
  InlineExecutor executor;
  CAIRN_ASSIGN(const auto writer, SnapshotWriter::open(head, executor));
  BytesSink sink;
  const auto take = [&](std::size_t first, std::size_t end) -> Result<void> {
    std::uint64_t hash = first == 2 ? hash_error : 0;
    for (std::size_t page = first * pages; page < std::min(end * pages, hashes.size()); ++page) hash ^= hashes[page];
    const auto begin = stored.begin() + static_cast<std::ptrdiff_t>(first);
    const std::size_t size = std::min(end * block_bytes, database.size()) - first * block_bytes;
    writer->add_elsewhere(std::make_shared<const std::vector<StoredBlock>>(begin, begin + (end - first)), size, hash);
    CAIRN_TRY(writer->drain(sink, 1000));
    EXPECT_EQ(writer->drained_blocks(), end);
    const std::uint64_t from = blocks[first].offset, to = blocks[end - 1].offset + blocks[end - 1].compressed_bytes;
    return sink.write(ByteView(source).subspan(from, to - from));
  };
  for (std::size_t block = 0; block < blocks.size();) {
    if (block == 2 || block + 1 == blocks.size()) {
      CAIRN_TRY(take(block, block == 2 ? 5 : block + 1));
      block += block == 2 ? 3 : 1;
      continue;
    }
    const ByteView raw = database.subspan(block * block_bytes, block_bytes);
    writer->add(Bytes(raw.begin(), raw.end()));
    CAIRN_TRY(writer->drain(sink, 1000));
    ++block;
  }
  writer->end(snapshot_point(head, hashes), hashes);
  CAIRN_TRY(writer->drain(sink, 1000));
  return std::move(sink.bytes);
}

TEST(SnapshotWriter, WithBlocksFromElsewhereTheObjectIsTheSame) {
  const Bytes database = made_database(4096, 64 * 8 + 3, 9);
  InlineExecutor executor;
  const Bytes whole = *write_snapshot(made_head(ObjectKind::snapshot, 4096, 3, 3), database, executor);
  const auto made = write_with_blocks_from(whole, database, 0);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(*made, whole);
}

TEST(SnapshotWriter, BlocksFromElsewhereHaveToAddUpToTheDatabaseHash) {
  const Bytes database = made_database(4096, 64 * 8 + 3, 9);
  InlineExecutor executor;
  const Bytes whole = *write_snapshot(made_head(ObjectKind::snapshot, 4096, 3, 3), database, executor);
  const auto made = write_with_blocks_from(whole, database, 0x10);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().kind(), ErrorKind::corrupt);
}

TEST(SnapshotWriter, AbandonedIsCancelledAndNeverBlocksTheProducer) {
  std::unique_ptr<Executor> pool = make_thread_pool(2);
  auto writer = *SnapshotWriter::open(made_head(ObjectKind::snapshot, 4096, 1, 1), *pool, 3, 1);
  BytesSink sink;
  std::thread producer([&] {
    writer->add(Bytes(pages_per_block(4096) * std::size_t{4096}));
    writer->abandon();
  });
  Result<bool> drained = false;
  while (drained && !*drained) drained = writer->drain(sink, 1000);
  producer.join();
  ASSERT_FALSE(drained);
  EXPECT_EQ(drained.error().kind(), ErrorKind::cancelled);
  EXPECT_TRUE(writer->room());
}

TEST(SnapshotWriter, AfterTheSinkFailedTheProducerCanRunOn) {
  InlineExecutor executor;
  ObjectHead head = made_head(ObjectKind::snapshot, 4096, 1, 1);
  auto writer = *SnapshotWriter::open(head, executor, 3, 1);
  Bytes database = made_database(4096, 200, 1);
  const std::size_t block = pages_per_block(4096) * std::size_t{4096};
  FailingSink sink(10);
  writer->add(Bytes(database.begin(), database.begin() + static_cast<std::ptrdiff_t>(block)));
  Result<bool> drained = writer->drain(sink, 0);
  ASSERT_FALSE(drained);
  EXPECT_EQ(drained.error().kind(), ErrorKind::io);
  for (std::size_t at = block; at < database.size(); at += block) {
    ASSERT_TRUE(writer->room());
    ByteView part = ByteView(database).subspan(at, std::min(block, database.size() - at));
    writer->add(Bytes(part.begin(), part.end()));
  }
  std::vector<std::uint64_t> hashes = hashes_of(database, 4096);
  writer->end(snapshot_point(head, hashes), hashes);
  EXPECT_FALSE(writer->drain(sink, 0));
}

TEST(SnapshotWriter, WhatDoesNotMatchItsHashesIsNeverCompleted) {
  InlineExecutor executor;
  ObjectHead head = made_head(ObjectKind::snapshot, 4096, 1, 1);
  const Bytes database = made_database(4096, 3, 1);
  const std::vector<std::uint64_t> hashes = hashes_of(database, 4096);
  for (int wrong = 0; wrong < 3; ++wrong) {
    Bytes data = database;
    std::vector<std::uint64_t> claimed = hashes;
    RestorePoint point = snapshot_point(head, hashes);
    if (wrong == 0) data[5000] ^= std::byte{1};
    if (wrong == 1) claimed[1] ^= 1;
    if (wrong == 2) point.hash_after ^= 1;
    BytesSink sink;
    auto writer = *SnapshotWriter::open(head, executor);
    writer->add(data);
    writer->end(point, claimed);
    Result<bool> drained = writer->drain(sink, 0);
    ASSERT_FALSE(drained) << wrong;
    EXPECT_EQ(drained.error().kind(), ErrorKind::corrupt);
    EXPECT_FALSE(open_and_verify(sink.bytes));
  }
}

// One gigabyte of zeros, and the page with SQLite's locks among them.
TEST(SnapshotWriter, L11_LockBytePageIsZerosWithHashZero) {
  std::unique_ptr<Executor> pool = make_thread_pool();
  const std::uint32_t page_size = 65536;
  const std::uint32_t page_count = lock_byte_page(page_size).value + 3;
  ObjectHead head = made_head(ObjectKind::snapshot, page_size, 1, 1);
  auto writer = *SnapshotWriter::open(head, *pool, 1);
  BytesSink sink;
  for (std::uint32_t pages = 0; pages < page_count;) {
    if (!writer->room()) {
      ASSERT_TRUE(writer->drain(sink, 1000));
      continue;
    }
    std::uint32_t in_block = std::min(pages_per_block(page_size), page_count - pages);
    writer->add(Bytes(std::size_t{in_block} * page_size));
    pages += in_block;
  }
  const Bytes zeros(page_size);
  std::vector<std::uint64_t> hashes(page_count);
  for (std::uint32_t page = 1; page <= page_count; ++page)
    if (PageNo(page) != lock_byte_page(page_size)) hashes[page - 1] = page_hash(PageNo(page), zeros);
  writer->end(snapshot_point(head, hashes), hashes);
  while (!*writer->drain(sink, 1000)) continue;
  Result<Footer> read = open_and_verify(sink.bytes);
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->page_count(), page_count);
  EXPECT_EQ(read->data_size_bytes, std::uint64_t{page_count} * page_size);
}

}  // namespace
}  // namespace cairn::segment
