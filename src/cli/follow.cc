// One thread a database runs it; the main thread waits for signals, for the child, and for those threads to end, and
// passes on what happens: a signal to the child, the child's end to the replications.
#include "cli/follow.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <stop_token>
#include <thread>

#include "base/clock.h"
#include "cli/child.h"
#include "cli/places.h"
#include "cli/spending.h"
#include "cli/status_report.h"

namespace cairn::cli {

namespace {

constexpr std::int64_t kLongestWaitMs = 3'600'000;
constexpr std::int64_t kLookAtStoreMs = 1'000;  // while one is in trouble

class Follower {
 public:
  Follower(std::vector<std::unique_ptr<Replication>> replications, const FollowOptions& options, Signals& signals,
           const Log& log)
      : replications_(std::move(replications)), options_(options), signals_(signals), log_(log) {}

  int run();

 private:
  void run_one(std::size_t index);
  Json store_of(const Replication& replication) const;
  Log log_of(std::size_t index) const EXCLUDES(mutex_);
  void tell_spending(std::size_t index) const;
  void tell_days(std::int64_t days);
  bool a_store_is_in_trouble() const;
  void look_at_stores() const;
  void on_signal(const Event& event);
  void look_at_child();
  enum class Patience { left, gone };
  void start_child_when_ready(Patience patience);
  bool has_failed() const;
  std::optional<Failure> refusal_to_start_child() const;
  bool all_attached() const;
  void stop_all() { stop_.request_stop(); }
  void fail(const Failure& failure);
  int status() const;

  std::vector<std::unique_ptr<Replication>> replications_;
  const FollowOptions& options_;
  Signals& signals_;
  const Log& log_;
  std::stop_source stop_;
  std::optional<Child> child_;
  bool child_wanted_ = false;
  std::optional<int> child_status_;
  const std::int64_t begun_ms_ = monotonic_ms();
  Days days_{begun_ms_, options_.day_ms};
  std::vector<StoreUsage> day_before_;  // of each replication, when this day began

