// The facts of docs/sqlite.md that Cairn's holds rest on, asked of the SQLite that this program is linked with. When
// one of these fails with a new SQLite, the fact is no longer one, and what rests on it has to be thought through
// again.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "connection.h"
#include "wal/wal.h"

namespace cairn::walreset {
namespace {

// Locks in the shared memory, by number; their bytes in the -shm file are 120 on.
constexpr int kWriteLock = 0;
constexpr int kCheckpointLock = 1;
constexpr int kReadLock0 = 3;
constexpr int kReadLock1 = 4;
constexpr int kFirstLockByte = 120;

class SqliteFact : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "cairn-facts-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder_ = name;
    Connection first(path());
    first.run("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, value)");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path() const { return folder_ / "database"; }
  std::string bytes_of(const char* suffix) const {
    std::ifstream in(path() + suffix, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  bool exists(const char* suffix) const { return std::filesystem::exists(path() + suffix); }
  wal::Header wal_header() const {
    const std::string bytes = bytes_of("-wal");
    const auto header = wal::parse_header(as_bytes(bytes));
    EXPECT_TRUE(header);
    return header.value_or(wal::Header{});
  }

  std::filesystem::path folder_;
};

sqlite3_file* file_of(Connection& db) {
  sqlite3_file* file = nullptr;
  EXPECT_EQ(sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
  return file;
}

wal::IndexHeader look(Connection& db) {
  volatile void* shared = nullptr;
  sqlite3_file* file = file_of(db);
  EXPECT_EQ(file->pMethods->xShmMap(file, 0, 32768, 0, &shared), SQLITE_OK);
  wal::IndexHeader header;
  EXPECT_EQ(wal::read_index(shared, header), wal::IndexState::ok);
  return header;
}

// Takes a lock by hand, as SQLite itself would, and lets go of it at the end.
class ByHand {
 public:
  ByHand(Connection& db, int lock, int count, int kind) : file_(file_of(db)), lock_(lock), count_(count), kind_(kind) {
    result_ = file_->pMethods->xShmLock(file_, lock_, count_, SQLITE_SHM_LOCK | kind_);
  }
  ~ByHand() { release(); }
  ByHand(const ByHand&) = delete;
  ByHand& operator=(const ByHand&) = delete;
  void release() {
    if (result_ == SQLITE_OK) file_->pMethods->xShmLock(file_, lock_, count_, SQLITE_SHM_UNLOCK | kind_);
    result_ = SQLITE_BUSY;
  }
  int result() const { return result_; }

 private:
  sqlite3_file* file_;
  int lock_;
  int count_;
  int kind_;
  int result_;
};

// Whether anybody holds the lock; asked through `db`, which must hold none of them.
bool is_held(Connection& db, int lock) { return ByHand(db, lock, 1, SQLITE_SHM_EXCLUSIVE).result() == SQLITE_BUSY; }

void write(Connection& db, int rows = 1) {
  if (sqlite3_get_autocommit(db.handle())) db.run("PRAGMA synchronous=OFF");  // nothing here is about power failures
  for (int i = 0; i < rows; ++i) db.run("INSERT INTO t(value) VALUES(randomblob(3000))");
}

// A reader at work, until it goes out of scope.
class Reader {
 public:
  explicit Reader(const std::string& path) : db_(path) { db_.run("BEGIN; SELECT count(*) FROM t"); }
  void end() { db_.run("COMMIT"); }

 private:
  Connection db_;
};

int checkpoint_result(Connection& db, int mode, int* log = nullptr, int* backfilled = nullptr) {
  return sqlite3_wal_checkpoint_v2(db.handle(), "main", mode, log, backfilled);
}

// Calls `look` whenever SQLite asks what to do about a lock that is taken, and gives up after `patience` times.
struct Busy {
  std::function<void()> look;
  int patience = 3;
  int calls = 0;
  void watch(Connection& db) {
    const auto handler = [](void* self, int) {
      auto* busy = static_cast<Busy*>(self);
      ++busy->calls;
      if (busy->look) busy->look();
      return busy->calls < busy->patience ? 1 : 0;
    };
    sqlite3_busy_handler(db.handle(), handler, this);
  }
};

// --- the WAL and its index ---------------------------------------------------------------------------------------

TEST_F(SqliteFact, R13_AWriteThatLeavesPageOneAloneDoesNotMoveTheChangeCounter) {
  Connection db(path());
  write(db, 3);
  db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  const std::string before = bytes_of("").substr(0, 100);
  const auto change = look(db).change;
  db.run("UPDATE t SET value = zeroblob(3000)");
  db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  EXPECT_EQ(bytes_of("").substr(0, 100), before);
  EXPECT_NE(look(db).change, change);
}

TEST_F(SqliteFact, ATransactionThatIsRolledBackWritesNothing) {
  Connection db(path());
  write(db, 3);
  db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  const std::string database = bytes_of("");
  const std::string log = bytes_of("-wal");
  const wal::IndexHeader before = look(db);
  Connection gate(path());
  gate.run("BEGIN IMMEDIATE; SELECT count(*) FROM t; ROLLBACK");
  EXPECT_EQ(bytes_of(""), database);
  EXPECT_EQ(bytes_of("-wal"), log);
  EXPECT_EQ(look(db), before);
}

TEST_F(SqliteFact, TheFirstWriterAfterAForeignTruncateMakesNewSaltsOfItsOwn) {
  Connection writer(path());
  write(writer, 3);
  const wal::Header before = wal_header();
  Connection other(path());
  other.column("SELECT count(*) FROM t");
  other.checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
  const wal::IndexHeader truncated = look(other);
  EXPECT_EQ(truncated.max_frame, FrameNo(0));
  EXPECT_EQ(truncated.salts.first, before.salts.first + 1);
  write(writer);
  const wal::Header after = wal_header();
  EXPECT_NE(after.salts, truncated.salts);
  // The writer has never seen a restart and counts from 0: the number does not tell WALs apart.
  EXPECT_EQ(after.checkpoint_sequence, before.checkpoint_sequence);
}

TEST_F(SqliteFact, RestartLeavesTheHeaderToTheNextWriterAndTruncateRewritesIt) {
  Connection db(path());
  write(db, 3);
  const wal::IndexHeader written = look(db);
  db.checkpoint(SQLITE_CHECKPOINT_RESTART);
  wal::IndexHeader now = look(db);
  EXPECT_EQ(now.max_frame, written.max_frame);
  EXPECT_EQ(now.salts, written.salts);
  EXPECT_EQ(now.backfilled, written.max_frame);
  EXPECT_FALSE(bytes_of("-wal").empty());
  db.checkpoint(SQLITE_CHECKPOINT_TRUNCATE);
  now = look(db);
  EXPECT_EQ(now.max_frame, FrameNo(0));
  EXPECT_NE(now.salts, written.salts);
  EXPECT_TRUE(bytes_of("-wal").empty());
}

TEST_F(SqliteFact, FramesOfOneTransactionAreRewrittenBeforeItCommits) {
  Connection db(path());
  db.run("PRAGMA cache_size=5; BEGIN");
  write(db, 50);
  const std::string early = bytes_of("-wal");
  db.run("UPDATE t SET value = zeroblob(3000); COMMIT");
  const std::string late = bytes_of("-wal");
  ASSERT_GT(early.size(), 32u + 4120u);
  ASSERT_GE(late.size(), early.size());
  EXPECT_EQ(early.substr(0, 32), late.substr(0, 32));  // the same WAL
  EXPECT_NE(early, late.substr(0, early.size()));
}

// --- who holds what ----------------------------------------------------------------------------------------------

TEST_F(SqliteFact, AReaderOfABackfilledWalHoldsReadLock0AndOfAnyOtherAReadMark) {
  Connection db(path());
  Connection eye(path());
  eye.column("SELECT count(*) FROM t");
  write(db);
  {
    Reader pin(path());
    EXPECT_FALSE(is_held(eye, kReadLock0));
    EXPECT_TRUE(is_held(eye, kReadLock1));
  }
  db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  Reader floor(path());
  EXPECT_TRUE(is_held(eye, kReadLock0));
  EXPECT_FALSE(is_held(eye, kReadLock1));
}

TEST_F(SqliteFact, UnderAFloorNothingIsBackfilledAndTheWalRestartsOnceOnly) {
  Connection db(path());
  write(db, 10);
  db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  const wal::IndexHeader before = look(db);
  Reader floor(path());
  write(db);
  const wal::IndexHeader restarted = look(db);
  EXPECT_NE(restarted.salts, before.salts);
  for (int i = 0; i < 20; ++i) {
    write(db);
    EXPECT_EQ(checkpoint_result(db, SQLITE_CHECKPOINT_PASSIVE), SQLITE_OK);
    EXPECT_EQ(checkpoint_result(db, SQLITE_CHECKPOINT_TRUNCATE), SQLITE_BUSY);
    EXPECT_EQ(look(db).backfilled, FrameNo(0));
    EXPECT_EQ(look(db).salts, restarted.salts);
  }
}

TEST_F(SqliteFact, UnderAFloorTruncateOfABackfilledWalGoesThrough) {
  Connection db(path());
  write(db, 10);
  db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  Reader floor(path());
  for (const int mode : {SQLITE_CHECKPOINT_FULL, SQLITE_CHECKPOINT_RESTART, SQLITE_CHECKPOINT_TRUNCATE}) {
    EXPECT_EQ(checkpoint_result(db, mode), SQLITE_OK) << mode;
  }
  EXPECT_TRUE(bytes_of("-wal").empty());
}

TEST_F(SqliteFact, UnderAPinTheWalIsBackfilledUpToItAndNeverRestarts) {
  Connection db(path());
  write(db, 10);
  const wal::IndexHeader pinned = look(db);
  Reader pin(path());
  db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  EXPECT_EQ(look(db).backfilled, pinned.max_frame);
  write(db, 5);
  db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  EXPECT_EQ(look(db).backfilled, pinned.max_frame);
  EXPECT_EQ(look(db).salts, pinned.salts);
}

TEST_F(SqliteFact, AWriterRestartsOnlyWhenItsOwnReadBeganOnABackfilledWal) {
  Connection db(path());
  Connection other(path());
  write(db, 10);
  const wal::IndexHeader before = look(db);
  db.run("BEGIN; SELECT count(*) FROM t");  // a read mark of its own: not backfilled yet
  other.column("SELECT count(*) FROM t");
  other.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  EXPECT_EQ(look(other).backfilled, before.max_frame);
  write(db);
  db.run("COMMIT");
  EXPECT_EQ(look(db).salts, before.salts);
  db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  write(db);
  EXPECT_NE(look(db).salts, before.salts);
}

// --- checkpoints -------------------------------------------------------------------------------------------------

TEST_F(SqliteFact, AConnectionThatHasReadNothingDoesNotCheckpoint) {
  Connection db(path());
  write(db, 3);
  Connection fresh(path());
  int log = 0;
  int backfilled = 0;
  EXPECT_EQ(checkpoint_result(fresh, SQLITE_CHECKPOINT_PASSIVE, &log, &backfilled), SQLITE_OK);
  EXPECT_EQ(log, -1);
  EXPECT_EQ(backfilled, -1);
  EXPECT_EQ(look(db).backfilled, FrameNo(0));
}

TEST_F(SqliteFact, AConnectionWithinATransactionDoesNotCheckpoint) {
  Connection db(path());
  write(db, 3);
  db.run("BEGIN; SELECT count(*) FROM t");
  EXPECT_EQ(checkpoint_result(db, SQLITE_CHECKPOINT_PASSIVE), SQLITE_LOCKED);
}

TEST_F(SqliteFact, NobodyWaitsForTheCheckpointLock) {
  Connection db(path());
  write(db, 3);
  Connection other(path());
  other.column("SELECT count(*) FROM t");
  ByHand lock(other, kCheckpointLock, 1, SQLITE_SHM_EXCLUSIVE);
  ASSERT_EQ(lock.result(), SQLITE_OK);
  Busy busy;
  busy.watch(db);
  for (const int mode : {SQLITE_CHECKPOINT_PASSIVE, SQLITE_CHECKPOINT_FULL, SQLITE_CHECKPOINT_RESTART,
                         SQLITE_CHECKPOINT_TRUNCATE}) {
    EXPECT_EQ(checkpoint_result(db, mode), SQLITE_BUSY) << mode;
  }
  EXPECT_EQ(busy.calls, 0);
}

TEST_F(SqliteFact, PassiveNeverWaits) {
  Connection db(path());
  write(db, 3);
  Reader pin(path());
  write(db, 3);
  Busy busy;
  busy.watch(db);
  EXPECT_EQ(checkpoint_result(db, SQLITE_CHECKPOINT_PASSIVE), SQLITE_OK);
  EXPECT_EQ(busy.calls, 0);
}

TEST_F(SqliteFact, FullWaitsForAnOlderReaderWithTheWriteLockHeld) {
  Connection db(path());
  write(db, 3);
  Reader pin(path());
  write(db, 3);
  Connection eye(path());
  eye.column("SELECT count(*) FROM t");
  int writers_kept_out = 0;
  Busy busy{.look = [&] { writers_kept_out += is_held(eye, kWriteLock); }};
  busy.watch(db);
  EXPECT_EQ(checkpoint_result(db, SQLITE_CHECKPOINT_FULL), SQLITE_BUSY);
  EXPECT_EQ(busy.calls, 3);
  EXPECT_EQ(writers_kept_out, 3);
}

TEST_F(SqliteFact, FullDoesNotWaitForAReaderOfTheNewestCommit) {
  Connection db(path());
  write(db, 3);
  Reader pin(path());
  Busy busy;
  busy.watch(db);
  EXPECT_EQ(checkpoint_result(db, SQLITE_CHECKPOINT_FULL), SQLITE_OK);
  EXPECT_EQ(busy.calls, 0);
}

TEST_F(SqliteFact, FullWaitsForReadLock0WhenThereIsSomethingToBackfill) {
  Connection db(path());
  write(db, 3);
  db.checkpoint(SQLITE_CHECKPOINT_PASSIVE);
  Reader floor(path());
  Busy busy;
  busy.watch(db);
  EXPECT_EQ(checkpoint_result(db, SQLITE_CHECKPOINT_FULL), SQLITE_OK);  // nothing to do
  EXPECT_EQ(busy.calls, 0);
  write(db);
  EXPECT_EQ(checkpoint_result(db, SQLITE_CHECKPOINT_FULL), SQLITE_BUSY);
  EXPECT_EQ(busy.calls, 3);
}

TEST_F(SqliteFact, RestartAndTruncateWaitForEveryReaderOfTheWal) {
  for (const int mode : {SQLITE_CHECKPOINT_RESTART, SQLITE_CHECKPOINT_TRUNCATE}) {
    Connection db(path());
    write(db, 3);
    Reader pin(path());
    Connection eye(path());
    eye.column("SELECT count(*) FROM t");
    int backfilled_and_locked = 0;
    Busy busy{.look = [&] {
      const wal::IndexHeader index = look(eye);
      backfilled_and_locked += index.backfilled == index.max_frame && is_held(eye, kWriteLock);
    }};
    busy.watch(db);
    EXPECT_EQ(checkpoint_result(db, mode), SQLITE_BUSY);
    EXPECT_EQ(busy.calls, 3);
    EXPECT_EQ(backfilled_and_locked, 3);
  }
}

TEST_F(SqliteFact, ARestartWaitingForAPinIsLetGoByAFloor) {
  Connection db(path());
  write(db, 3);
  Reader pin(path());
  std::optional<Reader> floor;
  Busy busy{.look = [&] {
    floor.emplace(path());  // all is backfilled by now: no read mark
    pin.end();
  }};
  busy.watch(db);
  EXPECT_EQ(checkpoint_result(db, SQLITE_CHECKPOINT_RESTART), SQLITE_OK);
  EXPECT_EQ(busy.calls, 1);
}

// --- coming and going --------------------------------------------------------------------------------------------

TEST_F(SqliteFact, JournalModeDoesNotChangeWhileAnybodyElseIsConnected) {
  Connection db(path());
  write(db);
  {
    Connection other(path());
    other.column("SELECT count(*) FROM t");  // and no transaction after that
    EXPECT_EQ(db.attempt("PRAGMA journal_mode=DELETE"), SQLITE_BUSY);
    EXPECT_TRUE(exists("-wal"));
  }
  EXPECT_EQ(db.column("PRAGMA journal_mode=DELETE").at(0), "delete");
  EXPECT_FALSE(exists("-wal"));
}

TEST_F(SqliteFact, TheLastConnectionTakesTheWalAwayAndOneThatStaysKeepsIt) {
  Connection stays(path());
  stays.column("SELECT count(*) FROM t");
  {
    Connection application(path());
    write(application, 3);
  }
  EXPECT_TRUE(exists("-wal"));
  EXPECT_EQ(look(stays).backfilled, FrameNo(0));
  stays.close();
  EXPECT_FALSE(exists("-wal"));
  EXPECT_FALSE(exists("-shm"));
}

TEST_F(SqliteFact, NoCheckpointOnCloseLeavesTheWalAsItIs) {
  {
    Connection db(path());
    ASSERT_EQ(sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr), SQLITE_OK);
    write(db, 3);
  }
  EXPECT_TRUE(exists("-wal"));
  Connection next(path());
  EXPECT_EQ(next.number("SELECT count(*) FROM t"), 3);
}

TEST_F(SqliteFact, AWalBesideAnEmptyDatabaseIsDeleted) {
  const std::string other = folder_ / "other";
  std::ofstream(other).close();
  std::ofstream(other + "-wal") << "left over from somebody";
  Connection db(other);
  db.column("SELECT count(*) FROM sqlite_schema");
  EXPECT_FALSE(std::filesystem::exists(other + "-wal"));
}

// What another process sees of this one's lock on a byte.
bool other_process_sees_lock(const std::string& path, int byte) {
  const pid_t child = fork();
  if (child == 0) {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = byte;
    lock.l_len = 1;
    const int descriptor = ::open(path.c_str(), O_RDWR);
    const bool seen = descriptor >= 0 && fcntl(descriptor, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    _exit(seen ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}

void open_and_close(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY);
  EXPECT_GE(descriptor, 0);
  ::close(descriptor);
}

TEST_F(SqliteFact, ClosingAnyOtherDescriptorOfAFileDropsItsLocks) {
  constexpr int kSharedByte = 0x40000002;  // within the bytes of the lock that each WAL connection keeps
  Connection db(path());
  write(db);
  Reader pin(path());
  const std::string shm = path() + "-shm";
  const int pin_byte = kFirstLockByte + kReadLock1;
  ASSERT_TRUE(other_process_sees_lock(path(), kSharedByte));
  ASSERT_TRUE(other_process_sees_lock(shm, pin_byte));
  open_and_close(path() + "-wal");  // no locks on this one: harmless
  EXPECT_TRUE(other_process_sees_lock(path(), kSharedByte));
  EXPECT_TRUE(other_process_sees_lock(shm, pin_byte));
  open_and_close(path());
  EXPECT_FALSE(other_process_sees_lock(path(), kSharedByte));
  EXPECT_TRUE(other_process_sees_lock(shm, pin_byte));
  open_and_close(shm);
  EXPECT_FALSE(other_process_sees_lock(shm, pin_byte));
}

}  // namespace
}  // namespace cairn::walreset
