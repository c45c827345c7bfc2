#include "segment/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "segment/test_history.h"

namespace cairn::segment {
namespace {

using namespace testing;
using ::testing::HasSubstr;

MergeOptions options_with(std::uint64_t memory_bytes, int level = 1) {
  MergeOptions options;
  options.level = level;
  options.memory_bytes = memory_bytes;
  return options;
}

Result<Bytes> merged(std::vector<Bytes> objects, ObjectKind kind, const MergeOptions& options = options_with(1 << 20),
                     Executor* executor = nullptr) {
  InlineExecutor inline_executor;
  const Inputs inputs(std::move(objects));
  BytesSink sink;
  CAIRN_TRY(merge(inputs.readers(), kind, sink, executor != nullptr ? *executor : inline_executor, options));
  return std::move(sink.bytes);
}

// The error, and that what the sink got until then is no object.
std::string refused(std::vector<Bytes> objects, ObjectKind kind, ErrorKind expected,
                    const MergeOptions& options = options_with(1 << 20)) {
  InlineExecutor executor;
  Inputs inputs;
  BytesSink sink;
  Result<void> result;
  for (std::size_t i = 0; i < objects.size() && result; ++i)
    result = inputs.add(std::move(objects[i]), "input " + std::to_string(i));
  if (result) {
    Result<Footer> footer = merge(inputs.readers(), kind, sink, executor, options);
    if (!footer) result = footer.error();
  }
  EXPECT_FALSE(result);
  if (result) return "";
  EXPECT_EQ(name_of(result.error().kind()), name_of(expected)) << result.error().message();
  EXPECT_FALSE(open_and_verify(sink.bytes)) << "half a merge can be taken for an object";
  return result.error().message();
}

TEST(Merge, ABundleIsTheRunsOfItsInputs) {
  const History history = random_history(512, 1, 5);
  std::vector<Bytes> segments;
  for (std::size_t i = 0; i < 5; ++i) segments.push_back(history.segment(i));
  const Result<Bytes> object = merged(segments, ObjectKind::bundle);
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_EQ(*object, history.bundle(0, 5));
  EXPECT_TRUE(open_and_verify(*object));
}

TEST(Merge, ASquashHoldsTheNewestVersionsOnly) {
  const History history = random_history(512, 2, 5);
  std::vector<Bytes> segments;
  for (std::size_t i = 0; i < 5; ++i) segments.push_back(history.segment(i));
  const Result<Bytes> object = merged(segments, ObjectKind::squashed);
  ASSERT_TRUE(object) << object.error().message();
  EXPECT_EQ(*object, history.squash(0, 5));
  EXPECT_TRUE(open_and_verify(*object));
}

// An object somewhere on the way up, and the runs that it must hold.
struct Made {
  Bytes object;
  std::vector<HistoryRun> runs;
};

// Merges runs [begin, end) of a history by some random tree of merges, and compares each object on the way with the
// one that the model writes, byte for byte.
class RandomMerges {
 public:
  RandomMerges(const History& history, std::uint64_t seed, Executor& executor)
      : history_(history), random_(seed), executor_(executor) {}

  Made make(std::size_t begin, std::size_t end) {
    if (end - begin == 1 && random_.chance(3, 4)) return {history_.segment(begin), history_.runs(begin, end)};
    std::vector<Bytes> objects;
    std::vector<HistoryRun> runs;
    for (std::size_t at = begin; at < end;) {
      const std::size_t most = end - begin == 1 ? 1 : std::min(end - at, end - begin - 1);
      const std::size_t length = 1 + random_.below(most);
      Made part = end - begin == 1 ? Made{history_.segment(at), history_.runs(at, at + 1)} : make(at, at + length);
      objects.push_back(std::move(part.object));
      runs.insert(runs.end(), part.runs.begin(), part.runs.end());
      at += length;
    }
    const ObjectKind kind = random_.chance(1, 2) ? ObjectKind::bundle : ObjectKind::squashed;
    if (kind == ObjectKind::squashed) runs = {history_.squashed(begin, end)};
    // From one page at a time to everything at once.
    Result<Bytes> object = merged(std::move(objects), kind, options_with(1 + random_.below(20 * 512)), &executor_);
    EXPECT_TRUE(object) << object.error().message();
    EXPECT_TRUE(object && *object == *history_.object(kind, begin, end, runs)) << begin << ".." << end;
    EXPECT_TRUE(object && open_and_verify(*object));
    return {object ? std::move(*object) : Bytes{}, std::move(runs)};
  }

