// A transaction of which not every page can be remembered in memory.
#include <gtest/gtest.h>
#include <malloc.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "support/stepped_replicator.h"
#include "support/watched_disk.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::LimitedFiles;
using replicator_test::ReplicatorTest;
namespace fs = std::filesystem;

class LargeTransactionTest : public ReplicatorTest {
 protected:
  LargeTransactionTest() {
    auto limited = std::make_unique<LimitedFiles>(std::move(files_));
    disk_ = limited.get();
    files_ = std::move(limited);
    make_database("PRAGMA page_size=512");
  }
  ReplicatorOptions with_little_memory(std::uint32_t rollover_frames) {
    ReplicatorOptions o = rolling(rollover_frames, 10);
    o.pages_in_memory = 60;
    return o;
  }
  static std::string add(int pages) {
    return fmt::format("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{}) "
                       "INSERT INTO t(v) SELECT zeroblob(450) FROM n", pages);
  }
  LimitedFiles* disk_ = nullptr;
};

TEST_F(LargeTransactionTest, IsCapturedWhole) {
  for (const std::uint32_t rollover_frames : {20u, 1'000'000u}) {  // read ahead of a rollover, or not
    for (const std::uint64_t slice_bytes : {1ull, 4ull << 20}) {
      App app(db_path_);
      ReplicatorOptions o = with_little_memory(rollover_frames);
      o.slice_bytes = slice_bytes;
      start(o);
      app.must(fill(800));  // the first time while a first snapshot is read
      ASSERT_FALSE(turn());
      app.must("UPDATE t SET v = hex(randomblob(150)) WHERE id % 3 = 0; " + fill(700));
      expect_replica_is_current();
      EXPECT_GT(std::exchange(disk_->scratch_files, 0), 0u);
      app.must("DELETE FROM t WHERE id > 900; VACUUM");
      expect_replica_is_current();
      app.must("BEGIN; DELETE FROM t WHERE id > 100; " + fill(1500) + "; UPDATE t SET v = v || 'x'; COMMIT");
      expect_replica_is_current();
      EXPECT_FALSE(fs::exists(dir_ / "state" / "spool" / "scratch"));
      stop();
    }
  }
}

TEST_F(LargeTransactionTest, ASmallOneMakesNoScratchFile) {
  App app(db_path_);
  start();
  must_settle();
  app.must(fill(2000));
  expect_replica_is_current();
  EXPECT_EQ(disk_->scratch_files, 0u);
}

TEST_F(LargeTransactionTest, WaitsInTheWalWhileTheDiskIsFull) {
  App app(db_path_);
  start(with_little_memory(20));
  must_settle();
  disk_->has_scratch_room = false;
  app.must(fill(1000));
  for (int i = 0; i < 300; ++i) ASSERT_FALSE(turn());
  app.must("UPDATE t SET v = 'newer' WHERE id < 300");
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(turn());
  const auto status = replicator_->status();
  EXPECT_EQ(status.database_trouble, "the disk is full");
  EXPECT_EQ(status.captured_sequence, 0u);
  EXPECT_FALSE(fs::exists(dir_ / "state" / "spool" / "partial")) << "what fills the disk is still there";
  disk_->has_scratch_room = true;
  replicator_->request_capture();
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().database_trouble, "");
}

// The segment is in the spool by then. What it has is not known page by page any more, so the next one has all.
TEST_F(LargeTransactionTest, IsCapturedAnewWhenTheDiskLosesTheScratchFile) {
  App app(db_path_);
  app.must("CREATE TEMP TABLE old AS SELECT v FROM t WHERE id = 300");
  start(with_little_memory(1'000'000));
  must_settle();
  disk_->loses_scratch = true;
  app.must("BEGIN; UPDATE t SET v = replace(v, 'A', 'B') WHERE id = 300; " + fill(1000) + "; COMMIT");
  for (int i = 0; i < 100 && disk_->loses_scratch; ++i) ASSERT_FALSE(turn());
  ASSERT_FALSE(disk_->loses_scratch);
  app.must("UPDATE t SET v = (SELECT v FROM old) WHERE id = 300");  // a page as it was before the transaction
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().reconciles, 1u);
}

