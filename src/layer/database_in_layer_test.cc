// SQLite databases in an upper directory: stored as one committed state, whatever is written meanwhile.
#include <sqlite3.h>

#include <atomic>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "layer/test_upper.h"
#include "sqlite/integrity.h"

namespace cairn::layer {
namespace {

using testing::Emitted;
using testing::TestUpper;

class Connection {
 public:
  explicit Connection(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &connection_), SQLITE_OK);
    sqlite3_busy_timeout(connection_, 5000);
  }
  ~Connection() { close(); }
  void close() { sqlite3_close(std::exchange(connection_, nullptr)); }
  void run(const std::string& sql) {
    char* said = nullptr;
    EXPECT_EQ(sqlite3_exec(connection_, sql.c_str(), nullptr, nullptr, &said), SQLITE_OK) << (said ? said : "");
    sqlite3_free(said);
  }
  sqlite3* get() { return connection_; }

 private:
  sqlite3* connection_ = nullptr;
};

std::string paths_of(const std::vector<Emitted>& all) {
  std::string text;
  for (const Emitted& one : all) text += one.entry.path + (one.entry.kind == EntryKind::whiteout ? "- " : " ");
  return text;
}

const Emitted& the(const std::vector<Emitted>& all, const std::string& path) {
  for (const Emitted& one : all) {
    if (one.entry.path == path) return one;
  }
  ADD_FAILURE() << path << " was not written";
  return all.front();
}

std::set<std::string> names_in_folder(const std::string& path) {
  std::set<std::string> names;
  for (const auto& one : std::filesystem::directory_iterator(path)) names.insert(one.path().filename());
  return names;
}

class DatabaseInLayer : public ::testing::Test {
 protected:
  DatabaseInLayer() { upper_.mkdir("d"); }
  // What the sync has stored of it opens, is whole, and holds so many rows.
  std::int64_t rows_stored(const Emitted& stored) {
    const std::string copy = upper_.beside("copy.db");
    std::ofstream(copy, std::ios::binary | std::ios::trunc) << stored.contents;
    const auto complaints = sqlite::integrity_check(copy);
    EXPECT_TRUE(complaints && complaints->empty());
    Connection reader(copy);
    sqlite3_stmt* count = nullptr;
    sqlite3_prepare_v2(reader.get(), "SELECT count(*), sum(a = b) FROM t", -1, &count, nullptr);
    EXPECT_EQ(sqlite3_step(count), SQLITE_ROW);
    const std::int64_t rows = sqlite3_column_int64(count, 0);
    if (rows > 0) {
      EXPECT_EQ(sqlite3_column_int64(count, 1), rows);
    }
    sqlite3_finalize(count);
    return rows;
  }

  // A program opens it between the scan and the reading, and adds two rows.
  auto stored_while_opened_by(std::optional<Connection>& app) {
    EXPECT_TRUE(upper_.scan());
    return upper_.archive([&](const PlanRow& row) {
      if (row.path != "d") return;
      app.emplace(path_);
      app->run("INSERT INTO t VALUES (1, 1), (2, 2)");
    });
  }

  TestUpper upper_;
  std::string path_ = upper_ / "d/app.db";
};

constexpr const char* kSetUp = "PRAGMA journal_mode=WAL; CREATE TABLE t(a, b)";

TEST_F(DatabaseInLayer, CommitsInTheWalAreStoredAndTheWalIsNot) {
  Connection app(path_);
  app.run(kSetUp);
  app.run("INSERT INTO t VALUES (1, 1), (2, 2)");
  const auto names = names_in_folder(upper_ / "d");
  const auto first = upper_.sync();
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(paths_of(*first), " d d/app.db ");
  EXPECT_EQ(rows_stored(the(*first, "d/app.db")), 2);
  EXPECT_EQ(names_in_folder(upper_ / "d"), names);
  EXPECT_EQ(upper_.sync_text(), "");
  EXPECT_EQ(upper_.last.hashed_files, 0u);

  app.run("INSERT INTO t VALUES (3, 3)");  // only the -wal is written
  const auto second = upper_.sync();
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(paths_of(*second), "d/app.db ");
  EXPECT_EQ(rows_stored(the(*second, "d/app.db")), 3);

  app.run("PRAGMA wal_checkpoint");  // only the file is: the state is the same
  EXPECT_EQ(upper_.sync_text(), "");
}

