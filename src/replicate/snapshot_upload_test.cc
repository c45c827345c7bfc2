// A large snapshot on its way into the store: parts side by side, a process that is killed in the middle, an upload
// that expires.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "base/clock.h"
#include "base/executor.h"
#include "base/files.h"
#include "cairn/replicator.h"
#include "cairn/restore.h"
#include "replicate/upload_journal.h"
#include "segment/keys.h"
#include "store/counting.h"
#include "store/part_size.h"
#include "store/part_uploads.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr int kMiB = 60;  // of bytes that do not compress: 7 or 8 parts of 8 MiB

// Takes a thousand parts at most, and says so when it has refused one, as Swift does. Parts may be of any size.
class FewParts final : public CountingStore {
 public:
  explicit FewParts(Store& inner, int most = kPartsThatAllTake) : CountingStore(inner), most_(most) {}
  StoreCapabilities capabilities() const override {
    StoreCapabilities can = CountingStore::capabilities();
    can.min_part_bytes = 1;
    if (has_refused_) can.max_parts = most_;
    return can;
  }
  Result<PartInfo> put_part(std::string_view key, std::string_view upload_id, int number,
                            const Source& body) override {
    if (number > most_) {
      has_refused_ = true;
      return Error(ErrorKind::invalid, "Part number must be an integer between 1 and " + std::to_string(most_));
    }
    return CountingStore::put_part(key, upload_id, number, body);
  }

 private:
  const int most_;
  bool has_refused_ = false;
};

class SnapshotUploadTest : public ::testing::Test {
 public:
  SnapshotUploadTest() {
    std::string pattern = (fs::temp_directory_path() / "cairn-upload-XXXXXX").string();
    dir_ = mkdtemp(pattern.data());
    db_path_ = (dir_ / "app.db").string();
    sqlite3_open(db_path_.c_str(), &app_);
    must("PRAGMA journal_mode=WAL; CREATE TABLE t(v); "
         "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<" + std::to_string(kMiB) + ") "
         "INSERT INTO t SELECT randomblob(1048000) FROM n; PRAGMA wal_checkpoint(TRUNCATE)");
  }
  ~SnapshotUploadTest() override {
    replicator_.reset();
    sqlite3_close(app_);
    fs::remove_all(dir_);
  }

