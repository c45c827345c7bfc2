// Other people's readers: zstd reads every object, sqlite3 opens a decompressed snapshot, and SQLite alone replays a
// decompressed segment beside the state before it to exactly the state after it.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>

#include "segment/footer.h"
#include "segment/merge.h"
#include "segment/test_history.h"
#include "segment/wal_layout.h"

namespace cairn::segment {
namespace {

using namespace testing;

class Database {
 public:
  explicit Database(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
    run("PRAGMA synchronous=OFF");  // nothing here has to survive a crash
  }
  ~Database() { sqlite3_close(db_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const std::string& sql) {
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK) << sql << ": " << message;
    sqlite3_free(message);
  }
  std::string ask(const std::string& sql) {
    std::string answer;
    auto take = [](void* out, int count, char** values, char**) {
      for (int i = 0; i < count; ++i) *static_cast<std::string*>(out) += values[i] ? values[i] : "NULL";
      return 0;
    };
    int status = sqlite3_exec(db_, sql.c_str(), take, &answer, nullptr);
    EXPECT_EQ(status, SQLITE_OK) << sql << ": " << sqlite3_errmsg(db_);
    return answer;
  }
  // Everything in the database file, nothing in the WAL.
  void settle() { EXPECT_EQ(ask("PRAGMA wal_checkpoint(TRUNCATE)"), "000"); }

 private:
  sqlite3* db_ = nullptr;
};

// What differs between two states, as a run; a state is a database file.
MadeRun difference(const Bytes& before, const Bytes& after, std::uint32_t page_size) {
  MadeRun run;
  run.page_count = static_cast<std::uint32_t>(after.size() / page_size);
  for (std::uint32_t page = 1; page <= run.page_count; ++page) {
    std::size_t at = std::size_t{page - 1} * page_size;
    ByteView bytes = ByteView(after).subspan(at, page_size);
    bool same = at + page_size <= before.size() && std::equal(bytes.begin(), bytes.end(), before.begin() + at);
    if (!same) run.pages[page] = Bytes(bytes.begin(), bytes.end());
  }
  return run;
}

struct Step {
  std::string name;
  std::string sql;
};

// A life of a database, each step one state: tables, growth, scattered updates, a VACUUM that shrinks, growth
// again, and auto_vacuum's way to shrink.
const std::vector<Step> kLife = {
    {"first table", "CREATE TABLE t(id INTEGER PRIMARY KEY, body BLOB)"},
    {"growth", "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 400) "
               "INSERT INTO t SELECT i, randomblob(900) FROM n"},
    {"scattered updates", "UPDATE t SET body = randomblob(900) WHERE id % 37 = 0"},
    {"index", "CREATE INDEX t_body ON t(body)"},
    {"delete", "DELETE FROM t WHERE id > 20"},
    {"VACUUM that shrinks", "VACUUM"},
    {"growth after it", "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i+1 FROM n WHERE i < 1100) "
                        "INSERT INTO t SELECT i, randomblob(700) FROM n"},
    {"incremental vacuum", "DELETE FROM t WHERE id > 5; PRAGMA incremental_vacuum"},
    {"drop", "DROP TABLE t"},
};

std::vector<Bytes> states_of_a_life(const ScratchFolder& folder, std::uint32_t page_size) {
  std::vector<Bytes> states;
  const std::string path = folder / "life.db";
  Database db(path);
  db.run("PRAGMA page_size=" + std::to_string(page_size) +
         "; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; "
         "PRAGMA wal_autocheckpoint=0; PRAGMA user_version=7");
  db.settle();
  states.push_back(read_whole_file(path));
  for (const Step& step : kLife) {
    db.run(step.sql);
    db.settle();
    states.push_back(read_whole_file(path));
  }
  return states;
}

// `wal` beside `before`, and SQLite: the file that comes out.
Bytes replayed(const ScratchFolder& folder, const Bytes& before, ByteView wal) {
  const std::string path = folder / "replay.db";
  std::filesystem::remove(path + "-shm");
  write_whole_file(path, before);
  write_whole_file(path + "-wal", wal);
  {
    Database db(path);
    EXPECT_EQ(db.ask("PRAGMA integrity_check"), "ok");
    db.settle();
  }
  return read_whole_file(path);
}

class Replay : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  // An object as `zstd -dc` sees it, after `zstd -t`.
  Bytes decompressed(ByteView object) {
    write_whole_file(folder_ / "object.zst", object);
    EXPECT_EQ(run_command("zstd -q -t " + (folder_ / "object.zst")), 0);
    EXPECT_EQ(run_command("zstd -q -dc " + (folder_ / "object.zst") + " > " + (folder_ / "object")), 0);
    return read_whole_file(folder_ / "object");
  }

  void SetUp() override {
    if (!has_command("zstd")) GTEST_SKIP() << "there is no zstd command on PATH";
    states_ = states_of_a_life(folder_, GetParam());
  }

