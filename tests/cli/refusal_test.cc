// What the command refuses, with which exit status, in one clear message, and without touching anything:
// 2 usage, 3 nothing there, 4 refused (another writer, or diverged), 5 corrupt or incomplete, 6 store away or denied.
#include "cli/cli_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;

class Refusal : public Cli {
 protected:
  void expect(const Outcome& outcome, int status, const std::string& message) {
    EXPECT_EQ(outcome.status, status) << outcome.out << outcome.err;
    expect_one_clear_message(outcome);
    EXPECT_THAT(outcome.err, HasSubstr(message));
  }
  // A replica of three segments after its snapshot, and the states that each reached.
  void make_replica() {
    make_database(db_, 300);
    publish();
    for (int i = 0; i < 3; ++i) {
      Database(db_).add_rows(20);
      publish();
    }
    ASSERT_GE(segments(store_).size(), 3u);
  }
  void expect_restore_is_corrupt() {
    write_text(at("out.db"), "was here before");
    const Outcome outcome = cairn({"restore", store_, "-o", at("out.db"), "--overwrite"});
    EXPECT_EQ(outcome.status, 5) << outcome.err;
    expect_one_clear_message(outcome);
    EXPECT_EQ(read_text(at("out.db")), "was here before");
    EXPECT_EQ(cairn({"verify", store_}).status, 5);
  }
};

TEST_F(Refusal, UsageIsTwo) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"frobnicate"},
           {"restore"},
           {"restore", store_},
           {"replicate"},
           {"restore", store_, "-o", at("x"), "--sequence", "1", "--at", "2024-01-01T00:00:00Z"},
           {"restore", store_, "-o", at("x"), "--at", "yesterday-ish"},
           {"restore", "gopher://somewhere/x", "-o", at("x")},
           {"replicate", db_, "--interval", "soon"}}) {
    const Outcome outcome = cairn(words);
    EXPECT_EQ(outcome.status, 2) << ::testing::PrintToString(words) << outcome.err;
    EXPECT_FALSE(outcome.err.empty());
  }
}

TEST_F(Refusal, NothingThereIsThree) {
  expect(cairn({"restore", at("nowhere"), "-o", at("x")}), 3, "nowhere");
  expect(cairn({"history", at("nowhere")}), 3, "nowhere");
  expect(cairn({"verify", at("nowhere")}), 3, "nowhere");
  EXPECT_FALSE(fs::exists(at("nowhere")));
  EXPECT_FALSE(fs::exists(at("x")));
  expect(cairn(replicating(at("no.db"), store_, {"--once"})), 3, "no.db");
  EXPECT_FALSE(fs::exists(store_));
  EXPECT_FALSE(fs::exists(at("no.db")));
}

TEST_F(Refusal, BeforeTheFirstRestorePointIsThree) {
  make_replica();
  expect(cairn({"restore", store_, "-o", at("x"), "--at", "2001-01-01T00:00:00Z"}), 3, "");
  expect(cairn({"restore", store_, "-o", at("x"), "--sequence", "99999"}), 3, "99999");
}

TEST_F(Refusal, RestoreOverAFileIsFourUnlessToldTo) {
  make_replica();
  write_text(at("out.db"), "precious");
  expect(cairn({"restore", store_, "-o", at("out.db")}), 4, "--overwrite");
  EXPECT_EQ(read_text(at("out.db")), "precious");
  EXPECT_EQ(cairn({"restore", store_, "-o", at("out.db"), "--overwrite"}).status, 0);
  EXPECT_EQ(read_text(at("out.db")), state_of(db_));
}

TEST_F(Refusal, StaleLogFilesNeverMixWithWhatWasRestored) {
  make_replica();
  const std::string good = state_of(db_);
  for (const char* suffix : {"-wal", "-shm", "-journal"}) write_text(at("out.db") + suffix, "left by another");
  fs::copy_file(db_, at("out.db"));
  ASSERT_EQ(cairn({"restore", store_, "-o", at("out.db"), "--overwrite"}).status, 0);
  EXPECT_FALSE(fs::exists(at("out.db-wal")));
  EXPECT_FALSE(fs::exists(at("out.db-shm")));
  EXPECT_FALSE(fs::exists(at("out.db-journal")));
  EXPECT_EQ(read_text(at("out.db")), good);
}

TEST_F(Refusal, WhatIsNoDatabaseIsNotReplicated) {
  write_text(at("text"), std::string(10000, 'x'));
  write_text(at("short"), "SQLite format 3");
  for (const char* name : {"text", "short"}) {
    const std::string before = read_text(at(name));
    const Outcome outcome = cairn(replicating(at(name), store_, {"--once"}));
    EXPECT_EQ(outcome.status, 2) << name << ": " << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(name));
    EXPECT_EQ(read_text(at(name)), before);
  }
  EXPECT_TRUE(objects(store_).empty());
}

