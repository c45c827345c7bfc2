// Every state comes back byte for byte, whatever objects lead to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "restore/test_replica.h"
#include "segment/keys.h"
#include "store/counting.h"

namespace cairn::restore {
namespace {

using cairn::testing::get_object;
using cairn::testing::Image;
using cairn::testing::ReplicaBuilder;
using segment::ObjectKind;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Restore : public testing::ReplicaTest {
 protected:
  // Real databases: a statement, a checkpoint, the file's bytes.
  struct Close {
    void operator()(sqlite3* connection) const { sqlite3_close(connection); }
  };
  void open_database(const std::string& name) {
    sqlite3* opened = nullptr;
    ASSERT_EQ(sqlite3_open(path(name).c_str(), &opened), SQLITE_OK);
    database_.reset(opened);
    database_name_ = name;
  }
  Image after(const std::string& sql) {
    const std::string all = sql + "; PRAGMA wal_checkpoint(TRUNCATE);";
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(database_.get(), all.c_str(), nullptr, nullptr, &message), SQLITE_OK) << message;
    sqlite3_free(message);
    return Image::of_database(read(database_name_));
  }
  std::unique_ptr<sqlite3, Close> database_;
  std::string database_name_;
};

// A history in which pages change, appear, vanish and come back.
void build_history(ReplicaBuilder& replica, std::uint32_t page_size, std::uint64_t seed, int length) {
  SeededRandom random(seed);
  Image image = Image::made(page_size, 3 + static_cast<std::uint32_t>(random.below(200)), seed);
  replica.begin(image);
  for (int i = 0; i < length; ++i) {
    if (random.chance(1, 3)) image.resize(1 + static_cast<std::uint32_t>(random.below(image.page_count + 20)));
    for (std::uint64_t changes = 1 + random.below(10); changes > 0; --changes) {
      image.change(1 + static_cast<std::uint32_t>(random.below(image.page_count + 2)), random.next());
    }
    replica.add(image);
    if (random.chance(1, 6)) replica.snapshot();
  }
}

TEST_F(Restore, EveryStateOfARealDatabaseIsByteIdentical) {
  for (const int page_size : {512, 4096, 65536}) {
    SCOPED_TRACE(page_size);
    auto store = make_memory_store();
    ReplicaBuilder replica(*store, "app.db");
    open_database("source-" + std::to_string(page_size) + ".db");
    replica.begin(after("PRAGMA page_size=" + std::to_string(page_size) +
                        "; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; CREATE TABLE t(a, b)"));
    replica.add(after("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) "
                      "INSERT INTO t SELECT i, hex(randomblob(100)) FROM n"));
    replica.add(after("DELETE FROM t WHERE a > 500; PRAGMA incremental_vacuum"));
    replica.add(after("CREATE INDEX u ON t(b); UPDATE t SET b = 'x' WHERE a % 7 = 0"));
    replica.snapshot();
    replica.add(after("DELETE FROM t WHERE a % 3 = 0; VACUUM"));
    replica.add(after("INSERT INTO t SELECT a, zeroblob(5000) FROM t"));
    expect_restores_all(*store, replica);
    EXPECT_TRUE(read("out.db")[18] == std::byte{2}) << "the WAL mode of the header is part of the state";
    database_.reset();
  }
}

// What a restore costs where every request is paid for, and waited for.
TEST_F(Restore, OneSnapshotAndAHundredSegmentsTakeARequestEach) {
  auto store = make_memory_store();
  ReplicaBuilder replica(*store, "app.db");
  Image image = Image::made(4096, 40, 1);
  replica.begin(image);
  for (std::uint64_t i = 1; i <= 100; ++i) {
    image.change(static_cast<std::uint32_t>(1 + i % 40), 1000 + i);
    image.change(static_cast<std::uint32_t>(1 + i * 7 % 40), 2000 + i);
    replica.add(image);
  }
  CountingStore counting(*store);
  auto result = run_restore(counting, "app.db", path("out.db"), {}, *files_, *executor_);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(read("out.db"), image.bytes());
  const StoreCounts counts = counting.counts();
  const auto gets = counts.of(Operation::get).calls + counts.of(Operation::get_suffix).calls;
  EXPECT_LE(counts.of(Operation::list).calls, 4u);
  EXPECT_LE(gets, 101u * 12 / 10);
  // And whether there is more than is listed.
  EXPECT_EQ(counts.total().calls, counts.of(Operation::list).calls + gets + 1);
}

TEST_F(Restore, EveryStateOfRandomHistoriesIsByteIdentical) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    auto store = make_memory_store();
    ReplicaBuilder replica(*store, "app.db");
    build_history(replica, seed % 2 == 0 ? 512 : 4096, seed, 12);
    expect_restores_all(*store, replica);
  }
}