// It gets a second name while it is open, and is as it was itself.
TEST_F(DatabaseInLayer, SecondNameIsStoredWithIt) {
  Connection app(path_);
  app.run(kSetUp);
  app.run("INSERT INTO t VALUES (1, 1), (2, 2)");
  ASSERT_TRUE(upper_.sync());
  std::filesystem::create_hard_link(path_, upper_ / "e");
  const auto second = upper_.sync();
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(paths_of(*second), " d/app.db e ");
  EXPECT_EQ(the(*second, "e").entry.kind, EntryKind::hard_link);
  EXPECT_EQ(rows_stored(the(*second, "d/app.db")), 2);
  EXPECT_EQ(upper_.sync_text(), "");
}

// A name that comes first is found without the -wal, so what is committed there is stored under the other one.
TEST_F(DatabaseInLayer, CommitsAreStoredThoughAnotherNameOfTheFileComesFirst) {
  Connection app(path_);
  app.run(kSetUp);
  app.run("INSERT INTO t VALUES (1, 1); PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES (2, 2)");
  std::filesystem::create_hard_link(path_, upper_ / "a");
  std::filesystem::create_hard_link(path_, upper_ / "z");
  const auto first = upper_.sync();
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(paths_of(*first), " a d d/app.db z ");
  EXPECT_EQ(rows_stored(the(*first, "a")), 1);  // as whoever opens it by that name sees it
  EXPECT_EQ(rows_stored(the(*first, "d/app.db")), 2);
  EXPECT_EQ(the(*first, "z").entry.link_target, "a");
  EXPECT_EQ(upper_.sync_text(), "");
  app.run("INSERT INTO t VALUES (3, 3)");
  const auto second = upper_.sync();
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(paths_of(*second), "d/app.db ");
  EXPECT_EQ(rows_stored(the(*second, "d/app.db")), 3);
  app.close();
  const auto third = upper_.sync();
  ASSERT_TRUE(third) << third.error().message();
  EXPECT_EQ(paths_of(*third), "a d d/app.db z ");
  EXPECT_EQ(rows_stored(the(*third, "a")), 3);
  EXPECT_EQ(the(*third, "d/app.db").entry.link_target, "a");
  EXPECT_EQ(upper_.sync_text(), "");
}

TEST_F(DatabaseInLayer, LinkThatBecomesADatabaseWithAWalMeanwhileIsNoLink) {
  { Connection(path_).run(kSetUp); }
  std::filesystem::create_hard_link(path_, upper_ / "a");
  upper_.write("d/app.db-wal", "");
  std::optional<Connection> app;
  const auto first = stored_while_opened_by(app);
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(paths_of(*first), " a d d/app.db ");
  EXPECT_EQ(rows_stored(the(*first, "d/app.db")), 2);
}

TEST_F(DatabaseInLayer, ClosedItIsAFileLikeAnyOther) {
  {
    Connection app(path_);
    app.run(kSetUp);
    app.run("INSERT INTO t VALUES (1, 1)");
    ASSERT_TRUE(upper_.sync());
  }
  const auto names = names_in_folder(upper_ / "d");
  EXPECT_EQ(names, std::set<std::string>{"app.db"});
  const auto second = upper_.sync();
  ASSERT_TRUE(second);
  EXPECT_EQ(paths_of(*second), "d d/app.db ");
  EXPECT_EQ(rows_stored(the(*second, "d/app.db")), 1);
  EXPECT_EQ(upper_.sync_text(), "");
  EXPECT_EQ(names_in_folder(upper_ / "d"), names);  // and no -wal has been made
}

