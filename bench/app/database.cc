#include "database.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace bench {

void die(const std::string& message) {
  fmt::print(stderr, "bench_app: {}\n", message);
  std::exit(1);
}

Database::Database(const std::string& path, const std::string& synchronous) : path_(path) {
  if (sqlite3_open(path.c_str(), &handle_) != SQLITE_OK) die(path + ": " + sqlite3_errmsg(handle_));
  sqlite3_busy_timeout(handle_, 5000);
  run("PRAGMA journal_mode = wal");
  run("PRAGMA synchronous = " + synchronous);
}

Database::~Database() { sqlite3_close(handle_); }

void Database::run(const std::string& sql) {
  if (!try_run(sql)) die(path_ + ": still locked after 5 seconds: " + sql);
}

bool Database::try_run(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code == SQLITE_BUSY) return false;
  if (code != SQLITE_OK) die(path_ + ": " + sqlite3_errmsg(handle_) + ": " + sql);
  return true;
}

std::int64_t Database::number(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(handle_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK ||
      sqlite3_step(statement) != SQLITE_ROW) {
    die(path_ + ": " + sqlite3_errmsg(handle_) + ": " + sql);
  }
  const std::int64_t value = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return value;
}

Statement::Statement(Database& database, const std::string& sql) : database_(database) {
  if (sqlite3_prepare_v2(database.handle(), sql.c_str(), -1, &handle_, nullptr) != SQLITE_OK) {
    die(std::string(sqlite3_errmsg(database.handle())) + ": " + sql);
  }
}

Statement::~Statement() { sqlite3_finalize(handle_); }

Statement& Statement::bind(int place, std::int64_t value) {
  sqlite3_bind_int64(handle_, place, value);
  return *this;
}

Statement& Statement::bind(int place, const std::string& text) {
  sqlite3_bind_text(handle_, place, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
  return *this;
}

void Statement::run() {
  if (sqlite3_step(handle_) != SQLITE_DONE) die(sqlite3_errmsg(database_.handle()));
  sqlite3_reset(handle_);
}

void make_notes(Database& database) {
  database.run("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, body TEXT NOT NULL,"
               " changed INTEGER NOT NULL)");
  database.run("CREATE INDEX IF NOT EXISTS notes_by_owner ON notes (owner, changed)");
}

Text::Text(std::uint64_t seed) : state_(seed * 2 + 1) {
  constexpr std::array kSyllables = {"an", "be", "cor", "da", "en", "fil", "go", "hal", "in", "jo", "ka", "lo", "mer",
                                     "no", "or", "pra", "qui", "re", "sto", "ta", "un", "ver", "wa", "xe", "yl", "zu"};
  for (int i = 0; i < 8000; ++i) {
    std::string made;
    for (std::uint64_t part = next() % 3 + 1; part > 0; --part) made += kSyllables[next() % kSyllables.size()];
    words_.push_back(std::move(made));
  }
}

std::uint64_t Text::next() {  // SplitMix64
  std::uint64_t mixed = state_ += 0x9e3779b97f4a7c15;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

// Rank r is drawn about as often as 1/r says.
const std::string& Text::word() {
  const double share = static_cast<double>(next() >> 11) * 0x1p-53;
  const double rank = std::pow(static_cast<double>(words_.size()), share);
  return words_[static_cast<std::size_t>(rank) - 1];
}

std::string Text::id() { return fmt::format("{:016x}{:08x}", next(), next() & 0xffffffff); }

std::string Text::note() {
  std::string made = fmt::format(
      R"({{"title":"{} {}","author":"user-{}","stars":{},"price":{:.2f},"tags":["{}","{}"],"text":")", word(), word(),
      next() % 5000, next() % 6, static_cast<double>(next() % 100000) / 100, word(), word());
  for (std::uint64_t count = next() % 70 + 5; count > 0; --count) {
    made += word();
    made += ' ';
  }
  made += "\"}";
  return made;
}

double percentile(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const double at = std::ceil(share * static_cast<double>(values.size())) - 1;
  return values[static_cast<std::size_t>(std::max(at, 0.0))];
}

std::string summary(std::vector<double> values) {
  return fmt::format(R"({{"count": {}, "median": {:.4f}, "p99": {:.4f}, "p999": {:.4f}, "max": {:.4f}}})",
                     values.size(), percentile(values, 0.5), percentile(values, 0.99), percentile(values, 0.999),
                     percentile(values, 1));
}

}  // namespace bench