TEST_F(Restore, MergedSegmentsGiveTheSameStates) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    auto store = make_memory_store();
    ReplicaBuilder replica(*store, "app.db");
    build_history(replica, 512, seed, 12);
    SeededRandom random(seed);
    for (int i = 0; i < 4; ++i) {
      const Sequence first(1 + random.below(11));
      const Sequence last(first.value + 1 + random.below(12 - first.value));
      replica.merge(1 + i, first, last, random.chance(1, 2) ? ObjectKind::bundle : ObjectKind::squashed);
    }
    expect_restores_all(*store, replica);
  }
}

TEST_F(Restore, ABundleAloneReachesEachOfItsPoints) {
  ReplicaBuilder replica(*store_, "app.db");
  build_history(replica, 512, 3, 8);
  replica.merge(1, Sequence(1), Sequence(8), ObjectKind::bundle);
  for (std::uint64_t i = 1; i <= 8; ++i) ASSERT_TRUE(store_->remove(replica.segment_key(Sequence(i))));
  expect_restores_all(*store_, replica);
}

TEST_F(Restore, L10_ShrinkThenGrowNeverBringsOldPagesBack) {
  ReplicaBuilder replica(*store_, "app.db");
  Image image = Image::made(512, 50, 1);
  replica.begin(image);
  image.change(40, 2);
  replica.add(image);
  image.resize(10);
  image.change(1, 3);
  replica.add(image);
  image.resize(60);  // pages 11..60 are zeros now
  image.change(2, 4);
  replica.add(image);
  expect_restores_all(*store_, replica);
  replica.merge(1, Sequence(1), Sequence(3), ObjectKind::squashed);
  for (std::uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(store_->remove(replica.segment_key(Sequence(i))));
  expect_restores(*store_, replica, Sequence(3));
}

TEST_F(Restore, V6_AShrunkDatabaseIsAsShortAsItsLastCommitSays) {
  ReplicaBuilder replica(*store_, "app.db");
  Image image = Image::made(4096, 202, 1);
  replica.begin(image);
  image.resize(22);
  image.change(1, 2);
  replica.add(image);
  auto result = restore(*store_, {});
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(read("out.db").size(), 22u * 4096);
}

TEST_F(Restore, AChangeOfPageSizeStartsAfresh) {
  ReplicaBuilder replica(*store_, "app.db");
  Image image = Image::made(4096, 30, 1);
  replica.begin(image);
  image.change(7, 2);
  replica.add(image);
  Image other = Image::made(512, 100, 3);
  replica.add(other);
  other.change(50, 4);
  replica.add(other);
  replica.add(Image::made(65536, 4, 5));
  expect_restores_all(*store_, replica);
  replica.merge(1, Sequence(1), Sequence(4), ObjectKind::squashed);
  for (std::uint64_t i = 1; i <= 4; ++i) ASSERT_TRUE(store_->remove(replica.segment_key(Sequence(i))));
  expect_restores(*store_, replica, Sequence(4));
}

TEST_F(Restore, L11_TheLockBytePageIsZerosAndNobodyMissesIt) {
  constexpr std::uint32_t kPageSize = 65536, kLockPage = 16385;
  ReplicaBuilder replica(*store_, "app.db");
  Image image = Image::made(kPageSize, 3, 1);
  image.resize(kLockPage + 1);
  image.change(kLockPage - 1, 2);
  image.change(kLockPage + 1, 3);
  replica.begin(image);
  image.change(kLockPage + 2, 4);
  replica.add(image);
  auto result = restore(*store_, {});
  ASSERT_TRUE(result) << result.error().message();
  auto file = files_->open(path("out.db"), OpenMode::read);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size().value_or(0), std::uint64_t{kLockPage + 2} * kPageSize);
  for (const std::uint32_t page : {1u, 3u, 4u, kLockPage - 1, kLockPage, kLockPage + 1, kLockPage + 2}) {
    Bytes bytes(kPageSize);
    ASSERT_TRUE((*file)->read_at(std::uint64_t{page - 1} * kPageSize, bytes));
    EXPECT_TRUE(bytes == image.page(page)) << "page " << page;
  }
}