// A program died: its -wal is there, nobody is connected, perhaps not even a -shm is left.
TEST_F(DatabaseInLayer, LeftBehindWalIsReadWithoutMakingAFile) {
  const std::string source = upper_.beside("source.db");
  Connection app(source);
  app.run(kSetUp);
  app.run("PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES (1, 1)");
  std::filesystem::copy(source, path_);
  std::filesystem::copy(source + "-wal", path_ + "-wal");
  const auto names = names_in_folder(upper_ / "d");
  const auto stored = upper_.sync();
  ASSERT_TRUE(stored) << stored.error().message();
  EXPECT_EQ(paths_of(*stored), " d d/app.db ");
  EXPECT_EQ(rows_stored(the(*stored, "d/app.db")), 1);
  EXPECT_EQ(names_in_folder(upper_ / "d"), names);
}

constexpr const char* kSpill = "PRAGMA cache_size=1; BEGIN; WITH RECURSIVE n(x) AS "
                               "(SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 500) "
                               "INSERT INTO t SELECT hex(zeroblob(x)), hex(zeroblob(x)) FROM n";

// What its transaction has changed is not in the file yet, and its journal is none of the layer's.
TEST_F(DatabaseInLayer, RollbackModeIsStoredWithoutTheJournalOfAWriter) {
  for (const char* mode : {"DELETE", "TRUNCATE", "PERSIST"}) {
    SCOPED_TRACE(mode);
    std::filesystem::remove(path_);
    std::filesystem::remove(path_ + "-journal");
    Connection app(path_);
    app.run(std::string("PRAGMA journal_mode=") + mode + "; CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 1), (2, 2)");
    app.run("BEGIN; INSERT INTO t VALUES (3, 3)");
    ASSERT_TRUE(std::filesystem::exists(path_ + "-journal"));
    const auto first = upper_.sync(ScanGoal::full);
    ASSERT_TRUE(first) << first.error().message();
    EXPECT_EQ(paths_of(*first), " d d/app.db ");
    EXPECT_EQ(rows_stored(the(*first, "d/app.db")), 2);
    EXPECT_EQ(upper_.sync_text(), "");
    EXPECT_EQ(upper_.last.hashed_files, 0u);
    app.run("COMMIT");
    const auto second = upper_.sync();
    ASSERT_TRUE(second) << second.error().message();
    EXPECT_EQ(rows_stored(the(*second, "d/app.db")), 3);
    EXPECT_EQ(upper_.sync_text(), "");
  }
}

TEST_F(DatabaseInLayer, TransactionThatHasWrittenToTheFileAndDoesNotEndIsTorn) {
  upper_.options.transaction_wait_ms = 0;
  Connection app(path_);
  app.run("CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 1)");
  app.run(kSpill);
  const auto first = upper_.sync();
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(paths_of(*first), " d d/app.db ");
  EXPECT_EQ((*upper_.catalogue->find("d/app.db"))->contents, Contents::torn);
  app.run("ROLLBACK");
  upper_.options.transaction_wait_ms = 60'000;  // it has just been written
  const auto second = upper_.sync();
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ((*upper_.catalogue->find("d/app.db"))->contents, Contents::whole);
  EXPECT_EQ(rows_stored(the(*second, "d/app.db")), 1);
}

// A writer was killed: SQLite would roll back in the file, the sync does so in the copy alone.
TEST_F(DatabaseInLayer, WhatAKilledWriterHasLeftIsRolledBackInTheCopyAlone) {
  const std::string source = upper_.beside("source.db");
  {
    Connection app(source);
    app.run("CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 1), (2, 2)");
    app.run(kSpill);
    std::filesystem::copy(source, path_);
    std::filesystem::copy(source + "-journal", path_ + "-journal");
  }
  upper_.options.transaction_wait_ms = 60'000;
  const auto read = [](const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
  };
  const std::string file = read(path_), journal = read(path_ + "-journal");
  const auto first = upper_.sync();
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(paths_of(*first), " d d/app.db ");
  EXPECT_EQ((*upper_.catalogue->find("d/app.db"))->contents, Contents::whole);
  EXPECT_EQ(rows_stored(the(*first, "d/app.db")), 2);
  EXPECT_EQ(read(path_), file);
  EXPECT_EQ(read(path_ + "-journal"), journal);
  EXPECT_EQ(upper_.sync_text(), "");
  EXPECT_EQ(upper_.last.hashed_files, 0u);

  Connection(path_).run("SELECT count(*) FROM t");  // which rolls back
  ASSERT_FALSE(std::filesystem::exists(path_ + "-journal"));
  const auto second = upper_.sync();
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(paths_of(*second), "d d/app.db ");
  EXPECT_EQ(rows_stored(the(*second, "d/app.db")), 2);
}

