// The model is one number for each publish: the XOR of the hashes of all rows, which a transaction changes by the
// rows that it changes. So millions of states can be told apart by 8 bytes each, and any of them can be looked for in
// a database that was restored, by reading all of its rows.
#include "support/long_run.h"

#include <sqlite3.h>
#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/files.h"
#include "cairn/replicator.h"
#include "cairn/restore.h"
#include "fmt/format.h"
#include "segment/keys.h"
#include "store/around.h"
#include "store/memory_store.h"
#include "support/scratch.h"

namespace cairn::testing {
namespace {

constexpr std::int64_t kDayLong_ms = 86'400'000;
constexpr const char* kReplica = "app";

class ToldClock final : public Clock {
 public:
  Time now() override { return time; }
  void pass(std::int64_t us) {
    time.mono_us += us;
    time.wall_ms = begun_ms + time.mono_us / 1000;
  }
  static constexpr std::int64_t begun_ms = 1'790'000'000'000;
  Time time{.wall_ms = begun_ms, .mono_us = 0};
};

// Like object storage: to look is a request. Told apart is what is fetched of snapshots.
class BilledStore final : public StoreAround<BilledStore> {
 public:
  explicit BilledStore(Store& inner, bool may_delete = true) : inner_(inner), may_delete_(may_delete) {}
  Store& inner() const { return inner_; }
  StoreCapabilities capabilities() const override {
    StoreCapabilities can = inner_.capabilities();
    can.looking_is_free = false;
    return can;
  }
  template <class Call>
  auto around(const StoreCall& about, const Call& call) -> decltype(call()) {
    const bool is_range = about.operation == Operation::get || about.operation == Operation::get_suffix;
    if (!is_range || about.key.find("/snapshots/") == std::string_view::npos) ++requests;
    const bool deletes = about.operation == Operation::remove || about.operation == Operation::remove_many;
    if (deletes && !may_delete_) return Error(ErrorKind::denied, "AccessDenied");
    return call();
  }
  std::uint64_t requests = 0;

 private:
  Store& inner_;
  const bool may_delete_;
};

std::uint64_t row_hash(std::int64_t id, std::int64_t value, std::string_view body) {
  return XXH3_64bits_withSeed(body.data(), body.size(), static_cast<XXH64_hash_t>(id * 1'000'003 + value));
}

class LongRun {
 public:
  explicit LongRun(const LongRunOptions& options) : options_(options), random_(options.seed) {}
  ~LongRun() { close_database(); }
  LongRun(const LongRun&) = delete;

  LongRunReport run() {
    if (!create() || !open_replicator()) return std::move(report_);
    const auto count = static_cast<std::uint64_t>(options_.days * static_cast<double>(kDayLong_ms / options_.every_ms));
    const std::uint64_t a_day = static_cast<std::uint64_t>(kDayLong_ms / options_.every_ms);
    for (std::uint64_t i = 1; i <= count && ok(); ++i) {
      if (i + a_day == count + 1) published_before_ = replicator_->status().published_bytes;
      publish_one();
      if (i % a_day == 0 || i == count) end_day(i / a_day);
    }
    if (!ok()) return std::move(report_);
    const ReplicatorStatus status = replicator_->status();
    report_.day_bytes = status.published_bytes - published_before_;
    report_.prunes = status.prunes;
    report_.upkeep_trouble = status.upkeep_trouble;
    report_.counts = counting_.counts();
    weigh();
    restore_some();
    replicator_->close(StopMode::tidy);
    return std::move(report_);
  }

 private:
  bool ok() const { return report_.failure.empty(); }
  bool fail(const std::string& what) {
    if (ok()) report_.failure = what;
    return false;
  }