TEST_F(Restore, TheNewestStateIsTheDefault) {
  ReplicaBuilder replica(*store_, "app.db");
  build_history(replica, 512, 5, 6);
  auto result = restore(*store_, {});
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ(result->plan.point.sequence, 6u);
  EXPECT_TRUE(read("out.db") == replica.state(Sequence(6)).bytes());
  EXPECT_EQ(result->plan.lineage, replica.lineage().hex());
  EXPECT_EQ(result->size_bytes, replica.state(Sequence(6)).bytes().size());
  EXPECT_GT(result->requests, 0u);
  EXPECT_GT(result->fetched_bytes, 0u);
}

TEST_F(Restore, OntoFetchesOnlyThePagesThatDiffer) {
  ReplicaBuilder replica(*store_, "app.db");
  Image image = Image::made(4096, 2000, 1);
  replica.begin(image);
  for (const std::uint32_t page : {1u, 500u, 1999u, 2001u}) image.change(page, 2);
  replica.add(image);
  // An old copy: the first state, one page of it spoiled, and longer than it should be.
  Bytes old = replica.state(Sequence(0)).bytes();
  old[4096 * 99] ^= std::byte{1};
  old.resize(old.size() + 10 * 4096);
  old[16] = std::byte{0x10};  // a header with the page size, as SQLite writes it
  old[17] = std::byte{0x00};
  write("out.db", old);
  RestoreOptions options;
  options.base = Base::existing;
  auto result = restore(*store_, {}, options);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(read("out.db") == image.bytes());
  EXPECT_EQ(result->reused_pages, 2001u - 5);
  const std::uint64_t all = get_object(*store_, replica.snapshot_key(Sequence(0))).size();
  EXPECT_LT(result->fetched_bytes, all / 3);
}

TEST_F(Restore, OntoAFileOfAnotherKindFetchesEverything) {
  ReplicaBuilder replica(*store_, "app.db");
  build_history(replica, 512, 6, 3);
  for (const std::size_t size : {0u, 10u, 5000u}) {
    write("out.db", Bytes(size, std::byte{7}));
    RestoreOptions options;
    options.base = Base::existing;
    auto result = restore(*store_, {}, options);
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_EQ(result->reused_pages, 0u);
    EXPECT_TRUE(read("out.db") == replica.state(Sequence(3)).bytes());
  }
}

TEST_F(Restore, PagesThatWereOverwrittenLaterAreNotFetched) {
  ReplicaBuilder replica(*store_, "app.db");
  Image image = Image::made(4096, 4000, 1);
  replica.begin(image);
  for (std::uint32_t page = 1000; page <= 3999; ++page) image.change(page, 2);
  replica.add(image);
  const std::uint64_t all = get_object(*store_, replica.snapshot_key(Sequence(0))).size() +
                            get_object(*store_, replica.segment_key(Sequence(1))).size();
  auto result = restore(*store_, {});
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(read("out.db") == image.bytes());
  EXPECT_LT(result->fetched_bytes, all * 7 / 10);
}

TEST_F(Restore, ProgressEndsAtTheTotal) {
  ReplicaBuilder replica(*store_, "app.db");
  build_history(replica, 4096, 7, 4);
  std::atomic<std::uint64_t> last = 0, total = 0;
  RestoreOptions options;
  options.progress = [&](std::uint64_t done, std::uint64_t all) {
    last = std::max(last.load(), done);
    total = all;
  };
  ASSERT_TRUE(restore(*store_, {}, options));
  EXPECT_GT(total, 0u);
  EXPECT_EQ(last, total);
}

TEST_F(Restore, AskedToStopItLeavesNothing) {
  ReplicaBuilder replica(*store_, "app.db");
  build_history(replica, 4096, 8, 4);
  std::stop_source stop;
  RestoreOptions options;
  options.stop = stop.get_token();
  options.progress = [&](std::uint64_t, std::uint64_t) { stop.request_stop(); };
  auto result = restore(*store_, {}, options);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), ErrorKind::cancelled);
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(Restore, ADryRunSaysWhatWouldBeFetched) {
  ReplicaBuilder replica(*store_, "app.db");
  build_history(replica, 512, 9, 5);
  auto plan = plan_restore(*store_, "app.db", testing::at_sequence(4));
  ASSERT_TRUE(plan) << plan.error().message();
  EXPECT_EQ(plan->point.sequence, 4u);
  EXPECT_EQ(plan->point.page_count, replica.state(Sequence(4)).page_count);
  EXPECT_TRUE(plan->objects.front().is_snapshot);
  EXPECT_EQ(plan->objects.back().last_sequence, 4u);
  auto nothing = plan_restore(*store_, "other.db", {});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().kind(), ErrorKind::not_found);
}

}  // namespace
}  // namespace cairn::restore
