// Reading through a store: how many requests it takes, and what a store's failures look like from above.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "segment/keys.h"
#include "segment/test_objects.h"
#include "store/counting.h"
#include "store/faulty.h"

namespace cairn::segment {
namespace {

using namespace testing;
using ::testing::HasSubstr;

class FromStore : public ::testing::Test {
 protected:
  void put(const std::string& key, const Bytes& object) {
    BytesSource source(object);
    Result<std::string> put = inner_->put_new(key, source);
    ASSERT_TRUE(put) << put.error().message();
  }
  void replace(const std::string& key, const Bytes& object) {
    BytesSource source(object);
    ASSERT_TRUE(inner_->put_if(key, source, inner_->head(key)->etag));
  }
  std::uint64_t calls() const { return store_.counts().total().calls; }
  Bytes snapshot_of(std::uint32_t page_size, std::uint32_t pages) {
    Bytes database = made_database(page_size, pages, 1);
    return *write_snapshot(made_head(ObjectKind::snapshot, page_size, 1, 1), database, executor_);
  }
  Bytes segment_of(std::uint32_t page_size, std::uint32_t pages) {
    MadeRun run = made_run(page_size, pages, 1, 1);
    return *write_runs(made_head(ObjectKind::segment, page_size, 1, 1), {run}, executor_);
  }

