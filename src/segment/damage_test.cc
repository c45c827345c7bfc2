// What is damaged, cut, foreign or newer is refused with one clear sentence, and never taken for whole.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <zstd.h>

#include "base/bytes.h"
#include "segment/keys.h"
#include "segment/reseal.h"
#include "segment/test_objects.h"

namespace cairn::segment {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// One small object of each kind: a few hundred bytes, so that every byte can be tried.
Bytes small_object(ObjectKind kind) {
  InlineExecutor executor;
  Bytes page_a(512, std::byte{'a'});
  Bytes page_b(512, std::byte{'b'});
  for (int i = 0; i < 100; ++i) page_b[static_cast<std::size_t>(i * 3)] = static_cast<std::byte>(i);
  if (kind == ObjectKind::snapshot) {
    Bytes database = page_a;
    database.insert(database.end(), page_b.begin(), page_b.end());
    return *write_snapshot(made_head(kind, 512, 7, 7), database, executor);
  }
  std::vector<MadeRun> runs = {{{{1, page_a}, {3, page_b}}, 3}};
  if (kind == ObjectKind::bundle) runs.push_back({{{1, page_b}, {2, page_a}}, 2});
  return *write_runs(made_head(kind, 512, kind == ObjectKind::segment ? 8 : 7, 8), runs, executor);
}

class AnyKind : public ::testing::TestWithParam<ObjectKind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, AnyKind,
                         ::testing::Values(ObjectKind::snapshot, ObjectKind::segment, ObjectKind::bundle,
                                           ObjectKind::squashed));

TEST_P(AnyKind, BitFlipInAnyByteIsFound) {
  const Bytes object = small_object(GetParam());
  ASSERT_TRUE(open_and_verify(object));
  for (std::size_t i = 0; i < object.size(); ++i) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes damaged = object;
      damaged[i] ^= static_cast<std::byte>(1u << bit);
      Result<Footer> read = open_and_verify(damaged);
      ASSERT_FALSE(read) << "byte " << i << " bit " << bit << " of " << object.size();
      ASSERT_EQ(read.error().kind(), ErrorKind::corrupt) << "byte " << i << ": " << read.error().message();
    }
  }
}

TEST_P(AnyKind, AnyOtherByteValueIsFound) {
  const Bytes object = small_object(GetParam());
  SeededRandom random(1);
  for (std::size_t i = 0; i < object.size(); ++i) {
    Bytes damaged = object;
    damaged[i] ^= static_cast<std::byte>(1 + random.below(255));
    ASSERT_FALSE(open_and_verify(damaged)) << "byte " << i;
  }
}

TEST_P(AnyKind, CutAtAnyLengthIsCorruptAndNamesTheObject) {
  const Bytes object = small_object(GetParam());
  for (std::size_t length = 0; length < object.size(); ++length) {
    Result<Footer> read = open_and_verify(ByteView(object).first(length), "app.db/cut");
    ASSERT_FALSE(read) << length;
    ASSERT_EQ(read.error().kind(), ErrorKind::corrupt) << length;
    ASSERT_THAT(read.error().message(), StartsWith("app.db/cut is damaged: ")) << length;
  }
}

TEST_P(AnyKind, WhatIsAppendedIsFound) {
  for (std::size_t more = 1; more < 300; ++more) {
    Bytes object = small_object(GetParam());
    object.resize(object.size() + more);
    Result<Footer> read = open_and_verify(object);
    ASSERT_FALSE(read) << more;
    ASSERT_EQ(read.error().kind(), ErrorKind::corrupt);
  }
}

TEST_P(AnyKind, TwoObjectsInARowAreNotOne) {
  Bytes object = small_object(GetParam());
  Bytes twice = object;
  twice.insert(twice.end(), object.begin(), object.end());
  Result<Footer> read = open_and_verify(twice);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind(), ErrorKind::corrupt);
}

TEST_P(AnyKind, MissingBytesInTheMiddleAreFound) {
  const Bytes object = small_object(GetParam());
  for (std::size_t i = 0; i < object.size(); ++i) {
    Bytes damaged = object;
    damaged.erase(damaged.begin() + static_cast<std::ptrdiff_t>(i));
    ASSERT_FALSE(open_and_verify(damaged)) << i;
  }
}

