// The main thread waits for signals, and looks which databases there are; a second one waits for names to come or go,
// and wakes it. A third one listens at the control socket: what it is asked that changes which jobs there are is done
// by the main thread. A layer's job has a thread that does all of its work; for databases the scheduler's few do it.
#include "cli/configured.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "base/os.h"
#include "cli/configured_jobs.h"
#include "cli/places.h"
#include "cli/service_manager.h"
#include "cli/telling.h"
#include "daemon/control_server.h"
#include "daemon/names_watch.h"

namespace cairn::cli {

namespace {

constexpr std::int64_t kLookMs = 30'000;          // for names that come or go without being told
constexpr std::int64_t kSeldomLookMs = 600'000;   // the same, where a look computes long: a five-hundredth of the time
constexpr std::int64_t kUnwatchedLookMs = 2'000;
constexpr std::int64_t kStoreLookMs = 1'000;      // while one is in trouble
constexpr std::int64_t kLeastGapUs = 200'000;     // between two looks because of names
constexpr std::int64_t kStoppingLookMs = 100;     // at how a stop gets on
constexpr std::int64_t kStopGraceMs = 5'000;      // for jobs that have given up to let go, beyond stop_timeout

// Left to the main thread to do. Both hold it, since either may be gone first.
struct Errand {
  using Done = daemon::Underway::Done;
  explicit Errand(std::function<Result<Done>()> work) : run(std::move(work)) {}
  const std::function<Result<Done>()> run;
  Mutex mutex;
  std::optional<Result<Done>> outcome GUARDED_BY(mutex);
};

class ErrandUnderway final : public daemon::Underway {
 public:
  explicit ErrandUnderway(std::shared_ptr<Errand> errand) : errand_(std::move(errand)) {}
  std::optional<Result<Done>> look() override {
    MutexLock lock(errand_->mutex);
    return errand_->outcome;
  }
  Error why_not_yet() const override { return Error(ErrorKind::retry_later, "it has not come to that yet"); }

 private:
  const std::shared_ptr<Errand> errand_;
};

class SyncUnderway final : public daemon::Underway {
 public:
  SyncUnderway(ConfiguredJobs& jobs, const std::string& database) : jobs_(jobs), sync_{database, {}} { (void)look(); }
  std::optional<Result<Done>> look() override {
    const std::optional<Result<std::uint64_t>> sequence = jobs_.look_at(sync_);
    if (!sequence) return std::nullopt;
    if (!*sequence) return sequence->error();
    return Done{**sequence, ""};
  }
  Error why_not_yet() const override { return jobs_.why_not_yet(sync_); }

 private:
  ConfiguredJobs& jobs_;
  ConfiguredJobs::Sync sync_;
};

class Configured final : public daemon::ControlledFleet {
 public:
  Configured(LoadedConfig loaded, std::string path, Style style, Signals& signals, const Log& log,
             daemon::Scheduler& scheduler)
      : loaded_(std::move(loaded)), path_(std::move(path)), style_(style), signals_(signals), log_(log),
        jobs_(scheduler, style, log), telling_(jobs_, log), supervisor_(clock_, listener(), {}) {}

  int run();

  // What the control socket asks, on its thread.
  daemon::FleetView view() const override;
  std::unique_ptr<daemon::Underway> sync(const std::string& database) override;
  std::unique_ptr<daemon::Underway> register_database(const daemon::Registration& registration) override;
  std::unique_ptr<daemon::Underway> unregister_database(const std::string& database) override;
  std::unique_ptr<daemon::Underway> reload() override;
  void stop() override;

 private:
  using Done = daemon::Underway::Done;
  std::optional<Failure> listen();
  std::unique_ptr<daemon::Underway> leave_to_main(std::function<Result<Done>()> work);
  void run_errands();
  Result<Done> add(const daemon::Registration& registration);
  Result<Done> remove(const std::string& database);
  void begin_stop();
  void give_up_on_stuck_stop();
  void end_control();
  daemon::Supervisor::Listener listener();
  void wait_for_names();
  bool looks_for_names() const { return !loaded_.found.directories.empty() || !loaded_.found.unanswered.empty(); }
  bool is_all_watched() const { return all_watched_ && loaded_.found.unanswered.empty(); }
  void on_signal(int signal);
  Result<void> read_again();
  Result<void> take_what_is_there_now();
  std::string what_there_is() const;
  void look();
  void tell_unanswered();
  Result<void> begin();

