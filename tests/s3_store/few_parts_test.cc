// A store that takes a thousand parts at most, as Swift does, and says so only when one is put: nothing is too large
// for it.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>

#include "base/bytes.h"
#include "base/executor.h"
#include "base/files.h"
#include "cairn/replicator.h"
#include "cairn/restore.h"
#include "s3_store/twin_store.h"
#include "store/counting.h"
#include "store/part_size.h"
#include "support/scratch.h"

namespace cairn::s3 {
namespace {

using testing::Scratch;
using twin::Operation;

// With parts that all have to be of one size, too.
TwinStoreOptions few_parts(std::uint64_t part_bytes) {
  TwinStoreOptions options = small_parts("r2", twin::Tls::off, part_bytes);
  options.twin.dialect.max_part_number = kPartsThatAllTake;
  return options;
}

TEST(FewParts, AreFoundOutByTryingOne) {
  TwinStore few(few_parts(1024));
  EXPECT_EQ(few.store->capabilities().max_parts, 10'000);
  EXPECT_EQ(*most_parts(*few.store, "k"), kPartsThatAllTake);
  EXPECT_EQ(few.store->capabilities().max_parts, kPartsThatAllTake);
  EXPECT_EQ(few.twin.upload_count("bucket"), 0u);
  const std::uint64_t asked = few.twin.counts().all_requests();
  EXPECT_EQ(*most_parts(*few.store, "k"), kPartsThatAllTake);
  EXPECT_EQ(few.twin.counts().all_requests(), asked) << "it is known by now";

  TwinStore many(small_parts("aws", twin::Tls::off, 1024));
  EXPECT_EQ(*most_parts(*many.store, "k"), 10'000);
  EXPECT_EQ(many.twin.upload_count("bucket"), 0u);
}

// Of few bytes many connections get parts, of many each part waits once for its answer.
TEST(PartSize, GrowsWithTheObject) {
  constexpr std::uint64_t kMiB = 1 << 20;
  EXPECT_EQ(part_size_bytes(17 * kMiB, 8 * kMiB, 10'000), 8 * kMiB);
  EXPECT_EQ(part_size_bytes(255 * kMiB, 8 * kMiB, 10'000), 8 * kMiB);
  EXPECT_EQ(part_size_bytes(256 * kMiB, 8 * kMiB, 10'000), 16 * kMiB);
  EXPECT_EQ(part_size_bytes(1024 * kMiB, 8 * kMiB, 10'000), 16 * kMiB);
  EXPECT_EQ(part_size_bytes(16'000 * kMiB, 8 * kMiB, 1000), 16 * kMiB);
  EXPECT_EQ(part_size_bytes(16'001 * kMiB, 8 * kMiB, 1000), 17 * kMiB);
  EXPECT_EQ(part_size_bytes(160'000 * kMiB, 8 * kMiB, 10'000), 16 * kMiB);
}

TEST(FewParts, AreEnoughForALargeObject) {
  TwinStore on(few_parts(256));
  const std::string text = SeededRandom(1).bytes(256 * 1000 * 2 + 77);  // twice the size would be one part too many
  const auto put = on.store->put_new("k", BytesSource(as_bytes(text)));
  ASSERT_TRUE(put) << put.error().message();
  EXPECT_TRUE(*on.twin.text_of("bucket", "k") == text);
  EXPECT_EQ(on.twin.upload_count("bucket"), 0u);
}

// Parts of any size: the twin takes them.
class AnySize final : public CountingStore {
 public:
  using CountingStore::CountingStore;
  StoreCapabilities capabilities() const override {
    StoreCapabilities can = CountingStore::capabilities();
    can.min_part_bytes = 1;
    return can;
  }
};

TEST(FewParts, AreEnoughForALargeSnapshot) {
  TwinStoreOptions as_usual = few_parts(1);
  as_usual.large = {};
  TwinStore on(as_usual);
  AnySize store(*on.store);
  const Scratch scratch("few-parts");
  const std::string path = scratch / "app.db";
  sqlite3* app = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &app), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(app, "PRAGMA journal_mode=WAL; CREATE TABLE t(v); INSERT INTO t VALUES(randomblob(2000000));"
                              "PRAGMA wal_checkpoint(TRUNCATE)", nullptr, nullptr, nullptr), SQLITE_OK);
  ReplicatorOptions options;
  options.database = path;
  options.replica = "app";
  options.state_directory = scratch / "state";
  options.part_bytes = 1000;
  const auto files = make_real_file_system();
  InlineExecutor executor;
  SeededRandom random(1);
  auto replicator = Replicator::open(store, *files, executor, random, options);
  ASSERT_TRUE(replicator) << replicator.error().message();
  Time now{1'700'000'000'000, 0};
  for (int i = 0; i < 20'000 && !(*replicator)->status().settled; ++i) {
    now.mono_us += 20'000;
    for (auto step : {&Replicator::capture_step, &Replicator::publish_step, &Replicator::snapshot_step}) {
      const auto done = (replicator->get()->*step)(now);
      ASSERT_TRUE(done) << done.error().message();
    }
  }
  EXPECT_TRUE((*replicator)->status().settled) << (*replicator)->status().store_trouble;
  (*replicator)->close(StopMode::tidy);
  sqlite3_close(app);
  const std::uint64_t parts = on.twin.counts().requests[Operation::upload_part];
  EXPECT_GT(parts, 600u);
  EXPECT_LE(parts, 1001u) << "one of them was a trial";
  const std::string restored = scratch / "restored.db";
  const auto result = run_restore(*on.store, "app", restored, {}, *files, executor);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(*read_file(*files, restored) == *read_file(*files, path));
}

}  // namespace
}  // namespace cairn::s3