TEST_P(AnyKind, NewerFormatIsUnsupportedAndSaysSo) {
  Bytes object = small_object(GetParam());
  std::size_t tail = *tail_begin_of(object);
  store_le<std::uint16_t>(object.data() + tail + 174, 3);
  reseal(object);
  Result<Footer> read = open_and_verify(object, "app.db/wal/x");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind(), ErrorKind::unsupported);
  EXPECT_EQ(read.error().message(),
            "app.db/wal/x was written by a newer Cairn (format 3); this one reads up to 1: update Cairn");
}

TEST_P(AnyKind, NoFieldOfTheTailCanLieUnnoticed) {
  const Bytes object = small_object(GetParam());
  const std::size_t tail = *tail_begin_of(object);
  // Fields that nothing else in the object contradicts: the kind (a segment could as well be a bundle of one run),
  // lineage (of a snapshot; a segment's is in its salts), writer, times, the hash of the state before, reserved
  // bytes, and how much a block holds when there is just one.
  auto is_free = [](std::size_t at) {
    return at < 4 || (at >= 8 && at < 40) || (at >= 56 && at < 80) || (at >= 96 && at < 100);
  };
  for (std::size_t at = 0; at < kTailBytes - kTailEndBytes; ++at) {
    if (is_free(at)) continue;
    for (unsigned bit = 0; bit < 8; ++bit) {
      Bytes damaged = object;
      damaged[tail + at] ^= static_cast<std::byte>(1u << bit);
      reseal(damaged);
      if (damaged == object) continue;  // a checksum, which reseal has made right again
      Result<Footer> read = open_and_verify(damaged);
      ASSERT_FALSE(read) << "tail byte " << at << " bit " << bit;
      ASSERT_EQ(read.error().kind(), ErrorKind::corrupt) << read.error().message();
    }
  }
}

TEST(Damage, SegmentOfAnotherLineageDoesNotFitItsSalts) {
  Bytes object = small_object(ObjectKind::segment);
  object[*tail_begin_of(object) + 8] ^= std::byte{1};
  reseal(object);
  Result<Footer> read = open_and_verify(object);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message(), HasSubstr("WAL header"));
}

TEST(Damage, EmptyObjectSaysSo) {
  Result<Footer> read = open_and_verify({}, "app.db/snapshots/x");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind(), ErrorKind::corrupt);
  EXPECT_THAT(read.error().message(), StartsWith("app.db/snapshots/x is damaged: it is empty."));
}

TEST(Damage, OtherFilesAreNotObjects) {
  Bytes text(100'000, std::byte{'x'});
  Bytes zstd_file(ZSTD_compressBound(text.size()));
  zstd_file.resize(ZSTD_compress(zstd_file.data(), zstd_file.size(), text.data(), text.size(), 3));
  for (const Bytes& other : {text, zstd_file, Bytes(9, std::byte{0}), Bytes(1)}) {
    Result<Footer> read = open_and_verify(other, "thing");
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().kind(), ErrorKind::corrupt);
    EXPECT_THAT(read.error().message(), StartsWith("thing is damaged: "));
  }
}

// A file in the zstd seekable format, as others write it: no footer in front of the table.
TEST(Damage, SeekableFileWithoutFooterSaysThatItHasNone) {
  Bytes object = small_object(ObjectKind::snapshot);
  std::size_t tail = *tail_begin_of(object);
  std::memset(object.data() + tail + kTailBytes - 8, 0, 8);
  Result<Footer> read = open_and_verify(object, "thing");
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message(), HasSubstr("no Cairn footer"));
}

TEST(Damage, ObjectUnderAnotherObjectsNameIsRefused) {
  Bytes segment = small_object(ObjectKind::segment);    // sequence 8
  Bytes snapshot = small_object(ObjectKind::snapshot);  // sequence 7
  Bytes bundle = small_object(ObjectKind::bundle);      // 7 to 8
  EXPECT_TRUE(open_and_verify(segment, segment_key("r", Sequence(8))));
  EXPECT_TRUE(open_and_verify(snapshot, snapshot_key("r", 0, Sequence(7))));
  EXPECT_TRUE(open_and_verify(bundle, merged_key("r", 1, Sequence(7), Sequence(8))));
  EXPECT_TRUE(open_and_verify(segment, "/spool/00000000000000000009"));  // not a key: says nothing

  for (const auto& [object, name] : std::vector<std::pair<Bytes, std::string>>{
           {segment, segment_key("r", Sequence(9))},
           {segment, snapshot_key("r", 0, Sequence(8))},
           {segment, merged_key("r", 1, Sequence(8), Sequence(8))},
           {snapshot, snapshot_key("r", 0, Sequence(8))},
           {snapshot, segment_key("r", Sequence(7))},
           {bundle, merged_key("r", 1, Sequence(6), Sequence(8))},
           {bundle, merged_key("r", 1, Sequence(7), Sequence(9))},
           {bundle, segment_key("", Sequence(8))},
       }) {
    Result<Footer> read = open_and_verify(object, name);
    ASSERT_FALSE(read) << name;
    EXPECT_EQ(read.error().kind(), ErrorKind::corrupt);
    EXPECT_THAT(read.error().message(), StartsWith(name));
  }
}

