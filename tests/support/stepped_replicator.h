// For tests: one Replicator, stepped by hand beside a real SQLite application.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/executor.h"
#include "base/files.h"
#include "cairn/replicator.h"
#include "cairn/restore.h"
#include "fmt/format.h"
#include "support/whole_file.h"

namespace cairn::replicator_test {

namespace fs = std::filesystem;

// A connection of the application.
class App {
 public:
  explicit App(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
  }
  ~App() { close(); }
  App(const App&) = delete;
  void close() {
    sqlite3_close(db_);
    db_ = nullptr;
  }
  int run(const std::string& sql) { return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr); }
  void must(const std::string& sql) {
    EXPECT_EQ(run(sql), SQLITE_OK) << sql << ": " << sqlite3_errmsg(db_);
  }
  std::string ask(const std::string& sql) {
    std::string answer;
    sqlite3_exec(db_, sql.c_str(), [](void* out, int n, char** values, char**) {
      if (n > 0 && values[0]) *static_cast<std::string*>(out) = values[0];
      return 0;
    }, &answer, nullptr);
    return answer;
  }
  sqlite3* handle() { return db_; }

 private:
  sqlite3* db_ = nullptr;
};

inline std::string read_all(const fs::path& path) { return cairn::testing::whole_file(path); }

class ReplicatorTest : public ::testing::Test {
 public:
  ReplicatorTest() {
    std::string pattern =
        ((fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) / "cairn-replicator-XXXXXX")
            .string();
    dir_ = mkdtemp(pattern.data());
    db_path_ = (dir_ / "app.db").string();
    store_ = make_memory_store();
    files_ = make_real_file_system();
  }
  ~ReplicatorTest() override {
    replicator_.reset();
    fs::remove_all(dir_);
  }

  ReplicatorOptions options() {
    ReplicatorOptions o;
    o.database = db_path_;
    o.replica = "app";
    o.state_directory = (dir_ / "state").string();
    o.host = "test";
    o.interval_ms = 10;
    return o;
  }
  // With rollovers from so many frames on.
  ReplicatorOptions rolling(std::uint32_t frames, std::int64_t interval_ms) {
    ReplicatorOptions o = options();
    o.rollover_frames = frames;
    o.interval_ms = interval_ms;
    return o;
  }
  void start(ReplicatorOptions o) {
    auto opened = Replicator::open(*store_, *files_, executor_, random_, std::move(o));
    ASSERT_TRUE(opened) << opened.error().message();
    replicator_ = std::move(*opened);
  }
  void start() { start(options()); }
  void stop(StopMode mode = StopMode::tidy) {
    if (replicator_) replicator_->close(mode);
    replicator_.reset();
  }
  // From inside the application's busy handler: the application waits for a lock.
  bool turn_in_handler() { return ++handler_calls_ < 100 && !turn(); }

  // One turn of all three steps; the error, if one ended the replicator.
  std::optional<Error> turn() {
    now_.mono_us += 20'000;
    now_.wall_ms += 20;
    for (auto step : {&Replicator::capture_step, &Replicator::publish_step, &Replicator::snapshot_step}) {
      auto done = (replicator_.get()->*step)(now_);
      if (!done) return done.error();
    }
    return std::nullopt;
  }
  // Turns until everything is published.
  std::optional<Error> settle(int turns = 4000) {
    const auto looks = replicator_->status().looks;
    for (int i = 0; i < turns; ++i) {
      if (auto error = turn()) return error;
      const auto s = replicator_->status();
      if (s.settled && s.looks > looks + 1) return std::nullopt;
    }
    const auto s = replicator_->status();
    return Error(ErrorKind::busy,
                 fmt::format("never settled: phase {} captured {} published {} spool {} hold {} {} / {}",
                             name_of(s.phase), s.captured_sequence, s.published_sequence, s.spool_segments, s.hold,
                             s.database_trouble, s.store_trouble));
  }
  void must_settle() {
    auto error = settle();
    ASSERT_FALSE(error) << name_of(error->kind()) << ": " << error->message();
  }

  // The committed state, as SQLite gives it: a copy of database and WAL, checkpointed by SQLite alone.
  std::string committed() {
    const fs::path copy = dir_ / "copy" / "c.db";
    fs::remove_all(copy.parent_path());
    fs::create_directories(copy.parent_path());
    fs::copy_file(db_path_, copy);
    if (fs::exists(db_path_ + "-wal")) fs::copy_file(db_path_ + "-wal", copy.string() + "-wal");
    {
      App app(copy.string());
      app.must("PRAGMA wal_checkpoint(TRUNCATE)");
      app.ask("SELECT count(*) FROM sqlite_schema");
    }
    return read_all(copy);
  }
  std::string restored(RestoreTarget target = {}) {
    const std::string out = (dir_ / "restored.db").string();
    fs::remove(out);
    RestoreOptions o;
    o.target = target;
    auto result = run_restore(*store_, "app", out, o, *files_, executor_);
    EXPECT_TRUE(result) << (result ? "" : result.error().message());
    return result ? read_all(out) : "";
  }
  void expect_replica_is_current() {
    must_settle();
    EXPECT_TRUE(committed() == restored());
    auto report = verify_replica(*store_, "app", VerifyDepth::chain, dir_.string(), *files_, executor_);
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_TRUE(report->problems.empty()) << report->problems.front();
  }
  static std::string fill(int rows, int size = 200) {
    return fmt::format("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{}) "
                       "INSERT INTO t(v) SELECT hex(randomblob({})) FROM n", rows, size);
  }
  void make_database(const std::string& pragmas = "") {
    App app(db_path_);
    app.must(pragmas + "; PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); " + fill(500));
  }
  void follow_new_database() {
    make_database();
    start();
    must_settle();
  }

  fs::path dir_;
  std::string db_path_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<FileSystem> files_;
  InlineExecutor executor_;
  SeededRandom random_{7};
  std::unique_ptr<Replicator> replicator_;
  Time now_{1'700'000'000'000, 0};
  int handler_calls_ = 0;
};

}  // namespace cairn::replicator_test