  ScratchFolder folder_;
  std::vector<Bytes> states_;
  InlineExecutor executor_;
};
INSTANTIATE_TEST_SUITE_P(PageSizes, Replay, ::testing::Values(512, 1024, 2048, 4096, 8192, 16384, 32768, 65536));

TEST_P(Replay, SegmentBesideTheStateBeforeGivesTheStateAfter) {
  for (std::size_t i = 1; i < states_.size(); ++i) {
    SCOPED_TRACE(kLife[i - 1].name);
    ObjectHead head = made_head(ObjectKind::segment, GetParam(), i, i);
    Result<Bytes> object = write_runs(head, {difference(states_[i - 1], states_[i], GetParam())}, executor_);
    ASSERT_TRUE(object) << object.error().message();
    EXPECT_TRUE(open_and_verify(*object));
    EXPECT_EQ(replayed(folder_, states_[i - 1], decompressed(*object)), states_[i]);
  }
}

TEST_P(Replay, L10_SquashedFromAnyStateToAnyLaterOne) {
  for (std::size_t from = 0; from < states_.size(); from += 2) {
    for (std::size_t to = from + 1; to < states_.size(); to += 2) {
      ObjectHead head = made_head(ObjectKind::squashed, GetParam(), from + 1, to);
      Result<Bytes> object = write_runs(head, {difference(states_[from], states_[to], GetParam())}, executor_);
      ASSERT_TRUE(object) << object.error().message();
      EXPECT_EQ(replayed(folder_, states_[from], decompressed(*object)), states_[to]) << from << " to " << to;
    }
  }
}

TEST_P(Replay, L10_BundleCutAfterAnyRunGivesThatRunsState) {
  std::vector<MadeRun> runs;
  for (std::size_t i = 1; i < states_.size(); ++i) runs.push_back(difference(states_[i - 1], states_[i], GetParam()));
  ObjectHead head = made_head(ObjectKind::bundle, GetParam(), 1, runs.size());
  Result<Bytes> object = write_runs(head, runs, executor_);
  ASSERT_TRUE(object) << object.error().message();
  Result<Footer> footer = open_and_verify(*object);
  ASSERT_TRUE(footer) << footer.error().message();
  Bytes wal = decompressed(*object);
  ASSERT_EQ(wal.size(), footer->data_size_bytes);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    SCOPED_TRACE(kLife[i].name);
    std::uint64_t end = data_bytes(ObjectKind::bundle, GetParam(), footer->points[i].frame_end);
    EXPECT_EQ(replayed(folder_, states_[0], ByteView(wal).first(end)), states_[i + 1]);
    // A torn tail is as good as none.
    std::uint64_t torn = std::min<std::uint64_t>(end + 100, wal.size());
    EXPECT_EQ(replayed(folder_, states_[0], ByteView(wal).first(torn)), states_[i + 1]);
  }
}

// The level-0 segments of a life, merged: a bundle of bundles, cut after any run, and squashed segments of it.
TEST_P(Replay, MergedSegmentsBesideTheStateBeforeGiveTheStateAfter) {
  History history(GetParam(), {});
  for (const Bytes& state : states_) history.add_state(state);
  const auto merged = [&](std::vector<Bytes> objects, ObjectKind kind) {
    const Inputs inputs(std::move(objects));
    BytesSink sink;
    Result<Footer> footer = merge(inputs.readers(), kind, sink, executor_);
    EXPECT_TRUE(footer) << footer.error().message();
    return std::move(sink.bytes);
  };
  const auto segments = [&](std::size_t begin, std::size_t end) {  // of the states after `begin`, up to `end`
    std::vector<Bytes> objects;
    for (std::size_t i = begin + 1; i <= end; ++i) objects.push_back(history.segment(i));
    return objects;
  };
  const std::size_t last = states_.size() - 1;
  const std::vector<Bytes> bundles{merged(segments(0, 3), ObjectKind::bundle),
                                   merged(segments(3, last), ObjectKind::bundle)};
  const Bytes bundle = merged(bundles, ObjectKind::bundle);
  const Result<Footer> footer = open_and_verify(bundle);
  ASSERT_TRUE(footer) << footer.error().message();
  const Bytes wal = decompressed(bundle);
  for (std::size_t i = 0; i < footer->points.size(); ++i) {
    SCOPED_TRACE(kLife[i].name);
    const std::uint64_t end = data_bytes(ObjectKind::bundle, GetParam(), footer->points[i].frame_end);
    EXPECT_EQ(replayed(folder_, states_[0], ByteView(wal).first(end)), states_[i + 1]);
  }
  for (std::size_t from = 0; from < last; from += 3) {
    for (std::size_t to = from + 2; to <= last; to += 2) {
      const Bytes object = merged(segments(from, to), ObjectKind::squashed);
      EXPECT_EQ(replayed(folder_, states_[from], decompressed(object)), states_[to]) << from << " to " << to;
    }
  }
}

TEST_P(Replay, DecompressedSnapshotIsADatabase) {
  for (std::size_t i = 0; i < states_.size(); ++i) {
    Result<Bytes> object = write_snapshot(made_head(ObjectKind::snapshot, GetParam(), i, i), states_[i], executor_);
    ASSERT_TRUE(object) << object.error().message();
    Bytes data = decompressed(*object);
    ASSERT_EQ(data, states_[i]);
    write_whole_file(folder_ / "snapshot.db", data);
    Database db(folder_ / "snapshot.db");
    EXPECT_EQ(db.ask("PRAGMA integrity_check"), "ok");
    EXPECT_EQ(db.ask("PRAGMA user_version"), "7");
  }
}

// Why a state has at least one page: SQLite throws a WAL away that lies beside an empty file.
TEST(ReplayOfNothing, SqliteDeletesAWalBesideAnEmptyDatabase) {
  ScratchFolder folder;
  const std::string path = folder / "empty.db";
  InlineExecutor executor;
  Bytes after = states_of_a_life(folder, 4096)[1];
  Bytes object = *write_runs(made_head(ObjectKind::segment, 4096, 1, 1), {difference({}, after, 4096)}, executor);
  BytesSource source(object);
  Bytes wal = *read_all(**ObjectReader::open(source, "object"));
  write_whole_file(path, {});
  write_whole_file(path + "-wal", wal);
  Database db(path);
  EXPECT_EQ(db.ask("SELECT count(*) FROM sqlite_schema"), "0");
}

}  // namespace
}  // namespace cairn::segment
