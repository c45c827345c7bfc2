// Squashes larger than their memory, with a scratch file for what lies in a block and is wanted later.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/mutex.h"
#include "segment/merge.h"
#include "segment/test_history.h"

namespace cairn::segment {
namespace {

using namespace testing;

// A scratch file in memory, which can be full, lose pages, or not be had at all.
struct Disk {
  std::uint64_t room = ~0ull;         // bytes that can be written
  std::uint64_t loses_each = 0;       // so many-th write reads as zeros; 0: none
  bool cannot_read = false, cannot_open = false;
  std::uint64_t opened = 0, written = 0;  // files, writes
  std::uint64_t lost = 0;
  Mutex mutex{};
  Bytes bytes GUARDED_BY(mutex){};

  OpenScratch opens() {
    return [this]() -> Result<std::unique_ptr<File>> {
      ++opened;
      if (cannot_open) return Error(ErrorKind::io, "the disk is read-only");
      return std::make_unique<ScratchFile>(*this);
    };
  }

 private:
  class ScratchFile final : public File {
   public:
    explicit ScratchFile(Disk& disk) : disk_(disk) {}
    Result<std::size_t> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
      if (disk_.cannot_read) return Error(ErrorKind::io, "the disk does not read");
      MutexLock lock(disk_.mutex);
      const std::size_t there = disk_.bytes.size() < offset ? 0 : disk_.bytes.size() - offset;
      const std::size_t got = std::min(into.size(), there);
      std::copy_n(disk_.bytes.begin() + static_cast<std::ptrdiff_t>(std::min(offset, disk_.bytes.size())), got,
                  into.begin());
      return got;
    }
    Result<void> write_at(std::uint64_t offset, ByteView part) override {
      MutexLock lock(disk_.mutex);
      if (disk_.room < part.size()) return Error(ErrorKind::io, "the disk is full");
      disk_.room -= part.size();
      ++disk_.written;
      disk_.bytes.resize(std::max(disk_.bytes.size(), offset + part.size()));
      if (disk_.loses_each != 0 && disk_.written % disk_.loses_each == 0) {
        ++disk_.lost;
        return {};
      }
      std::ranges::copy(part, disk_.bytes.begin() + static_cast<std::ptrdiff_t>(offset));
      return {};
    }
    Result<std::uint64_t> size() const override { return std::uint64_t{0}; }
    Result<void> truncate(std::uint64_t) override {
      MutexLock lock(disk_.mutex);
      disk_.bytes.clear();
      return {};
    }
    Result<void> sync() override { return {}; }
    void start_writeback(std::uint64_t, std::uint64_t) override {}

   private:
    Disk& disk_;
  };
};

// How often each block of the inputs is read.
class CountingSource final : public Source {
 public:
  CountingSource(Bytes bytes, std::map<std::uint64_t, int>& reads, Mutex& mutex)
      : bytes_(std::move(bytes)), source_(bytes_), reads_(reads), mutex_(mutex) {}
  std::uint64_t size_bytes() const override { return source_.size_bytes(); }
  Result<void> read_at(std::uint64_t offset, std::span<std::byte> into) const override {
    MutexLock lock(mutex_);
    ++reads_[offset];
    return source_.read_at(offset, into);
  }

