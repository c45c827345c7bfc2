// A Replicator for tests of what drives one.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "cairn/replicator.h"

namespace cairn::daemon {

inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

// A Replicator of three counters: capture takes what was "committed", publish puts it. Steps want to be called again
// never, so that whatever happens was woken.
class FakeReplicator final : public Replicator {
 public:
  explicit FakeReplicator(std::string path) : path_(std::move(path)) {}

  Result<Step> capture_step(const Time& now) override {
    if (in_capture) in_capture();
    MutexLock lock(mutex_);
    ++captures;
    if (capture_error) return *capture_error;
    if (compares_in_vain) {
      status_.snapshot_pages_done = captures % 5;
      status_.phase = status_.snapshot_pages_done == 0 ? Phase::opening : Phase::reconciling;
      status_.reconciles += status_.snapshot_pages_done == 0 ? 1 : 0;
      status_.database_trouble = "the disk is full";
      status_.database_trouble_kind = ErrorKind::io;
      return Step{now.mono_us + 1000};
    }
    if (capture_always_gets_on) ++committed_;
    if (requested_ || capture_at_once) status_.captured_sequence = committed_;
    status_.captured_commits = status_.captured_sequence;
    status_.phase = Phase::following;
    status_.captured_all = status_.captured_sequence == committed_;
    ++status_.looks;
    status_.transaction_begun = !wal_ends_with_commit;
    if (status_.captured_all) {
      status_.answered_request = requests_;
      status_.answered_sequence = status_.captured_sequence;
    }
    status_.spool_segments = status_.captured_sequence - status_.published_sequence;
    return Step{kNever};
  }
  Result<Step> publish_step(const Time& now) override {
    if (in_publish) in_publish();
    MutexLock lock(mutex_);
    ++publishes;
    if (status_.phase == Phase::attaching) status_.phase = Phase::opening;
    if (store_away) {
      status_.store_trouble = "the store is away";
      status_.store_trouble_kind = ErrorKind::denied;
      return Step{now.mono_us + 1000};
    }
    status_.published_sequence = status_.captured_sequence;
    status_.spool_segments = 0;
    status_.settled = settles;
    return Step{publish_again_us > 0 ? now.mono_us + publish_again_us : kNever};
  }
  Result<Step> snapshot_step(const Time&) override {
    MutexLock lock(mutex_);
    ++snapshot_steps;
    if (status_.published_sequence > 0 || snapshot_requested_) status_.has_snapshot = true;
    if (std::exchange(snapshot_requested_, false)) ++status_.snapshots_published;
    return Step{kNever};
  }
  Step upkeep_step(const Time&) override {
    MutexLock lock(mutex_);
    ++upkeeps;
    return Step{kNever};
  }
  void end_upkeep() override {}
  void end_capture() override {
    MutexLock lock(mutex_);
    ++ended_captures;
  }
  void request_snapshot() override {
    MutexLock lock(mutex_);
    snapshot_requested_ = true;
  }
  std::uint64_t request_capture() override {
    MutexLock lock(mutex_);
    requested_ = true;
    return ++requests_;
  }
  ReplicatorStatus status() const override {
    MutexLock lock(mutex_);
    return status_;
  }
  std::string database_path() const override { return path_; }
  void close(StopMode) override {}

  void commit() {
    MutexLock lock(mutex_);
    ++committed_;
  }
  void set_hold(const std::string& hold) {
    MutexLock lock(mutex_);
    status_.hold = hold;
  }
  std::uint64_t capture_count() const {
    MutexLock lock(mutex_);
    return captures;
  }
  std::uint64_t ended_capture_count() const {
    MutexLock lock(mutex_);
    return ended_captures;
  }
  std::uint64_t publish_count() const {
    MutexLock lock(mutex_);
    return publishes;
  }
  std::uint64_t snapshot_step_count() const {
    MutexLock lock(mutex_);
    return snapshot_steps;
  }
  std::uint64_t upkeep_count() const {
    MutexLock lock(mutex_);
    return upkeeps;
  }

  // Set before the run.
  std::optional<Error> capture_error;
  std::function<void()> in_capture, in_publish;  // before it
  std::int64_t publish_again_us = 0;  // after each time; 0: not by itself
  bool capture_at_once = true, store_away = false, capture_always_gets_on = false, compares_in_vain = false;
  bool settles = false;  // as soon as it has published
  bool wal_ends_with_commit = false;
  std::uint64_t captures = 0, publishes = 0, snapshot_steps = 0, upkeeps = 0, ended_captures = 0;

 private:
  mutable Mutex mutex_;
  const std::string path_;
  ReplicatorStatus status_;
  std::uint64_t committed_ = 0, requests_ = 0;
  bool requested_ = false, snapshot_requested_ = false;
};

}  // namespace cairn::daemon