  InlineExecutor executor_;
  std::unique_ptr<Store> inner_ = make_memory_store();
  CountingStore store_{*inner_};
  const std::string snapshot_ = snapshot_key("r", 0, Sequence(1));
  const std::string segment_ = segment_key("r", Sequence(1));
};

TEST_F(FromStore, OneRequestOpensMostObjects) {
  put(snapshot_, snapshot_of(512, 20'000));
  put(segment_, segment_of(512, 5000));
  for (const std::string& key : {snapshot_, segment_}) {
    store_.reset();
    auto reader = ObjectReader::open(store_, key);
    ASSERT_TRUE(reader) << reader.error().message();
    EXPECT_EQ(calls(), 1u);
    EXPECT_EQ(store_.counts().of(Operation::get_suffix).calls, 1u);
  }
}

TEST_F(FromStore, OneMoreRequestWhenTheIndexIsLong) {
  put(segment_, segment_of(512, 30'000));
  auto reader = ObjectReader::open(store_, segment_);
  ASSERT_TRUE(reader) << reader.error().message();
  EXPECT_EQ(calls(), 2u);
  EXPECT_EQ((*reader)->footer().index_count, 30'000u);
}

TEST_F(FromStore, RangeOfBlocksIsOneRequest) {
  put(snapshot_, snapshot_of(4096, 500));
  auto reader = *ObjectReader::open(store_, snapshot_);
  store_.reset();
  ASSERT_EQ(reader->blocks().size(), 8u);
  EXPECT_TRUE(reader->read_blocks(2, 5));
  EXPECT_EQ(calls(), 1u);
  const BlockInfo& last = reader->blocks()[6];
  EXPECT_EQ(store_.counts().total().received_bytes,
            last.offset + last.compressed_bytes - reader->blocks()[2].offset);
}

// Gives what is read in pieces of some size.
class InPieces final : public CountingStore {
 public:
  InPieces(Store& inner, std::size_t size) : CountingStore(inner), size_(size) {}
  Result<ObjectInfo> read(std::string_view key, std::uint64_t offset, std::uint64_t length,
                          const TakePiece& take) override {
    return CountingStore::read(key, offset, length, [&](const ObjectInfo& whole, ByteView bytes) -> Result<void> {
      for (; !bytes.empty(); bytes = bytes.subspan(std::min(size_, bytes.size())))
        CAIRN_TRY(take(whole, bytes.first(std::min(size_, bytes.size()))));
      return {};
    });
  }

 private:
  const std::size_t size_;
};

TEST_F(FromStore, BlocksArePutTogetherFromWhateverPiecesCome) {
  const Bytes object = snapshot_of(4096, 500);
  put(snapshot_, object);
  const BytesSource source(object);
  const auto local = *ObjectReader::open(source, "object");
  const std::vector<Bytes> blocks = *local->read_blocks(1, 7);
  const std::size_t first_bytes = local->blocks()[1].compressed_bytes;
  for (const std::size_t size : {std::size_t{1}, std::size_t{1000}, first_bytes - 1, first_bytes, first_bytes + 1,
                                 2 * first_bytes + 1, object.size()}) {
    InPieces store(*inner_, size);
    const auto reader = *ObjectReader::open(store, snapshot_);
    const auto read = reader->read_blocks(1, 7);
    ASSERT_TRUE(read) << size << ": " << read.error().message();
    EXPECT_TRUE(*read == blocks) << size;
    EXPECT_TRUE(verify_object(*reader)) << size;
  }
}

TEST_F(FromStore, AbsentStaysNotFound) {
  auto reader = ObjectReader::open(store_, segment_);
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().kind(), ErrorKind::not_found);
  put(snapshot_, snapshot_of(4096, 500));
  auto opened = *ObjectReader::open(store_, snapshot_);
  ASSERT_TRUE(inner_->remove(snapshot_));  // pruned meanwhile: the caller plans again
  Result<std::vector<Bytes>> blocks = opened->read_blocks(0, 1);
  ASSERT_FALSE(blocks);
  EXPECT_EQ(blocks.error().kind(), ErrorKind::not_found);
}

TEST_F(FromStore, EmptyObjectIsCorrupt) {
  put(segment_, {});
  auto reader = ObjectReader::open(store_, segment_);
  ASSERT_FALSE(reader);
  EXPECT_EQ(reader.error().kind(), ErrorKind::corrupt);
  EXPECT_THAT(reader.error().message(), HasSubstr(segment_ + " is damaged: it is empty"));
}

TEST_F(FromStore, ObjectReplacedWhileReadIsNeverMixed) {
  Bytes first = snapshot_of(4096, 500);
  put(snapshot_, first);
  auto reader = *ObjectReader::open(store_, snapshot_);
  Bytes second = *write_snapshot(made_head(ObjectKind::snapshot, 4096, 1, 1), made_database(4096, 500, 2), executor_);
  replace(snapshot_, second);
  Result<std::vector<Bytes>> blocks = reader->read_blocks(0, 1);
  ASSERT_FALSE(blocks);
  EXPECT_EQ(blocks.error().kind(), ErrorKind::corrupt);
  EXPECT_THAT(blocks.error().message(), HasSubstr("replaced while it was read"));
}

TEST_F(FromStore, VerifyReadsEverythingInFewRequests) {
  put(snapshot_, snapshot_of(4096, 2000));  // 32 blocks
  auto reader = *ObjectReader::open(store_, snapshot_);
  store_.reset();
  ASSERT_TRUE(verify_object(*reader));
  EXPECT_LE(calls(), 6u);
}

// A connection that was cut says nothing about the object: it must not be called damaged.
TEST_F(FromStore, ShortAnswerIsTriedAgainAndNotCalledDamage) {
  put(snapshot_, snapshot_of(4096, 500));
  FaultPlan plan;
  SeededRandom random(1);
  std::unique_ptr<Store> faulty = make_faulty_store(*inner_, plan, random);
  auto reader = ObjectReader::open(*faulty, snapshot_);
  ASSERT_TRUE(reader) << reader.error().message();
  plan.truncated = 1000;
  EXPECT_EQ(ObjectReader::open(*faulty, snapshot_).error().kind(), ErrorKind::retry_later);
  EXPECT_EQ((*reader)->read_blocks(0, 1).error().kind(), ErrorKind::retry_later);
  EXPECT_EQ((*reader)->index().error().kind(), ErrorKind::retry_later);
  EXPECT_EQ(verify_object(**reader).error().kind(), ErrorKind::retry_later);
  plan.truncated = 0;
  EXPECT_TRUE(verify_object(**reader));
}

// Over plain http nothing but these checksums notices a bit that was flipped on its way. It says nothing of the object.
TEST_F(FromStore, WhatArrivesGarbledIsReadAgain) {
  put(snapshot_, snapshot_of(4096, 500));
  put(segment_, segment_of(512, 30'000));
  FaultPlan plan;
  SeededRandom random(1);
  std::unique_ptr<Store> faulty = make_faulty_store(*inner_, plan, random);
  plan.flipped = 60;
  for (int round = 0; round < 20; ++round) {
    for (const std::string& key : {snapshot_, segment_}) {
      for (const KeepEnd keep : {KeepEnd::no, KeepEnd::yes}) {
        auto reader = ObjectReader::open(*faulty, key, keep);
        ASSERT_TRUE(reader) << reader.error().message();
        const auto index = (*reader)->index();
        ASSERT_TRUE(index) << index.error().message();
        const auto blocks = (*reader)->read_blocks(0, static_cast<std::uint32_t>((*reader)->blocks().size()));
        ASSERT_TRUE(blocks) << blocks.error().message();
        const auto verified = verify_object(**reader);
        ASSERT_TRUE(verified) << verified.error().message();
      }
    }
  }
  EXPECT_GT(plan.injected, 20u);
}

TEST_F(FromStore, WhatIsDamagedEveryTimeIsCorruptAfterAFewReadings) {
  Bytes object = snapshot_of(4096, 500);
  object[100] ^= std::byte{1};
  put(snapshot_, object);
  auto reader = *ObjectReader::open(store_, snapshot_);
  store_.reset();
  EXPECT_EQ(reader->read_blocks(0, 1).error().kind(), ErrorKind::corrupt);
  EXPECT_LE(calls(), 5u);
  EXPECT_EQ(verify_object(*reader).error().kind(), ErrorKind::corrupt);
  object.back() ^= std::byte{1};
  replace(snapshot_, object);
  store_.reset();
  EXPECT_EQ(ObjectReader::open(store_, snapshot_).error().kind(), ErrorKind::corrupt);
  EXPECT_LE(calls(), 4u);
}

}  // namespace
}  // namespace cairn::segment
