// A second snapshot of one database, into the twin in its dialects: what has not changed is copied where the store does
// that, and sent where it does not.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>

#include "base/executor.h"
#include "base/files.h"
#include "cairn/replicator.h"
#include "cairn/restore.h"
#include "s3_store/twin_store.h"
#include "store/counting.h"
#include "support/scratch.h"

namespace cairn::s3 {
namespace {

using testing::Scratch;
using twin::Operation;

constexpr std::uint64_t kLeastPart = 300 << 10;

// Parts as small as the twin takes them.
class SmallParts final : public CountingStore {
 public:
  using CountingStore::CountingStore;
  StoreCapabilities capabilities() const override {
    StoreCapabilities can = CountingStore::capabilities();
    can.min_part_bytes = kLeastPart;
    return can;
  }
};

struct Copying {
  const char* dialect;
  bool copies;  // into objects that it then makes
};

class SnapshotInDialect : public ::testing::TestWithParam<Copying> {
 protected:
  SnapshotInDialect() : on_(options()), store_(*on_.store) {
    EXPECT_EQ(sqlite3_open(database_.c_str(), &app_), SQLITE_OK);
    must("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v); "
         "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000) "
         "INSERT INTO t(v) SELECT randomblob(3800) FROM n; PRAGMA wal_checkpoint(TRUNCATE)");
  }
  ~SnapshotInDialect() override { sqlite3_close(app_); }
  static TwinStoreOptions options() {
    TwinStoreOptions options = small_parts(GetParam().dialect, twin::Tls::off, kLeastPart);
    options.large = {};
    return options;
  }
  void must(const std::string& sql) {
    ASSERT_EQ(sqlite3_exec(app_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(app_);
  }
  void open() {
    ReplicatorOptions options;
    options.database = database_;
    options.replica = "app";
    options.state_directory = scratch_ / "state";
    options.part_bytes = 2 * kLeastPart;
    auto opened = Replicator::open(store_, *files_, executor_, random_, options);
    ASSERT_TRUE(opened) << opened.error().message();
    replicator_ = std::move(*opened);
  }
  void settle() {
    const auto looks = replicator_->status().looks;
    for (int i = 0; i < 5'000 && !(replicator_->status().settled && replicator_->status().looks > looks + 1); ++i) {
      now_.mono_us += 1'100'000;
      now_.wall_ms += 1'100;
      for (auto step : {&Replicator::capture_step, &Replicator::publish_step, &Replicator::snapshot_step}) {
        const auto done = (replicator_.get()->*step)(now_);
        ASSERT_TRUE(done) << done.error().message();
      }
    }
    ASSERT_TRUE(replicator_->status().settled) << replicator_->status().store_trouble;
  }

  const Scratch scratch_{"copies"};
  const std::string database_ = scratch_ / "app.db";
  sqlite3* app_ = nullptr;
  TwinStore on_;
  SmallParts store_;
  const std::unique_ptr<FileSystem> files_ = make_real_file_system();
  InlineExecutor executor_;
  SeededRandom random_{1};
  std::unique_ptr<Replicator> replicator_;
  Time now_{1'700'000'000'000, 0};
};

TEST_P(SnapshotInDialect, OfOneChangedPageIsTheSameDatabase) {
  open();
  settle();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1000");
  settle();
  on_.twin.reset_counts();
  store_.reset();
  replicator_->request_snapshot();
  settle();
  const std::uint64_t sent = store_.counts().of(cairn::Operation::put_part).sent_bytes;
  const std::uint64_t size = store_.list("app/snapshots/", {}, 0)->objects.back().size_bytes;
  ASSERT_EQ(store_.list("app/snapshots/", {}, 0)->objects.size(), 2u);
  if (GetParam().copies) {
    EXPECT_LT(sent, size / 3);
    EXPECT_GE(on_.twin.counts().requests[Operation::copy_part], 2u);
    EXPECT_EQ(replicator_->status().copy_trouble, "");
  } else {
    EXPECT_GE(sent, size);
    EXPECT_NE(replicator_->status().copy_trouble, "");
  }
  EXPECT_EQ(on_.twin.upload_count("bucket"), 0u);
  replicator_->close(StopMode::tidy);
  must("PRAGMA wal_checkpoint(TRUNCATE)");
  const std::string restored = scratch_ / "restored.db";
  const auto result = run_restore(store_, "app", restored, {}, *files_, executor_);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_TRUE(*read_file(*files_, restored) == *read_file(*files_, database_));
  const auto report = verify_replica(store_, "app", VerifyDepth::deep, scratch_.path(), *files_, executor_);
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_TRUE(report->problems.empty());
}
// r2 wants parts of one size, and says so at the end; "nothing" does not copy.
INSTANTIATE_TEST_SUITE_P(Dialects, SnapshotInDialect,
                         ::testing::Values(Copying{"aws", true}, Copying{"minio", true}, Copying{"ceph16", true},
                                           Copying{"ceph20", true}, Copying{"swift238", true}, Copying{"b2", true},
                                           Copying{"r2", false}, Copying{"nothing", false}),
                         [](const auto& one) { return std::string(one.param.dialect); });

}  // namespace
}  // namespace cairn::s3