 private:
  const History& history_;
  SeededRandom random_;
  Executor& executor_;
};

TEST(Merge, L12_L13_MergesOfMergesAreTheMergeOfTheirSourcesByteForByte) {
  const auto executor = make_thread_pool(2);
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const History history = random_history(512, seed, 2 + seed % 12, 1 + seed * 1000);
    RandomMerges(history, seed, *executor).make(0, history.size());
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Merge, EveryPageSizeAndObjectsOfManyBlocks) {
  const auto executor = make_thread_pool(2);
  for (const std::uint32_t page_size : {512u, 1024u, 4096u, 65536u}) {
    SCOPED_TRACE(page_size);
    const std::uint32_t count = 3 * frames_per_block(page_size) + 5;  // some four blocks
    Pages before;
    for (std::uint32_t page = 1; page <= count; ++page) before[page] = made_page(page_size, page);
    History history(page_size, before);
    for (std::uint32_t run = 1; run <= 4; ++run) {
      Pages pages;
      for (std::uint32_t page = run; page <= count; page += run % 3 + 1)
        pages[page] = made_page(page_size, page + run * 7);
      history.add(pages, count);
    }
    std::vector<Bytes> segments;
    for (std::size_t i = 0; i < history.size(); ++i) segments.push_back(history.segment(i));
    for (const std::uint64_t memory : {std::uint64_t{40} * page_size, std::uint64_t{64} << 20}) {
      EXPECT_EQ(*merged(segments, ObjectKind::bundle, options_with(memory), executor.get()), history.bundle(0, 4));
      EXPECT_EQ(*merged(segments, ObjectKind::squashed, options_with(memory), executor.get()), history.squash(0, 4));
      EXPECT_EQ(*merged({history.bundle(0, 2), history.squash(2, 4)}, ObjectKind::squashed, options_with(memory),
                        executor.get()), history.squash(0, 4));
    }
  }
}

TEST(Merge, L10_WhatFellAwayStaysAway) {
  History history(512, {{1, made_page(512, 1)}, {2, made_page(512, 2)}});
  Pages many;
  for (std::uint32_t page = 3; page <= 202; ++page) many[page] = made_page(512, page);
  history.add(many, 202);
  history.add({{1, made_page(512, 1001)}}, 22);  // VACUUM: 22 of 202 pages are left
  Pages again;
  for (std::uint32_t page = 23; page <= 40; ++page) again[page] = made_page(512, 2000 + page);
  history.add(again, 40);
  const std::vector<Bytes> segments{history.segment(0), history.segment(1), history.segment(2)};
  const Bytes object = *merged(segments, ObjectKind::squashed);
  EXPECT_EQ(object, history.squash(0, 3));
  const Footer footer = *open_and_verify(object);
  EXPECT_EQ(footer.page_count(), 40u);
  EXPECT_EQ(footer.index_count, 39u);  // page 2 is older than all of this
  const Footer shorter = *open_and_verify(*merged({segments[0], segments[1]}, ObjectKind::squashed));
  EXPECT_EQ(shorter.index_count, 21u) << "pages 1 and 3 to 22";
}

TEST(Merge, L2_L14_OneObjectAloneIsMergedToo) {
  const History history = random_history(512, 7, 1, 5);
  EXPECT_EQ(*merged({history.segment(0)}, ObjectKind::bundle), history.bundle(0, 1));
  EXPECT_EQ(*merged({history.segment(0)}, ObjectKind::squashed), history.squash(0, 1));
  EXPECT_EQ(*merged({history.bundle(0, 1)}, ObjectKind::bundle), history.bundle(0, 1));
}

TEST(Merge, L11_TheLockBytePageIsMissedByNobody) {
  constexpr std::uint32_t kPageSize = 65536, kLockPage = 16385;
  History history(kPageSize, {{kLockPage - 2, Bytes(kPageSize)}});
  history.add({{kLockPage - 1, Bytes(kPageSize)}}, kLockPage - 1);
  history.add({{kLockPage + 1, Bytes(kPageSize)}, {kLockPage + 2, Bytes(kPageSize)}}, kLockPage + 2);
  history.add({{1, Bytes(kPageSize)}}, kLockPage - 1);
  EXPECT_EQ(*merged({history.segment(0), history.segment(1)}, ObjectKind::squashed), history.squash(0, 2));
  EXPECT_EQ(*merged({history.segment(0), history.segment(1), history.segment(2)}, ObjectKind::squashed),
            history.squash(0, 3));
}

TEST(Merge, TheLevelIsZstdsAndChangesNoData) {
  const History history = random_history(4096, 3, 3);
  const std::vector<Bytes> segments{history.segment(0), history.segment(1), history.segment(2)};
  const Bytes object = *merged(segments, ObjectKind::bundle, options_with(1 << 20, 9));
  EXPECT_EQ(object, *history.object(ObjectKind::bundle, 0, 3, history.runs(0, 3), 9));
  EXPECT_EQ(*open_and_verify(object), *open_and_verify(history.bundle(0, 3)));
  refused(segments, ObjectKind::bundle, ErrorKind::invalid, options_with(1 << 20, 1000));
}

TEST(Merge, WithTheHashesOfTheStateBeforeEveryRunIsProven) {
  const auto executor = make_thread_pool(1);
  std::uint64_t proven_without = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const History history = random_history(512, seed, 10);
    const Inputs inputs({history.bundle(0, 4), history.squash(4, 6), history.bundle(6, 10)});
    const std::vector<std::uint64_t> hashes = history.hashes(0);
    MergeOptions options;
    options.hashes_before = hashes;
    BytesSink sink;
    auto known = Merge::open(inputs.readers(), ObjectKind::squashed, sink, *executor, options);
    ASSERT_TRUE(known) << known.error().message();
    EXPECT_EQ((*known)->proven_runs(), 9u);
    auto unknown = Merge::open(inputs.readers(), ObjectKind::squashed, sink, *executor);
    ASSERT_TRUE(unknown) << unknown.error().message();
    EXPECT_LT((*unknown)->proven_runs(), 9u);
    proven_without += (*unknown)->proven_runs();
  }
  EXPECT_GT(proven_without, 30u);
}

TEST(Merge, HashesOfAnotherStateAreNoBasis) {
  const History history = random_history(512, 4, 3);
  const std::vector<std::uint64_t> hashes = history.hashes(1);
  MergeOptions options;
  options.hashes_before = hashes;
  EXPECT_THAT(refused({history.segment(0)}, ObjectKind::bundle, ErrorKind::corrupt, options),
              HasSubstr("input 0 builds on another state"));
}

// Objects that tell the truth about everything but one thing.

TEST(Merge, L9_ADamagedInputIsNamedAndNothingComesOfIt) {
  const History history = random_history(512, 5, 3);
  const std::vector<Bytes> good{history.segment(0), history.segment(1), history.segment(2)};
  ASSERT_TRUE(merged(good, ObjectKind::squashed));
  for (std::size_t at = 0; at < good[1].size(); at += 3) {
    for (const ObjectKind kind : {ObjectKind::bundle, ObjectKind::squashed}) {
      std::vector<Bytes> inputs = good;
      inputs[1][at] ^= std::byte{0x10};
      Inputs opened;
      BytesSink sink;
      InlineExecutor executor;
      Result<void> result = opened.add(inputs[0], "first");
      result = opened.add(inputs[1], "damaged");
      if (result) {
        result = opened.add(inputs[2], "last");
        Result<Footer> footer = merge(opened.readers(), kind, sink, executor);
        // Some bits decide nothing: a merge does not read the stored checksums of blocks, whose contents it checks.
        if (footer) {
          EXPECT_EQ(sink.bytes, *merged(good, kind, options_with(1 << 20, 3))) << "byte " << at;
          continue;
        }
        result = footer.error();
      }
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().kind(), ErrorKind::corrupt) << result.error().message();
      EXPECT_THAT(result.error().message(), HasSubstr("damaged")) << "byte " << at;
      EXPECT_FALSE(open_and_verify(sink.bytes));
    }
  }
}

