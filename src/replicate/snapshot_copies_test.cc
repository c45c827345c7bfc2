// A snapshot takes what has not changed from the last one, by copies that the store makes: what is copied, and when.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "replicate/requests.h"
#include "replicate/test_snapshot_copies.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::kRowsOfAPage;
using replicator_test::SnapshotCopiesTest;
namespace fs = std::filesystem;

TEST_F(SnapshotCopiesTest, OneChangedPageSendsAFewParts) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  snapshot();
  EXPECT_GE(copies(), 2u);
  // Page 1 and the row's, each with what makes its part long enough, and the end of the object.
  EXPECT_LE(rules_.count(Operation::put_part), 4u);
  EXPECT_LT(rules_.part_bytes, newest_bytes() / 4);
  EXPECT_EQ(status().snapshot_copied_bytes + rules_.part_bytes, newest_bytes()) << "that is all of it";
  EXPECT_EQ(status().copy_trouble, "");
}

// The object is the one that would have been sent whole: the same bytes, from the first to the last.
TEST_F(SnapshotCopiesTest, TheObjectIsByteForByteWhatWasSentWhole) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  snapshot();
  ASSERT_GE(copies(), 2u);
  const Bytes copied = store_->get(keys().back())->bytes;
  const std::string key = keys().back();
  ASSERT_TRUE(store_->remove(key));
  rules_.copies = false;
  replicator_->request_snapshot();
  must_settle();
  ASSERT_EQ(keys().size(), 2u);
  Bytes whole = store_->get(keys().back())->bytes;
  ASSERT_EQ(whole.size(), copied.size());
  auto reader = segment::ObjectReader::open(*store_, keys().back());
  const segment::BlockInfo& last = (*reader)->blocks().back();
  const auto data = static_cast<std::ptrdiff_t>(last.offset + last.compressed_bytes);
  EXPECT_TRUE(std::equal(whole.begin(), whole.begin() + data, copied.begin()));
  // Behind the data only times differ: they are in the restore point, and in the tail with the checksums of both.
  const auto differ = std::mismatch(whole.begin(), whole.end(), copied.begin());
  EXPECT_LT(copied.end() - differ.second, 1024);
}

TEST_F(SnapshotCopiesTest, AnUnchangedDatabaseIsCopied) {
  begin();
  snapshot();
  EXPECT_EQ(copies(), 1u);
  EXPECT_EQ(rules_.count(Operation::put_part), 1u) << "the end of the object";
  EXPECT_LT(rules_.part_bytes, 64u << 10);
}

TEST_F(SnapshotCopiesTest, ADatabaseThatHasGrownOrShrunkKeepsWhatItHad) {
  must("PRAGMA auto_vacuum=INCREMENTAL; VACUUM");
  begin();
  must(insert(777));
  snapshot();
  EXPECT_GE(copies(), 1u);
  EXPECT_LT(rules_.part_bytes, newest_bytes());
  must(fmt::format("DELETE FROM t WHERE id > {}", kRowsOfAPage - 500));
  must("PRAGMA incremental_vacuum");
  snapshot();
  EXPECT_GE(copies(), 1u);
}

TEST_F(SnapshotCopiesTest, WhereEveryBlockHasChangedNothingIsCopied) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id % 30 = 0");
  snapshot();
  EXPECT_EQ(copies(), 0u);
}

TEST_F(SnapshotCopiesTest, AnotherPageSizeIsSentWhole) {
  begin();
  stop();
  must("PRAGMA journal_mode=DELETE; PRAGMA page_size=8192; VACUUM; PRAGMA journal_mode=WAL");
  open();
  must_settle();
  snapshot();
  EXPECT_EQ(copies(), 0u);
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  snapshot();
  EXPECT_GE(copies(), 1u);
}

TEST_F(SnapshotCopiesTest, AStoreThatCannotCopyIsNotAsked) {
  rules_.copies = false;
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  snapshot();
  EXPECT_EQ(copies(), 0u);
  EXPECT_EQ(status().copy_trouble, "") << "nothing is wrong with that";
}

// A range that was damaged in the store is copied with its damage. It lives no longer than that many snapshots.
TEST_F(SnapshotCopiesTest, AfterSixWithCopiesOneIsSentWhole) {
  begin();
  Bytes damaged = store_->get(keys().back())->bytes;
  damaged[damaged.size() / 2] ^= std::byte{1};
  replace(keys().back(), damaged);
  for (int i = 0; i < 7; ++i) {
    must(fmt::format("UPDATE t SET v=randomblob(3800) WHERE id={}", i + 1));
    rules_.reset();
    now_.wall_ms += 5'000;
    replicator_->request_snapshot();
    must_settle();
    EXPECT_EQ(copies() > 0, i < 6) << i;
    auto object = segment::ObjectReader::open(*store_, keys().back());
    EXPECT_EQ((*object)->verify().has_value(), i == 6) << "verify sees it as long as it is there";
    if (i == 2) {  // whatever process it is that counts
      stop();
      open();
      must_settle();
    }
  }
  expect_good();
}

TEST_F(SnapshotCopiesTest, WhoHasLostItsStateSendsOneWhole) {
  begin();
  stop();
  fs::remove_all(dir_ / "state");
  open();
  must_settle();
  snapshot();
  EXPECT_EQ(copies(), 0u);
  snapshot();
  EXPECT_GE(copies(), 1u);
}

TEST_F(SnapshotCopiesTest, WhoIsToldToSendsItWhole) {
  begin();
  rules_.reset();
  auto request = replicate::SnapshotRequest::put(*files_, options().state_directory, "one", CopyUnchanged::no);
  ASSERT_TRUE(request);
  now_.wall_ms += 5'000;
  now_.mono_us += 5'000'000;
  ASSERT_FALSE(turn());
  must_settle();
  ASSERT_EQ(keys().size(), 2u);
  EXPECT_EQ(copies(), 0u);
  snapshot();
  EXPECT_EQ(copies(), 1u) << "but the next one is not";
  stop();
  copy_unchanged_ = CopyUnchanged::no;
  open();
  must_settle();
  snapshot();
  EXPECT_EQ(copies(), 0u);
}

TEST_F(SnapshotCopiesTest, ADamagedEndIsNoSource) {
  begin();
  Bytes damaged = store_->get(keys().back())->bytes;
  damaged[damaged.size() - 10'000] ^= std::byte{1};  // in the hashes
  replace(keys().back(), damaged);
  snapshot();
  EXPECT_EQ(copies(), 0u);
}

TEST_F(SnapshotCopiesTest, WhoeverWritesMeanwhileWaitsForNothing) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  App app(db_path_);
  app.must("PRAGMA busy_timeout=0");
  int commits = 0;
  rules_.before = [&](const StoreCall& call) -> Result<void> {
    if (call.operation != Operation::copy_part && call.operation != Operation::put_part) return {};
    app.must(fmt::format("UPDATE t SET v=randomblob(3800) WHERE id={}", 200 + ++commits));
    if (commits % 3 == 0) app.must("PRAGMA wal_checkpoint(PASSIVE)");
    return {};
  };
  rules_.reset();
  now_.wall_ms += 5'000;
  replicator_->request_snapshot();
  for (int i = 0; i < 4000 && keys().size() < 2; ++i) ASSERT_FALSE(turn());
  EXPECT_GE(commits, 4);
  EXPECT_GE(copies(), 2u);
  rules_.before = {};
  must_settle();
  expect_good();
}

}  // namespace
}  // namespace cairn