  // The application.
  bool sql(const char* text) {
    return sqlite3_exec(database_, text, nullptr, nullptr, nullptr) == SQLITE_OK || fail(sqlite3_errmsg(database_));
  }
  bool create() {
    if (sqlite3_open((scratch_ / "app.db").c_str(), &database_) != SQLITE_OK) return fail("no database");
    if (!sql(fmt::format("PRAGMA page_size = {}; PRAGMA journal_mode = wal; PRAGMA synchronous = off;"
                         "CREATE TABLE item (id INTEGER PRIMARY KEY, value INTEGER, body TEXT); BEGIN;",
                         options_.page_size).c_str())) {
      return false;
    }
    sqlite3_prepare_v2(database_, "REPLACE INTO item VALUES (?1, ?2, ?3)", -1, &put_row_, nullptr);
    rows_.resize(static_cast<std::size_t>(options_.rows));
    for (std::int64_t id = 0; id < options_.rows; ++id) write_row(id, 0);
    return sql("COMMIT");
  }
  void write_row(std::int64_t id, std::int64_t value) {
    // Half of it random, as what people store compresses to about half.
    std::string body;
    while (body.size() + 17 < options_.page_size * 7 / 10) body += fmt::format("{:016x} ", random_.next());
    sqlite3_bind_int64(put_row_, 1, id);
    sqlite3_bind_int64(put_row_, 2, value);
    sqlite3_bind_text(put_row_, 3, body.data(), static_cast<int>(body.size()), SQLITE_STATIC);
    if (sqlite3_step(put_row_) != SQLITE_DONE) fail(sqlite3_errmsg(database_));
    sqlite3_reset(put_row_);
    std::uint64_t& hash = rows_[static_cast<std::size_t>(id)];
    fingerprint_ ^= hash;
    hash = row_hash(id, value, body);
    fingerprint_ ^= hash;
  }
  void write() {
    sql("BEGIN");
    for (int i = 0; i < options_.updates; ++i) {
      // As in most of what is counted: the second is half as frequent as the first, the third a third.
      const double part = static_cast<double>(random_.below(1 << 30)) / (1 << 30);
      const auto rank = static_cast<std::int64_t>(std::pow(options_.rows, part)) - 1;
      write_row(rank * 7919 % options_.rows, static_cast<std::int64_t>(report_.publishes));
    }
    sql("COMMIT");
  }
  void close_database() {
    sqlite3_finalize(put_row_);
    sqlite3_close(database_);
  }

  // The replicator.
  bool open_replicator() {
    ReplicatorOptions options;
    options.database = scratch_ / "app.db";
    options.replica = kReplica;
    options.state_directory = scratch_ / "state";
    options.host = "simulated";
    options.interval_ms = 0;
    auto pruner = make_pruner(options_.policy, clock_, executor_);
    if (!pruner) return fail(pruner.error().message());
    options.pruner = std::move(*pruner);
    auto opened = Replicator::open(counting_, *files_, executor_, random_, std::move(options));
    if (!opened) return fail(opened.error().message());
    replicator_ = std::move(*opened);
    for (int i = 0; i < 1000 && !replicator_->status().settled; ++i) step();
    return replicator_->status().settled || fail("it does not settle: " + replicator_->status().store_trouble);
  }
  void step() {
    clock_.pass(1000);
    for (const auto part : {&Replicator::capture_step, &Replicator::publish_step, &Replicator::snapshot_step}) {
      const auto done = (replicator_.get()->*part)(clock_.time);
      if (!done) fail(done.error().message());
    }
  }
  void publish_one() {
    const std::int64_t due_us = clock_.time.mono_us + options_.every_ms * 1000;
    write();
    ++report_.publishes;
    const std::uint64_t before = replicator_->status().published_sequence;
    for (int i = 0; i < 50 && ok() && replicator_->status().published_sequence == before; ++i) step();
    const std::uint64_t at = replicator_->status().published_sequence;
    if (at != before + 1) fail(fmt::format("one transaction led from sequence {} to {}", before, at));
    states_.resize(at + 1);
    states_[at] = fingerprint_;
    clock_.pass(std::max<std::int64_t>(due_us - clock_.time.mono_us, 0));
    for (int i = 0; i < 100 && next_upkeep_us_ <= clock_.time.mono_us; ++i) {
      next_upkeep_us_ = replicator_->upkeep_step(clock_.time).next_us;
    }
    // Nobody asks for it before the next transaction: it looks at least now and then.
    next_upkeep_us_ = std::min(next_upkeep_us_, clock_.time.mono_us + 1'000'000);
  }
  void end_day(std::uint64_t day) {
    weigh();
    report_.most_objects = std::max(report_.most_objects, report_.total().objects);
    if (!options_.progress) return;
    const ReplicatorStatus status = replicator_->status();
    std::fprintf(stderr, "%s\n", fmt::format("day {}: {} publishes, {} objects, {} bytes, {} prunes {}", day,
                                             report_.publishes, report_.total().objects, report_.total().bytes,
                                             status.prunes, status.upkeep_trouble).c_str());
  }