// A segment whose page `lying` is not the one that its index has a hash of, behind checksums that are all right.
Bytes segment_with_a_wrong_page(const History& history, std::size_t run, std::uint32_t lying) {
  InlineExecutor executor;
  BytesSink sink;
  const HistoryRun made = history.runs(run, run + 1).front();
  const Bytes good = history.segment(run);
  BytesSource source(good);
  const Footer footer = (*ObjectReader::open(source, "good"))->footer();
  ObjectHead head = made_head(ObjectKind::segment, history.page_size(), footer.first.value, footer.last.value);
  head.first_time_ms = footer.first_time_ms;
  head.last_time_ms = footer.last_time_ms;
  head.hash_before = footer.hash_before;
  auto writer = *SegmentWriter::open(head, sink, executor);
  for (const auto& [number, bytes] : made.pages) {
    Bytes written = bytes;
    if (number == lying) written[100] ^= std::byte{1};
    EXPECT_TRUE(writer->add_page(PageNo(number), written, page_hash(PageNo(number), bytes)));
  }
  EXPECT_TRUE(writer->end_run(made.point));
  EXPECT_TRUE(writer->finish());
  return std::move(sink.bytes);
}

TEST(Merge, L9_APageThatIsNotWhatItsHashSaysIsNeverSignedAgain) {
  History history(512, {{1, made_page(512, 1)}, {2, made_page(512, 2)}});
  for (std::uint64_t run = 1; run <= 3; ++run)
    history.add({{1, made_page(512, 10 * run)}, {2, made_page(512, 10 * run + 1)}}, 2);
  for (std::size_t run = 0; run < 3; ++run) {
    std::vector<Bytes> inputs{history.segment(0), history.segment(1), history.segment(2)};
    inputs[run] = segment_with_a_wrong_page(history, run, 2);
    // In a squash only run 2's pages are wanted: those of the others count all the same.
    for (const ObjectKind kind : {ObjectKind::bundle, ObjectKind::squashed}) {
      for (const std::uint64_t memory : {512u, 1u << 20}) {
        const std::string message = refused(inputs, kind, ErrorKind::corrupt, options_with(memory));
        EXPECT_THAT(message, HasSubstr("input " + std::to_string(run) + " is damaged: page 2"));
      }
    }
  }
}