 private:
  const Bytes bytes_;
  const BytesSource source_;
  std::map<std::uint64_t, int>& reads_;
  Mutex& mutex_;
};

// Short runs over a wide range: each has a page for every window.
constexpr std::uint32_t kPageCount = 240, kRuns = 20;

History wide_history() {
  Pages before;
  for (std::uint32_t page = 1; page <= kPageCount; ++page) before[page] = made_page(512, page);
  History history(512, before);
  for (std::uint32_t run = 1; run <= kRuns; ++run) {
    Pages pages;
    for (std::uint32_t page = run; page <= kPageCount; page += kRuns - 3)
      pages[page] = made_page(512, page + run * 999);
    history.add(pages, kPageCount);
  }
  return history;
}

struct Squash {
  Result<Footer> footer = Error(ErrorKind::invalid, "not run");
  Bytes object;
  int most_reads = 0;  // of one block
};

Squash squash(const History& history, Executor& executor, OpenScratch scratch, std::uint64_t memory_bytes = 512 * 24,
              std::size_t runs_each = 1) {
  Mutex mutex;
  std::map<std::uint64_t, std::map<std::uint64_t, int>> reads;
  std::vector<std::unique_ptr<CountingSource>> sources;
  std::vector<std::unique_ptr<ObjectReader>> readers;
  std::vector<ObjectReader*> inputs;
  for (std::size_t i = 0; i < history.size(); i += runs_each) {
    Bytes object = runs_each == 1 ? history.segment(i) : history.bundle(i, i + runs_each);
    sources.push_back(std::make_unique<CountingSource>(std::move(object), reads[i], mutex));
    readers.push_back(*ObjectReader::open(*sources.back(), "input " + std::to_string(i)));
    inputs.push_back(readers.back().get());
  }
  for (auto& [input, blocks] : reads) blocks.clear();
  MergeOptions options;
  options.level = 1;
  options.memory_bytes = memory_bytes;
  options.open_scratch = std::move(scratch);
  Squash squash;
  BytesSink sink;
  squash.footer = merge(inputs, ObjectKind::squashed, sink, executor, options);
  squash.object = std::move(sink.bytes);
  for (const auto& [input, blocks] : reads) {
    for (const auto& [offset, times] : blocks) squash.most_reads = std::max(squash.most_reads, times);
  }
  return squash;
}

class MergeScratch : public ::testing::Test {
 protected:
  void expect_right(const Squash& squash) const {
    ASSERT_TRUE(squash.footer) << squash.footer.error().message();
    EXPECT_EQ(squash.object, history_.squash(0, history_.size()));
  }
  const History history_ = wide_history();
  const std::unique_ptr<Executor> executor_ = make_thread_pool(2);
  Disk disk_;
};

TEST_F(MergeScratch, NoBlockIsReadTwice) {
  const Squash without = squash(history_, *executor_, {});
  expect_right(without);
  EXPECT_GT(without.most_reads, 5) << "it proves nothing otherwise";
  const Squash with = squash(history_, *executor_, disk_.opens(), 512 * 125);
  expect_right(with);
  EXPECT_EQ(with.most_reads, 1);
  EXPECT_EQ(disk_.opened, 1u);
}

TEST_F(MergeScratch, NorIsOneOfABundle) {
  const Squash bundles = squash(history_, *executor_, disk_.opens(), 512 * 125, 5);
  expect_right(bundles);
  EXPECT_EQ(bundles.most_reads, 1);
}

TEST_F(MergeScratch, WhatFitsIntoMemoryNeedsNoFile) {
  expect_right(squash(history_, *executor_, disk_.opens(), 1 << 20));
  EXPECT_EQ(disk_.opened, 0u);
}

// Of each stretch of so few frames the blocks are read again, and pages of one stretch are not taken for another's.
TEST_F(MergeScratch, ManyStretches) {
  for (std::uint64_t memory = 512; memory < 512 * 200; memory += 512 * 7) {
    SCOPED_TRACE(memory);
    expect_right(squash(history_, *executor_, disk_.opens(), memory));
  }
  EXPECT_GT(disk_.written, 100u);
}

TEST_F(MergeScratch, ADiskThatIsFullCostsTimeAlone) {
  for (std::uint64_t pages = 0; pages < 60; pages += 9) {
    SCOPED_TRACE(pages);
    Disk disk{.room = pages * 512};
    expect_right(squash(history_, *executor_, disk.opens(), 512 * 64));
    EXPECT_LE(disk.written, pages);
    MutexLock lock(disk.mutex);
    EXPECT_TRUE(disk.bytes.empty()) << "its room is given back";
  }
}

TEST_F(MergeScratch, WhatADiskLosesInSilenceIsReadAgain) {
  for (std::uint64_t each = 1; each < 12; each += 2) {
    SCOPED_TRACE(each);
    Disk disk{.loses_each = each};
    expect_right(squash(history_, *executor_, disk.opens(), 512 * 64));
    EXPECT_GT(disk.lost, 0u);
  }
}

TEST_F(MergeScratch, ADiskThatGivesNothingBackOrNoFileCostsTimeAlone) {
  disk_.cannot_read = true;
  expect_right(squash(history_, *executor_, disk_.opens(), 512 * 64));
  EXPECT_GT(disk_.written, 0u);
  Disk none{.cannot_open = true};
  expect_right(squash(history_, *executor_, none.opens(), 512 * 64));
  EXPECT_EQ(none.opened, 1u);
}

// What a page aside is worth is said by its hash, not by the block's having been read once.
TEST_F(MergeScratch, L9_ADamagedInputIsFoundBesideIt) {
  std::vector<Bytes> segments;
  for (std::size_t i = 0; i < history_.size(); ++i) segments.push_back(history_.segment(i));
  segments[7][segments[7].size() / 4] ^= std::byte{1};
  const Inputs inputs(std::move(segments));
  MergeOptions options;
  options.memory_bytes = 512 * 64;
  options.open_scratch = disk_.opens();
  BytesSink sink;
  const Result<Footer> footer = merge(inputs.readers(), ObjectKind::squashed, sink, *executor_, options);
  ASSERT_FALSE(footer);
  EXPECT_EQ(name_of(footer.error().kind()), "corrupt");
  EXPECT_THAT(footer.error().message(), ::testing::HasSubstr("input 7"));
}

}  // namespace
}  // namespace cairn::segment