// The first name of the file has no journal: what the second one holds is rolled back in a copy of its own.
TEST_F(DatabaseInLayer, JournalBesideASecondNameIsOfThatName) {
  const std::string source = upper_.beside("source.db");
  Connection app(source);
  app.run("CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 1), (2, 2)");
  app.run(kSpill);
  std::filesystem::copy(source, path_);
  std::filesystem::copy(source + "-journal", path_ + "-journal");
  std::filesystem::create_hard_link(path_, upper_ / "a");
  upper_.options.transaction_wait_ms = 60'000;
  const auto first = upper_.sync();
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(paths_of(*first), " a d d/app.db ");
  EXPECT_EQ(rows_stored(the(*first, "d/app.db")), 2);
  EXPECT_EQ(upper_.sync_text(), "");
}

// An older sync stored it as a file: beside the copy it would be rolled back into it.
TEST_F(DatabaseInLayer, JournalOfAnOlderSyncIsTakenBack) {
  upper_.options.databases = LayerDatabases::as_files;
  Connection app(path_);
  app.run("CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 1); BEGIN; INSERT INTO t VALUES (2, 2)");
  const auto first = upper_.sync();
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(paths_of(*first), " d d/app.db d/app.db-journal ");
  upper_.options.databases = LayerDatabases::through_sqlite;
  const auto second = upper_.sync();
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(paths_of(*second), "d/app.db-journal- ");
}

// It was a file when it was planned.
TEST_F(DatabaseInLayer, JournalThatBecomesOneOfAWriterMeanwhileIsLeftOut) {
  Connection app(path_);
  app.run("PRAGMA journal_mode=PERSIST; CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 1)");
  ASSERT_TRUE(upper_.scan());
  const auto first = upper_.archive([&](const PlanRow& row) {
    if (row.path == "d/app.db") app.run("BEGIN; INSERT INTO t VALUES (2, 2)");
  });
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(paths_of(*first), " d d/app.db ");
  EXPECT_EQ(rows_stored(the(*first, "d/app.db")), 1);
}

// The archive reads again what has changed meanwhile: then nobody can commit.
TEST_F(DatabaseInLayer, SecondAttemptKeepsWritersOut) {
  Connection app(path_);
  app.run("CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 1); PRAGMA busy_timeout=0");
  ASSERT_TRUE(upper_.scan());
  const auto tree = *Tree::open(upper_.root(), upper_.options, upper_.clock);
  PlanRow row;
  row.path = "d/app.db";
  for (const int attempt : {1, 2}) {
    app.run("BEGIN; INSERT INTO t VALUES (2, 2)");
    auto open = *tree->open_entry(row, attempt);
    const int code = sqlite3_exec(app.get(), "COMMIT", nullptr, nullptr, nullptr);
    EXPECT_EQ(code, attempt == 1 ? SQLITE_OK : SQLITE_BUSY);
    EXPECT_EQ(*open->stands_still(), attempt == 2);
  }
  app.run("COMMIT");
}