  mutable Mutex mutex_;
  std::size_t running_ GUARDED_BY(mutex_) = 0;
  std::vector<ReplicatorStatus> statuses_ GUARDED_BY(mutex_);  // of each replication, as last heard of
  std::vector<std::shared_ptr<StatusReport>> reports_ GUARDED_BY(mutex_);
  std::optional<int> first_failure_ GUARDED_BY(mutex_);
};

int Follower::run() {
  child_wanted_ = !options_.child.empty();
  const std::int64_t patience_until_ms = monotonic_ms() + options_.timeout_ms;
  {
    MutexLock lock(mutex_);
    running_ = replications_.size();
    statuses_.resize(running_);
    reports_.resize(running_);
  }
  day_before_.resize(replications_.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < replications_.size(); ++i) threads.emplace_back([this, i] { run_one(i); });
  const auto any_left = [this] {
    MutexLock lock(mutex_);
    return running_ > 0;
  };
  while (any_left() || child_) {
    const std::int64_t until_ms = child_wanted_ ? std::min(patience_until_ms, days_.end_ms()) : days_.end_ms();
    const std::int64_t longest_ms = a_store_is_in_trouble() ? kLookAtStoreMs : kLongestWaitMs;
    const std::int64_t wait_ms = std::clamp<std::int64_t>(until_ms - monotonic_ms(), 0, longest_ms);
    const std::optional<Event> event = signals_.wait(static_cast<int>(wait_ms));
    if (!event) look_at_stores();
    if (const std::int64_t days = days_.take(monotonic_ms()); days > 0) tell_days(days);
    if (event && event->kind == Event::Kind::signal) on_signal(*event);
    look_at_child();
    start_child_when_ready(monotonic_ms() < patience_until_ms ? Patience::left : Patience::gone);
  }
  for (std::thread& thread : threads) thread.join();
  return status();
}

void Follower::run_one(std::size_t index) {
  Replication& replication = *replications_[index];
  const bool lines = options_.style == Style::json && options_.until == RunUntil::stopped;
  const auto report = std::make_shared<StatusReport>(
      replication.database(), replication.url(), log_, lines ? JsonLines::every_change : JsonLines::never,
      [this, &replication] { return store_of(replication); });
  {
    MutexLock lock(mutex_);
    reports_[index] = report;
  }
  RunOptions run;
  run.until = options_.until;
  run.trouble_limit_ms = options_.timeout_ms;
  run.final_limit_ms = options_.stop_limit_ms;
  run.on_change = [&](const ReplicatorStatus& status) {
    report->update(status);
    MutexLock lock(mutex_);
    statuses_[index] = status;
    signals_.ring();  // the child may be waiting for this
  };
  run.on_notice = [&](std::string_view notice) { log_of(index).warn("{}", notice); };
  const std::optional<Failure> failure = replication.run(run, stop_.get_token());
  const ReplicatorStatus& last = replication.last_status();
  report->update(last);
  {
    MutexLock lock(mutex_);
    statuses_[index] = last;
  }
  if (failure) {
    fail({failure->error.with(replication.database()), failure->origin});
  } else if (options_.until != RunUntil::stopped) {
    if (options_.style == Style::json) {
      print_json(status_json(replication.database(), replication.url(), last, store_of(replication)));
    } else {
      print_line(fmt::format("{}: published up to sequence {} in {}", replication.database(), last.published_sequence,
                             replication.url()));
    }
  } else {
    log_of(index).info("stopped, published up to sequence {}", last.published_sequence);
  }
  tell_spending(index);
  {
    MutexLock lock(mutex_);
    --running_;
  }
  signals_.ring();
}

Json Follower::store_of(const Replication& replication) const {
  return store_json(replication.store_status(), monotonic_ms() - begun_ms_, options_.prices);
}

// Its own, of which every line has the database and the sequence, once that is known.
Log Follower::log_of(std::size_t index) const {
  MutexLock lock(mutex_);
  return log_.about_database(replications_[index]->database(), known_sequence(statuses_[index]));
}

void Follower::tell_spending(std::size_t index) const {
  const StoreStatus store = replications_[index]->store_status();
  if (store.service.empty() || store.usage.is_zero()) return;
  log_of(index).info("asked of {}: {}", store.service,
                     spending_text({store.usage, store.service, monotonic_ms() - begun_ms_}, options_.prices));
}

bool Follower::a_store_is_in_trouble() const {
  MutexLock lock(mutex_);
  return std::any_of(statuses_.begin(), statuses_.end(),
                     [](const ReplicatorStatus& status) { return !status.store_trouble.empty(); });
}

void Follower::look_at_stores() const {
  std::vector<std::shared_ptr<StatusReport>> reports;
  {
    MutexLock lock(mutex_);
    reports = reports_;
  }
  for (const auto& report : reports) {
    if (report) report->look_at_store();
  }
}

// Once a day, of that day alone.
void Follower::tell_days(std::int64_t days) {
  const std::string in = days == 1 ? "a day" : fmt::format("{} days", days);
  for (std::size_t i = 0; i < replications_.size(); ++i) {
    const StoreStatus store = replications_[i]->store_status();
    const StoreUsage since = difference(store.usage, std::exchange(day_before_[i], store.usage));
    if (store.service.empty()) continue;
    log_of(i).info("asked of {} in {}: {}", store.service, in,
                   spending_text({since, store.service, days * kDayMs}, options_.prices));
  }
}

void Follower::fail(const Failure& failure) {
  const int failed = report(failure, options_.style);
  MutexLock lock(mutex_);
  if (!first_failure_) first_failure_ = failed;
}

void Follower::on_signal(const Event& event) {
  if (child_) {
    // From the terminal it has it already.
    if (event.sender == Sender::process) child_->send(event.signal);
    return;
  }
  if (stop_.stop_requested()) std::_Exit(128 + event.signal);  // whatever is on its way, a crash is safe
  log_.info("publishing what is captured before ending; another signal ends at once");
  child_wanted_ = false;
  stop_all();
}

void Follower::look_at_child() {
  if (!child_) return;
  child_status_ = child_->poll_end();
  if (!child_status_) return;
  child_.reset();
  stop_all();
}

// It starts when its first commit is sure to be captured at once: everything is attached, and what is there is being
// captured. A store that stays away does not keep a program from running: what it commits is published later.
void Follower::start_child_when_ready(Patience patience) {
  if (!child_wanted_) return;
  if (has_failed()) {
    child_wanted_ = false;
    return stop_all();
  }
  if (!all_attached()) {
    if (patience == Patience::left) return;
    log_.warn("replication has not begun yet; {} is started all the same", options_.child.front());
  }
  child_wanted_ = false;
  std::optional<Failure> failure = refusal_to_start_child();
  if (!failure) {
    Result<Child> child = Child::start(options_.child);
    if (child) {
      child_ = std::move(*child);
      return;
    }
    failure = Failure{child.error().as(ErrorKind::invalid), Origin::local};
  }
  fail(*failure);
  stop_all();
}

bool Follower::has_failed() const {
  MutexLock lock(mutex_);
  return first_failure_.has_value();
}

bool Follower::all_attached() const {
  MutexLock lock(mutex_);
  for (std::size_t i = 0; i < replications_.size(); ++i) {
    const Phase phase = statuses_[i].phase;
    const bool waits_for_child = phase == Phase::opening && !replications_[i]->database_is_there();
    if (phase != Phase::following && phase != Phase::first_snapshot && !waits_for_child) return false;
  }
  return true;
}

// A program that finds no database makes an empty one, and then it is too late to choose.
std::optional<Failure> Follower::refusal_to_start_child() const {
  MutexLock lock(mutex_);
  for (std::size_t i = 0; i < replications_.size(); ++i) {
    const Replication& replication = *replications_[i];
    if (replication.database_is_there() || !statuses_[i].has_snapshot || replication.adopts_local()) continue;
    return Failure{
        Error(ErrorKind::conflict,
              fmt::format("{0} does not exist, but {1} holds its history: restore it first (cairn restore {1} "
                          "-o {0}), or go on with a new database (--adopt local)",
                          replication.database(), shell_word(replication.given_url())))};
  }
  return std::nullopt;
}

int Follower::status() const {
  MutexLock lock(mutex_);
  if (child_status_ && *child_status_ != 0) return *child_status_;
  return first_failure_.value_or(kDone);
}

}  // namespace

int follow(std::vector<std::unique_ptr<Replication>> replications, const FollowOptions& options, Signals& signals,
           const Log& log) {
  return Follower(std::move(replications), options, signals, log).run();
}

}  // namespace cairn::cli
