// A snapshot that takes what has not changed from the last one, by copies that the store makes.
#include <gtest/gtest.h>

#include <optional>

#include "replicate/local_state.h"
#include "replicate/requests.h"
#include "segment/keys.h"
#include "segment/reader.h"
#include "support/part_rules_store.h"
#include "support/stepped_replicator.h"

namespace cairn {
namespace {

using replicator_test::App;
using replicator_test::ReplicatorTest;
namespace fs = std::filesystem;

constexpr std::uint64_t kLeastPart = 300 << 10, kSentPart = 600 << 10;
constexpr int kRowsOfAPage = 2000;  // a page each, of bytes that do not compress: 8 MiB, some 32 blocks

class SnapshotCopiesTest : public ReplicatorTest {
 protected:
  SnapshotCopiesTest() {
    rules_.min_part_bytes = kLeastPart;
    App app(db_path_);
    app.must("PRAGMA page_size=4096; PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    app.must(insert(kRowsOfAPage));
    app.must("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  ~SnapshotCopiesTest() override { stop(StopMode::crash); }

  static std::string insert(int rows) {
    return fmt::format("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{}) "
                       "INSERT INTO t(v) SELECT randomblob(3800) FROM n", rows);
  }
  void must(const std::string& sql) {
    App app(db_path_);
    app.must(sql);
  }
  void open(int level = 3) {
    ReplicatorOptions o = options();
    o.part_bytes = kSentPart;
    o.snapshot_level = level;
    o.snapshot_interval_ms = 0;
    o.copy_unchanged = copy_unchanged_;
    auto opened = Replicator::open(rules_, *files_, executor_, random_, o);
    ASSERT_TRUE(opened) << opened.error().message();
    replicator_ = std::move(*opened);
  }
  // One that is sent whole: what the next ones are copied from.
  void begin() {
    open();
    must_settle();
    ASSERT_EQ(rules_.count(Operation::copy_part), 0u);
  }
  // The next one, with whatever was changed before. It is whole in itself, and a restore gives the database.
  void snapshot() {
    rules_.reset();
    const std::size_t before = keys().size();
    now_.wall_ms += 5'000;  // a key of its own
    replicator_->request_snapshot();
    for (int i = 0; i < 3 && keys().size() == before; ++i) must_settle();  // it may begin anew
    ASSERT_EQ(keys().size(), before + 1);
    expect_good();
  }
  void expect_good() {
    const auto hook = std::exchange(rules_.before, {});
    auto object = segment::ObjectReader::open(*store_, keys().back());
    ASSERT_TRUE(object) << object.error().message();
    const auto verified = (*object)->verify();
    ASSERT_TRUE(verified) << verified.error().message();
    EXPECT_TRUE(restored() == committed());
    EXPECT_TRUE(store_->list_uploads("app/")->empty());
    EXPECT_FALSE(fs::exists(dir_ / "state" / "upload"));
    rules_.before = hook;
  }
  std::vector<std::string> keys() {
    std::vector<std::string> keys;
    const auto page = store_->list("app/snapshots/");
    for (const ObjectInfo& object : page->objects) keys.push_back(object.key);
    return keys;
  }
  std::uint64_t copies() const { return rules_.count(Operation::copy_part); }
  std::uint64_t newest_bytes() { return store_->head(keys().back())->size_bytes; }
  ReplicatorStatus status() const { return replicator_->status(); }
  replicate::LocalRecord record() { return *replicate::LocalState::read_record(*files_, (dir_ / "state").string()); }

  // Before the `nth` call of `operation`, once.
  void before_call(Operation operation, int nth, std::function<Result<void>()> act) {
    rules_.before = [=, this, left = nth](const StoreCall& call) mutable -> Result<void> {
      if (call.operation != operation || --left != 0) return {};
      return act();
    };
  }
  void replace(const std::string& key, const Bytes& bytes) {
    ASSERT_TRUE(store_->put_if(key, BytesSource(bytes), store_->head(key)->etag));
  }

  testing::PartRulesStore rules_{*store_};
  CopyUnchanged copy_unchanged_ = CopyUnchanged::yes;
};

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

class CopyFails : public SnapshotCopiesTest, public ::testing::WithParamInterface<ErrorKind> {};

TEST_P(CopyFails, AndAllOfItIsSentInTheSameUpload) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  rules_.before = [](const StoreCall& call) -> Result<void> {
    if (call.operation == Operation::copy_part) return Error(GetParam(), "it copies nothing");
    return {};
  };
  snapshot();
  EXPECT_EQ(copies(), 1u) << "once";
  EXPECT_EQ(rules_.count(Operation::begin_upload), 1u);
  EXPECT_EQ(rules_.part_bytes, newest_bytes());
  EXPECT_EQ(status().snapshot_copied_bytes, 0u);
  EXPECT_NE(status().copy_trouble.find("it copies nothing"), std::string::npos) << status().copy_trouble;
  EXPECT_EQ(status().store_trouble, "");
  // Another day it may.
  rules_.before = {};
  snapshot();
  EXPECT_GE(copies(), 1u);
  EXPECT_EQ(status().copy_trouble, "");
}
INSTANTIATE_TEST_SUITE_P(Kinds, CopyFails,
                         ::testing::Values(ErrorKind::unsupported, ErrorKind::invalid, ErrorKind::denied,
                                           ErrorKind::corrupt, ErrorKind::io),
                         [](const auto& kind) { return std::string(name_of(kind.param)); });

TEST_F(SnapshotCopiesTest, WhatFailsForAWhileIsTriedAgain) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  int left = 3;
  rules_.before = [&](const StoreCall& call) -> Result<void> {
    if (call.operation == Operation::copy_part && left-- > 0) return Error(ErrorKind::retry_later, "503");
    return {};
  };
  snapshot();
  EXPECT_GE(copies(), 5u);
  EXPECT_GT(status().snapshot_copied_bytes, newest_bytes() / 2);
}

TEST_F(SnapshotCopiesTest, WhatAlwaysFailsIsSent) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  rules_.before = [&](const StoreCall& call) -> Result<void> {
    if (call.operation == Operation::copy_part) return Error(ErrorKind::maybe_done, "no answer");
    return {};
  };
  snapshot();
  EXPECT_EQ(copies(), 4u);
  EXPECT_EQ(status().snapshot_copied_bytes, 0u);
}

// As Cloudflare R2 wants it: it copies, and then does not make the object.
TEST_F(SnapshotCopiesTest, AStoreThatWantsEqualPartsIsAskedOnce) {
  rules_.wants_equal_parts = true;
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  snapshot();
  EXPECT_GE(copies(), 1u);
  EXPECT_NE(status().copy_trouble, "");
  EXPECT_TRUE(record().copies_refused);
  stop();
  open();
  must_settle();
  snapshot();
  EXPECT_EQ(copies(), 0u);
}

TEST_F(SnapshotCopiesTest, ASourceThatIsRemovedBetweenTwoCopiesIsSent) {
  begin();
  for (const bool leaves_out : {true, false}) {
    must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
    rules_.leaves_out_parts = leaves_out;
    before_call(Operation::copy_part, 2, [this] { return store_->remove(keys().back()); });
    rules_.reset();
    now_.wall_ms += 5'000;
    replicator_->request_snapshot();
    must_settle();
    expect_good();
    rules_.before = {};
    EXPECT_NE(status().copy_trouble, "");
    EXPECT_EQ(rules_.count(Operation::begin_upload), 1u) << "what was copied before stays, and the rest is sent";
    EXPECT_LT(rules_.part_bytes, newest_bytes());
    snapshot();  // whole: copies have failed
    snapshot();
    EXPECT_GE(copies(), 1u);
  }
}

TEST_F(SnapshotCopiesTest, ASourceThatIsReplacedWhileItIsCopiedIsNotBelieved) {
  begin();
  const Bytes other(store_->get(keys().back())->bytes.size(), std::byte{7});
  for (const bool leaves_out : {true, false}) {
    must("UPDATE t SET v=randomblob(3800) WHERE id=1500");  // another state than that of the source, which is lost
    rules_.leaves_out_parts = leaves_out;
    const std::string source = keys().back();
    before_call(Operation::copy_part, 1, [&]() -> Result<void> {
      replace(source, other);
      return {};
    });
    snapshot();
    EXPECT_NE(status().copy_trouble.find(source), std::string::npos) << status().copy_trouble;
    rules_.before = {};
    snapshot();
  }
}

// Copies all of the source, whatever it is asked for.
class CopiesTooMuch final : public StoreAround<CopiesTooMuch> {
 public:
  explicit CopiesTooMuch(Store& inner) : inner_(inner) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    return call();
  }
  Result<PartInfo> copy_part(std::string_view key, std::string_view upload_id, int number,
                             std::string_view source_key, std::uint64_t, std::uint64_t length) override {
    auto part = inner_.copy_part(key, upload_id, number, source_key, 0, inner_.head(source_key)->size_bytes);
    if (part) part->size_bytes = length;
    return part;
  }