  // What is left.
  void weigh() {
    report_.left.clear();
    std::string after;
    for (bool more = true; more;) {
      const auto page = store_->list("", after);
      if (!page) return void(fail(page.error().message()));
      for (const ObjectInfo& object : page->objects) {
        const auto name = segment::parse_key(kReplica, object.key);
        const std::string kind = !name                                        ? "other"
                                 : name->kind == segment::KeyKind::snapshot ? "snapshots"
                                                                              : fmt::format("level {}", name->level);
        ++report_.left[kind].objects;
        report_.left[kind].bytes += object.size_bytes;
        after = object.key;
      }
      more = page->more;
    }
  }
  void restore_some() {
    const auto points = list_restore_points(*store_, kReplica, nullptr);
    if (!points) return void(fail(points.error().message()));
    report_.restore_points = points->size();
    if (points->size() < 2) return void(fail("hardly anything can be restored"));
    check_restore(points->back(), std::nullopt);
    const bool all = options_.restores == 0;
    for (std::uint64_t i = 0; i < (all ? points->size() : options_.restores) && ok(); ++i) {
      // Half of them evenly, half of the newest hours, where most objects are.
      const std::size_t newest = points->size() - 1;
      const std::uint64_t hours = std::min<std::uint64_t>(2 * 3'600'000 / static_cast<std::uint64_t>(options_.every_ms),
                                                          newest);
      const std::size_t at = all ? i : i % 2 == 0 ? random_.below(points->size()) : newest - random_.below(hours + 1);
      RestoreTarget by_sequence, by_time;
      by_sequence.sequence = (*points)[at].sequence;
      by_time.time_ms = (*points)[at].time_ms + static_cast<std::int64_t>(random_.below(2));
      // A snapshot that was made as soon as the next state was there has the same time as that one.
      const auto behind = std::find_if(points->begin() + static_cast<std::ptrdiff_t>(at), points->end(),
                                       [&](const RestorePointInfo& point) { return point.time_ms > *by_time.time_ms; });
      check_restore((*points)[at], by_sequence);
      check_restore(*std::prev(behind), by_time);
    }
  }
  void check_restore(const RestorePointInfo& point, const std::optional<RestoreTarget>& target) {
    ++report_.restores;
    BilledStore billed(*store_);
    RestoreOptions options;
    if (target) options.target = *target;
    options.overwrite = Overwrite::replace;
    const std::string output = scratch_ / "restored.db";
    const bool by_time = options.target.time_ms.has_value();
    const std::string what = fmt::format("sequence {}{}", point.sequence, by_time ? " by its time" : "");
    const auto restored = run_restore(billed, kReplica, output, options, *files_, executor_);
    if (!restored) return void(fail(fmt::format("restore of {}: {}", what, restored.error().message())));
    const std::uint64_t there = restored->plan.point.sequence;
    if (there != point.sequence) return void(fail(fmt::format("restore of {} ({} ms) gave {} ({} ms)", what,
                                                                  point.time_ms, there, restored->plan.point.time_ms)));
    if (states_.at(there) != fingerprint_of(output)) fail(fmt::format("what is restored of {} is not it", what));
    report_.all_requests += billed.requests;
    std::uint64_t& most = by_time ? report_.most_requests_by_time : report_.most_requests;
    if (billed.requests <= most) return;
    most = billed.requests;
    (by_time ? report_.most_requests_by_time_what : report_.most_requests_what) =
        fmt::format("{}, {} objects", what, restored->plan.objects.size());
  }
  std::uint64_t fingerprint_of(const std::string& path) {
    sqlite3* restored = nullptr;
    sqlite3_stmt* all = nullptr;
    std::uint64_t sum = 0;
    if (sqlite3_open(path.c_str(), &restored) == SQLITE_OK &&
        sqlite3_prepare_v2(restored, "SELECT id, value, body FROM item", -1, &all, nullptr) == SQLITE_OK) {
      while (sqlite3_step(all) == SQLITE_ROW) {
        const auto* body = reinterpret_cast<const char*>(sqlite3_column_text(all, 2));
        sum ^= row_hash(sqlite3_column_int64(all, 0), sqlite3_column_int64(all, 1),
                        {body, static_cast<std::size_t>(sqlite3_column_bytes(all, 2))});
      }
    }
    sqlite3_finalize(all);
    sqlite3_close(restored);
    return sum;
  }

  const LongRunOptions options_;
  LongRunReport report_;
  Scratch scratch_{"long"};
  SeededRandom random_;
  ToldClock clock_;
  std::unique_ptr<Store> store_ = make_memory_store(clock_);
  BilledStore billed_{*store_, options_.may_delete};
  CountingStore counting_{billed_};
  std::unique_ptr<FileSystem> files_ = make_real_file_system();
  InlineExecutor executor_;
  sqlite3* database_ = nullptr;
  sqlite3_stmt* put_row_ = nullptr;
  std::vector<std::uint64_t> rows_;  // the hash of each
  std::uint64_t fingerprint_ = 0;    // of all rows
  std::vector<std::uint64_t> states_;  // by sequence
  std::unique_ptr<Replicator> replicator_;
  std::int64_t next_upkeep_us_ = 0;
  std::uint64_t published_before_ = 0;  // bytes, when the last day began
};

}  // namespace

Amount LongRunReport::total() const {
  Amount sum;
  for (const auto& [kind, amount] : left) {
    sum.objects += amount.objects;
    sum.bytes += amount.bytes;
  }
  return sum;
}

LongRunReport run_for_long(const LongRunOptions& options) { return LongRun(options).run(); }

}  // namespace cairn::testing