  void must(const std::string& sql) {
    ASSERT_EQ(sqlite3_exec(app_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(app_);
  }
  void start(Executor* transfers = nullptr) {
    ReplicatorOptions options;
    options.database = db_path_;
    options.replica = "app";
    options.state_directory = (dir_ / "state").string();
    options.transfers = transfers;
    options.part_bytes = part_bytes_;
    options.copy_unchanged = CopyUnchanged::no;  // what is copied is in snapshot_copies_test.cc
    Store& store = few_ ? static_cast<Store&>(*few_) : counting_;
    auto opened = Replicator::open(store, *files_, executor_, random_, options);
    ASSERT_TRUE(opened) << opened.error().message();
    replicator_ = std::move(*opened);
  }
  void die() {
    replicator_->close(StopMode::crash);
    replicator_.reset();
  }
  void turn() {
    now_.mono_us += 20'000;
    now_.wall_ms += 20;
    for (auto step : {&Replicator::capture_step, &Replicator::publish_step, &Replicator::snapshot_step}) {
      auto done = (replicator_.get()->*step)(now_);
      ASSERT_TRUE(done) << done.error().message();
    }
  }
  void turn_until_parts(std::uint64_t count) {
    for (int i = 0; i < 100'000 && calls(Operation::put_part) < count; ++i) turn();
    ASSERT_EQ(calls(Operation::put_part), count);
  }
  void settle() {
    for (int i = 0; i < 100'000 && !replicator_->status().settled; ++i) turn();
    ASSERT_TRUE(replicator_->status().settled) << replicator_->status().store_trouble;
  }
  std::uint64_t calls(Operation operation) const { return counting_.counts().of(operation).calls; }
  std::string upload_id() {
    const auto uploads = store_->list_uploads("app/");
    EXPECT_EQ(uploads->size(), 1u);
    return uploads->empty() ? "" : uploads->front().upload_id;
  }
  void expect_restored_equal() {
    must("PRAGMA wal_checkpoint(TRUNCATE)");
    const std::string out = (dir_ / "restored.db").string();
    auto result = run_restore(*store_, "app", out, {}, *files_, executor_);
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_EQ(std::system(("cmp " + out + " " + db_path_).c_str()), 0);
    EXPECT_TRUE(store_->list_uploads("app/")->empty()) << "nothing is left behind";
    EXPECT_FALSE(fs::exists(dir_ / "state" / "upload"));
  }

  fs::path dir_;
  std::string db_path_;
  sqlite3* app_ = nullptr;
  std::unique_ptr<Store> store_ = make_memory_store();
  CountingStore counting_{*store_};
  std::unique_ptr<FewParts> few_;  // around it, when it is set
  std::uint64_t part_bytes_ = 8 << 20;
  std::unique_ptr<FileSystem> files_ = make_real_file_system();
  InlineExecutor executor_;
  SeededRandom random_{7};
  std::unique_ptr<Replicator> replicator_;
  Time now_{1'700'000'000'000, 0};
};

TEST_F(SnapshotUploadTest, AfterAKillOnlyThePartsThatAreNotThereAreSent) {
  start();
  turn_until_parts(3);
  const std::string upload = upload_id();
  die();
  start();
  settle();
  EXPECT_EQ(calls(Operation::begin_upload), 1u);
  const std::uint64_t parts = calls(Operation::put_part);
  EXPECT_EQ(parts, (kMiB + 7) / 8u) << "each part was sent once";
  EXPECT_GE(calls(Operation::list_parts), 1u);
  expect_restored_equal();
}

TEST_F(SnapshotUploadTest, PartsOfADatabaseThatHasChangedAreSentAnew) {
  start();
  turn_until_parts(4);
  die();
  must("UPDATE t SET v=randomblob(1048000) WHERE rowid > 40");
  must("PRAGMA wal_checkpoint(TRUNCATE)");
  start();
  settle();
  EXPECT_EQ(calls(Operation::begin_upload), 1u);
  expect_restored_equal();
}

TEST_F(SnapshotUploadTest, AnExpiredUploadStartsOver) {
  start();
  turn_until_parts(3);
  ASSERT_TRUE(store_->abort_upload("app/snapshots/x", "nothing"));
  const auto uploads = store_->list_uploads("app/");
  ASSERT_EQ(uploads->size(), 1u);
  ASSERT_TRUE(store_->abort_upload(uploads->front().key, uploads->front().upload_id));
  settle();
  EXPECT_EQ(calls(Operation::begin_upload), 2u);
  expect_restored_equal();
}

TEST_F(SnapshotUploadTest, AnUploadThatExpiredWhileDownStartsOver) {
  start();
  turn_until_parts(3);
  die();
  const auto uploads = store_->list_uploads("app/");
  ASSERT_TRUE(store_->abort_upload(uploads->front().key, uploads->front().upload_id));
  start();
  settle();
  EXPECT_EQ(calls(Operation::begin_upload), 2u);
  expect_restored_equal();
}

TEST_F(SnapshotUploadTest, ALaterSnapshotThatWasKilledIsFinishedUnderItsKey) {
  start();
  settle();
  must("INSERT INTO t VALUES('one more')");
  settle();
  counting_.reset();
  replicator_->request_snapshot();
  turn_until_parts(3);
  die();
  now_.wall_ms += 100'000;
  start();
  settle();
  EXPECT_EQ(calls(Operation::begin_upload), 1u);
  EXPECT_EQ(calls(Operation::put_part), (kMiB + 7) / 8u);
  EXPECT_EQ(store_->list("app/snapshots/")->objects.size(), 2u);
  expect_restored_equal();
}

TEST_F(SnapshotUploadTest, PartsGoSideBySide) {
  const auto pool = make_thread_pool(4);
  start(pool.get());
  settle();
  expect_restored_equal();
  die();
}

// That many parts of this size would be too many for it: they are larger from the first one on, for the next process
// too, which does not know it yet.
TEST_F(SnapshotUploadTest, WhereAThousandPartsAreTheMostTheyAreLarger) {
  part_bytes_ = 16 << 10;
  few_ = std::make_unique<FewParts>(counting_);
  start();
  turn_until_parts(300);
  die();
  few_ = std::make_unique<FewParts>(counting_);
  start();
  settle();
  EXPECT_EQ(calls(Operation::begin_upload), 3u) << "two trials, and an upload that both went on with";
  EXPECT_GT(calls(Operation::put_part), 500u);
  EXPECT_LE(calls(Operation::put_part), 1000u);
  expect_restored_equal();
}

TEST_F(SnapshotUploadTest, WhereMoreAreTakenTheyStaySmall) {
  part_bytes_ = 16 << 10;
  few_ = std::make_unique<FewParts>(counting_, 10'000);
  start();
  settle();
  EXPECT_EQ(calls(Operation::begin_upload), 2u);
  EXPECT_GT(calls(Operation::put_part), 3'500u);
  expect_restored_equal();
}

TEST_F(SnapshotUploadTest, NothingIsTriedWhereAThousandAreEnough) {
  part_bytes_ = 128 << 10;
  few_ = std::make_unique<FewParts>(counting_);
  start();
  settle();
  EXPECT_EQ(calls(Operation::begin_upload), 1u);
  expect_restored_equal();
}

TEST(PartSize, IsTheLeastWithWhichAnObjectIsNoMoreParts) {
  constexpr std::uint64_t kMiBytes = 1 << 20, kTiBytes = 1ull << 40;
  EXPECT_EQ(part_bytes_for(0, 8 * kMiBytes, 1000), 8 * kMiBytes);
  EXPECT_EQ(part_bytes_for(8000 * kMiBytes, 8 * kMiBytes, 1000), 8 * kMiBytes);
  EXPECT_EQ(part_bytes_for(8000 * kMiBytes + 1, 8 * kMiBytes, 1000), 8 * kMiBytes + 1);
  for (const int most : {1, 2, 999, 1000, 10'000}) {
    for (const std::uint64_t size : {std::uint64_t{1}, 999 * kMiBytes, 77'777 * kMiBytes + 7, 5 * kTiBytes}) {
      const std::uint64_t part = part_bytes_for(size, 8 * kMiBytes, most);
      EXPECT_LE((size + part - 1) / part, static_cast<std::uint64_t>(most)) << size << " " << most;
    }
  }
}

TEST(PartUploads, AreNoMoreAtOnceThanAllowed) {
  const auto store = make_memory_store();
  const auto pool = make_thread_pool(4);
  PartUploads uploads(*store, *pool, "k", *store->begin_upload("k"), 2);
  for (const int number : {1, 2}) {
    ASSERT_TRUE(uploads.room());
    uploads.put(number, Bytes(10));
  }
  EXPECT_FALSE(uploads.room());
  while (!uploads.next_finished()) uploads.wait(1000);
  EXPECT_TRUE(uploads.room());
}

TEST_F(SnapshotUploadTest, AnUploadOfADatabaseThatHasBecomeSmallIsEnded) {
  start();
  turn_until_parts(3);
  die();
  ASSERT_EQ(store_->list_uploads("app/")->size(), 1u);
  must("DELETE FROM t; PRAGMA wal_checkpoint(TRUNCATE); VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
  start();
  settle();
  expect_restored_equal();
}

// Nobody asks for this snapshot again, and nothing here knows of its upload.
TEST_F(SnapshotUploadTest, AnUploadThatNobodyRemembersIsEndedByTheNextStart) {
  start();
  settle();
  replicator_->request_snapshot();
  turn_until_parts(calls(Operation::put_part) + 2);
  die();
  ASSERT_EQ(store_->list_uploads("app/")->size(), 1u);
  fs::remove_all(dir_ / "state");
  const std::uint64_t parts = calls(Operation::put_part);
  start();
  settle();
  for (int i = 0; i < 50; ++i) turn();
  EXPECT_EQ(calls(Operation::put_part), parts);
  expect_restored_equal();
}

// Of a segment or a merged object: when it is old enough that no put can be under way.
TEST_F(SnapshotUploadTest, AnUploadOfASegmentThatIsADayOldIsEnded) {
  const auto begin = [&](std::string_view key) {
    ASSERT_TRUE(store_->begin_upload(key));
  };
  begin(segment::segment_key("app", Sequence(7)));
  begin(segment::merged_key("app", 1, Sequence(1), Sequence(4)));
  begin("app/other");
  begin("app2/" + segment::segment_key("app", Sequence(7)));
  const std::int64_t begun_ms = store_->list_uploads("")->front().begun_ms;
  constexpr std::int64_t kDayLong_ms = 24ll * 3600 * 1000;
  now_.wall_ms = begun_ms + kDayLong_ms - 60'000;
  start();
  settle();
  EXPECT_EQ(store_->list_uploads("")->size(), 4u);
  die();
  now_.wall_ms = begun_ms + kDayLong_ms + 60'000;
  start();
  settle();
  const auto uploads = store_->list_uploads("");
  std::set<std::string> left;
  for (const UploadInfo& upload : *uploads) left.insert(upload.key);
  EXPECT_EQ(left, (std::set<std::string>{"app/other", "app2/" + segment::segment_key("app", Sequence(7))}));
}

// Another one's is left alone until it is known that the replica is ours.
TEST_F(SnapshotUploadTest, WhoIsRefusedEndsNobodysUpload) {
  start();
  settle();
  replicator_->request_snapshot();
  turn_until_parts(calls(Operation::put_part) + 2);
  auto first = std::move(replicator_);
  must("INSERT INTO t VALUES (1)");
  const std::string state = (dir_ / "state2").string();
  ReplicatorOptions options;
  options.database = db_path_;
  options.replica = "app";
  options.state_directory = state;
  auto opened = Replicator::open(counting_, *files_, executor_, random_, options);
  ASSERT_TRUE(opened);
  std::optional<Error> refused;
  for (int i = 0; i < 10'000 && !refused; ++i) {
    now_.mono_us += 20'000;
    for (auto step : {&Replicator::capture_step, &Replicator::publish_step, &Replicator::snapshot_step}) {
      auto done = (opened->get()->*step)(now_);
      if (!done && !refused) refused = done.error();
    }
  }
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->kind(), ErrorKind::conflict);
  EXPECT_EQ(store_->list_uploads("app/")->size(), 1u);
  (*opened)->close(StopMode::crash);
  first->close(StopMode::crash);
}

TEST(UploadJournal, ATornOrGarbledLineEndsIt) {
  std::string pattern = (fs::temp_directory_path() / "cairn-journal-XXXXXX").string();
  const std::string dir = mkdtemp(pattern.data());
  const auto files = make_real_file_system();
  replicate::UploadJournal journal(*files, dir);
  EXPECT_FALSE(journal.read()->has_value());
  ASSERT_TRUE(journal.begin({.key = "k", .upload_id = "u\"\n", .sequence = Sequence(3), .time_ms = 5, .part_bytes = 7,
                             .parts = {}}));
  for (int n : {1, 2, 3}) ASSERT_TRUE(journal.add({.info = {n, "etag", 7}, .hash = ~0ull - n}));
  const auto whole = journal.read();
  ASSERT_TRUE(whole && *whole);
  EXPECT_EQ((*whole)->upload_id, "u\"\n");
  ASSERT_EQ((*whole)->parts.size(), 3u);
  EXPECT_EQ((*whole)->parts.at(2).hash, ~0ull - 2);

  std::string text;
  std::getline(std::ifstream(dir + "/upload"), text, '\0');
  std::size_t parts_before = 3;
  for (std::size_t size = text.size(); size-- > 0;) {  // cut anywhere
    std::ofstream(dir + "/upload", std::ios::trunc) << text.substr(0, size);
    const auto cut = journal.read();
    ASSERT_TRUE(cut);
    const std::size_t parts = *cut ? (*cut)->parts.size() : 0;
    ASSERT_LE(parts, parts_before);
    parts_before = parts;
  }
  for (std::size_t at = 0; at < text.size(); ++at) {  // a flipped bit anywhere
    std::string flipped = text;
    flipped[at] = static_cast<char>(flipped[at] ^ 4);
    std::ofstream(dir + "/upload", std::ios::trunc) << flipped;
    const auto read = journal.read();
    ASSERT_TRUE(read);
    if (*read) {
      EXPECT_EQ((*read)->upload_id, "u\"\n");
      EXPECT_LT((*read)->parts.size(), 3u);
    }
  }
  fs::remove_all(dir);
}

}  // namespace
}  // namespace cairn
