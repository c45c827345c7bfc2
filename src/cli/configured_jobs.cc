#include "cli/configured_jobs.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/files.h"
#include "cairn/daemon.h"
#include "cli/layers.h"
#include "cli/places.h"
#include "cli/replication.h"
#include "cli/spending.h"
#include "daemon/retention.h"
#include "daemon/store_url.h"

namespace cairn::cli {

namespace {

constexpr int kOpenedAtOnce = 8;  // of one store: a thousand databases are not to ask it all at once
constexpr std::string_view kLayer = "layer ";  // before a layer's name, which no path begins with

// Sentences about a database mostly begin with its path already.
std::string about(const std::string& name, std::string_view sentence) {
  return sentence.starts_with(name) ? std::string(sentence) : fmt::format("{}: {}", name, sentence);
}

// What databases share that may be slow or away: a server and bucket, or a folder above.
std::string store_of(const std::string& replica) {
  const std::string place = daemon::place_of(replica).value_or(replica);
  if (place.starts_with("file://")) return parent_directory(place);
  const std::size_t bucket = place.find('/', std::string_view("s3://").size());
  const std::size_t query = std::min(place.find('?'), place.size());
  return place.substr(0, std::min(bucket, query)) + place.substr(query);
}

// What one database asked of its store, told once a day and at the end.
class Spendings {
 public:
  Spendings(const Replication& replication, Clock& clock, const std::optional<PriceList>& prices, spdlog::logger& log)
      : replication_(replication), clock_(clock), prices_(prices), log_(log) {}

  Json json() const { return store_json(replication_.store_status(), elapsed_ms(begun_us_), prices_); }

  void tell_day() {
    if (elapsed_ms(day_begun_us_) < kDayMs) return;
    const StoreStatus store = replication_.store_status();
    const std::int64_t day_ms = elapsed_ms(std::exchange(day_begun_us_, clock_.now().mono_us));
    const StoreUsage since = difference(store.usage, std::exchange(day_before_, store.usage));
    tell("in a day", {since, store.service, day_ms});
  }
  void tell_all() const {
    const StoreStatus store = replication_.store_status();
    tell("since it began", {store.usage, store.service, elapsed_ms(begun_us_)});
  }

 private:
  std::int64_t elapsed_ms(std::int64_t since_us) const { return (clock_.now().mono_us - since_us) / 1000; }
  void tell(const char* when, const Spending& spending) const {
    if (spending.service.empty() || spending.usage.is_zero()) return;
    log_.info("{}: asked of {} {}: {}", replication_.database(), spending.service, when,
              spending_text(spending, prices_));
  }

