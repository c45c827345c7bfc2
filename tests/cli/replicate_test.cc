// `cairn replicate` as a person uses it: once, beside a writer, around a program, killed and started again.
#include <sys/stat.h>

#include "cli/cli_fixture.h"

namespace cairn::testing {
namespace {

class Replicate : public Cli {};

TEST_F(Replicate, OnceThenRestoreGivesTheSameBytes) {
  make_database(db_, 2000);
  publish();
  EXPECT_EQ(restored(), state_of(db_));
}

TEST_F(Replicate, OnceAgainWithoutAChangePublishesNothing) {
  make_database(db_);
  publish();
  const std::vector<fs::path> before = objects(store_);
  publish();
  EXPECT_EQ(objects(store_), before);
}

TEST_F(Replicate, EachPublishedStateComesBack) {
  make_database(db_);
  std::vector<std::string> states;
  for (int i = 0; i < 5; ++i) {
    Database(db_).add_rows(50);
    publish();
    states.push_back(state_of(db_));
  }
  const Outcome outcome = cairn({"history", store_, "--json"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(restored(), states.back());
  for (std::size_t i = 0; i < states.size(); ++i) {
    EXPECT_EQ(restored({"--sequence", std::to_string(i + 1)}), states[i]) << "sequence " << i + 1;
  }
}

class PageSizes : public Replicate, public ::testing::WithParamInterface<int> {};
TEST_P(PageSizes, RoundTrip) {
  make_database(db_, 200, "PRAGMA page_size = " + std::to_string(GetParam()));
  publish();
  Database(db_).add_rows(100);
  publish();
  EXPECT_EQ(restored(), state_of(db_));
}
INSTANTIATE_TEST_SUITE_P(All, PageSizes, ::testing::Values(512, 1024, 4096, 16384, 65536));

TEST_F(Replicate, WithoutToTheObjectsLieBesideTheDatabase) {
  make_database(db_);
  const Outcome outcome = cairn({"replicate", db_, "--once", "--state-dir", at("state")});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_FALSE(objects(db_ + "-cairn").empty());
}

TEST_F(Replicate, TheDatabaseFileIsNotTouched) {
  make_database(db_, 500);
  const std::string before = read_text(db_);
  const std::string schema = Database(db_).value("SELECT group_concat(sql) FROM sqlite_schema");
  publish();
  EXPECT_EQ(read_text(db_), before);
  EXPECT_EQ(Database(db_).value("SELECT group_concat(sql) FROM sqlite_schema"), schema);
}

TEST_F(Replicate, RelativePathsSymbolicLinksAndOddNamesWork) {
  make_database(at("my data"), 50);
  fs::create_symlink(at("my data"), at("link"));
  Outcome outcome = cairn({"replicate", "link", "--to", "objects of link", "--once", "--state-dir", "state"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  outcome = cairn({"restore", "objects of link", "-o", "back"});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(read_text(at("back")), state_of(at("my data")));
}

TEST_F(Replicate, FollowsAWriterAndPublishesTheRestWhenAskedToStop) {
  make_database(db_);
  Program follower(command(replicating(db_, store_, {"--interval", "100ms"})));
  ASSERT_TRUE(eventually([&] { return !objects(store_).empty(); })) << follower.err();
  {
    Database db(db_);
    for (int i = 0; i < 40; ++i) {
      db.add_rows(20);
      if (i % 10 == 9) db.run("PRAGMA wal_checkpoint(TRUNCATE)");
    }
  }
  follower.signal(SIGINT);
  const Outcome outcome = follower.wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(restored(), state_of(db_));
}

TEST_F(Replicate, SigtermStopsItCleanlyToo) {
  make_database(db_);
  Program follower(command(replicating(db_, store_)));
  ASSERT_TRUE(eventually([&] { return !objects(store_).empty(); })) << follower.err();
  follower.signal(SIGTERM);
  EXPECT_EQ(follower.wait().status, 0);
  EXPECT_EQ(restored(), state_of(db_));
}

TEST_F(Replicate, KilledAndStartedAgainPublishesOnlyTheDifference) {
  make_database(db_, 5000);
  {
    Program follower(command(replicating(db_, store_)));
    ASSERT_TRUE(eventually([&] { return !objects(store_).empty(); })) << follower.err();
    follower.signal(SIGKILL);
    follower.wait();
  }
  {
    Database db(db_);
    db.run("UPDATE t SET text = 'changed while nobody looked' WHERE id = 17");
    db.run("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  const std::vector<fs::path> before = objects(store_);
  publish();
  std::vector<fs::path> after = objects(store_);
  for (const fs::path& path : before) std::erase(after, path);
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(after[0].parent_path().filename(), "wal");
  EXPECT_LT(fs::file_size(after[0]), fs::file_size(db_) / 20) << "more than the difference";
  EXPECT_EQ(restored(), state_of(db_));
}

TEST_F(Replicate, ExecRunsAProgramAndPublishesAllOfIt) {
  if (!has_program("sqlite3")) GTEST_SKIP() << "the sqlite3 command is not on PATH";
  make_database(db_);
  const std::string writes = "for i in 1 2 3 4 5; do sqlite3 '" + db_ +
                             "' \"INSERT INTO t(text) VALUES ('from the program')\"; done";
  write_text(at("program.sh"), writes);
  const Outcome outcome = cairn(replicating(db_, store_, {"--exec", "sh " + at("program.sh")}));
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(Database(db_).value("SELECT count(*) FROM t WHERE text = 'from the program'"), "5");
  EXPECT_EQ(restored(), state_of(db_));
}

TEST_F(Replicate, SnapshotAddsAWholeCopy) {
  make_database(db_);
  publish();
  Database(db_).add_rows(10);
  const Outcome outcome = cairn({"snapshot", db_, "--to", store_, "--state-dir", at("state")});
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  std::size_t snapshots = 0;
  for (const auto& entry : fs::directory_iterator(store_ + "/snapshots")) snapshots += entry.is_regular_file();
  EXPECT_EQ(snapshots, 2u);
  EXPECT_EQ(restored(), state_of(db_));
}

TEST_F(Replicate, TwoDatabasesOfOneNameDoNotMix) {
  fs::create_directories(at("a"));
  fs::create_directories(at("b"));
  make_database(at("a/app.db"), 10);
  make_database(at("b/app.db"), 300);
  for (const char* name : {"a", "b"}) {
    const std::string db = at(std::string(name) + "/app.db");
    const Outcome outcome = cairn(replicating(db, at(std::string("backup/") + name), {"--once"}));
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }
  const Outcome listed = cairn({"list", at("backup"), "--json"});
  ASSERT_EQ(listed.status, 0) << listed.err;
  EXPECT_THAT(listed.out, ::testing::HasSubstr("a"));
  for (const char* name : {"a", "b"}) {
    const std::string output = at(std::string("back-") + name);
    ASSERT_EQ(cairn({"restore", at(std::string("backup/") + name), "-o", output}).status, 0);
    EXPECT_EQ(read_text(output), state_of(at(std::string(name) + "/app.db")));
  }
}

}  // namespace
}  // namespace cairn::testing