// Each transaction writes two rows at a time; every other one is too large for the cache and rolled back.
TEST_F(DatabaseInLayer, EachCopyIsOneCommittedStateWhileAWriterRollsBack) {
  upper_.options.transaction_wait_ms = 60'000;
  for (const char* mode : {"DELETE", "TRUNCATE", "PERSIST"}) {
    SCOPED_TRACE(mode);
    std::filesystem::remove(path_);
    std::filesystem::remove(path_ + "-journal");
    const std::string set_up = std::string("PRAGMA synchronous=OFF; PRAGMA journal_mode=") + mode + "; ";
    Connection(path_).run(set_up + "CREATE TABLE t(a, b)");
    std::atomic<bool> stop = false;
    std::atomic<std::int64_t> committed = 0, rolled_back = 0;
    std::thread writer([&] {
      Connection own(path_);
      own.run(set_up + "PRAGMA cache_size=1");
      for (std::int64_t i = 0; !stop; ++i) {
        const std::string wide = "printf('%0500d', " + std::to_string(i) + ")";
        own.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (" + wide + ", " + wide + "); INSERT INTO t VALUES (" + wide +
                ", " + wide + "); COMMIT");
        committed += 2;
        own.run(std::string(kSpill) + "; ROLLBACK");
        ++rolled_back;
      }
    });
    std::int64_t before = 0;
    for (int i = 0; i < 3; ++i) {
      const std::int64_t least = committed;
      while (committed == least) std::this_thread::yield();
      const auto stored = upper_.sync();
      if (!stored) ADD_FAILURE() << stored.error().message();
      if (!stored) break;
      EXPECT_EQ((*upper_.catalogue->find("d/app.db"))->contents, Contents::whole);
      const std::int64_t rows = rows_stored(the(*stored, "d/app.db"));
      EXPECT_EQ(rows % 2, 0);
      EXPECT_GE(rows, before);
      before = rows;
    }
    stop = true;
    writer.join();
    EXPECT_GT(rolled_back, 1);
  }
}

// journal_mode PERSIST leaves its journal behind, with a header of zeros: in WAL mode it says nothing.
TEST_F(DatabaseInLayer, JournalOfEarlierDaysDoesNotHideTheWal) {
  Connection app(path_);
  app.run("PRAGMA journal_mode=PERSIST; CREATE TABLE before(a); INSERT INTO before VALUES (1)");
  std::filesystem::copy(path_ + "-journal", upper_ / "journal");
  app.run(kSetUp);
  app.run("INSERT INTO t VALUES (1, 1), (2, 2)");
  std::filesystem::rename(upper_ / "journal", path_ + "-journal");  // SQLite has removed its own
  const auto stored = upper_.sync();
  ASSERT_TRUE(stored) << stored.error().message();
  EXPECT_EQ(paths_of(*stored), " d d/app.db d/app.db-journal ");
  EXPECT_EQ(rows_stored(the(*stored, "d/app.db")), 2);
  EXPECT_EQ(upper_.sync_text(), "");
}

TEST_F(DatabaseInLayer, OtherFilesWithSuchNamesAreFiles) {
  upper_.write("x", "no database");
  upper_.write("x-wal", "its own");
  upper_.write("x-shm", "its own, too");
  EXPECT_EQ(upper_.sync_text(), "dir \ndir d\nfile x=no database\nfile x-shm=its own, too\nfile x-wal=its own\n");
  EXPECT_EQ(upper_.sync_text(), "");
}

// A directory that bears the name of a companion is stored with what is in it.
TEST_F(DatabaseInLayer, CompanionsAreFiles) {
  const std::string source = upper_.beside("source.db");
  Connection app(source);
  app.run(kSetUp);
  app.run("PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES (1, 1)");
  std::filesystem::copy(source, path_);
  std::filesystem::copy(source + "-wal", path_ + "-wal");
  upper_.mkdir("d/app.db-shm");
  upper_.write("d/app.db-shm/file", "its own");
  for (int i = 0; i < 2; ++i) {  // read ahead, and not
    const auto stored = upper_.sync(ScanGoal::full);
    ASSERT_TRUE(stored) << stored.error().message();
    EXPECT_EQ(paths_of(*stored), " d d/app.db d/app.db-shm d/app.db-shm/file ");
    EXPECT_EQ(rows_stored(the(*stored, "d/app.db")), 1);
  }
}

