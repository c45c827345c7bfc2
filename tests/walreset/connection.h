// A connection to a database for tests that look at SQLite itself: what does not succeed fails the test.
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>
#include <utility>
#include <vector>

namespace cairn::walreset {

class Connection {
 public:
  explicit Connection(const std::string& path, const char* vfs = nullptr) {
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    EXPECT_EQ(sqlite3_open_v2(path.c_str(), &db_, flags, vfs), SQLITE_OK) << path;
  }
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void close() { sqlite3_close(std::exchange(db_, nullptr)); }
  void run(const std::string& sql) {
    EXPECT_EQ(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(db_) << ": " << sql;
  }
  // The first column of all rows.
  std::vector<std::string> column(const std::string& sql) {
    sqlite3_stmt* statement = nullptr;
    EXPECT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK) << sqlite3_errmsg(db_);
    std::vector<std::string> values;
    while (sqlite3_step(statement) == SQLITE_ROW) {
      values.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(statement, 0)));
    }
    sqlite3_finalize(statement);
    return values;
  }
  sqlite3* handle() const { return db_; }
  // The result code, whatever it is.
  int attempt(const std::string& sql) { return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr); }
  int number(const std::string& sql) { return std::stoi(column(sql).at(0)); }
  // Frames in the WAL after this connection's last commit.
  int frames() const { return frames_; }
  void count_frames() {
    const auto count = [](void* frames, sqlite3*, const char*, int in_wal) {
      *static_cast<int*>(frames) = in_wal;
      return SQLITE_OK;
    };
    sqlite3_wal_hook(db_, count, &frames_);
  }
  void checkpoint(int mode) {
    EXPECT_EQ(sqlite3_wal_checkpoint_v2(db_, "main", mode, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db_);
  }

 private:
  sqlite3* db_ = nullptr;
  int frames_ = 0;
};

}  // namespace cairn::walreset