  const Replication& replication_;
  Clock& clock_;
  const std::optional<PriceList>& prices_;
  spdlog::logger& log_;
  const std::int64_t begun_us_ = clock_.now().mono_us;
  std::int64_t day_begun_us_ = begun_us_;
  StoreUsage day_before_;
};

SyncOptions sync_options_of(const daemon::LayerEntry& layer, const std::string& state_root, Style style) {
  SyncOptions options;
  options.directory = layer.directory;
  options.url = layer.url;
  options.name = layer.name;
  options.state_root = state_root;
  options.lower = layer.lower;
  options.marks = layer.settings.marks;
  options.databases_as_files = layer.settings.databases_as_files;
  options.part_size_bytes = layer.settings.part_size_bytes;
  options.uploads = layer.settings.uploads;
  options.spool_limit_bytes = layer.settings.spool_limit_bytes;
  options.level = layer.settings.level;
  options.json = style == Style::json;
  return options;
}

daemon::FleetView view_of(const daemon::Config& config, const daemon::FoundDatabases& found) {
  daemon::FleetView view;
  view.config = config.file;
  view.prices = config.prices;
  for (const daemon::FoundDatabase& one : found.databases) {
    daemon::DatabaseView database;
    database.path = one.path;
    database.replica = one.replica;
    database.store = store_of(one.replica);
    view.databases.push_back(std::move(database));
  }
  std::sort(view.databases.begin(), view.databases.end(),
            [](const daemon::DatabaseView& a, const daemon::DatabaseView& b) { return a.path < b.path; });
  for (const daemon::LayerEntry& layer : config.layers) {
    view.layers.push_back({layer.name, layer.directory, layer.url, std::nullopt});
  }
  std::sort(view.layers.begin(), view.layers.end(),
            [](const daemon::LayerView& a, const daemon::LayerView& b) { return a.name < b.name; });
  return view;
}

}  // namespace

Result<std::vector<daemon::Job>> ConfiguredJobs::jobs_of(const daemon::Config& config,
                                                         const daemon::FoundDatabases& found) {
  std::string state_root = config.state_dir;
  if (state_root.empty()) {
    CAIRN_ASSIGN(state_root, default_state_root());
  }
  std::vector<daemon::Job> jobs;
  for (const daemon::FoundDatabase& one : found.databases) {
    jobs.push_back(job_of({one.path, one.replica, state_root, one.settings, config.stop_timeout_ms, config.prices}));
    jobs.back().resource = one.identity;
  }
  for (const daemon::LayerEntry& layer : config.layers) jobs.push_back(job_of(layer, state_root));
  std::set<std::string> names;
  for (const daemon::Job& job : jobs) names.insert(job.name);
  daemon::FleetView wanted = view_of(config, found);
  MutexLock lock(mutex_);
  std::erase_if(failed_, [&](const auto& one) { return !names.contains(one.first); });
  wanted.begun_ms = wanted_.begun_ms > 0 ? wanted_.begun_ms : system_.clock.now().wall_ms;
  wanted_ = std::move(wanted);
  return jobs;
}

daemon::Job ConfiguredJobs::job_of(DatabaseJob database) {
  const daemon::DatabaseSettings& s = database.settings;
  daemon::Job job;
  job.name = database.path;
  job.settings = fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", database.replica, database.state_root,
                             s.interval_ms, s.wal_switch, s.spool_limit_bytes, s.segment_level, s.snapshot_level,
                             fmt::join(s.level_windows_ms, ","), s.kept_limit_bytes, s.snapshot_interval_ms,
                             daemon::retention_text(s.retention),
                             database.stop_timeout_ms, database.prices ? database.prices->name : "");
  job.run = [this, database = std::move(database)](std::stop_token stop) {
    return run_database(database, std::move(stop));
  };
  return job;
}

daemon::Job ConfiguredJobs::job_of(const daemon::LayerEntry& layer, const std::string& state_root) {
  const daemon::LayerSettings& s = layer.settings;
  daemon::Job job;
  job.name = std::string(kLayer) + layer.name;
  job.settings = fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}", layer.directory, layer.url,
                             fmt::join(layer.lower, "|"), state_root, s.interval_ms, s.quiet_ms, s.marks,
                             s.databases_as_files, s.part_size_bytes, s.uploads, s.spool_limit_bytes,
                             s.level);
  job.run = [this, layer, state_root](std::stop_token stop) { return run_layer(layer, state_root, std::move(stop)); };
  return job;
}

Result<void> ConfiguredJobs::run_database(const DatabaseJob& job, std::stop_token stop) {
  std::unique_ptr<Replication> replication;
  if (const auto failure = open_database(job, stop, replication)) return fail(job.path, *failure);
  if (!replication) return {};

  Spendings spendings(*replication, system_.clock, job.prices, log_);
  const auto report = std::make_shared<StatusReport>(
      job.path, replication->url(), log_, style_ == Style::json ? JsonLines::every_change : JsonLines::never,
      [&] { return spendings.json(); });
  RunOptions run;
  run.wait_for_database = WaitForDatabase::yes;
  run.final_limit_ms = job.stop_timeout_ms;
  run.on_notice = [&](std::string_view notice) { log_.warn("{}", about(job.path, notice)); };
  run.on_change = [&](const ReplicatorStatus& status) {
    report->update(status);
    spendings.tell_day();
    if (status.phase != Phase::attaching) note_works(job.path);
    MutexLock lock(mutex_);
    running_[job.path].store_in_trouble = !status.store_trouble.empty();
  };
  {
    MutexLock lock(mutex_);
    running_[job.path] = {report, replication.get(), system_.clock.now().mono_us, false};
  }
  const auto drive = [&](Replicator& replicator, std::stop_token until, const RunOptions& how) {
    return scheduler_.drive(replicator, store_of(job.replica), std::move(until), how);
  };
  const std::optional<Failure> failure = replication->run(run, std::move(stop), drive);
  {
    MutexLock lock(mutex_);  // what is there speaks of what ends here
    running_.erase(job.path);
  }
  report->update(replication->last_status());
  spendings.tell_all();
  if (failure) return fail(job.path, *failure);
  log_.info("{}: stopped, published up to sequence {}", job.path, replication->last_status().published_sequence);
  return {};
}

