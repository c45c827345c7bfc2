#include "cli/configured_database.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "cli/auto_restore.h"
#include "cli/spending.h"

namespace cairn::cli {

namespace {

template <class Counts>
void add_each(Counts& to, const Counts& what) {
  std::ranges::transform(to, what, to.begin(), std::plus<>());
}

// What is counted of a database goes on when it is opened again.
ReplicatorStatus with_counts(ReplicatorStatus status, const ReplicatorStatus& before) {
  constexpr std::uint64_t ReplicatorStatus::* kCounts[] = {
      &ReplicatorStatus::published_bytes, &ReplicatorStatus::captured_commits, &ReplicatorStatus::snapshots_published,
      &ReplicatorStatus::wal_restarts,    &ReplicatorStatus::reconciles,       &ReplicatorStatus::rollovers,
      &ReplicatorStatus::merged_objects,  &ReplicatorStatus::merged_bytes,     &ReplicatorStatus::replaced_objects,
      &ReplicatorStatus::write_lock_count, &ReplicatorStatus::published_segments,
      &ReplicatorStatus::snapshot_copied_bytes, &ReplicatorStatus::prunes, &ReplicatorStatus::pruned_objects,
      &ReplicatorStatus::pruned_bytes, &ReplicatorStatus::pruned_points};
  for (const auto count : kCounts) status.*count += before.*count;
  status.write_lock_us_total += before.write_lock_us_total;
  add_each(status.write_lock_counts, before.write_lock_counts);
  add_each(status.database_errors, before.database_errors);
  add_each(status.store_errors, before.store_errors);
  add_each(status.upkeep_errors, before.upkeep_errors);
  if (status.published_time_ms == 0) status.published_time_ms = before.published_time_ms;
  return status;
}

StoreStatus with_usage(StoreStatus status, const StoreStatus& before) {
  constexpr std::uint64_t StoreUsage::* kCounts[] = {
      &StoreUsage::writes,     &StoreUsage::lists,      &StoreUsage::reads,         &StoreUsage::deletes,
      &StoreUsage::unanswered, &StoreUsage::sent_bytes, &StoreUsage::received_bytes};
  for (const auto count : kCounts) status.usage.*count += before.usage.*count;
  status.retries += before.retries;
  if (status.service.empty()) status.service = before.service;
  return status;
}

}  // namespace

// Sentences about a database mostly begin with its path already.
std::string about(const std::string& name, std::string_view sentence) {
  return sentence.starts_with(name) ? std::string(sentence) : fmt::format("{}: {}", name, sentence);
}

std::optional<Failure> CheckedStores::once(const std::string& store,
                                           const std::function<std::optional<Failure>(bool)>& open) {
  bool checks = false;
  {
    MutexLock lock(mutex_);
    while (!checked_.contains(store) && under_way_.contains(store)) changed_.wait(mutex_);
    checks = !checked_.contains(store);
    if (checks) under_way_.insert(store);
  }
  std::optional<Failure> failure = open(checks);
  if (!checks) return failure;
  MutexLock lock(mutex_);
  under_way_.erase(store);
  if (!failure) checked_.insert(store);
  changed_.notify_all();
  return failure;
}

ConfiguredDatabase::ConfiguredDatabase(DatabaseJob job, DatabaseSurroundings& around, Ended ended)
    : job_(std::move(job)), around_(around), ended_(std::move(ended)), number_(++around.last_number) {}

bool ConfiguredDatabase::sleeps_on(const Time& now, std::int64_t& due_us) {
  std::optional<Rest> rest;
  std::uint64_t look = 0;
  {
    MutexLock lock(mutex_);
    rest = rest_;
    look = ++looks_;
  }
  if (!rest && !std::exchange(looked_, true)) {
    auto found = Replication::find_at_rest(replication_options(), around_.system);
    rest = found ? std::move(*found) : std::nullopt;  // what is in the way is met again when it is opened
    MutexLock lock(mutex_);
    rest_ = rest;
  }
  if (!rest || !rest->goes_on(now)) return false;
  due_us = rest->due_us;
  MutexLock lock(mutex_);
  asleep_by_look_ = look;
  return true;
}

Result<Replicator*> ConfiguredDatabase::open(std::stop_token stop) {
  {
    MutexLock lock(mutex_);
    if (stop.stop_requested() && !rest_) return nullptr;
  }
  if (const auto failure = restore_first(stop)) return around_.on_failure(job_.path, *failure).error();
  std::unique_ptr<Replication> opened;
  is_at_store_ = true;  // or waits for somebody who is
  const auto failure = around_.checked_stores.once(job_.store, [&](bool checks) {
    is_at_store_ = checks;
    ReplicationOptions options = replication_options();
    if (!checks) options.check_store = ReplicationOptions::CheckStore::no;
    const auto say = [&](std::string_view warning) { around_.warn(job_.path, warning); };
    return Replication::open(options, around_.system, say, opened);
  });
  is_at_store_ = false;
  if (failure) return around_.on_failure(job_.path, *failure).error();
  Replicator& replicator = opened->replicator();
  const std::int64_t now_us = around_.system.clock.now().mono_us;
  MutexLock lock(mutex_);
  if (begun_us_ == 0) begun_us_ = day_begun_us_ = now_us;
  if (!report_) {
    report_ = std::make_shared<StatusReport>(
        job_.path, opened->url(), around_.log,
        around_.style == Style::json ? JsonLines::every_change : JsonLines::never, [this, begun_us = begun_us_] {
          const StoreStatus store = store_status();
          return store_json(store, (around_.system.clock.now().mono_us - begun_us) / 1000, job_.prices);
        });
  }
  replication_ = std::move(opened);
  ++openings_;
  rest_.reset();
  return &replicator;
}

// One try: who keeps the jobs going makes others.
std::optional<Failure> ConfiguredDatabase::restore_first(const std::stop_token& stop) {
  if (!job_.settings.restore_if_missing) return std::nullopt;
  Missing missing = Missing::no;
  const auto say = [&](std::string_view warning) { around_.warn(job_.path, warning); };
  is_at_store_ = true;
  std::optional<Failure> failure = restore_if_missing(replication_options(), around_.system, say, stop, missing);
  is_at_store_ = false;
  if (missing != Missing::restored) return failure;
  around_.log.about_database(job_.path, sequence())
      .info("it was missing, and is the newest state of {} now", job_.replica);
  around_.on_restore();
  return failure;
}

bool ConfiguredDatabase::is_open() const {
  MutexLock lock(mutex_);
  return replication_ != nullptr;
}

// Asleep over files that nobody has written to since, it is durable as it is. Whether that is so a worker looks: its
// disk may not answer.
std::optional<std::uint64_t> ConfiguredDatabase::durable_at(Request& request) {
  MutexLock lock(mutex_);
  if (request.asked != number_) {
    request = {.look = looks_ + 1, .tell = tells_ + 1, .asked = number_};
  }
  wanted_tell_ = tells_ + 1;
  if (!replication_) {
    const bool sleeps_on = rest_ && asleep_by_look_ >= request.look;
    return sleeps_on ? std::optional(rest_->status.published_sequence) : std::nullopt;
  }
  if (request.opening != openings_) {
    const std::optional<std::uint64_t> number = replication_->request_capture();
    if (!number) return std::nullopt;  // it is being closed
    request.opening = openings_;
    request.number = *number;
  }
  const ReplicatorStatus status = replication_->status();
  return is_durable(status, request.number) ? std::optional(status.answered_sequence) : std::nullopt;
}

bool ConfiguredDatabase::is_missing(const Request& request) const {
  MutexLock lock(mutex_);
  return missing_by_tell_ >= request.tell;
}

bool ConfiguredDatabase::fall_asleep(const Time& now) {
  Replication* open = nullptr;
  {
    MutexLock lock(mutex_);
    open = replication_.get();
  }
  std::optional<Rest> rest = open->rest(now);
  if (!rest) return false;
  std::unique_ptr<Replication> closed;
  MutexLock lock(mutex_);
  counted_ = with_counts(rest->status, counted_);
  store_counted_ = with_usage(replication_->store_status(), store_counted_);
  rest->status = counted_;
  rest_ = std::move(rest);
  closed = std::move(replication_);
  return true;
}

void ConfiguredDatabase::end(const Result<void>& outcome) {
  Result<void> result = outcome;
  std::shared_ptr<StatusReport> report;
  std::unique_ptr<Replication> open;
  StoreStatus store = store_status();
  std::int64_t open_ms = 0;
  {
    MutexLock lock(mutex_);
    report = report_;
    open_ms = begun_us_ == 0 ? 0 : (around_.system.clock.now().mono_us - begun_us_) / 1000;
  }
  if (Replication* const closing = [&] {
        MutexLock lock(mutex_);
        return replication_.get();
      }()) {
    const std::optional<Failure> failure = closing->finish(outcome);
    store = store_status();
    {
      MutexLock lock(mutex_);
      report_.reset();
      open = std::move(replication_);
      counted_ = with_counts(open->last_status(), counted_);
      store_counted_ = store;
    }
    report->update(counted());
    result = failure ? around_.on_failure(job_.path, *failure) : Result<void>();
    tell_spending("since it began", store.usage, store.service, open_ms);
    if (!failure) {
      const std::uint64_t sequence = open->last_status().published_sequence;
      around_.log.about_database(job_.path, sequence).info("stopped, published up to sequence {}", sequence);
    }
  }
  // When the last one has ended, what they all share goes.
  open.reset();
  report.reset();
  ended_(*this, result);
}

RunOptions ConfiguredDatabase::run_options() {
  RunOptions run;
  run.wait_for_database = WaitForDatabase::yes;
  run.final_limit_ms = job_.stop_timeout_ms;
  run.on_notice = [this](std::string_view notice) { around_.warn(job_.path, notice); };
  run.on_change = [this](const ReplicatorStatus& status) { on_change(status); };
  return run;
}

void ConfiguredDatabase::on_change(const ReplicatorStatus& status) {
  ReplicatorStatus all;
  std::uint64_t tell = 0;
  bool is_asked = false;
  {
    MutexLock lock(mutex_);
    all = with_counts(status, counted_);
    tell = ++tells_;
    is_asked = wanted_tell_ != 0 && wanted_tell_ <= tell;
  }
  if (const auto told = report()) told->update(all);
  around_.on_change(job_, all);
  tell_day();
  if (status.phase != Phase::attaching) around_.on_work(job_.path);
  store_in_trouble_ = !status.store_trouble.empty();
  if (is_asked) look_whether_missing(status, tell);
}

// Last, and only for somebody who wants to know: its disk may not answer, and others are told of by the same thread.
void ConfiguredDatabase::look_whether_missing(const ReplicatorStatus& status, std::uint64_t tell) {
  const bool is_well = status.phase == Phase::following && status.database_trouble.empty();
  const bool is_missing = !is_well && !daemon::has_content(job_.path);
  MutexLock lock(mutex_);
  if (is_missing) missing_by_tell_ = tell;
  if (!is_well && wanted_tell_ <= tell) wanted_tell_ = 0;
}

std::optional<std::uint64_t> ConfiguredDatabase::sequence() const {
  MutexLock lock(mutex_);
  if (replication_) return known_sequence(replication_->status());
  return known_sequence(rest_ ? rest_->status : counted_);
}

ReplicatorStatus ConfiguredDatabase::counted() const {
  MutexLock lock(mutex_);
  return replication_ ? with_counts(replication_->status(), counted_) : counted_;
}

std::shared_ptr<StatusReport> ConfiguredDatabase::report() const {
  MutexLock lock(mutex_);
  return report_;
}

StoreStatus ConfiguredDatabase::store_status() const {
  MutexLock lock(mutex_);
  return replication_ ? with_usage(replication_->store_status(), store_counted_) : store_counted_;
}

// Once a day what was asked of its store.
void ConfiguredDatabase::tell_day() {
  const std::int64_t now_us = around_.system.clock.now().mono_us;
  const std::int64_t day_ms = (now_us - day_begun_us_) / 1000;
  if (day_ms < kDayMs) return;
  const StoreStatus store = store_status();
  day_begun_us_ = now_us;
  tell_spending("in a day", difference(store.usage, std::exchange(day_before_, store.usage)), store.service, day_ms);
}

void ConfiguredDatabase::tell_spending(const char* when, const StoreUsage& usage, const std::string& service,
                                       std::int64_t ms) const {
  if (service.empty() || usage.is_zero()) return;
  around_.log.about_database(job_.path, sequence())
      .info("asked of {} {}: {}", service, when, spending_text({usage, service, ms}, job_.prices));
}

// "": nothing hangs.
std::string ConfiguredDatabase::hang_text(std::int64_t since_us) const {
  if (since_us == 0) return "";
  return fmt::format("{} has waited for {} s: see whether the disk that it is on answers, or what is mounted there; "
                     "it goes on by itself then",
                     job_.path, (around_.system.clock.now().mono_us - since_us) / 1'000'000);
}

void ConfiguredDatabase::note_hang() {
  const std::string text = hang_text(hangs_since_us());
  if (std::exchange(said_hang_, !text.empty()) == !text.empty()) return;
  const Log log = around_.log.about_database(job_.path, sequence());
  if (text.empty()) {
    log.info("it waits for its disk no more");
  } else {
    log.warn("{}", text);
  }
}

bool ConfiguredDatabase::look_at_store() {
  if (!store_in_trouble_) return false;
  if (const auto told = report()) told->look_at_store();
  return true;
}

void ConfiguredDatabase::describe(daemon::DatabaseView& view, const Time& now) const {
  MutexLock lock(mutex_);
  view.is_open = replication_ != nullptr;
  view.is_asleep = !view.is_open && rest_.has_value();
  view.store_status = store_counted_;
  if (begun_us_ > 0) view.open_ms = (now.mono_us - begun_us_) / 1000;
  if (view.is_asleep) view.status = rest_->status;
  if (view.is_open) {
    view.status = with_counts(replication_->status(), counted_);
    view.store_status = with_usage(replication_->store_status(), store_counted_);
  }
  const std::int64_t since_us = hangs_since_us();
  const std::string hang = hang_text(since_us);
  if (hang.empty()) return;
  // Nobody has looked since then.
  std::int64_t& since_ms = view.is_open ? view.status.unpublished_since_ms : view.closed_since_ms;
  const std::int64_t hangs_since_ms = now.wall_ms - (now.mono_us - since_us) / 1000;
  if (since_ms == 0 || hangs_since_ms < since_ms) since_ms = hangs_since_ms;
  if (!view.is_open && !view.failing) view.failing = {ErrorKind::io, hang, std::nullopt};
  if (!view.is_open || !view.status.database_trouble.empty()) return;
  view.status.database_trouble = hang;
  view.status.database_trouble_kind = ErrorKind::io;
}

ReplicationOptions ConfiguredDatabase::replication_options() const {
  ReplicationOptions options;
  options.database = job_.path;
  options.url = job_.replica;
  options.state_root = job_.state_root;
  options.interval_ms = job_.settings.interval_ms;
  options.wal_switch = job_.settings.wal_switch ? AllowWalSwitch::yes : AllowWalSwitch::no;
  options.wait_for_database = WaitForDatabase::yes;
  options.spool_limit_bytes = job_.settings.spool_limit_bytes;
  options.shared_spool = &around_.spools.of(job_.store);
  options.segment_level = job_.settings.segment_level;
  options.snapshot_level = job_.settings.snapshot_level;
  options.level_windows_ms = job_.settings.level_windows_ms;
  options.kept_limit_bytes = job_.settings.kept_limit_bytes;
  options.snapshot_interval_ms = job_.settings.snapshot_interval_ms;
  options.retention = job_.settings.retention;
  options.may_rest = job_.sleep_after_ms > 0;
  MutexLock lock(mutex_);
  if (rest_) options.known = rest_->known;
  return options;
}

}  // namespace cairn::cli
