// Applications that write: much once (fill, once), or little again and again (write).
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "programs.h"

namespace bench {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

std::int64_t size_bytes(Database& database) {
  return database.number("PRAGMA page_count") * database.number("PRAGMA page_size");
}

void insert_notes(Statement& insert, Text& text, int rows) {
  for (int row = 0; row < rows; ++row) {
    const std::string owner = text.id(), body = text.note();
    insert.bind(1, owner).bind(2, body).bind(3, static_cast<std::int64_t>(text.next() >> 24)).run();
  }
}

constexpr const char* kInsert = "INSERT INTO notes (owner, body, changed) VALUES (?1, ?2, ?3)";

}  // namespace

std::string fill(const std::string& path, const Options& options) {
  Database database(path, "off");
  make_notes(database);
  Text text(static_cast<std::uint64_t>(options.number("seed", 1)));
  Statement insert(database, kInsert);
  const std::int64_t wanted_bytes = options.number("mib", 64) * kMiB;
  while (size_bytes(database) < wanted_bytes) {
    database.run("BEGIN");
    insert_notes(insert, text, 5000);
    database.run("COMMIT");
  }
  database.run("PRAGMA wal_checkpoint(truncate)");
  return fmt::format(R"({{"bytes": {}}})", size_bytes(database));
}

// Grows the database by what is asked for, in one transaction. What does not fit SQLite's cache goes to the WAL before
// the commit, so the application's memory does not grow with it either.
std::string once(const std::string& path, const Options& options) {
  Database database(path, "normal");
  database.run("CREATE TABLE IF NOT EXISTS blobs (id INTEGER PRIMARY KEY, body TEXT NOT NULL)");
  Text text(2);
  Statement insert(database, "INSERT INTO blobs (body) VALUES (?1)");
  const std::int64_t until_bytes = size_bytes(database) + options.number("mib", 64) * kMiB;
  const Stopwatch watch;
  database.run("BEGIN");
  std::string body;
  while (size_bytes(database) < until_bytes) {
    for (int i = 0; i < 64; ++i) {
      body.clear();
      while (body.size() < 60'000) body += text.note();
      insert.bind(1, body).run();
    }
  }
  const double written_s = watch.seconds();
  database.run("COMMIT");
  return fmt::format(R"({{"bytes": {}, "write_s": {:.3f}, "total_s": {:.3f}}})", size_bytes(database), written_s,
                     watch.seconds());
}

std::string write(const std::string& path, const Options& options) {
  Database database(path, options.text("sync", "normal"));
  make_notes(database);
  Text text(static_cast<std::uint64_t>(options.number("seed", 3)));
  const int rows = static_cast<int>(options.number("rows", 3));
  const double seconds = static_cast<double>(options.number("seconds", 10));
  const std::int64_t pause_us = options.number("pause-us", 0);
  const std::int64_t known = std::max<std::int64_t>(1, database.number("SELECT coalesce(max(id), 1) FROM notes"));
  Statement insert(database, kInsert);
  Statement update(database, "UPDATE notes SET body = ?2, changed = changed + 1 WHERE id = ?1");

  std::vector<double> commit_ms;
  const Stopwatch watch;
  while (watch.seconds() < seconds) {
    const Stopwatch one;
    database.run("BEGIN IMMEDIATE");
    insert_notes(insert, text, rows - rows / 2);
    for (int row = 0; row < rows / 2; ++row) {
      const std::string body = text.note();
      update.bind(1, static_cast<std::int64_t>(text.next() % static_cast<std::uint64_t>(known)) + 1)
          .bind(2, body)
          .run();
    }
    database.run("COMMIT");
    commit_ms.push_back(static_cast<double>(one.us()) / 1000);
    if (pause_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(pause_us));
  }
  const double per_second = static_cast<double>(commit_ms.size()) / watch.seconds();
  return fmt::format(R"({{"commits_per_s": {:.1f}, "commit_ms": {}}})", per_second, summary(commit_ms));
}

}  // namespace bench
