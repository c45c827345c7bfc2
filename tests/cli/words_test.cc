// What the command says: help, version, JSON; and that the README's words are true.
#include "cli/cli_fixture.h"

namespace cairn::testing {
namespace {

using ::testing::HasSubstr;
using nlohmann::json;

class Words : public Cli {};

TEST_F(Words, HelpNamesEveryCommandAndEachTeaches) {
  const Outcome all = cairn({"--help"});
  EXPECT_EQ(all.status, 0);
  for (const char* name : {"replicate", "snapshot", "restore", "list", "history", "verify", "version"}) {
    EXPECT_THAT(all.out, HasSubstr(name));
    const Outcome one = cairn({name, "--help"});
    EXPECT_EQ(one.status, 0) << name;
    EXPECT_GT(one.out.size(), 100u) << name;
  }
}

TEST_F(Words, VersionNamesItselfAndItsSqlite) {
  const Outcome outcome = cairn({"version"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, HasSubstr("cairn"));
  EXPECT_THAT(outcome.out, HasSubstr(::sqlite3_libversion()));
}

TEST_F(Words, JsonIsOneDocumentOnStandardOutput) {
  make_database(db_);
  publish();
  Database(db_).add_rows(10);
  publish();
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"version"},
           {"list", store_},
           {"history", store_},
           {"verify", store_},
           {"restore", store_, "-o", at("a.db"), "--dry-run"},
           {"restore", store_, "-o", at("b.db")},
           {"snapshot", db_, "--to", store_, "--state-dir", at("state")},
           replicating(db_, store_, {"--once"})}) {
    std::vector<std::string> with = words;
    with.push_back("--json");
    const Outcome outcome = cairn(with);
    EXPECT_EQ(outcome.status, 0) << words[0] << ": " << outcome.err;
    EXPECT_TRUE(json::accept(outcome.out)) << words[0] << ": " << outcome.out;
  }
}

TEST_F(Words, NothingOnStandardErrorWhenAllIsWell) {
  make_database(db_);
  publish();
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"list", store_}, {"history", store_}, {"verify", store_, "--deep"}}) {
    const Outcome outcome = cairn(words);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "") << words[0];
    EXPECT_NE(outcome.out, "") << words[0];
  }
}

// The lines of the first fenced block after a heading of the README.
std::string block_after(const std::string& heading) {
  const std::string readme = read_text(fs::path(CAIRN_SOURCE_DIR) / "README.md");
  const std::size_t section = readme.find("\n## " + heading + "\n");
  const std::size_t open = readme.find("\n```", section);
  const std::size_t first = readme.find('\n', open + 1) + 1;
  if (section == std::string::npos || open == std::string::npos) return "";
  return readme.substr(first, readme.find("\n```", first) - first + 1);
}

TEST_F(Words, ReadmesLinesReadAReplicaWithoutCairn) {
  if (!has_program("sqlite3")) GTEST_SKIP() << "the sqlite3 command is not on PATH";
  if (!has_program("zstd")) GTEST_SKIP() << "the zstd command is not on PATH";
  make_database(db_, 400);
  publish();
  for (int i = 0; i < 12; ++i) {
    Database db(db_);
    db.add_rows(30);
    if (i == 5) db.run("DELETE FROM t WHERE id < 200; VACUUM");
    publish();
  }
  std::string lines = block_after("Reading a replica without Cairn");
  const std::size_t from = lines.find("replica=/backup/my.db");
  ASSERT_NE(from, std::string::npos);
  lines.replace(from, lines.find('\n', from) - from, "replica='" + store_ + "'");
  write_text(at("by-hand.sh"), "set -e\n" + lines);
  const Outcome outcome = run({"sh", at("by-hand.sh")}, dir_.path().string());
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(read_text(at("copy.db")), state_of(db_));
}

}  // namespace
}  // namespace cairn::testing
