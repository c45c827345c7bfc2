// What cannot be restored exactly is refused with one clear sentence, and nothing on disk changes.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "restore/test_replica.h"
#include "restore/watched_store.h"
#include "segment/footer.h"
#include "segment/keys.h"
#include "segment/reseal.h"
#include "store/faulty.h"

namespace cairn::restore {
namespace {

using cairn::testing::get_object;
using cairn::testing::Image;
using cairn::testing::replace_object;
using cairn::testing::ReplicaBuilder;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class RestoreRefuses : public testing::ReplicaTest {
 protected:
  RestoreRefuses() : replica_(*store_, "app.db") {
    Image image = Image::made(512, 40, 1);
    replica_.begin(image);
    for (std::uint32_t i = 1; i <= 6; ++i) {
      image.change(i * 3, 100 + i);
      image.change(i * 2, 200 + i);
      replica_.add(image);
    }
  }
  std::string key(std::uint64_t sequence) const { return replica_.segment_key(Sequence(sequence)); }

  ReplicaBuilder replica_;
};

TEST_F(RestoreRefuses, R5_AMissingSegmentIsNamed) {
  ASSERT_TRUE(store_->remove(key(4)));
  const std::string error = expect_refused(*store_, {}, ErrorKind::corrupt);
  EXPECT_THAT(error, HasSubstr("segment 4 is missing: 1..3 and 5..6 are there"));
  expect_restores(*store_, replica_, Sequence(3));
}

TEST_F(RestoreRefuses, L4_NothingToRestoreMakesNoFile) {
  auto empty = make_memory_store();
  expect_refused(*empty, {}, ErrorKind::not_found);
  auto result = restore(*empty, {}, {}, "new.db");
  ASSERT_FALSE(result);
  EXPECT_FALSE(exists("new.db"));
  ASSERT_TRUE(store_->remove(replica_.snapshot_key(Sequence(0))));
  EXPECT_THAT(expect_refused(*store_, {}, ErrorKind::not_found), HasSubstr("no snapshot to begin from"));
}

TEST_F(RestoreRefuses, L9_ATruncatedObjectIsCorrupt) {
  for (const std::string& damaged : {key(4), replica_.snapshot_key(Sequence(0))}) {
    const Bytes whole = get_object(*store_, damaged);
    for (const std::size_t length : {whole.size() - 1, whole.size() / 2, std::size_t{9}, std::size_t{1}}) {
      replace_object(*store_, damaged, ByteView(whole).first(length));
      EXPECT_THAT(expect_refused(*store_, {}, ErrorKind::corrupt), HasSubstr(damaged));
    }
    replace_object(*store_, damaged, whole);
  }
  expect_restores(*store_, replica_, Sequence(6));
}

TEST_F(RestoreRefuses, L9_AFlippedBitAnywhereIsCorruptOrHarmless) {
  for (const std::string& damaged : {key(4), replica_.snapshot_key(Sequence(0))}) {
    const Bytes whole = get_object(*store_, damaged);
    int refused = 0;
    for (std::size_t at = 0; at < whole.size(); at += 1 + whole.size() / 60) {
      Bytes flipped = whole;
      flipped[at] ^= std::byte{0x10};
      replace_object(*store_, damaged, flipped);
      RestoreOptions options;
      options.overwrite = Overwrite::replace;
      auto result = restore(*store_, {}, options);
      if (result) {
        // Only what no restore of this state reads may be wrong (pages that were overwritten later).
        EXPECT_TRUE(read("out.db") == replica_.state(Sequence(6)).bytes()) << "byte " << at;
        continue;
      }
      ++refused;
      EXPECT_TRUE(result.error().kind() == ErrorKind::corrupt || result.error().kind() == ErrorKind::unsupported)
          << result.error().message();
    }
    EXPECT_GT(refused, 50) << damaged;
    replace_object(*store_, damaged, whole);
  }
}

TEST_F(RestoreRefuses, R5_ASegmentOfAnotherLineageIsForeign) {
  auto other_store = make_memory_store();
  ReplicaBuilder other(*other_store, "app.db", 77);
  other.begin(replica_.state(Sequence(0)));
  for (std::uint64_t i = 1; i <= 6; ++i) other.add(replica_.state(Sequence(i)));
  replace_object(*store_, key(4), get_object(*other_store, other.segment_key(Sequence(4))));
  const std::string error = expect_refused(*store_, {}, ErrorKind::conflict);
  EXPECT_THAT(error, HasSubstr("belongs to another history"));
}

TEST_F(RestoreRefuses, R5_AForeignSnapshotIsNoticedEvenWhenItIsAllThatIsUsed) {
  auto other_store = make_memory_store();
  ReplicaBuilder other(*other_store, "app.db", 77);
  other.begin(Image::made(512, 9, 5));
  replace_object(*store_, replica_.snapshot_key(Sequence(0)),
                 get_object(*other_store, other.snapshot_key(Sequence(0))));
  expect_refused(*store_, testing::at_sequence(0), ErrorKind::conflict);
}

TEST_F(RestoreRefuses, R5_ASegmentFromAnotherBranchDoesNotContinueTheChain) {
  // Same lineage, other content: what two writers without a claim would leave behind.
  auto other_store = make_memory_store();
  ReplicaBuilder other(*other_store, "app.db");
  other.begin(replica_.state(Sequence(0)));
  Image image = replica_.state(Sequence(0));
  for (std::uint64_t i = 1; i <= 4; ++i) {
    image.change(static_cast<std::uint32_t>(i), 900 + i);
    other.add(image);
  }
  replace_object(*store_, key(4), get_object(*other_store, other.segment_key(Sequence(4))));
  const std::string error = expect_refused(*store_, {}, ErrorKind::corrupt);
  EXPECT_THAT(error, HasSubstr("does not continue"));
}

TEST_F(RestoreRefuses, ARenamedObjectIsNotTakenForAnother) {
  replace_object(*store_, key(4), get_object(*store_, key(3)));
  expect_refused(*store_, {}, ErrorKind::corrupt);
}

TEST_F(RestoreRefuses, ANewerFormatSaysToUpdate) {
  Bytes object = get_object(*store_, key(4));
  segment::make_newer(object);
  replace_object(*store_, key(4), object);
  EXPECT_THAT(expect_refused(*store_, {}, ErrorKind::unsupported), HasSubstr("newer Cairn"));
}

TEST_F(RestoreRefuses, ADamagedNewestSnapshotWithoutWhatLedToItIsNotAnOlderState) {
  replica_.snapshot();
  ASSERT_TRUE(store_->remove(key(6)));
  const std::string damaged = replica_.snapshot_key(Sequence(6));
  replace_object(*store_, damaged, ByteView(get_object(*store_, damaged)).first(100));
  for (const RestoreTarget& target : {RestoreTarget{}, testing::at_sequence(6)}) {
    EXPECT_THAT(expect_refused(*store_, target, ErrorKind::corrupt),
                AllOf(HasSubstr("sequence 6 cannot be restored without what is damaged"), HasSubstr(damaged),
                      HasSubstr("sequence 5"), HasSubstr("cairn verify --repair")));
  }
  EXPECT_THAT(expect_refused(*store_, testing::at_time(replica_.time_ms(Sequence(6))), ErrorKind::corrupt),
              HasSubstr(damaged));
  expect_restores(*store_, replica_, Sequence(5));
}

// The first get of one object comes with a bit flipped.
class GarbledOnce final : public ReadingStore {
 public:
  GarbledOnce(Store& inner, std::string key, std::size_t at) : ReadingStore(inner), key_(std::move(key)), at_(at) {}
  Result<Object> get(std::string_view key, std::uint64_t offset, std::optional<std::uint64_t> length) override {
    auto object = ReadingStore::get(key, offset, length);
    if (object && key == key_ && !std::exchange(garbled_, true)) object->bytes[at_] ^= std::byte{1};
    return object;
  }