  LoadedConfig loaded_;
  const std::string path_;
  const Style style_;
  Signals& signals_;
  const Log& log_;
  SystemClock clock_;
  ConfiguredJobs jobs_;
  Telling telling_;
  daemon::Supervisor supervisor_;
  const ServiceManager service_manager_;
  std::unique_ptr<daemon::NamesWatch> watch_;
  std::atomic<bool> names_changed_ = false, quitting_ = false, stop_asked_ = false, stopping_ = false;
  bool all_watched_ = false;
  Mutex mutex_;
  std::deque<std::shared_ptr<Errand>> errands_ GUARDED_BY(mutex_);
  std::unique_ptr<daemon::ControlServer> control_;
  std::set<std::string> watched_;  // the directories of the last look
  std::set<std::string> said_;     // of what is in the way, once each
  std::map<std::string, std::string> unanswered_;  // what does not answer, and the sentence that told of it
  std::string stop_mark_;          // how far a stop was when it last got on
  std::int64_t stop_moved_us_ = 0;
};

int Configured::run() {
  Result<std::unique_ptr<daemon::NamesWatch>> watch = daemon::NamesWatch::open();
  if (!watch) return report({watch.error()}, style_);
  watch_ = std::move(*watch);
  if (const std::optional<Failure> failure = listen()) return report(*failure, style_);
  if (Result<void> begun = begin(); !begun) return report({begun.error()}, style_);
  log_.info("{}: {}", path_, what_there_is());
  service_manager_.tell_ready(what_there_is());
  telling_.want(loaded_.config.http);
  std::thread names([this] { wait_for_names(); });
  std::int64_t looked_us = clock_.now().mono_us, look_took_ms = 0, look_cost_ms = 0;
  while (!stopping_ || !supervisor_.is_idle()) {
    telling_.try_again();
    const std::int64_t longest_ms = jobs_.look_at_stores() ? kStoreLookMs : kLookMs;
    const std::int64_t often_ms = std::clamp(20 * look_took_ms, kUnwatchedLookMs, kLookMs);
    const std::int64_t longest_gap_ms = loaded_.found.underway.empty() ? kSeldomLookMs : kLookMs;
    const std::int64_t seldom_ms = std::clamp(1000 * look_cost_ms, kLookMs, longest_gap_ms);
    const std::int64_t look_ms = is_all_watched() || !looks_for_names() ? seldom_ms : often_ms;
    const std::int64_t beat_ms = service_manager_.beat_ms().value_or(kLookMs);
    service_manager_.beat();
    const std::int64_t most_ms = stopping_ ? kStoppingLookMs : beat_ms;
    const std::optional<Event> event = signals_.wait(static_cast<int>(std::min({longest_ms, look_ms, most_ms})));
    if (event && event->kind == Event::Kind::signal) on_signal(event->signal);
    run_errands();
    if (stop_asked_) begin_stop();
    if (stopping_) give_up_on_stuck_stop();
    const bool due = looks_for_names() && clock_.now().mono_us - looked_us >= look_ms * 1000;
    if (stopping_ || (!names_changed_.exchange(false) && !due)) continue;
    const std::int64_t begun_us = clock_.now().mono_us, computed_us = thread_cpu_us();
    look();
    looked_us = clock_.now().mono_us;
    look_took_ms = (looked_us - begun_us) / 1000;
    look_cost_ms = (thread_cpu_us() - computed_us) / 1000;
  }
  end_control();
  quitting_ = true;
  watch_->ring();
  names.join();
  return jobs_.exit_status();
}

daemon::Supervisor::Listener Configured::listener() {
  daemon::Supervisor::Listener listener;
  listener.on_failure = [this](const daemon::JobFailure& failure) { jobs_.tell_failure(failure); };
  listener.on_end = [this](const std::string& name) { jobs_.note_end(name); };
  listener.on_idle = [this] { signals_.ring(); };
  return listener;
}

void Configured::wait_for_names() {
  while (!quitting_) {
    if (!watch_->wait(kLookMs * 1000)) continue;
    names_changed_ = true;
    signals_.ring();
    if (!quitting_) watch_->rest(kLeastGapUs);  // many names come at once
  }
}

void Configured::on_signal(int signal) {
  if (signal == SIGHUP) {
    if (!stopping_) (void)read_again();  // what is wrong has been logged
    return;
  }
  if (stopping_) std::_Exit(128 + signal);  // whatever is on its way, a crash is safe
  begin_stop();
}

void Configured::begin_stop() {
  if (stopping_.exchange(true)) return;
  log_.info("publishing what is captured before ending; another signal ends at once");
  service_manager_.tell_stopping(loaded_.config.stop_timeout_ms);
  stop_moved_us_ = clock_.now().mono_us;
  jobs_.note_stopping();
  supervisor_.stop();
}

// A database gives up by itself when nothing has moved for stop_timeout, but cannot let go while a call to its store
// or its disk does not come back; no more can a layer, which moves when its store answers. A crash is safe at any
// moment, and so is an end now.
void Configured::give_up_on_stuck_stop() {
  if (supervisor_.is_idle()) return;
  std::string mark;
  std::vector<std::string> open;
  const daemon::FleetView view = jobs_.view();
  for (const daemon::LayerView& one : view.layers) {
    if (!one.store_status) continue;
    const StoreUsage& usage = one.store_status->usage;
    open.push_back("layer " + one.name);
    mark += fmt::format("{}/{}/{}/{}/{}/{}/{},", one.name, usage.writes, usage.lists, usage.reads, usage.deletes,
                        usage.sent_bytes, usage.received_bytes);
  }
  for (const daemon::DatabaseView& one : view.databases) {
    const ReplicatorStatus& s = one.status;
    if (one.is_open) open.push_back(one.path);
    mark += fmt::format("{}/{}/{}/{}/{},", one.is_open, s.published_sequence, s.published_bytes, s.snapshots_published,
                        s.snapshot_pages_done);
  }
  const std::int64_t now_us = clock_.now().mono_us;
  if (mark != stop_mark_) stop_moved_us_ = now_us;
  stop_mark_ = std::move(mark);
  const std::int64_t limit_ms = loaded_.config.stop_timeout_ms;
  if (now_us - stop_moved_us_ <= (limit_ms + std::min(limit_ms, kStopGraceMs)) * 1000) return;
  const Error stuck(ErrorKind::retry_later,
                    fmt::format("{} is not answered by its store or disk, and let go of without; what is not published "
                                "yet is in the database and the spool, or the layer's directory, and published at the "
                                "next start",
                                open.empty() ? "what is being opened" : fmt::format("{}", fmt::join(open, ", "))));
  log_.error("{}", stuck.message());
  if (control_) control_->finish(stuck);
  control_.reset();
  std::_Exit(kStore);
}

// The control socket.

// Nobody asked for the usual place: who finds another cairn there does without.
std::optional<Failure> Configured::listen() {
  const std::string& given = loaded_.config.control;
  if (given == "off") return std::nullopt;
  const Result<std::string> path = given.empty() ? default_control_path() : given;
  const std::unique_ptr<FileSystem> files = make_real_file_system();
  auto server = path ? daemon::ControlServer::open(*path, *this, clock_, *files)
                     : Result<std::unique_ptr<daemon::ControlServer>>(path.error());
  if (server) {
    control_ = std::move(*server);
    log_.info("listening at {}", *path);
  } else if (given.empty()) {
    log_.warn("going on without a control socket: {}", server.error().message());
  } else {
    return Failure{server.error().with("control"), Origin::local};
  }
  return std::nullopt;
}

// Who waits for the end hears how it was.
void Configured::end_control() {
  if (!control_) return;
  Result<void> outcome;
  const daemon::FleetView last = jobs_.view();
  for (const daemon::DatabaseView& one : last.databases) {
    if (one.failing && outcome) outcome = Error(one.failing->kind, one.failing->message).with(one.path);
  }
  for (const daemon::LayerView& one : last.layers) {
    if (one.failing && outcome) outcome = Error(one.failing->kind, one.failing->message).with(one.name);
  }
  control_->finish(outcome);
  control_.reset();
}

daemon::FleetView Configured::view() const {
  daemon::FleetView view = jobs_.view();
  view.is_stopping = stopping_;
  return view;
}

std::unique_ptr<daemon::Underway> Configured::sync(const std::string& database) {
  return std::make_unique<SyncUnderway>(jobs_, database);
}

std::unique_ptr<daemon::Underway> Configured::register_database(const daemon::Registration& registration) {
  return leave_to_main([this, registration] { return add(registration); });
}

std::unique_ptr<daemon::Underway> Configured::unregister_database(const std::string& database) {
  return leave_to_main([this, database] { return remove(database); });
}

std::unique_ptr<daemon::Underway> Configured::reload() {
  return leave_to_main([this]() -> Result<Done> {
    CAIRN_TRY(read_again());
    return Done{std::nullopt, fmt::format("{} was read again", path_)};
  });
}

void Configured::stop() {
  stop_asked_ = true;
  signals_.ring();
}

std::unique_ptr<daemon::Underway> Configured::leave_to_main(std::function<Result<Done>()> work) {
  auto errand = std::make_shared<Errand>(std::move(work));
  {
    MutexLock lock(mutex_);
    errands_.push_back(errand);
  }
  signals_.ring();
  return std::make_unique<ErrandUnderway>(std::move(errand));
}

void Configured::run_errands() {
  while (true) {
    std::shared_ptr<Errand> errand;
    {
      MutexLock lock(mutex_);
      if (errands_.empty()) return;
      errand = std::move(errands_.front());
      errands_.pop_front();
    }
    Result<Done> outcome = stopping_ ? Result<Done>(Error(ErrorKind::cancelled, "this cairn is ending"))
        : errand->run();
    MutexLock lock(errand->mutex);
    errand->outcome = std::move(outcome);
  }
}

Result<Configured::Done> Configured::add(const daemon::Registration& registration) {
  service_manager_.beat();
  const std::string& path = registration.path;
  for (const daemon::FoundDatabase& one : loaded_.found.databases) {
    if (one.path != path) continue;
    return Error(ErrorKind::conflict,
                 one.is_registered ? fmt::format("{0} is registered already, to {1}: cairn unregister {0} first", path,
                                                 one.replica)
                                   : fmt::format("{}:{} names {} already, to {}", path_, one.line, path, one.replica));
  }
  std::vector<daemon::Registration> wanted = loaded_.registered;
  std::erase_if(wanted, [&](const daemon::Registration& one) { return one.path == path; });  // left out until now
  wanted.push_back(registration);
  CAIRN_ASSIGN(LoadedConfig fresh, with_registered(loaded_, std::move(wanted)));
  const auto& found = fresh.found.databases;
  const auto added = std::find_if(found.begin(), found.end(), [&](const auto& one) { return one.path == path; });
  if (added == found.end()) {
    const std::string about_it = std::string(daemon::kRegisteredClash) + path + " ";
    for (const daemon::Clash& clash : fresh.found.clashes) {
      if (clash.sentence.starts_with(about_it)) {
        return Error(ErrorKind::conflict, clash.sentence.substr(daemon::kRegisteredClash.size()));
      }
    }
    return Error(ErrorKind::conflict, path + " is another name of what is replicated already");
  }
  const std::string replica = added->replica;
  CAIRN_TRY(write_registered(fresh));
  loaded_ = std::move(fresh);
  jobs_.log_of(path).info("registered, to {}", replica);
  CAIRN_TRY(begin());
  return Done{std::nullopt, fmt::format("{} is replicated to {}", path, replica)};
}

Result<Configured::Done> Configured::remove(const std::string& database) {
  service_manager_.beat();
  std::vector<daemon::Registration> wanted = loaded_.registered;
  const bool was_there =
      std::erase_if(wanted, [&](const daemon::Registration& one) { return one.path == database; }) > 0;
  for (const daemon::FoundDatabase& one : loaded_.found.databases) {
    if (one.path != database || was_there) continue;
    return Error(ErrorKind::conflict, fmt::format("{0} is named by the configuration, {1}:{2}: take it out there, then "
                                                  "cairn reload", database, path_, one.line));
  }
  if (!was_there) {
    return Error(ErrorKind::not_found, fmt::format("{} is not registered: cairn status lists what is replicated",
                                                   database));
  }
  CAIRN_ASSIGN(LoadedConfig fresh, with_registered(loaded_, std::move(wanted)));
  CAIRN_TRY(write_registered(fresh));
  loaded_ = std::move(fresh);
  jobs_.log_of(database).info("no longer registered; what is committed is published, its replica stays");
  CAIRN_TRY(begin());
  return Done{std::nullopt, fmt::format("{} is let go of when all of it is published; its replica stays", database)};
}

std::string Configured::what_there_is() const {
  return fmt::format("{}, {}", count_text(loaded_.found.databases.size(), "database"),
                     count_text(loaded_.config.layers.size(), "layer"));
}

Result<void> Configured::read_again() {
  service_manager_.tell_reloading(clock_.now().mono_us);
  Result<void> done = take_what_is_there_now();
  service_manager_.tell_ready(what_there_is());
  return done;
}

Result<void> Configured::take_what_is_there_now() {
  service_manager_.beat();
  Result<LoadedConfig> fresh = load_with_registered(path_, loaded_.found);
  if (!fresh) {
    log_.error("the configuration is not taken, and all goes on as before: {}", fresh.error().message());
    Json error;
    error["kind"] = name_of(fresh.error().kind());
    error["message"] = fresh.error().message();
    if (style_ == Style::json) print_json({{"config", path_}, {"error", error}});
    return fresh.error();
  }
  loaded_ = std::move(*fresh);
  said_.clear();
  unanswered_.clear();
  log_.info("{} was read again: {}", path_, what_there_is());
  supervisor_.retry_now();
  telling_.want(loaded_.config.http);
  Result<void> begun = begin();
  if (!begun) log_.error("{}", begun.error().message());
  return begun;
}

void Configured::look() {
  service_manager_.beat();  // disks that hang may take most of the time that there is between two
  loaded_.found = daemon::find_databases(loaded_.config, loaded_.found);
  for (const daemon::Clash& clash : loaded_.found.clashes) {
    if (said_.insert(clash.sentence).second) jobs_.log_of(clash.path).error("not replicated: {}", clash.sentence);
  }
  if (Result<void> begun = begin(); !begun) log_.error("{}", begun.error().message());
}

void Configured::tell_unanswered() {
  std::map<std::string, std::string> now;
  for (const daemon::Unanswered& one : loaded_.found.unanswered) {
    if (one.gets_on) {  // each time that it is looked at, and once is enough
      if (said_.insert(one.sentence).second) log_.info("{}", one.sentence);
      continue;
    }
    now[one.what] = one.sentence;
    if (unanswered_[one.what] != one.sentence) log_.warn("{}", one.sentence);
  }
  for (const auto& [what, sentence] : unanswered_) {
    if (!now.contains(what)) log_.info("{} answers again", what);
  }
  unanswered_ = std::move(now);
}

// What there is to be from now on. Of a directory that is watched only now the watch may have missed something since it
// was looked at: another look.
Result<void> Configured::begin() {
  tell_unanswered();
  const std::set<std::string>& directories = loaded_.found.directories;
  const bool were_watched = std::exchange(all_watched_, watch_->watch(directories));
  if (!watch_->trouble().empty() && said_.insert(watch_->trouble()).second) log_.warn("{}", watch_->trouble());
  const bool same = std::includes(watched_.begin(), watched_.end(), directories.begin(), directories.end());
  const bool has_more_anyway = !loaded_.found.underway.empty();  // the next look comes soon enough
  if ((!same && !has_more_anyway) || (all_watched_ && !were_watched)) {
    names_changed_ = true;
    signals_.ring();
  }
  watched_ = directories;
  CAIRN_ASSIGN(std::vector<daemon::Job> jobs, jobs_.jobs_of(loaded_.config, loaded_.found));
  supervisor_.want(std::move(jobs));
  return {};
}

// Thirty threads would each keep what they have freed for themselves, and a heap in which blocks of megabytes come and
// go keeps its height: with thousands of databases that is more than what is in use.
void give_memory_back() {
  ::mallopt(M_ARENA_MAX, 2);
  ::mallopt(M_MMAP_THRESHOLD, 512 << 10);  // for good: else it grows with what is freed
  ::mallopt(M_TRIM_THRESHOLD, 1 << 20);    // what a merge takes
}

}  // namespace

int run_configured(LoadedConfig loaded, const std::string& path, Style style, Signals& signals, const Log& log) {
  raise_descriptor_limit();
  give_memory_back();
  SystemClock clock;
  daemon::SchedulerOptions options;
  options.capture_workers = static_cast<int>(std::max(std::thread::hardware_concurrency(), 2u));
  const Result<std::unique_ptr<daemon::Scheduler>> scheduler = daemon::Scheduler::open(clock, options);
  if (!scheduler) return report({scheduler.error()}, style);
  return Configured(std::move(loaded), path, style, signals, log, **scheduler).run();
}

}  // namespace cairn::cli