// The system could not write it, and told nobody: it reads as zeros, or as what lay there before. A frame's number, and
// a page's hash, are as good as any other: only that they are not what was written shows it.
TEST_F(LargeTransactionTest, IsReadAgainWhenTheDiskForgetsTheScratchFile) {
  const std::string scratch = dir_ / "state" / "spool" / "scratch";
  constexpr std::uint64_t kSorted = 1, kIndex = 2;
  struct Lost {
    std::uint64_t file, from, to;
    std::byte change;  // 0: zeros
  };
  App app(db_path_);
  start(with_little_memory(1'000'000));
  must_settle();
  for (const Lost& lost :
       {Lost{kSorted, 0, 512, {}}, Lost{kSorted, 4096, 4608, {}}, Lost{kSorted, 4100, 4101, std::byte{1}},
        Lost{kIndex, 0, 512, {}}, Lost{kIndex, 4096, 4608, {}}, Lost{kIndex, 4096, 4097, std::byte{1}}}) {
    disk_->scratch_files = 0;
    std::uint64_t changed = 0;
    disk_->after_scratch_read = [&](std::uint64_t number, std::uint64_t offset, std::span<std::byte> bytes) {
      for (std::uint64_t at = std::max(offset, lost.from); at < std::min(offset + bytes.size(), lost.to); ++at) {
        std::byte& byte = bytes[at - offset];
        if (number == lost.file) ++changed, byte = lost.change == std::byte{} ? std::byte{} : byte ^ lost.change;
      }
    };
    const auto captured = replicator_->status().captured_sequence;
    app.must(fill(1000));
    for (int i = 0; i < 30 && changed == 0; ++i) ASSERT_FALSE(turn());
    ASSERT_GT(changed, 0u);
    EXPECT_EQ(replicator_->status().database_trouble.find(scratch + " does not give back what was written to it"), 0u)
        << lost.file << " at " << lost.from << ": " << replicator_->status().database_trouble;
    EXPECT_EQ(replicator_->status().captured_sequence, captured);
    EXPECT_FALSE(fs::exists(dir_ / "state" / "spool" / "partial"));
    app.must("UPDATE t SET v = 'newer' WHERE id % 100 = 7");
    expect_replica_is_current();
    EXPECT_EQ(replicator_->status().database_trouble, "");
  }
  EXPECT_EQ(replicator_->status().reconciles, 0u);
}

// As above, of what is read when the segment is in the spool already.
TEST_F(LargeTransactionTest, IsCapturedAnewWhenTheDiskForgetsWhatTheSegmentHas) {
  App app(db_path_);
  start(with_little_memory(1'000'000));
  must_settle();
  std::uint64_t changed = 0;
  disk_->scratch_files = 0;
  disk_->after_scratch_read = [&](std::uint64_t number, std::uint64_t, std::span<std::byte> bytes) {
    if (number != 2 || fs::exists(dir_ / "state" / "spool" / "partial")) return;
    std::ranges::fill(bytes, std::byte{});
    ++changed;
  };
  app.must(fill(1000));
  for (int i = 0; i < 30 && changed == 0; ++i) ASSERT_FALSE(turn());
  ASSERT_GT(changed, 0u);
  app.must("UPDATE t SET v = 'newer' WHERE id % 100 = 7");
  expect_replica_is_current();
  EXPECT_EQ(replicator_->status().reconciles, 1u);
}

// What was read ahead of a rollover may not be in the WAL any more: each page is compared then.
TEST_F(LargeTransactionTest, IsFoundAgainWhenTheDiskForgetsWhatWasReadAhead) {
  App app(db_path_);
  ReplicatorOptions o = with_little_memory(20);
  o.interval_ms = 1000;
  start(o);
  must_settle();
  app.must("UPDATE t SET v = 'x' WHERE id = 1");  // a segment of its own: what comes next waits for the interval's end
  const auto before = replicator_->status().captured_sequence;
  while (replicator_->status().captured_sequence == before) ASSERT_FALSE(turn());
  disk_->scratch_files = 0;
  app.must(fill(1000));
  while (disk_->scratch_files == 0) ASSERT_FALSE(turn());
  ASSERT_EQ(replicator_->status().captured_sequence, before + 1);
  std::uint64_t changed = 0;
  disk_->after_scratch_read = [&, lost = disk_->scratch_files](std::uint64_t number, std::uint64_t,
                                                               std::span<std::byte> bytes) {
    if (number > lost) return;  // those made later are well
    std::ranges::fill(bytes, std::byte{});
    ++changed;
  };
  app.must("UPDATE t SET v = 'newer' WHERE id % 100 = 7");
  expect_replica_is_current();
  EXPECT_GT(changed, 0u);
  EXPECT_EQ(replicator_->status().database_trouble, "");
}

TEST_F(LargeTransactionTest, TakesNoMoreMemoryTheLargerItIs) {
  App app(db_path_);
  app.must("PRAGMA cache_size=-2000; PRAGMA synchronous=OFF");
  ReplicatorOptions o = with_little_memory(1'000'000);
  o.pages_in_memory = 1000;
  start(o);
  must_settle();
  const auto held = [] {
    const auto memory = mallinfo2();
    return memory.uordblks + memory.hblkhd;
  };
  const auto held_for = [&](int pages) {
    app.must(add(pages));
    const std::size_t before = held();
    std::size_t at_end = before;  // of the segment: what is remembered of its pages is most by then, and little else
    disk_->before_write = [&] { at_end = held(); };
    const auto sequence = replicator_->status().captured_sequence;
    for (int i = 0; i < 100 && replicator_->status().captured_sequence == sequence; ++i) {
      now_.mono_us += 20'000;
      EXPECT_TRUE(replicator_->capture_step(now_));
    }
    EXPECT_GT(replicator_->status().captured_sequence, sequence);
    disk_->before_write = nullptr;
    must_settle();
    return static_cast<std::int64_t>(at_end) - static_cast<std::int64_t>(before);
  };
  const std::int64_t small = held_for(10'000), large = held_for(80'000);
  EXPECT_LT(large, small + (400 << 10)) << "some bytes for each of 70,000 pages more";
}

}  // namespace
}  // namespace cairn