// Few of one store at a time. Nothing is opened once a stop was asked for.
std::optional<Failure> ConfiguredJobs::open_database(const DatabaseJob& job, const std::stop_token& stop,
                                                     std::unique_ptr<Replication>& replication) {
  const std::string store = store_of(job.replica);
  const std::stop_callback wake(stop, [this] {
    MutexLock lock(mutex_);
    opened_.notify_all();
  });
  {
    MutexLock lock(mutex_);
    while (!stop.stop_requested() && opening_[store] >= kOpenedAtOnce) opened_.wait(mutex_);
    if (stop.stop_requested()) return std::nullopt;
    ++opening_[store];
  }
  ReplicationOptions options;
  options.database = job.path;
  options.url = job.replica;
  options.state_root = job.state_root;
  options.interval_ms = job.settings.interval_ms;
  options.wal_switch = job.settings.wal_switch ? AllowWalSwitch::yes : AllowWalSwitch::no;
  options.wait_for_database = WaitForDatabase::yes;
  options.spool_limit_bytes = job.settings.spool_limit_bytes;
  options.segment_level = job.settings.segment_level;
  options.snapshot_level = job.settings.snapshot_level;
  options.level_windows_ms = job.settings.level_windows_ms;
  options.kept_limit_bytes = job.settings.kept_limit_bytes;
  options.snapshot_interval_ms = job.settings.snapshot_interval_ms;
  options.retention = job.settings.retention;
  const auto say = [&](std::string_view warning) { warn_once(about(job.path, warning)); };
  const std::optional<Failure> failure = Replication::open(options, system_, say, replication);
  MutexLock lock(mutex_);
  --opening_[store];
  opened_.notify_all();
  return failure;
}

Result<void> ConfiguredJobs::run_layer(const daemon::LayerEntry& layer, const std::string& state_root,
                                       std::stop_token stop) {
  const std::string name = std::string(kLayer) + layer.name;
  const SyncOptions options = sync_options_of(layer, state_root, style_);
  SyncedContainer container;
  if (const std::optional<Failure> failure = open_container(options, container)) return fail(name, *failure);
  LayerWatchOptions watching = watch_options_of(options, container, log_);
  watching.interval_ms = layer.settings.interval_ms;
  watching.quiet_ms = layer.settings.quiet_ms;
  watching.on_sync = [&, on_sync = watching.on_sync](const LayerSnapshot& snapshot) {
    note_works(name);
    on_sync(snapshot);
  };
  log_.info("{}: watching {}", layer.name, layer.directory);
  const Result<void> ended = watch_layer(*container.manager, layer.name, real_path(layer.directory),
                                         container.at.machine->clock(), std::move(stop), watching);
  if (!ended) return fail(name, layer_failure(*container.at.store, ended.error()));
  log_.info("{}: stopped, everything is published", layer.name);
  return {};
}

Result<void> ConfiguredJobs::fail(const std::string& name, const Failure& failure) {
  MutexLock lock(mutex_);
  failed_[name] = {cli::exit_status(failure.error.kind(), failure.origin),
                   {failure.error.kind(), failure.error.message(), std::nullopt}};
  return failure.error;
}

void ConfiguredJobs::warn_once(std::string warning) {
  {
    MutexLock lock(mutex_);
    if (!warned_.insert(warning).second) return;
  }
  log_.warn("{}", warning);
}

void ConfiguredJobs::note_works(const std::string& name) {
  MutexLock lock(mutex_);
  failed_.erase(name);
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
  log_.error("{}{}", about(name, failure.error.message()), what);
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
  MutexLock lock(mutex_);
  bool trouble = false;
  for (const auto& [name, one] : running_) {
    if (!one.store_in_trouble) continue;
    one.report->look_at_store();
    trouble = true;
  }
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
  const auto failing = [&](const std::string& name) REQUIRES(mutex_) -> std::optional<daemon::Failing> {
    const auto failed = failed_.find(name);
    return failed == failed_.end() ? std::nullopt : std::optional(failed->second.why);
  };
  for (daemon::DatabaseView& database : view.databases) {
    database.failing = failing(database.path);
    const auto running = running_.find(database.path);
    if (running == running_.end()) continue;
    database.is_open = true;
    database.status = running->second.replication->status();
    database.store_status = running->second.replication->store_status();
    database.open_ms = (now.mono_us - running->second.begun_us) / 1000;
  }
  for (daemon::LayerView& layer : view.layers) layer.failing = failing(std::string(kLayer) + layer.name);
  return view;
}

}  // namespace cairn::cli
