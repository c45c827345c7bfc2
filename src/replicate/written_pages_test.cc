#include "replicate/written_pages.h"

#include <gtest/gtest.h>

#include <map>

#include "base/clock.h"
#include "replicate/run_merge.h"
#include "support/scratch.h"

namespace cairn::replicate {
namespace {

// What WrittenPages stands for, in the plainest way.
struct PlainPages {
  std::map<std::uint32_t, std::uint32_t> frames;  // by page
  void add(const PlainPages& newer) {
    for (const auto& [page, frame] : newer.frames) frames[page] = frame;
  }
  void finish(std::uint32_t page_count) { frames.erase(frames.upper_bound(page_count), frames.end()); }
  void all_backfilled() {
    for (auto& [page, frame] : frames) frame = 0;
  }
};

class WrittenPagesTest : public ::testing::Test {
 protected:
  ScratchSpace space(std::size_t most) {
    return {.open = [this]() -> Result<std::unique_ptr<File>> {
              ++opened_;
              if (is_full_) return Error(ErrorKind::io, "the disk is full");
              return open_unnamed(*files_, scratch_ / "scratch");
            },
            .most_in_memory = most};
  }
  static std::map<std::uint32_t, std::uint32_t> read(const WrittenPages& pages) {
    std::map<std::uint32_t, std::uint32_t> all;
    std::uint32_t last = 0;
    const auto done = pages.each([&](const FrameRef& ref) -> Result<void> {
      EXPECT_GT(ref.page.value, last) << "not ascending, or twice";
      last = ref.page.value;
      all[last] = ref.frame.value;
      return {};
    });
    EXPECT_TRUE(done) << done.error().message();
    return all;
  }

  cairn::testing::Scratch scratch_{"written_pages"};
  std::unique_ptr<FileSystem> files_ = make_real_file_system();
  int opened_ = 0;
  bool is_full_ = false;
};

// A few commits at a time, in a WAL that is restarted now and then, of a database that grows and shrinks.
TEST_F(WrittenPagesTest, HaveTheSameInScratchFilesAsInMemory) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SeededRandom random(seed);
    const std::size_t most = 1 + random.below(12);
    WrittenPages pages(space(most)), in_memory;
    PlainPages plain;
    std::uint32_t frame = 0, page_count = 40;
    for (int scans = 1 + static_cast<int>(random.below(8)); scans > 0; --scans) {
      if (random.chance(1, 3)) {
        frame = 0;
        pages.all_backfilled(), in_memory.all_backfilled(), plain.all_backfilled();
      }
      WrittenPages newer(space(most)), newer_in_memory;
      PlainPages newer_plain;
      for (auto n = 1 + random.below(60); n > 0; --n) {
        const FrameRef ref{PageNo(1 + static_cast<std::uint32_t>(random.below(page_count))), FrameNo(++frame)};
        ASSERT_TRUE(newer.add(ref) && newer_in_memory.add(ref));
        ASSERT_LE(newer.in_memory(), most);
        newer_plain.frames[ref.page.value] = ref.frame.value;
      }
      page_count = 5 + static_cast<std::uint32_t>(random.below(60));
      newer.finish(page_count), newer_in_memory.finish(page_count), newer_plain.finish(page_count);
      ASSERT_EQ(read(newer), newer_plain.frames) << "seed " << seed;
      ASSERT_TRUE(pages.add(std::move(newer)) && in_memory.add(std::move(newer_in_memory)));
      if (random.chance(1, 2)) {
        ASSERT_TRUE(pages.make_room());
        ASSERT_LE(pages.in_memory(), most);
      }
      plain.add(newer_plain);
      ASSERT_EQ(read(pages), plain.frames) << "seed " << seed;
      ASSERT_EQ(read(in_memory), plain.frames) << "seed " << seed;
      ASSERT_GE(pages.size(), plain.frames.size());
    }
  }
}