TEST_F(DatabaseInLayer, BesideWhatIsNoFileTheyAreFiles) {
  // Whoever opens a FIFO waits for ever.
  ASSERT_EQ(::mkfifo((upper_ / "x").c_str(), 0644), 0);
  for (const char* ending : {"-journal", "-shm", "-wal"}) upper_.write(std::string("x") + ending, "its own");
  EXPECT_EQ(upper_.sync_text(),
            "dir \ndir d\nfifo x\nfile x-journal=its own\nfile x-shm=its own\nfile x-wal=its own\n");
}

TEST_F(DatabaseInLayer, AsFilesWhenThatIsWanted) {
  upper_.options.databases = LayerDatabases::as_files;
  Connection app(path_);
  app.run(kSetUp);
  const auto stored = upper_.sync();
  ASSERT_TRUE(stored);
  EXPECT_EQ(paths_of(*stored), " d d/app.db d/app.db-shm d/app.db-wal ");
}

// Between the scan and the reading: neither is it left out, nor is there a -wal beside the copy.
TEST_F(DatabaseInLayer, AProgramThatOpensItMeanwhileChangesNothing) {
  { Connection(path_).run(kSetUp); }
  upper_.write("d/app.db-wal", "");  // as a program leaves it that was killed: the database has all
  std::optional<Connection> app;
  const auto first = stored_while_opened_by(app);
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(paths_of(*first), " d d/app.db ");
  EXPECT_EQ(rows_stored(the(*first, "d/app.db")), 2);
  const auto second = upper_.sync();
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(paths_of(*second).find("-"), std::string::npos);
}

// An older sync stored the -wal as a file: it must not come back beside the copy.
TEST_F(DatabaseInLayer, WalOfAnOlderSyncIsTakenBack) {
  upper_.options.databases = LayerDatabases::as_files;
  Connection app(path_);
  app.run(kSetUp);
  app.run("INSERT INTO t VALUES (1, 1)");
  ASSERT_TRUE(upper_.sync());
  upper_.options.databases = LayerDatabases::through_sqlite;
  const auto stored = upper_.sync();
  ASSERT_TRUE(stored) << stored.error().message();
  EXPECT_EQ(paths_of(*stored), "d/app.db d/app.db-shm- d/app.db-wal- ");
}

// Each row is written with a second one in the same transaction: a copy of any one state has an even number of rows.
TEST_F(DatabaseInLayer, EachCopyIsOneCommittedStateWhileAWriterWrites) {
  Connection app(path_);
  app.run(kSetUp);
  app.run("PRAGMA wal_autocheckpoint=20");
  std::atomic<bool> stop = false;
  std::atomic<std::int64_t> committed = 0;
  std::thread writer([&] {
    Connection own(path_);
    own.run("PRAGMA wal_autocheckpoint=20");
    for (std::int64_t i = 0; !stop; ++i) {
      const std::string wide = "printf('%0500d', " + std::to_string(i) + ")";
      own.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (" + wide + ", " + wide + "); INSERT INTO t VALUES (" + wide +
              ", " + wide + "); COMMIT");
      committed += 2;
    }
  });
  while (committed < 200) std::this_thread::yield();
  std::int64_t before = 0;
  for (int i = 0; i < 8; ++i) {
    const std::int64_t least = committed;
    while (committed == least) std::this_thread::yield();  // there is something new
    const auto stored = upper_.sync();
    ASSERT_TRUE(stored) << stored.error().message();
    const std::int64_t rows = rows_stored(the(*stored, "d/app.db"));
    EXPECT_EQ(rows % 2, 0);
    EXPECT_GE(rows, least);
    EXPECT_GE(rows, before);
    before = rows;
  }
  stop = true;
  writer.join();
  EXPECT_EQ(names_in_folder(upper_ / "d"), (std::set<std::string>{"app.db", "app.db-wal", "app.db-shm"}));
}

}  // namespace
}  // namespace cairn::layer