 private:
  const std::string key_;
  const std::size_t at_;
  bool garbled_ = false;
};

TEST_F(RestoreRefuses, WhatIsNoRestorePointIsNotFound) {
  expect_refused(*store_, testing::at_sequence(7), ErrorKind::not_found);
  expect_refused(*store_, testing::at_time(5), ErrorKind::not_found);
  RestoreTarget both = testing::at_sequence(1);
  both.time_ms = 5;
  expect_refused(*store_, both, ErrorKind::invalid);
}

TEST_F(RestoreRefuses, B7_AFailingStoreIsNeverReadAsAnOlderOrAbsentState) {
  replica_.snapshot();
  int restored = 0, failed = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    FaultPlan plan;
    plan.set_all({.before = 80, .after = 20, .lost = 20, .denied = 20});
    plan.page_limit = 2;
    SeededRandom random(seed);
    auto faulty = make_faulty_store(*store_, plan, random);
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    auto result = restore(*faulty, {}, options);
    ++(result ? restored : failed);
    if (result) {
      EXPECT_TRUE(read("out.db") == replica_.state(Sequence(6)).bytes()) << "seed " << seed;
    } else {
      EXPECT_NE(name_of(result.error().kind()), name_of(ErrorKind::not_found)) << "seed " << seed;
      EXPECT_NE(name_of(result.error().kind()), name_of(ErrorKind::corrupt)) << "seed " << seed;
    }
  }
  EXPECT_GT(restored, 0) << "the faults are too many to show anything";
  EXPECT_GT(failed, 0) << "the faults are too few to show anything";
}

TEST_F(RestoreRefuses, BytesThatArriveWrongNeverReachTheFile) {
  int restored = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    FaultPlan plan;
    plan.truncated = 60;
    plan.flipped = 60;
    SeededRandom random(seed);
    auto faulty = make_faulty_store(*store_, plan, random);
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    auto result = restore(*faulty, {}, options);
    if (!result) continue;
    ++restored;
    EXPECT_TRUE(read("out.db") == replica_.state(Sequence(6)).bytes()) << "seed " << seed;
  }
  EXPECT_GT(restored, 0);
  EXPECT_LT(restored, 60);
}