TEST_F(WrittenPagesTest, FewNeedNoFile) {
  WrittenPages pages(space(100));
  for (std::uint32_t i = 1; i <= 10'000; ++i) ASSERT_TRUE(pages.add({PageNo(1 + i % 50), FrameNo(i)}));
  pages.finish(50);
  EXPECT_EQ(read(pages).size(), 50u);
  EXPECT_EQ(opened_, 0);
}

TEST_F(WrittenPagesTest, HoldNoMoreInMemoryTheMoreThereAre) {
  constexpr std::uint32_t kFrames = 300'000;
  WrittenPages pages(space(1000));
  for (std::uint32_t i = 0; i < kFrames; ++i) {
    ASSERT_TRUE(pages.add({PageNo(1 + static_cast<std::uint32_t>(i * 7919ull % kFrames)), FrameNo(i + 1)}));
    ASSERT_LE(pages.in_memory(), 1000u);
  }
  pages.finish(kFrames);
  std::uint32_t next = 1;
  ASSERT_TRUE(pages.each([&](const FrameRef& ref) -> Result<void> {
    EXPECT_EQ(ref.page.value, next++);
    return {};
  }));
  EXPECT_EQ(next, kFrames + 1);
}

// Where a few more are added others may be waiting for the caller's locks.
TEST_F(WrittenPagesTest, WriteNothingWhereAFewMoreAreAdded) {
  WrittenPages pages(space(4));
  for (std::uint32_t commit = 1; commit <= 5; ++commit) {
    WrittenPages newer(space(4));
    for (std::uint32_t i = 1; i <= 3; ++i) ASSERT_TRUE(newer.add({PageNo(commit * 10 + i), FrameNo(commit * 3 + i)}));
    newer.finish(60);
    ASSERT_TRUE(pages.add(std::move(newer)));
  }
  EXPECT_EQ(opened_, 0);
  EXPECT_EQ(pages.in_memory(), 15u);
  ASSERT_TRUE(pages.make_room());
  EXPECT_EQ(opened_, 1);
  EXPECT_EQ(pages.in_memory(), 0u);
  EXPECT_EQ(read(pages).size(), 15u);
}

TEST_F(WrittenPagesTest, AreAsBeforeWhereTheDiskIsFull) {
  WrittenPages pages(space(4)), newer(space(4));
  for (std::uint32_t i = 1; i <= 3; ++i) ASSERT_TRUE(pages.add({PageNo(i), FrameNo(i)}));
  for (std::uint32_t i = 4; i <= 7; ++i) ASSERT_TRUE(newer.add({PageNo(i), FrameNo(i)}));
  pages.finish(7), newer.finish(7);
  is_full_ = true;
  const auto before = read(pages);
  const auto room = pages.make_room();
  EXPECT_TRUE(room) << "they need none yet";
  ASSERT_TRUE(pages.add(newer));
  const auto with_newer = read(pages);
  EXPECT_EQ(with_newer.size(), 7u);
  EXPECT_GT(with_newer.size(), before.size());
  ASSERT_EQ(pages.make_room().error().kind(), ErrorKind::io);
  EXPECT_EQ(read(pages), with_newer);
  is_full_ = false;
  WrittenPages many(space(4));
  for (std::uint32_t i = 1; i <= 9; ++i) ASSERT_TRUE(many.add({PageNo(i), FrameNo(10 + i)}));
  many.finish(9);
  is_full_ = true;
  const auto added = pages.add(many);  // which are in a file of their own, and so what is older has to be in one
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().kind(), ErrorKind::io);
  EXPECT_EQ(read(pages), with_newer);
  is_full_ = false;
  ASSERT_TRUE(pages.add(many));
  EXPECT_EQ(read(pages).size(), 9u);
}