 private:
  Store& inner_;
};

// What it made of the parts is looked at before anybody can see the object.
TEST_F(SnapshotCopiesTest, AStoreThatCopiesAnotherRangeIsFoundOut) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  stop();
  CopiesTooMuch liar(rules_);
  ReplicatorOptions o = options();
  o.part_bytes = kSentPart;
  auto opened = Replicator::open(liar, *files_, executor_, random_, o);
  ASSERT_TRUE(opened);
  replicator_ = std::move(*opened);
  must_settle();
  snapshot();
  EXPECT_NE(status().copy_trouble, "");
  EXPECT_TRUE(record().copies_refused);
  stop();
}

// What is sent between two copies is made smaller than the store takes: by a level that was raised.
TEST_F(SnapshotCopiesTest, WhatHasBecomeTooSmallForAPartIsSentWithAllTheRest) {
  // Eight letters in random order: level 1 leaves three eighths of their bytes, and one that looks at less all of them.
  std::string letters = "hex(v)";
  for (int i = 0; i < 8; ++i) letters = fmt::format("replace({}, '{:X}', '{}')", letters, i + 8, i);
  must(fmt::format("UPDATE t SET v=substr({}, 1, 3800)", letters));
  rules_.min_part_bytes = 640 << 10;  // four blocks as they are, and a half more, are five that are made anew
  open(-50);
  must_settle();
  stop();
  must("UPDATE t SET v=substr(v, 2) || '0' WHERE id=1000");
  open(1);
  must_settle();
  snapshot();
  EXPECT_NE(status().copy_trouble.find("smaller"), std::string::npos) << status().copy_trouble;
  EXPECT_EQ(status().snapshot_copied_bytes, 0u);
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

// A process that is killed: at which call, and whether that has its effect.
struct CopyMoment {
  const char* name;
  Operation operation;
  int nth;
  bool has_effect;
};

class KilledWhileItCopies : public SnapshotCopiesTest, public ::testing::WithParamInterface<CopyMoment> {};

TEST_P(KilledWhileItCopies, TheNextOneEndsWithTheSameObject) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id IN (700, 1400)");
  must_settle();
  bool is_dead = false;
  const Error dead(ErrorKind::retry_later, "the process is dead");
  auto is_now = [&, count = 0](const StoreCall& call) mutable {
    return call.operation == GetParam().operation && ++count == GetParam().nth;
  };
  rules_.before = [&](const StoreCall& call) -> Result<void> {
    if (!is_dead && !GetParam().has_effect) is_dead = is_now(call);
    return is_dead ? Result<void>(dead) : Result<void>();
  };
  rules_.after = [&](const StoreCall& call) -> Result<void> {
    if (!is_dead && GetParam().has_effect) is_dead = is_now(call);
    return is_dead ? Result<void>(dead) : Result<void>();
  };
  rules_.reset();
  now_.wall_ms += 5'000;
  replicator_->request_snapshot();
  for (int i = 0; i < 4000 && !is_dead; ++i) ASSERT_FALSE(turn());
  ASSERT_TRUE(is_dead) << "the test has not come to its moment";
  stop(StopMode::crash);
  rules_.before = rules_.after = {};
  now_.wall_ms += 100'000;
  open();
  must_settle();
  if (keys().size() < 2) {  // nobody remembers that it was asked for: nothing was begun
    ASSERT_EQ(GetParam().operation, Operation::begin_upload);
    replicator_->request_snapshot();
    must_settle();
  }
  EXPECT_EQ(keys().size(), 2u);
  EXPECT_EQ(rules_.count(Operation::complete_new), GetParam().operation == Operation::complete_new ? 2u : 1u);
  EXPECT_LT(rules_.part_bytes, newest_bytes()) << "what was copied was not sent";
  expect_good();
}
INSTANTIATE_TEST_SUITE_P(
    Moments, KilledWhileItCopies,
    ::testing::Values(CopyMoment{"BeforeTheUploadIsBegun", Operation::begin_upload, 1, false},
                      CopyMoment{"WithAnUploadThatNobodyNoted", Operation::begin_upload, 1, true},
                      CopyMoment{"BeforeTheFirstCopy", Operation::copy_part, 1, false},
                      CopyMoment{"BehindTheFirstCopy", Operation::copy_part, 1, true},
                      CopyMoment{"BehindTheSecondCopy", Operation::copy_part, 2, true},
                      CopyMoment{"BeforeTheSourceIsLookedAtAgain", Operation::head, 2, false},
                      CopyMoment{"WithACopyThatIsNoted", Operation::head, 3, false},
                      CopyMoment{"BeforeTheFirstPart", Operation::put_part, 1, false},
                      CopyMoment{"BehindTheFirstPart", Operation::put_part, 1, true},
                      CopyMoment{"BehindTheLastPart", Operation::list_parts, 1, false},
                      CopyMoment{"BeforeTheObjectIsMade", Operation::complete_new, 1, false}),
    [](const auto& moment) { return std::string(moment.param.name); });