// One bit of everything that is read, also of metadata.json, which has no checksum of its own.
TEST_F(RestoreRefuses, BitsFlippedOnTheirWayAreReadAgain) {
  executor_ = std::make_unique<InlineExecutor>();  // which reads meet a flip is in the seed alone
  replica_.snapshot();
  std::uint64_t flipped = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    FaultPlan plan;
    plan.flipped = 60;
    SeededRandom random(seed);
    auto faulty = make_faulty_store(*store_, plan, random);
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    auto result = restore(*faulty, {}, options);
    ASSERT_TRUE(result) << "seed " << seed << ": " << result.error().message();
    EXPECT_TRUE(read("out.db") == replica_.state(Sequence(6)).bytes()) << "seed " << seed;
    auto planned = plan_restore(*faulty, "app.db", {});
    EXPECT_TRUE(planned) << "seed " << seed << ": " << planned.error().message();
    auto report = verify_replica(*faulty, "app.db", VerifyDepth::chain, path("scratch"), *files_, *executor_);
    ASSERT_TRUE(report) << "seed " << seed << ": " << report.error().message();
    EXPECT_THAT(report->problems, IsEmpty()) << "seed " << seed;
    flipped += plan.injected;
  }
  EXPECT_GT(flipped, 60u);
}

// Every bit of metadata.json, flipped the first time that it is read: some give another lineage, most no JSON.
TEST_F(RestoreRefuses, AClaimThatIsReadOtherwiseOnceIsNotAnotherHistory) {
  const Bytes claim = store_->get("app.db/metadata.json")->bytes;
  for (std::size_t at = 0; at < claim.size(); ++at) {
    GarbledOnce garbled(*store_, "app.db/metadata.json", at);
    const auto planned = plan_restore(garbled, "app.db", {});
    ASSERT_TRUE(planned) << "byte " << at << ": " << planned.error().message();
    GarbledOnce again(*store_, "app.db/metadata.json", at);
    auto report = verify_replica(again, "app.db", VerifyDepth::chain, path("scratch"), *files_, *executor_);
    ASSERT_TRUE(report) << "byte " << at << ": " << report.error().message();
    EXPECT_THAT(report->problems, IsEmpty()) << "byte " << at;
  }
}

TEST_F(RestoreRefuses, AnExistingFileIsNotReplacedUnasked) {
  write("out.db", Image::made(512, 2, 1).bytes());
  auto result = restore(*store_, {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), ErrorKind::conflict);
  EXPECT_THAT(result.error().message(), HasSubstr("--overwrite"));
  EXPECT_TRUE(read("out.db") == Image::made(512, 2, 1).bytes());
}

TEST_F(RestoreRefuses, Z20_AFolderOrAMissingFolderIsAUsageError) {
  auto folder = run_restore(*store_, "app.db", folder_, {}, *files_, *executor_);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().kind(), ErrorKind::invalid);
  auto missing = restore(*store_, {}, {}, "no/such/folder.db");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind(), ErrorKind::invalid);
  EXPECT_THAT(missing.error().message(), HasSubstr("make it first"));
  EXPECT_THAT(names(), IsEmpty());
}

// A child process that has `file` open in SQLite until it is told to end.
class Holder {
 public:
  Holder(const std::string& file, bool wal) {
    int ready[2], end[2];
    if (pipe(ready) != 0 || pipe(end) != 0) return;
    child_ = fork();
    if (child_ == 0) {
      sqlite3* database = nullptr;
      sqlite3_open(file.c_str(), &database);
      sqlite3_exec(database, wal ? "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1)"
                                 : "CREATE TABLE t(a); BEGIN EXCLUSIVE", nullptr, nullptr, nullptr);
      char byte = 0;
      if (write(ready[1], &byte, 1) == 1) (void)!::read(end[0], &byte, 1);
      _exit(0);
    }
    char byte = 0;
    (void)!::read(ready[0], &byte, 1);
    end_ = end[1];
  }
  ~Holder() {
    char byte = 0;
    (void)!::write(end_, &byte, 1);
    waitpid(child_, nullptr, 0);
  }
  pid_t process() const { return child_; }

