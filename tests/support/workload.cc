#include "support/workload.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "fmt/format.h"

namespace cairn::testing {
namespace {

constexpr std::size_t kMaxConnections = 3;
constexpr int kTables = 4;
// Even the first table may be gone: a WAL that was lost takes what was committed last with it.
const std::string kMakeT0 = "CREATE TABLE IF NOT EXISTS t0(id INTEGER PRIMARY KEY, a INTEGER, b BLOB);";

std::string word(SqlResult outcome) { return outcome == SqlResult::done ? "" : " (busy)"; }

}  // namespace

WorkloadOptions random_options(SeededRandom& random) {
  constexpr std::array<std::uint32_t, 13> kSizes{4096, 4096, 4096, 4096, 512,   512,  1024,
                                                 1024, 2048, 8192, 16384, 32768, 65536};
  WorkloadOptions options;
  options.page_size = kSizes[random.below(kSizes.size())];
  options.auto_vacuum = random.chance(1, 2) ? 0 : static_cast<int>(1 + random.below(2));
  // Mostly small; sometimes of several blocks of a snapshot, so that one is read in many steps.
  const std::uint64_t size = 100'000 + random.below(random.chance(1, 8) ? 1'500'000 : 200'000);
  options.max_size_bytes = std::max<std::uint64_t>(size, options.page_size * 12ull);
  return options;
}

Workload::Workload(std::string path, WorkloadOptions options, SeededRandom& random, PageModel& model)
    : path_(std::move(path)), options_(options), random_(random), model_(model) {}

void Workload::set_on_wait(std::function<void()> on_wait, int max_waits) {
  on_wait_ = std::move(on_wait);
  max_waits_ = max_waits;
}

