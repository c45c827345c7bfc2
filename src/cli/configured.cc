// The main thread waits for signals, and looks which databases there are; a second one waits for names to come or go,
// and wakes it. Each job has a thread: a layer's does all of its work, a database's sleeps while the scheduler's few
// do it.
#include "cli/configured.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <set>
#include <thread>
#include <utility>

#include "cli/configured_jobs.h"
#include "daemon/names_watch.h"

namespace cairn::cli {

namespace {

constexpr std::int64_t kLookMs = 30'000;          // for names that come or go without being told
constexpr std::int64_t kUnwatchedLookMs = 2'000;
constexpr std::int64_t kStoreLookMs = 1'000;      // while one is in trouble
constexpr std::int64_t kLeastGapUs = 200'000;     // between two looks because of names

class Configured {
 public:
  Configured(LoadedConfig loaded, std::string path, Style style, Signals& signals, spdlog::logger& log,
             daemon::Scheduler& scheduler)
      : loaded_(std::move(loaded)), path_(std::move(path)), style_(style), signals_(signals), log_(log),
        jobs_(scheduler, style, log), supervisor_(clock_, listener(), {}) {}

  int run();

 private:
  daemon::Supervisor::Listener listener();
  void wait_for_names();
  bool looks_for_names() const { return !loaded_.found.directories.empty(); }
  void on_signal(int signal);
  void reload();
  void look();
  Result<void> begin();

  LoadedConfig loaded_;
  const std::string path_;
  const Style style_;
  Signals& signals_;
  spdlog::logger& log_;
  SystemClock clock_;
  ConfiguredJobs jobs_;
  daemon::Supervisor supervisor_;
  std::unique_ptr<daemon::NamesWatch> watch_;
  std::atomic<bool> names_changed_ = false, quitting_ = false;
  bool all_watched_ = false, stopping_ = false;
  std::set<std::string> watched_;  // the directories of the last look
  std::set<std::string> said_;     // of what is in the way, once each
};

int Configured::run() {
  Result<std::unique_ptr<daemon::NamesWatch>> watch = daemon::NamesWatch::open();
  if (!watch) return report({watch.error()}, style_);
  watch_ = std::move(*watch);
  if (Result<void> begun = begin(); !begun) return report({begun.error()}, style_);
  log_.info("{}: {}, {}", path_, count_text(loaded_.found.databases.size(), "database"),
            count_text(loaded_.config.layers.size(), "layer"));
  std::thread names([this] { wait_for_names(); });
  std::int64_t looked_us = clock_.now().mono_us;
  while (!stopping_ || !supervisor_.is_idle()) {
    const std::int64_t longest_ms = jobs_.look_at_stores() ? kStoreLookMs : kLookMs;
    const std::int64_t look_ms = all_watched_ || !looks_for_names() ? kLookMs : kUnwatchedLookMs;
    const std::optional<Event> event = signals_.wait(static_cast<int>(std::min(longest_ms, look_ms)));
    if (event && event->kind == Event::Kind::signal) on_signal(event->signal);
    const bool due = looks_for_names() && clock_.now().mono_us - looked_us >= look_ms * 1000;
    if (stopping_ || (!names_changed_.exchange(false) && !due)) continue;
    look();
    looked_us = clock_.now().mono_us;
  }
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
  if (signal == SIGHUP) return stopping_ ? void() : reload();
  if (stopping_) std::_Exit(128 + signal);  // whatever is on its way, a crash is safe
  log_.info("publishing what is captured before ending; another signal ends at once");
  stopping_ = true;
  supervisor_.stop();
}

void Configured::reload() {
  Result<LoadedConfig> fresh = load_config(path_);
  if (!fresh) {
    log_.error("the configuration is not taken, and all goes on as before: {}", fresh.error().message());
    Json error;
    error["kind"] = name_of(fresh.error().kind());
    error["message"] = fresh.error().message();
    if (style_ == Style::json) print_json({{"config", path_}, {"error", error}});
    return;
  }
  loaded_ = std::move(*fresh);
  said_.clear();
  log_.info("{} was read again: {}, {}", path_, count_text(loaded_.found.databases.size(), "database"),
            count_text(loaded_.config.layers.size(), "layer"));
  supervisor_.retry_now();
  if (Result<void> begun = begin(); !begun) log_.error("{}", begun.error().message());
}

void Configured::look() {
  loaded_.found = daemon::find_databases(loaded_.config);
  for (const std::string& clash : loaded_.found.clashes) {
    if (said_.insert(clash).second) log_.error("not replicated: {}", clash);
  }
  if (Result<void> begun = begin(); !begun) log_.error("{}", begun.error().message());
}

// What there is to be from now on. Of a directory that is watched only now the watch may have missed something since it
// was looked at: another look.
Result<void> Configured::begin() {
  const std::set<std::string>& directories = loaded_.found.directories;
  const bool were_watched = std::exchange(all_watched_, watch_->watch(directories));
  if (!watch_->trouble().empty() && said_.insert(watch_->trouble()).second) log_.warn("{}", watch_->trouble());
  const bool same = std::includes(watched_.begin(), watched_.end(), directories.begin(), directories.end());
  if (!same || (all_watched_ && !were_watched)) {
    names_changed_ = true;
    signals_.ring();
  }
  watched_ = directories;
  CAIRN_ASSIGN(std::vector<daemon::Job> jobs, jobs_.jobs_of(loaded_.config, loaded_.found));
  supervisor_.want(std::move(jobs));
  return {};
}

}  // namespace

int run_configured(LoadedConfig loaded, const std::string& path, Style style, Signals& signals, spdlog::logger& log) {
  SystemClock clock;
  daemon::SchedulerOptions options;
  options.capture_workers = static_cast<int>(std::max(std::thread::hardware_concurrency(), 2u));
  const Result<std::unique_ptr<daemon::Scheduler>> scheduler = daemon::Scheduler::open(clock, options);
  if (!scheduler) return report({scheduler.error()}, style);
  return Configured(std::move(loaded), path, style, signals, log, **scheduler).run();
}

}  // namespace cairn::cli
