// A folder with a live database in it, and the command that was just built.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/command.h"

namespace cairn::testing {

// An application's connection.
class Database {
 public:
  explicit Database(const std::string& path) {
    if (::sqlite3_open(path.c_str(), &db_) != SQLITE_OK) ADD_FAILURE() << path << ": " << ::sqlite3_errmsg(db_);
    ::sqlite3_busy_timeout(db_, 20000);
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database() { ::sqlite3_close(db_); }

  void run(const std::string& sql) {
    if (::sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
      ADD_FAILURE() << sql << ": " << ::sqlite3_errmsg(db_);
    }
  }
  std::string value(const std::string& sql) {
    std::string result;
    const auto take = [](void* into, int columns, char** values, char**) {
      if (columns > 0 && values[0] != nullptr) *static_cast<std::string*>(into) = values[0];
      return 0;
    };
    if (::sqlite3_exec(db_, sql.c_str(), take, &result, nullptr) != SQLITE_OK) {
      ADD_FAILURE() << sql << ": " << ::sqlite3_errmsg(db_);
    }
    return result;
  }
  // `rows` rows of about 200 bytes, in one transaction.
  void add_rows(int rows) {
    run("INSERT INTO t(text) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
        std::to_string(rows) + ") SELECT hex(randomblob(100)) FROM n");
  }

 private:
  sqlite3* db_ = nullptr;
};

// The bytes of the database's newest state, folded into one file by SQLite itself, beside nobody's work: what a
// restore has to equal. Call it when nobody writes.
inline std::string state_of(const std::string& path) {
  TempDir scratch;
  const std::string copy = scratch / "copy";
  fs::copy_file(path, copy);
  if (fs::exists(path + "-wal")) fs::copy_file(path + "-wal", copy + "-wal");
  Database(copy).run("PRAGMA wal_checkpoint(TRUNCATE)");
  return read_text(copy);
}

inline std::string integrity_of(const std::string& path) { return Database(path).value("PRAGMA integrity_check"); }

// Looks again and again, for a minute at most.
inline bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 3000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

class Cli : public ::testing::Test {
 protected:
  std::string at(const std::string& name) { return dir_ / name; }
  const std::string db_ = at("app.db");
  const std::string store_ = at("backup");

  void make_database(const std::string& path, int rows = 100, const std::string& pragma = "") {
    Database db(path);
    db.run(pragma + "; PRAGMA journal_mode = wal; CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT)");
    db.add_rows(rows);
  }

  static std::vector<std::string> command(std::vector<std::string> words) {
    words.insert(words.begin(), CAIRN_COMMAND);
    return words;
  }
  Outcome cairn(std::vector<std::string> words) { return run(command(std::move(words)), dir_.path().string()); }

  std::vector<std::string> replicating(const std::string& db, const std::string& store,
                                       const std::vector<std::string>& more = {}) {
    std::vector<std::string> words{"replicate", db, "--to", store, "--state-dir", at("state")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  Outcome replicate_once(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = replicating(db_, store_, more);
    words.push_back("--once");
    return cairn(words);
  }
  void publish() {
    const Outcome outcome = replicate_once();
    ASSERT_EQ(outcome.status, 0) << outcome.err;
  }

  // Restores and returns the bytes; the outcome's status must be 0.
  std::string restored(const std::vector<std::string>& more = {}) {
    const std::string output = at("restored-" + std::to_string(++restores_) + ".db");
    std::vector<std::string> words{"restore", store_, "-o", output};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = cairn(words);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    if (outcome.status == 0) {
      EXPECT_EQ(integrity_of(output), "ok");
    }
    return read_text(output);
  }

  // The objects of a replica, oldest first.
  static std::vector<fs::path> objects(const std::string& replica) {
    std::vector<fs::path> found;
    if (!fs::exists(replica)) return found;
    for (const auto& entry : fs::recursive_directory_iterator(replica)) {
      if (entry.path().extension() == ".zst") found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  static std::vector<fs::path> segments(const std::string& replica) {
    std::vector<fs::path> found = objects(replica);
    std::erase_if(found, [](const fs::path& path) { return path.parent_path().filename() != "wal"; });
    return found;
  }

  TempDir dir_;
  int restores_ = 0;
};

// One sentence for a person: something, on standard error, on few lines, without a stack or a number alone.
inline void expect_one_clear_message(const Outcome& outcome) {
  EXPECT_FALSE(outcome.err.empty());
  EXPECT_LE(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 3) << outcome.err;
}

}  // namespace cairn::testing