TEST_F(Refusal, NoWalSwitchLeavesARollbackDatabaseAsItIs) {
  {
    Database db(db_);
    db.run("CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT)");
    db.add_rows(10);
  }
  const std::string before = read_text(db_);
  const Outcome outcome = replicate_once({"--no-wal-switch"});
  EXPECT_EQ(outcome.status, 2) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("WAL"));
  EXPECT_EQ(read_text(db_), before);
  publish();
  EXPECT_EQ(Database(db_).value("PRAGMA journal_mode"), "wal");
}

TEST_F(Refusal, MissingSegmentIsFiveAndNamed) {
  make_replica();
  const fs::path missing = segments(store_)[1];
  fs::remove(missing);
  const Outcome outcome = cairn({"restore", store_, "-o", at("x")});
  EXPECT_EQ(outcome.status, 5) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("missing"));
  expect_restore_is_corrupt();
}

TEST_F(Refusal, FlippedBitIsFive) {
  make_replica();
  std::string bytes = read_text(segments(store_).back());
  bytes[bytes.size() / 3] ^= 1;
  write_text(segments(store_).back(), bytes);
  expect_restore_is_corrupt();
}

TEST_F(Refusal, CutShortIsFive) {
  make_replica();
  fs::resize_file(segments(store_).back(), fs::file_size(segments(store_).back()) - 100);
  expect_restore_is_corrupt();
}

TEST_F(Refusal, EmptyObjectIsFive) {
  make_replica();
  fs::resize_file(segments(store_).back(), 0);
  expect_restore_is_corrupt();
}

TEST_F(Refusal, SegmentOfAnotherReplicaIsFive) {
  make_replica();
  make_database(at("other.db"), 10);
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(cairn(replicating(at("other.db"), at("other"), {"--once"})).status, 0);
    Database(at("other.db")).add_rows(5);
  }
  const fs::path name = segments(store_).back().filename();
  const fs::path foreign = fs::path(at("other")) / "wal" / name;
  ASSERT_TRUE(fs::exists(foreign));
  fs::copy_file(foreign, segments(store_).back(), fs::copy_options::overwrite_existing);
  const Outcome outcome = cairn({"restore", store_, "-o", at("x")});
  EXPECT_THAT(outcome.status, ::testing::AnyOf(4, 5)) << outcome.err;
  EXPECT_FALSE(fs::exists(at("x")));
}

TEST_F(Refusal, SecondReplicatorIsFourAndTheFirstGoesOn) {
  make_database(db_);
  Program first(command(replicating(db_, store_)));
  ASSERT_TRUE(eventually([&] { return !objects(store_).empty(); })) << first.err();
  expect(replicate_once(), 4, "");
  Database(db_).add_rows(10);
  first.signal(SIGINT);
  EXPECT_EQ(first.wait().status, 0);
  EXPECT_EQ(restored(), state_of(db_));
}

TEST_F(Refusal, AnotherDatabaseOnTheSameReplicaIsFourUntilAdopted) {
  make_replica();
  const std::string original = state_of(db_);
  make_database(at("other.db"), 40);
  const std::vector<std::string> other = {"replicate", at("other.db"), "--to",        store_,
                                          "--once",    "--state-dir",  at("state-2")};
  expect(cairn(other), 4, "--adopt");
  EXPECT_EQ(restored(), original);

  std::vector<std::string> adopting = other;
  adopting.insert(adopting.end(), {"--adopt", "local"});
  const Outcome outcome = cairn(adopting);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(restored(), state_of(at("other.db")));
  EXPECT_EQ(cairn({"verify", store_}).status, 0);
  // The database that was there first is now the stranger.
  Database(db_).add_rows(1);
  expect(replicate_once(), 4, "--adopt");
}

TEST_F(Refusal, StoreThatIsAFileIsRefusedAndKept) {
  make_database(db_);
  write_text(store_, "a file");
  const Outcome outcome = replicate_once();
  EXPECT_NE(outcome.status, 0);
  expect_one_clear_message(outcome);
  EXPECT_THAT(outcome.err, HasSubstr(store_));
  EXPECT_EQ(read_text(store_), "a file");
}

TEST_F(Refusal, DryRunWritesNothing) {
  make_replica();
  const Outcome outcome = cairn({"restore", store_, "-o", at("x"), "--dry-run"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_FALSE(outcome.out.empty());
  EXPECT_FALSE(fs::exists(at("x")));
}

}  // namespace
}  // namespace cairn::testing