// Nobody heard that the object is there. The next one sees it.
TEST_F(SnapshotCopiesTest, AnObjectThatWasMadeWhenTheProcessDiedIsFound) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  bool is_dead = false;
  rules_.after = [&](const StoreCall& call) -> Result<void> {
    is_dead = is_dead || call.operation == Operation::complete_new;
    return is_dead ? Result<void>(Error(ErrorKind::retry_later, "the process is dead")) : Result<void>();
  };
  rules_.before = [&](const StoreCall&) { return is_dead ? Result<void>(Error(ErrorKind::retry_later, "dead"))
                                                         : Result<void>(); };
  replicator_->request_snapshot();
  now_.wall_ms += 5'000;
  for (int i = 0; i < 4000 && !is_dead; ++i) ASSERT_FALSE(turn());
  ASSERT_TRUE(is_dead);
  stop(StopMode::crash);
  rules_.before = rules_.after = {};
  rules_.reset();
  open();
  must_settle();
  EXPECT_EQ(rules_.count(Operation::begin_upload), 0u);
  EXPECT_EQ(keys().size(), 2u);
  expect_good();
}

// Journalled: what has arrived before is not asked for again.
TEST_F(SnapshotCopiesTest, AProcessThatIsKilledBehindItsCopiesIsGoneOnWith) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  must_settle();
  rules_.reset();
  now_.wall_ms += 5'000;
  replicator_->request_snapshot();
  for (int i = 0; i < 4000 && rules_.count(Operation::put_part) < 2; ++i) ASSERT_FALSE(turn());
  const std::uint64_t copied = copies();
  ASSERT_GE(copied, 2u);
  stop(StopMode::crash);
  now_.wall_ms += 100'000;
  open();
  must_settle();
  EXPECT_EQ(copies(), copied);
  EXPECT_EQ(rules_.count(Operation::begin_upload), 1u);
  EXPECT_LE(rules_.count(Operation::put_part), 5u);
  expect_good();
}

TEST_F(SnapshotCopiesTest, AfterAKillASourceThatIsGoneIsSentIntoTheSameKey) {
  begin();
  must("UPDATE t SET v=randomblob(3800) WHERE id=1500");
  must_settle();
  for (const bool leaves_out : {true, false}) {
    rules_.leaves_out_parts = leaves_out;
    rules_.reset();
    now_.wall_ms += 5'000;
    replicator_->request_snapshot();
    for (int i = 0; i < 4000 && rules_.count(Operation::put_part) < 1; ++i) ASSERT_FALSE(turn());
    ASSERT_GE(copies(), 1u);
    stop(StopMode::crash);
    ASSERT_TRUE(store_->remove(keys().back()));
    open();
    must_settle();
    expect_good();
    snapshot();
  }
}

}  // namespace
}  // namespace cairn
