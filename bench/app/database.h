// The application's side of a benchmark: a SQLite database as a program would use it, and what such programs measure.
//
// This is a benchmark, not the product: what goes wrong is printed, and the program ends with status 1.
#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

[[noreturn]] void die(const std::string& message);

class Statement;

class Database {
 public:
  // WAL mode, a busy time-out of 5 s, `synchronous` as PRAGMA takes it ("normal", "full").
  Database(const std::string& path, const std::string& synchronous);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const std::string& sql);
  // False: SQLITE_BUSY.
  bool try_run(const std::string& sql);
  std::int64_t number(const std::string& sql);
  sqlite3* handle() const { return handle_; }

 private:
  sqlite3* handle_ = nullptr;
  const std::string path_;
};

// A prepared INSERT, UPDATE or DELETE.
class Statement {
 public:
  Statement(Database& database, const std::string& sql);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int place, std::int64_t value);
  Statement& bind(int place, const std::string& text);  // which must live until run()
  void run();

 private:
  Database& database_;
  sqlite3_stmt* handle_ = nullptr;
};

// The table that every benchmark writes to: notes of a few hundred bytes in JSON, with an index.
void make_notes(Database& database);

// Text that compresses like the text and JSON of real databases, about threefold: words drawn by Zipf's law, numbers,
// ids. The same seed gives the same text.
class Text {
 public:
  explicit Text(std::uint64_t seed);
  std::uint64_t next();  // pseudo-random
  std::string note();    // some 150 to 600 bytes of JSON
  std::string id();      // 24 hexadecimal digits

 private:
  const std::string& word();
  std::uint64_t state_;
  std::vector<std::string> words_;
};

class Stopwatch {
 public:
  std::int64_t us() const {
    const auto passed = std::chrono::steady_clock::now() - began_;
    return std::chrono::duration_cast<std::chrono::microseconds>(passed).count();
  }
  double seconds() const { return static_cast<double>(us()) / 1e6; }

 private:
  const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

// Sorts. The value that `share` (0 to 1) of all values do not pass; 0 when there are none.
double percentile(std::vector<double>& values, double share);

// {"median": ..., "p99": ..., "max": ...} of values, as JSON.
std::string summary(std::vector<double> values);

}  // namespace bench