std::unique_ptr<Application> Workload::connect() {
  auto application = std::make_unique<Application>(path_, [this] { return random_.next(); });
  application->run(fmt::format("PRAGMA page_size={}", options_.page_size));
  if (random_.chance(1, 2)) application->run("PRAGMA cache_size=10");
  constexpr std::array<int, 6> kAutocheckpoints{0, 0, 10, 50, 200, 1000};
  sqlite3_wal_autocheckpoint(application->handle(), kAutocheckpoints[below(kAutocheckpoints.size())]);
  application->run(random_.chance(1, 4) ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
  application->run(random_.chance(1, 4) ? "PRAGMA secure_delete=ON" : "PRAGMA secure_delete=OFF");
  return application;
}

Application& Workload::open_connection() {
  applications_.push_back(connect());
  return *applications_.back();
}

void Workload::create() {
  Application& application = open_connection();
  application.run(fmt::format("PRAGMA auto_vacuum={}", options_.auto_vacuum));
  if (!random_.chance(1, 8)) application.run("PRAGMA journal_mode=WAL");
  application.run("CREATE TABLE t0(id INTEGER PRIMARY KEY, a INTEGER, b BLOB)");
  committed(application);
}

void Workload::committed(Application& application) {
  ++commits_;
  // In rollback mode a page that was freed stays in the cache of its writer as it never was on disk.
  if (application.text("PRAGMA journal_mode") != "wal") return observe();
  (void)model_.observe(application.handle());
}

Application& Workload::any_idle() {
  std::vector<Application*> idle;
  for (const auto& application : applications_) {
    if (application->occupation == Occupation::idle) idle.push_back(application.get());
  }
  if (idle.empty()) return open_connection();
  return *idle[below(idle.size())];
}

bool Workload::others_in_the_way(const Application& application) const {
  return std::ranges::any_of(applications_, [&](const auto& other) {
    return other.get() != &application && other->occupation != Occupation::idle;
  });
}

// Changes.

std::string Workload::table() { return fmt::format("t{}", below(kTables)); }

std::string Workload::insert_sql(std::uint64_t rows, std::uint64_t row_bytes) {
  const std::string name = table();
  return fmt::format(
      "CREATE TABLE IF NOT EXISTS {0}(id INTEGER PRIMARY KEY, a INTEGER, b BLOB);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{1})"
      " INSERT INTO {0}(a, b) SELECT i*{3}, noise({2}) FROM n;",
      name, rows, row_bytes, below(1000) + 1);
}

std::string Workload::change_sql() {
  const std::string name = table();
  const std::string make =
      fmt::format("CREATE TABLE IF NOT EXISTS {}(id INTEGER PRIMARY KEY, a INTEGER, b BLOB);", name);
  const std::uint64_t page = options_.page_size;
  switch (below(9)) {
    case 0: return insert_sql(1, 4 * page + below(page));
    case 1:
    case 2:
    case 3: return insert_sql(1 + below(12), below(300));
    case 4:
      return make + fmt::format("UPDATE {} SET a=a+1, b=noise({}) WHERE id%{}={};", name, below(400), 3 + below(9),
                                below(3));
    case 5:
      return make + fmt::format("UPDATE {} SET a=a WHERE id<{};", name, below(20));  // pages rewritten as they were
    case 6: return make + fmt::format("UPDATE {} SET a={} WHERE id={};", name, below(1000), below(50));
    case 7: return make + fmt::format("DELETE FROM {} WHERE id%{}={};", name, 2 + below(5), below(3));
    default: return make + fmt::format("DELETE FROM {} WHERE id>{};", name, below(80));
  }
}

std::string Workload::write_rows(Application& application) {
  const std::int64_t pages = application.number("PRAGMA page_count") - application.number("PRAGMA freelist_count");
  const bool too_large = pages > 0 && static_cast<std::uint64_t>(pages) * options_.page_size > options_.max_size_bytes;
  const std::string sql =
      too_large ? kMakeT0 + fmt::format("DELETE FROM t0 WHERE id%4<3; DROP TABLE IF EXISTS t{}; "
                                        "DROP TABLE IF EXISTS t{}",
                                        1 + below(3), 1 + below(3))
                : change_sql();
  const SqlResult begun = application.run("BEGIN");
  const SqlResult outcome = begun == SqlResult::done ? application.run(sql + ";COMMIT") : begun;
  committed(application);
  return "write: " + sql.substr(0, 60) + word(outcome);
}

// With a small cache, pages spill into the WAL before the commit, some of them more than once.
std::string Workload::write_much(Application& application) {
  application.run("PRAGMA cache_size=10");
  application.run("BEGIN");
  const std::uint64_t rows = std::min<std::uint64_t>(options_.max_size_bytes / 3 / options_.page_size + 20, 400);
  SqlResult outcome = application.run(insert_sql(rows, options_.page_size / 2));
  if (outcome == SqlResult::done) outcome = application.run(kMakeT0 + fmt::format("UPDATE t0 SET a=a+{}", below(9)));
  if (outcome == SqlResult::done) outcome = application.run(insert_sql(rows / 2, 100));
  const bool keep = !random_.chance(1, 4);
  if (outcome == SqlResult::done) outcome = application.run(keep ? "COMMIT" : "ROLLBACK");
  committed(application);
  return std::string(keep ? "big transaction" : "big transaction, rolled back") + word(outcome);
}

std::string Workload::roll_back(Application& application) {
  const SqlResult outcome = application.run("BEGIN;" + change_sql() + change_sql() + "ROLLBACK");
  committed(application);
  return "rollback" + word(outcome);
}

// With a cache that never spills: after a rollback to a savepoint SQLite now and then commits frames
// without a checksum (docs/sqlite.md). What no recovery reads cannot be a model's truth; replicate/savepoint_test.cc
// looks at that case by itself.
std::string Workload::use_savepoints(Application& application) {
  application.run("PRAGMA cache_size=-8000");
  const SqlResult outcome = application.run("BEGIN;" + change_sql() + "SAVEPOINT one;" + insert_sql(20, 200) +
                                          "SAVEPOINT two;" + change_sql() + "ROLLBACK TO one;" + change_sql() +
                                          "RELEASE one;COMMIT");
  committed(application);
  return "savepoints" + word(outcome);
}

std::string Workload::change_schema(Application& application) {
  const std::string name = table();
  const std::array<std::string, 5> choices{
      fmt::format("DROP TABLE IF EXISTS t{}", 1 + below(kTables - 1)),
      fmt::format("CREATE TABLE IF NOT EXISTS {0}(id INTEGER PRIMARY KEY, a INTEGER, b BLOB);"
                  "CREATE INDEX IF NOT EXISTS i_{0} ON {0}(a)", name),
      fmt::format("DROP INDEX IF EXISTS i_{}", name),
      fmt::format("CREATE TABLE extra_{}(x)", ++names_),
      "CREATE TABLE IF NOT EXISTS wide(" + std::string(300, 'c') + ")",
  };
  const std::string& sql = choices[below(choices.size())];
  const SqlResult outcome = application.run("BEGIN;" + sql + ";COMMIT");
  committed(application);
  return "schema: " + sql.substr(0, 40) + word(outcome);
}

std::string Workload::vacuum(Application& application) {
  const bool incremental = options_.auto_vacuum == 2 && random_.chance(2, 3);
  const std::string sql = incremental ? fmt::format("PRAGMA incremental_vacuum({})", below(20)) : "VACUUM";
  const SqlResult outcome = application.run(sql);
  committed(application);
  return sql + word(outcome);
}

std::string Workload::set_pragma(Application& application) {
  const std::string sql =
      fmt::format("PRAGMA {}={}", random_.chance(1, 2) ? "user_version" : "application_id", below(1 << 20));
  const SqlResult outcome = application.run(sql);
  committed(application);
  return sql + word(outcome);
}

// Transactions that stay open over other steps.

std::string Workload::begin(Application& application, Occupation occupation) {
  const bool writes = occupation == Occupation::writing;
  SqlResult outcome = application.run(writes ? "BEGIN IMMEDIATE" : "BEGIN; SELECT count(*) FROM sqlite_schema");
  if (outcome == SqlResult::done) application.occupation = occupation;
  if (outcome == SqlResult::done && writes)
    outcome = application.run(insert_sql(1 + below(60), options_.page_size / 3));
  return std::string(writes ? "begin to write" : "begin to read") + word(outcome);
}

std::string Workload::go_on_or_end(Application& application) {
  const bool writes = application.occupation == Occupation::writing;
  if (writes && random_.chance(1, 2)) {
    return "write on" + word(application.run(change_sql()));
  }
  const bool commits = random_.chance(3, 4);
  const SqlResult outcome = application.run(commits ? "COMMIT" : "ROLLBACK");
  application.occupation = Occupation::idle;
  committed(application);
  return std::string("end of ") + (writes ? "writing" : "reading") + (commits ? "" : ": rollback") + word(outcome);
}

// Checkpoints, and connections that come and go.

std::string Workload::checkpoint(Application& application) {
  static constexpr std::array<std::pair<int, const char*>, 4> kModes{{{SQLITE_CHECKPOINT_PASSIVE, "PASSIVE"},
                                                                     {SQLITE_CHECKPOINT_FULL, "FULL"},
                                                                     {SQLITE_CHECKPOINT_RESTART, "RESTART"},
                                                                     {SQLITE_CHECKPOINT_TRUNCATE, "TRUNCATE"}}};
  const auto [mode, name] = kModes[below(kModes.size())];
  const bool waits = mode != SQLITE_CHECKPOINT_PASSIVE && on_wait_ && random_.chance(2, 3);
  const auto result = application.checkpoint(mode, waits ? max_waits_ : 0, on_wait_);
  if (waits && on_waiting_checkpoint) {
    on_waiting_checkpoint({result.waits, result.outcome == SqlResult::busy, others_in_the_way(application)});
  }
  return fmt::format("{} checkpoint: {} of {} frames, {} waits{}", name, result.backfilled, result.wal_frames,
                     result.waits, word(result.outcome));
}

std::string Workload::come_and_go() {
  switch (below(6)) {
    case 0: close_all(); return "all close";
    case 1: kill(); return "application killed";
    case 2:
    case 3:
      if (applications_.size() > 1) {
        const auto gone = applications_.begin() + static_cast<std::ptrdiff_t>(below(applications_.size()));
        if ((*gone)->occupation != Occupation::idle) (*gone)->run("ROLLBACK");
        (*gone)->close();
        applications_.erase(gone);
        return "a connection closes";
      }
      [[fallthrough]];
    default:
      if (applications_.size() >= kMaxConnections) return set_pragma(any_idle());
      open_connection();
      return "a connection opens";
  }
}

std::string Workload::step() {
  if (deleted_) return "no database";
  std::vector<Application*> occupied;
  for (const auto& application : applications_) {
    if (application->occupation != Occupation::idle) occupied.push_back(application.get());
  }
  if (!occupied.empty() && random_.chance(1, 4)) return go_on_or_end(*occupied[below(occupied.size())]);
  if (random_.chance(1, 12)) return come_and_go();
  if (occupied.size() >= kMaxConnections) return go_on_or_end(*occupied[below(occupied.size())]);
  Application& application = any_idle();
  const std::uint64_t choice = below(100);
  if (choice < 45) return write_rows(application);
  if (choice < 52) return write_much(application);
  if (choice < 55) return roll_back(application);
  if (choice < 59) return use_savepoints(application);
  if (choice < 64) return change_schema(application);
  if (choice < 68) return vacuum(application);
  if (choice < 71) return set_pragma(application);
  if (choice < 76) return begin(application, Occupation::writing);
  if (choice < 81) return begin(application, Occupation::reading);
  if (choice < 97) return checkpoint(application);
  application.run(fmt::format("PRAGMA wal_autocheckpoint={}", below(100)));
  return "autocheckpoint";
}

void Workload::end_transactions() {
  for (const auto& application : applications_) {
    if (application->occupation == Occupation::idle) continue;
    application->run(random_.chance(1, 2) ? "COMMIT" : "ROLLBACK");
    application->occupation = Occupation::idle;
    committed(*application);
  }
}

}  // namespace cairn::testing