TEST(Merge, ARunThatLacksAPageByWhichTheDatabaseGrewIsFound) {
  History history(512, {{1, made_page(512, 1)}});
  history.add({{1, made_page(512, 2)}}, 1);
  history.add({{1, made_page(512, 3)}, {2, made_page(512, 4)}, {4, made_page(512, 5)}}, 4);
  EXPECT_THAT(refused({history.segment(0), history.segment(1)}, ObjectKind::squashed, ErrorKind::corrupt),
              HasSubstr("input 1 lacks pages: the database grew from 1 to 4"));
}

TEST(Merge, ARunThatDoesNotAddUpIsFound) {
  History history(512, {{1, made_page(512, 1)}, {2, made_page(512, 2)}});
  history.add({{1, made_page(512, 3)}, {2, made_page(512, 4)}}, 2);
  history.add({{1, made_page(512, 5)}, {2, made_page(512, 6)}}, 2);
  std::vector<HistoryRun> lying = history.runs(1, 2);
  lying[0].pages.erase(2);  // and yet it claims the hash of a state with the new page 2
  const std::vector<Bytes> inputs{history.segment(0), *history.object(ObjectKind::segment, 1, 2, lying)};
  for (const ObjectKind kind : {ObjectKind::bundle, ObjectKind::squashed}) {
    EXPECT_THAT(refused(inputs, kind, ErrorKind::corrupt), HasSubstr("input 1: the pages of sequence 2 do not add up"));
  }
}