TEST(Damage, FlippedBlockIsFoundByWhoeverReadsIt) {
  InlineExecutor executor;
  Bytes database = made_database(4096, 200, 1);  // 4 blocks
  Bytes object = *write_snapshot(made_head(ObjectKind::snapshot, 4096, 1, 1), database, executor);
  BytesSource source(object);
  std::vector<BlockInfo> blocks = (*ObjectReader::open(source, "object"))->blocks();
  ASSERT_EQ(blocks.size(), 4u);
  object[blocks[2].offset + 1000] ^= std::byte{0x10};
  auto reader = *ObjectReader::open(source, "object");
  EXPECT_TRUE(reader->read_blocks(0, 2));
  EXPECT_TRUE(reader->read_blocks(3, 1));
  for (std::uint32_t first = 0; first <= 2; ++first) {
    Result<std::vector<Bytes>> read = reader->read_blocks(first, 3 - first);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().kind(), ErrorKind::corrupt);
    EXPECT_THAT(read.error().message(), StartsWith("object is damaged: block 3 of 4: "));
    std::vector<std::uint32_t> visited;
    Result<void> visit = reader->visit_blocks(first, 3 - first, [&](std::uint32_t block, auto) -> Result<void> {
      visited.push_back(block);
      return {};
    });
    ASSERT_FALSE(visit);
    EXPECT_EQ(visit.error().message(), read.error().message());
    EXPECT_EQ(visited.size(), 2 - first);  // those in front of it, and never the damaged one
  }
}

TEST(Damage, FlippedPageHashIsFoundByWhoeverReadsIt) {
  InlineExecutor executor;
  Bytes database = made_database(512, 20'000, 1);
  Bytes object = *write_snapshot(made_head(ObjectKind::snapshot, 512, 1, 1), database, executor, 1);
  BytesSource source(object);
  const std::size_t tail = *tail_begin_of(object);
  const std::size_t reader_blocks = (*ObjectReader::open(source, "object"))->blocks().size();
  const std::size_t hashes = tail - kPointBytes - reader_blocks * 8 - hashes_section_bytes(20'000);
  object[hashes + (kHashesPerGroup + 1) * 8 + 80] ^= std::byte{1};  // in the second group
  auto reader = ObjectReader::open(source, "object");
  ASSERT_TRUE(reader) << reader.error().message();
  EXPECT_TRUE((*reader)->index(0, kHashesPerGroup));
  EXPECT_TRUE((*reader)->index(2 * kHashesPerGroup, 10));
  Result<PageIndex> index = (*reader)->index(kHashesPerGroup, 1);
  ASSERT_FALSE(index);
  EXPECT_EQ(index.error().kind(), ErrorKind::corrupt);
  EXPECT_THAT(index.error().message(), HasSubstr("page hashes"));
}

TEST(Damage, SnapshotWhosePagesDoNotMatchItsHashesIsFound) {
  InlineExecutor executor;
  Bytes object = small_object(ObjectKind::snapshot);
  const std::size_t hashes = *tail_begin_of(object) - kPointBytes - 8 - hashes_section_bytes(2);
  object[hashes] ^= std::byte{1};
  reseal(object);
  Result<Footer> read = open_and_verify(object);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message(), HasSubstr("page 1 does not match its hash"));
}

TEST(Damage, SnapshotWhoseDatabaseHashIsWrongIsFound) {
  Bytes object = small_object(ObjectKind::snapshot);
  object[*tail_begin_of(object) - kPointBytes + 24] ^= std::byte{1};
  reseal(object);
  Result<Footer> read = open_and_verify(object);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message(), HasSubstr("do not add up to its database hash"));
}

}  // namespace
}  // namespace cairn::segment