 private:
  pid_t child_ = -1;
  int end_ = -1;
};

TEST_F(RestoreRefuses, Z19_ADatabaseInUseIsNotPulledAwayFromItsProgram) {
  executor_ = std::make_unique<InlineExecutor>();  // no threads while this forks
  for (const bool wal : {true, false}) {
    const std::string name = wal ? "wal.db" : "exclusive.db";
    RestoreOptions options;
    options.overwrite = Overwrite::replace;
    {
      Holder holder(path(name), wal);
      const Bytes before = read(name);
      auto result = restore(*store_, {}, options, name);
      ASSERT_FALSE(result) << name;
      EXPECT_EQ(result.error().kind(), ErrorKind::busy);
      EXPECT_THAT(result.error().message(), HasSubstr("in use by process " + std::to_string(holder.process())));
      EXPECT_TRUE(read(name) == before);
    }
    auto result = restore(*store_, {}, options, name);
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_TRUE(read(name) == replica_.state(Sequence(6)).bytes());
  }
}

TEST_F(RestoreRefuses, Z19_ADatabaseThatThisProcessHasOpenIsInUseAndKeepsItsLocks) {
  executor_ = std::make_unique<InlineExecutor>();  // no threads while this forks
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path("own.db").c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "PRAGMA journal_mode=WAL; CREATE TABLE t(a)", nullptr, nullptr, nullptr), SQLITE_OK);
  RestoreOptions options;
  options.overwrite = Overwrite::replace;
  auto result = restore(*store_, {}, options, "own.db");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), ErrorKind::busy);
  // Closing a descriptor of the file would have dropped SQLite's own lock: another process would see the file free.
  const pid_t child = fork();
  if (child == 0) {
    const int descriptor = ::open(path("own.db").c_str(), O_RDWR);
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_start = 0x40000002;
    lock.l_len = 510;
    _exit(fcntl(descriptor, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << "the lock is gone";
  sqlite3_close(database);
}

TEST_F(RestoreRefuses, V7_SiblingsOfTheOldDatabaseAreGoneAfterwards) {
  write("out.db", Image::made(512, 2, 1).bytes());
  for (const char* name : {"out.db-wal", "out.db-shm", "out.db-journal"}) write(name, Bytes(100, std::byte{1}));
  RestoreOptions options;
  options.overwrite = Overwrite::replace;
  ASSERT_TRUE(restore(*store_, {}, options));
  EXPECT_THAT(names(), ElementsAre("out.db"));
}

TEST_F(RestoreRefuses, V7_AStaleWalBesideNoDatabaseIsGoneToo) {
  write("out.db-wal", Bytes(100, std::byte{1}));
  ASSERT_TRUE(restore(*store_, {}));
  EXPECT_THAT(names(), ElementsAre("out.db"));
}

TEST_F(RestoreRefuses, AFailedRestoreLeavesTheOldSiblingsToo) {
  write("old.db-wal", Bytes(100, std::byte{1}));
  ASSERT_TRUE(store_->remove(key(4)));
  expect_refused(*store_, {}, ErrorKind::corrupt);
  EXPECT_TRUE(read("old.db-wal") == Bytes(100, std::byte{1}));
}

TEST_F(RestoreRefuses, TheNewFileHasTheRightsOfTheOldOne) {
  ASSERT_TRUE(restore(*store_, {}));
  struct stat info{};
  ASSERT_EQ(stat(path("out.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(chmod(path("out.db").c_str(), 0664), 0);
  RestoreOptions options;
  options.overwrite = Overwrite::replace;
  ASSERT_TRUE(restore(*store_, {}, options));
  ASSERT_EQ(stat(path("out.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0664u);
}

TEST_F(RestoreRefuses, ASymbolicLinkStaysAndItsFileIsReplaced) {
  write("real.db", Image::made(512, 2, 1).bytes());
  std::filesystem::create_symlink("real.db", path("out.db"));
  RestoreOptions options;
  options.overwrite = Overwrite::replace;
  ASSERT_TRUE(restore(*store_, {}, options));
  EXPECT_TRUE(std::filesystem::is_symlink(path("out.db")));
  EXPECT_TRUE(read("real.db") == replica_.state(Sequence(6)).bytes());
}

}  // namespace
}  // namespace cairn::restore