TEST(Merge, OnlyWhatFollowsEachOtherIsMerged) {
  const History history = random_history(512, 6, 4);
  const std::vector<Bytes> segments{history.segment(0), history.segment(1), history.segment(2), history.segment(3)};
  constexpr ObjectKind kBundle = ObjectKind::bundle;
  EXPECT_THAT(refused({segments[0], segments[2]}, kBundle, ErrorKind::invalid), HasSubstr("begins at 3"));
  EXPECT_THAT(refused({segments[1], segments[0]}, kBundle, ErrorKind::invalid), HasSubstr("begins at 1"));
  EXPECT_THAT(refused({segments[0], segments[0]}, kBundle, ErrorKind::invalid), HasSubstr("begins at 1"));
  EXPECT_THAT(refused({history.bundle(0, 3), history.bundle(2, 4)}, kBundle, ErrorKind::invalid),
              HasSubstr("ends at sequence 3"));
  EXPECT_THAT(refused({}, kBundle, ErrorKind::invalid), HasSubstr("nothing to merge"));
  EXPECT_THAT(refused({segments[0]}, ObjectKind::segment, ErrorKind::invalid), HasSubstr("bundle or a squashed"));
  InlineExecutor executor;
  const Bytes database = made_database(512, 3, 1);
  const Bytes snapshot = *write_snapshot(made_head(ObjectKind::snapshot, 512, 0, 0), database, executor);
  EXPECT_THAT(refused({snapshot}, kBundle, ErrorKind::invalid), HasSubstr("input 0 is a snapshot"));
  EXPECT_THAT(refused({snapshot, segments[0]}, kBundle, ErrorKind::invalid), HasSubstr("snapshot"));
}

TEST(Merge, L5_L15_OnlyOneHistoryIsMerged) {
  const History history = random_history(512, 8, 2), other = random_history(512, 9, 2);
  EXPECT_THAT(refused({history.segment(0), other.segment(1)}, ObjectKind::squashed, ErrorKind::corrupt),
              HasSubstr("input 1 does not continue input 0"));
  ObjectHead head = made_head(ObjectKind::segment, 512, 2, 2);
  head.lineage = made_id(77);
  InlineExecutor executor;
  const Bytes foreign = *write_runs(head, {made_run(512, 3, 1, 1)}, executor);
  EXPECT_THAT(refused({history.segment(0), foreign}, ObjectKind::bundle, ErrorKind::conflict),
              HasSubstr("different histories"));
}

TEST(Merge, AChangeOfPageSizeIsABoundary) {
  History small(512, {{1, made_page(512, 1)}});
  small.add({{1, made_page(512, 2)}}, 1);
  ObjectHead head = made_head(ObjectKind::segment, 4096, 2, 2);
  InlineExecutor executor;
  const Bytes large = *write_runs(head, {made_run(4096, 1, 1, 1)}, executor);
  for (const ObjectKind kind : {ObjectKind::bundle, ObjectKind::squashed}) {
    EXPECT_THAT(refused({small.segment(0), large}, kind, ErrorKind::unsupported), HasSubstr("from 512 to 4096"));
  }
}

TEST(Merge, StopsWhenAskedTo) {
  const History history = random_history(512, 10, 2);
  std::stop_source stop;
  MergeOptions options = options_with(512);
  options.stop = stop.get_token();
  const Inputs inputs({history.segment(0), history.segment(1)});
  InlineExecutor executor;
  BytesSink sink;
  const auto merge = *Merge::open(inputs.readers(), ObjectKind::bundle, sink, executor, options);
  EXPECT_FALSE(*merge->step());
  stop.request_stop();
  const Result<bool> stopped = merge->step();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().kind(), ErrorKind::cancelled);
}

TEST(Merge, AStepIsBounded) {
  const History history = random_history(512, 11, 6);
  const Inputs inputs({history.bundle(0, 6)});
  InlineExecutor executor;
  BytesSink sink;
  const std::uint64_t frames = (*open_and_verify(history.bundle(0, 6))).index_count;
  const auto merge = *Merge::open(inputs.readers(), ObjectKind::bundle, sink, executor, options_with(512 * 4, 1));
  std::uint64_t steps = 0;
  while (!*merge->step()) ++steps;
  EXPECT_EQ(steps, (frames + 3) / 4);
  EXPECT_TRUE(*merge->step()) << "complete stays complete";
  EXPECT_EQ(merge->footer().index_count, frames);
}

class FullSink final : public Sink {
 public:
  Result<void> write(ByteView) override { return Error(ErrorKind::io, "the disk is full"); }
};

TEST(Merge, AnErrorOfTheSinkIsReturned) {
  const History history = random_history(512, 12, 2);
  const Inputs inputs({history.segment(0), history.segment(1)});
  InlineExecutor executor;
  FullSink sink;
  const Result<Footer> footer = merge(inputs.readers(), ObjectKind::bundle, sink, executor);
  ASSERT_FALSE(footer);
  EXPECT_EQ(footer.error().message(), "the disk is full");
}

}  // namespace
}  // namespace cairn::segment