TEST_F(WrittenPagesTest, CannotBeReadOutOfACutFile) {
  WrittenPages pages({.open = [&]() { return files_->open(scratch_ / "kept", OpenMode::write); }, .most_in_memory = 2});
  for (std::uint32_t i = 1; i <= 9; ++i) ASSERT_TRUE(pages.add({PageNo(i), FrameNo(i)}));
  pages.finish(9);
  auto file = files_->open(scratch_ / "kept", OpenMode::write);
  ASSERT_TRUE(file && (*file)->truncate(5));
  const auto done = pages.each([](const FrameRef&) { return Result<void>(); });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind(), ErrorKind::io);
}

TEST_F(WrittenPagesTest, PastTheEndMayBeMany) {
  WrittenPages pages(space(9000));  // more than is read of a run at a time
  for (std::uint32_t i = 1; i <= 30'000; ++i) ASSERT_TRUE(pages.add({PageNo(i), FrameNo(i)}));
  pages.finish(100);
  EXPECT_EQ(read(pages).size(), 100u);
}

TEST(RunMergeTest, RefusesARunThatDoesNotAscend) {
  struct Entry {
    PageNo page;
  };
  const auto merged = [](const std::vector<std::uint32_t>& older, const std::vector<std::uint32_t>& newer) {
    RunMerge<Entry> merge(scratch_is_lost("scratch"));
    for (const auto* run : {&older, &newer}) {
      merge.add(run->size(), PageNo(100), [run](std::uint64_t first, std::span<Entry> into) -> Result<void> {
        for (Entry& entry : into) entry.page = PageNo((*run)[first++]);
        return {};
      });
    }
    return merge.each([](const Entry&, std::size_t, std::uint64_t) { return Result<void>(); });
  };
  EXPECT_TRUE(merged({1, 2, 7}, {2, 3, 8}));
  EXPECT_FALSE(merged({0, 2, 7}, {2, 3, 8})) << "zeros";
  EXPECT_FALSE(merged({1, 2, 7}, {2, 0, 8}));
  EXPECT_FALSE(merged({1, 2, 2}, {2, 3, 8}));
  EXPECT_FALSE(merged({1, 2, 7}, {2, 3, 1}));
}

// Never synced, what was written may be gone without a word: as zeros, or as what lay there before.
TEST_F(WrittenPagesTest, RefuseWhatTheDiskDoesNotGiveBack) {
  const std::string path = scratch_ / "kept";
  const Bytes zeros(4096);
  const FrameRef other_frame{PageNo(500), FrameNo(1)}, page_past_the_end{PageNo(20'000), FrameNo(1000)};
  struct Damage {
    std::uint64_t offset;
    ByteView bytes;
  };
  const auto at = [](std::uint64_t entry) { return entry * sizeof(FrameRef); };
  for (const auto& [offset, bytes] : {Damage{0, zeros}, Damage{4096, zeros}, Damage{10 * 4096, zeros},
                                      Damage{at(499), std::as_bytes(std::span(&other_frame, 1))},
                                      Damage{at(999), std::as_bytes(std::span(&page_past_the_end, 1))}}) {
    WrittenPages pages({.open = [&]() { return files_->open(path, OpenMode::write); }, .most_in_memory = 1000,
                        .path = path});
    for (std::uint32_t i = 1; i <= 10'000; ++i) ASSERT_TRUE(pages.add({PageNo(i), FrameNo(i)}));
    pages.finish(10'000);
    ASSERT_EQ(read(pages).size(), 10'000u);
    ASSERT_TRUE((*files_->open(path, OpenMode::write))->write_at(offset, bytes));
    const auto done = pages.each([](const FrameRef&) { return Result<void>(); });
    ASSERT_FALSE(done) << "at " << offset;
    EXPECT_EQ(done.error().kind(), ErrorKind::io);
    EXPECT_EQ(done.error().message().find(path + " does not give back what was written to it"), 0u);
    const auto failed = pages.each([](const FrameRef&) -> Result<void> { return Error(ErrorKind::invalid, "not so"); });
    EXPECT_EQ(failed.error().message(), done.error().message()) << "that is why";
  }
}

}  // namespace
}  // namespace cairn::replicate
