#include "cli/configured_jobs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <malloc.h>

#include <algorithm>
#include <utility>

#include "base/files.h"
#include "cairn/daemon.h"
#include "cli/auto_restore.h"
#include "cli/layers.h"
#include "cli/places.h"
#include "daemon/judge.h"
#include "daemon/retention.h"
#include "daemon/store_url.h"
#include "segment/zstd_block.h"

namespace cairn::cli {

namespace {

constexpr std::string_view kLayer = "layer ";  // before a layer's name, which no path begins with

// Another text, another job.
template <class... Values>
std::string text_of(const Values&... values) {
  std::string text;
  ((text += fmt::format("{}|", values)), ...);
  return text;
}

std::string text_of(const std::optional<PriceList>& prices) {
  if (!prices) return "";
  return text_of(prices->name, prices->write, prices->list, prices->read, prices->remove, prices->received_gb,
                 prices->stored_gb_month);
}

std::string text_of(const std::optional<std::vector<std::int64_t>>& windows_ms) {
  return windows_ms ? fmt::format("{}", fmt::join(*windows_ms, ",")) : "auto";
}

// What databases share that may be slow or away: a server and bucket, or a folder above.
std::string store_of(const std::string& replica) {
  const std::string place = daemon::place_of(replica).value_or(replica);
  if (place.starts_with("file://")) return parent_directory(place);
  const std::size_t bucket = place.find('/', std::string_view("s3://").size());
  const std::size_t query = std::min(place.find('?'), place.size());
  return place.substr(0, std::min(bucket, query)) + place.substr(query);
}

SyncOptions sync_options_of(const daemon::LayerEntry& layer, const std::string& state_root, Style style) {
  SyncOptions options;
  options.directory = layer.directory;
  options.url = layer.url;
  options.name = layer.name;
  options.state_root = state_root;
  options.lower = layer.lower;
  options.marks = layer.settings.marks;
  options.databases_as_files = layer.settings.databases_as_files;
  options.accept_hidden_attributes = layer.settings.accept_hidden_attributes;
  options.part_size_bytes = layer.settings.part_size_bytes;
  options.uploads = layer.settings.uploads;
  options.spool_limit_bytes = layer.settings.spool_limit_bytes;
  options.level = layer.settings.level;
  options.json = style == Style::json;
  return options;
}

// Without its databases.
daemon::FleetView view_of(const daemon::Config& config) {
  daemon::FleetView view;
  view.config = config.file;
  view.prices = config.prices;
  for (const daemon::LayerEntry& layer : config.layers) {
    view.layers.push_back({layer.name, layer.directory, layer.url, std::nullopt, std::nullopt, {}});
  }
  std::sort(view.layers.begin(), view.layers.end(),
            [](const daemon::LayerView& a, const daemon::LayerView& b) { return a.name < b.name; });
  return view;
}

}  // namespace

ConfiguredJobs::ConfiguredJobs(daemon::Scheduler& scheduler, Style style, const Log& log)
    : scheduler_(scheduler), style_(style), log_(log) {
  databases_.warn = [this](const std::string& path, std::string_view warning) { warn_once(path, warning); };
  databases_.on_work = [this](const std::string& path) { note_works(path); };
  databases_.on_failure = [this](const std::string& path, const Failure& failure) { return fail(path, failure); };
  databases_.on_change = [this](const DatabaseJob& job, const ReplicatorStatus& status) { note_change(job, status); };
  databases_.on_restore = [this] { ++restored_; };
}

Result<std::vector<daemon::Job>> ConfiguredJobs::jobs_of(const daemon::Config& config,
                                                         const daemon::FoundDatabases& found) {
  std::string state_root = config.state_dir;
  if (state_root.empty()) {
    CAIRN_ASSIGN(state_root, default_state_root());
  }
  std::vector<daemon::Job> jobs;
  for (const daemon::FoundDatabase& one : found.databases) {
    jobs.push_back(job_of({one.path, one.replica, state_root, store_of(one.replica), one.settings,
                           config.stop_timeout_ms, config.sleep_after_ms, config.prices}));
    jobs.back().resource = one.identity;
  }
  for (const daemon::LayerEntry& layer : config.layers) jobs.push_back(job_of(layer, state_root));
  std::set<std::string> names;
  for (const daemon::Job& job : jobs) names.insert(job.name);
  shared_spools_.set_limits(config.spool);
  daemon::FleetView wanted = view_of(config);
  std::vector<WantedDatabase> wanted_databases;
  wanted_databases.reserve(found.databases.size());
  for (const daemon::FoundDatabase& one : found.databases) {
    wanted_databases.push_back({one.path, one.replica, store_of(one.replica)});
  }
  std::sort(wanted_databases.begin(), wanted_databases.end(),
            [](const WantedDatabase& a, const WantedDatabase& b) { return a.path < b.path; });
  MutexLock lock(mutex_);
  std::erase_if(failed_, [&](const auto& one) { return !names.contains(one.first); });
  wanted.begun_ms = wanted_.begun_ms > 0 ? wanted_.begun_ms : system_.clock.now().wall_ms;
  wanted.is_stopping = wanted_.is_stopping;
  keep_those_of(wanted_databases);
  wanted_ = std::move(wanted);
  wanted_databases_ = std::move(wanted_databases);
  return jobs;
}

// What was counted of a database that has gone stays in the sum of its store.
void ConfiguredJobs::keep_those_of(const std::vector<WantedDatabase>& wanted) {
  std::map<std::string, Kept> kept;
  for (const WantedDatabase& database : wanted) {
    Kept& one = kept[database.path];
    one.store = database.store;
    one.closed_since_ms = system_.clock.now().wall_ms;
    const auto known = kept_.find(database.path);
    if (known == kept_.end() || known->second.store != database.store) continue;
    one = std::move(known->second);
    kept_.erase(known);
  }
  for (const auto& [path, going] : kept_) gone_[going.store].add(going.totals);
  kept_ = std::move(kept);
}

daemon::Job ConfiguredJobs::job_of(DatabaseJob database) {
  const daemon::DatabaseSettings& s = database.settings;
  daemon::Job job;
  job.name = database.path;
  job.settings = text_of(database.replica, database.state_root, s.interval_ms, s.wal_switch, s.spool_limit_bytes,
                         s.segment_level, s.snapshot_level, text_of(s.level_windows_ms),
                         s.kept_limit_bytes, s.snapshot_interval_ms, s.restore_if_missing,
                         daemon::retention_text(s.retention), database.stop_timeout_ms, database.sleep_after_ms,
                         text_of(database.prices));
  job.start = [this, database = std::move(database)](std::stop_token stop, daemon::Job::Ended ended) {
    begin_database(database, std::move(stop), std::move(ended));
  };
  return job;
}

daemon::Job ConfiguredJobs::job_of(const daemon::LayerEntry& layer, const std::string& state_root) {
  const daemon::LayerSettings& s = layer.settings;
  daemon::Job job;
  job.name = std::string(kLayer) + layer.name;
  job.settings = text_of(layer.directory, layer.url, fmt::format("{}", fmt::join(layer.lower, "|")), state_root,
                         s.interval_ms, s.quiet_ms, s.marks, s.databases_as_files, s.accept_hidden_attributes,
                         s.part_size_bytes, s.uploads, s.spool_limit_bytes, s.level);
  job.run = [this, layer, state_root](std::stop_token stop) { return run_layer(layer, state_root, std::move(stop)); };
  return job;
}

void ConfiguredJobs::begin_database(const DatabaseJob& job, std::stop_token stop, daemon::Job::Ended ended) {
  const auto over = [this, job, ended = std::move(ended)](ConfiguredDatabase& database, const Result<void>& result) {
    end_run(job, database);  // before the next one of this path begins
    ended(result);
  };
  const auto database = std::make_shared<ConfiguredDatabase>(job, databases_, over);
  begin_run(job, database);
  scheduler_.tend(database, job.store, std::move(stop), database->run_options(), job.sleep_after_ms * 1000);
}

void ConfiguredJobs::begin_run(const DatabaseJob& job, const std::shared_ptr<ConfiguredDatabase>& database) {
  MutexLock lock(mutex_);
  running_[job.path] = database;
  if (Kept* const kept = kept_of(job)) {
    kept->time_line.begin();
    kept->closed_since_ms = 0;
  }
}

// Null: it is not wanted any more, or with another store.
ConfiguredJobs::Kept* ConfiguredJobs::kept_of(const DatabaseJob& job) {
  const auto kept = kept_.find(job.path);
  return kept == kept_.end() || kept->second.store != job.store ? nullptr : &kept->second;
}

void ConfiguredJobs::note_change(const DatabaseJob& job, const ReplicatorStatus& status) {
  const std::int64_t now_ms = SystemClock().now().wall_ms;
  MutexLock lock(mutex_);
  if (Kept* const kept = kept_of(job)) kept->time_line.note(status, now_ms);
}

void ConfiguredJobs::end_run(const DatabaseJob& job, const ConfiguredDatabase& database) {
  const std::int64_t now_ms = SystemClock().now().wall_ms;
  const ReplicatorStatus counted = database.counted();
  const std::optional<std::uint64_t> sequence = database.sequence();
  MutexLock lock(mutex_);
  running_.erase(job.path);
  Kept* const kept = kept_of(job);
  daemon::Totals& totals = kept == nullptr ? gone_[job.store] : kept->totals;
  totals.add(counted, database.store_status());
  if (kept == nullptr) return;
  kept->time_line.note(counted, now_ms);
  if (sequence) kept->sequence = sequence;
  kept->closed_since_ms = now_ms;
}

std::optional<Result<std::uint64_t>> ConfiguredJobs::look_at(Sync& sync) {
  std::shared_ptr<ConfiguredDatabase> database;
  {
    MutexLock lock(mutex_);
    const bool is_wanted = std::any_of(wanted_databases_.begin(), wanted_databases_.end(),
                                       [&](const WantedDatabase& one) { return one.path == sync.database; });
    if (!is_wanted) {
      return Error(ErrorKind::not_found, fmt::format("{} is not replicated by this process: cairn status lists what is",
                                                     sync.database));
    }
    if (const auto running = running_.find(sync.database); running != running_.end()) database = running->second;
    const auto failed = failed_.find(sync.database);
    if (!database && failed != failed_.end()) {
      return Error(failed->second.why.kind, about(sync.database, failed->second.why.message));
    }
  }
  if (!database) return std::nullopt;  // it is being begun
  const auto [before, asked] = std::pair(sync.request.opening, sync.request.asked);
  if (const auto sequence = database->durable_at(sync.request)) return *sequence;
  if (database->is_missing(sync.request)) {
    return Error(ErrorKind::not_found,
                 fmt::format("{} does not exist, or is empty: nothing is committed there", sync.database));
  }
  // Who was asked just now, or sleeps over something that was written, is to look at once.
  const bool is_new = before != sync.request.opening || asked != sync.request.asked;
  if (is_new || !database->is_open()) scheduler_.ring(*database);
  return std::nullopt;
}

Error ConfiguredJobs::why_not_yet(const Sync& sync) const {
  std::shared_ptr<ConfiguredDatabase> database;
  {
    MutexLock lock(mutex_);
    if (const auto running = running_.find(sync.database); running != running_.end()) database = running->second;
  }
  const std::string begin = fmt::format("{}: not everything is in the store yet", sync.database);
  if (!database || !database->is_open())
    return Error(ErrorKind::retry_later, begin + ", as far as is known: it is being opened, or looked at");
  daemon::DatabaseView view;
  database->describe(view, SystemClock().now());
  const ReplicatorStatus& status = view.status;
  if (!status.store_trouble.empty()) return Error(status.store_trouble_kind, begin + ": " + status.store_trouble);
  if (!status.database_trouble.empty()) {
    return Error(status.database_trouble_kind, begin + ": " + status.database_trouble);
  }
  return Error(ErrorKind::retry_later, begin);
}

Result<void> ConfiguredJobs::run_layer(const daemon::LayerEntry& layer, const std::string& state_root,
                                       std::stop_token stop) {
  const std::string name = std::string(kLayer) + layer.name;
  const SyncOptions options = sync_options_of(layer, state_root, style_);
  SyncedContainer container;
  if (const std::optional<Failure> failure = open_container(options, container)) return fail(name, *failure);
  {
    MutexLock lock(mutex_);
    open_layers_[layer.name] = container.at.store.get();
  }
  LayerWatchOptions watching = watch_options_of(options, container, log_);
  watching.interval_ms = layer.settings.interval_ms;
  watching.quiet_ms = layer.settings.quiet_ms;
  watching.on_sync = [&, on_sync = watching.on_sync](const LayerSnapshot& snapshot) {
    note_works(name);
    note_sync(layer.name, snapshot);
    on_sync(snapshot);
  };
  log_.about_container(layer.name).info("watching {}", layer.directory);
  const Result<void> ended = watch_layer(*container.manager, layer.name, real_path(layer.directory),
                                         container.at.machine->clock(), std::move(stop), watching);
  {
    MutexLock lock(mutex_);
    open_layers_.erase(layer.name);
  }
  if (!ended) return fail(name, layer_failure(*container.at.store, ended.error()));
  log_.about_container(layer.name).info("stopped, everything is published");
  return {};
}

void ConfiguredJobs::note_sync(const std::string& layer, const LayerSnapshot& snapshot) {
  const std::int64_t now_ms = SystemClock().now().wall_ms;
  MutexLock lock(mutex_);
  daemon::LayerCounts& counts = layer_counts_[layer];
  ++counts.syncs;
  counts.sent_bytes += snapshot.sent_bytes;
  counts.torn_files += snapshot.torn_files;
  counts.last_ms = now_ms;
  counts.sequence = snapshot.sequence;
}

Result<void> ConfiguredJobs::fail(const std::string& name, const Failure& failure) {
  MutexLock lock(mutex_);
  failed_[name] = {cli::exit_status(failure.error.kind(), failure.origin),
                   {failure.error.kind(), failure.error.message(), std::nullopt}};
  return failure.error;
}

Log ConfiguredJobs::log_of(const std::string& database) const {
  std::optional<std::uint64_t> sequence;
  MutexLock lock(mutex_);
  if (const auto running = running_.find(database); running != running_.end()) sequence = running->second->sequence();
  if (const auto kept = kept_.find(database); !sequence && kept != kept_.end()) sequence = kept->second.sequence;
  return log_.about_database(database, sequence);
}

void ConfiguredJobs::warn_once(const std::string& database, std::string_view warning) {
  std::string sentence = about(database, warning);
  {
    MutexLock lock(mutex_);
    if (!warned_.insert(sentence).second) return;
  }
  log_of(database).warn("{}", sentence);
}

void ConfiguredJobs::note_works(const std::string& name) {
  MutexLock lock(mutex_);
  failed_.erase(name);
}

void ConfiguredJobs::note_stopping() {
  MutexLock lock(mutex_);
  wanted_.is_stopping = true;
}

void ConfiguredJobs::note_end(const std::string& name) { note_works(name); }

void ConfiguredJobs::tell_failure(const daemon::JobFailure& failure) {
  {
    MutexLock lock(mutex_);
    if (const auto failed = failed_.find(failure.name); failed != failed_.end()) {
      failed->second.why.again_ms = failure.again_ms;
    }
  }
  if (!failure.is_news) return;
  const bool is_layer = failure.name.starts_with(kLayer);
  const std::string name = is_layer ? failure.name.substr(kLayer.size()) : failure.name;
  const std::string what = failure.again_ms ? " (tried again; the rest goes on)" : "";
  (is_layer ? log_.about_container(name) : log_of(name)).error("{}{}", failure.error.message(), what);
  if (style_ != Style::json) return;
  Json error, json;
  error["kind"] = name_of(failure.error.kind());
  error["message"] = failure.error.message();
  json[is_layer ? "container" : "database"] = name;
  json["error"] = std::move(error);
  json["again_ms"] = failure.again_ms ? Json(*failure.again_ms) : Json(nullptr);
  print_json(json);
}

bool ConfiguredJobs::look_at_stores() {
  system_.stores.close_idle_connections();
  ::malloc_trim(0);  // what many that sleep now have taken would stay this process's
  const std::int64_t now_us = SystemClock().now().mono_us;
  std::vector<std::shared_ptr<ConfiguredDatabase>> all;
  {
    MutexLock lock(mutex_);
    came_round_us_ = now_us;
    for (const auto& [path, database] : running_) all.push_back(database);
  }
  bool trouble = false;
  for (const auto& database : all) trouble |= database->look_at_store();
  return trouble;
}

int ConfiguredJobs::exit_status() const {
  MutexLock lock(mutex_);
  return failed_.empty() ? kDone : failed_.begin()->second.exit_status;
}

daemon::FleetView ConfiguredJobs::view() const {
  const Time now = SystemClock().now();
  MutexLock lock(mutex_);
  daemon::FleetView view = wanted_;
  view.now_ms = now.wall_ms;
  view.restores = restored_;
  view.compression_cpu_us = segment::compression_cpu_us();
  view.still_ms = came_round_us_ == 0 ? 0 : (now.mono_us - came_round_us_) / 1000;
  view.gone = gone_;
  const auto failing = [&](const std::string& name) REQUIRES(mutex_) -> std::optional<daemon::Failing> {
    const auto failed = failed_.find(name);
    return failed == failed_.end() ? std::nullopt : std::optional(failed->second.why);
  };
  view.databases.reserve(wanted_databases_.size());
  for (const WantedDatabase& wanted : wanted_databases_) {
    daemon::DatabaseView& database = view.databases.emplace_back();
    database.path = wanted.path;
    database.replica = wanted.replica;
    database.store = wanted.store;
    database.failing = failing(database.path);
    if (const auto kept = kept_.find(database.path); kept != kept_.end()) {
      database.before = kept->second.totals;
      database.restore_points = kept->second.time_line.slots();
      database.closed_since_ms = kept->second.closed_since_ms;
    }
    const auto running = running_.find(database.path);
    if (running != running_.end()) running->second->describe(database, now);
  }
  for (daemon::LayerView& layer : view.layers) {
    layer.failing = failing(std::string(kLayer) + layer.name);
    const auto open = open_layers_.find(layer.name);
    if (open != open_layers_.end()) layer.store_status = open->second->status();
    if (const auto counts = layer_counts_.find(layer.name); counts != layer_counts_.end()) {
      layer.counts = counts->second;
    }
  }
  return view;
}

}  // namespace cairn::cli
