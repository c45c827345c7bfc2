// When a watched directory is synced, as step functions: time comes from outside.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"
#include "cairn/daemon.h"
#include "cairn/layer.h"

namespace cairn::daemon {

struct SyncTiming {
  std::int64_t interval_us = 30'000'000;
  std::int64_t quiet_us = 2'000'000;
  std::int64_t first_retry_us = 1'000'000;  // after a failure; doubled up to
  std::int64_t longest_retry_us = 60'000'000;
};

// A sync is due
//   - at once, at the beginning
//   - an interval after the last one began: changes that nobody was told of
//   - after a change, when it has been quiet for a while; but the sync before, if it was because of a change or had
//     something to publish, is an interval ago: a directory that changes all the time is published once an interval
//   - after a failure, whatever changes: soon, then after longer and longer waits
class SyncSchedule {
 public:
  SyncSchedule(const SyncTiming& timing, std::int64_t now_us) : timing_(timing), due_us_(now_us) {}

  void note_change(std::int64_t now_us);
  // A sync that began at that time has ended.
  void note_sync(std::int64_t begun_us, bool published);
  void note_failure(std::int64_t now_us);

  std::int64_t due_us() const;
  bool awaits_quiet() const { return changed_us_.has_value(); }

 private:
  const SyncTiming timing_;
  std::int64_t due_us_;                       // without a change
  std::optional<std::int64_t> changed_us_;    // the last change since the last sync began
  std::optional<std::int64_t> busy_us_;       // when the last sync began that had a reason
  std::int64_t retry_us_ = 0;                 // how long after the last failure; 0: it did not fail
};

// One container: syncs when it is due, and tells what happens.
class LayerWatcher {
 public:
  LayerWatcher(LayerManager& manager, std::string name, Clock& clock, const LayerWatchOptions& options);

  void note_change() { schedule_.note_change(clock_.now().mono_us); }
  std::int64_t due_us() const { return schedule_.due_us(); }
  bool awaits_quiet() const { return schedule_.awaits_quiet(); }
  // Syncs. An error ends the watching: trying again would not help.
  Result<void> sync();
  // The last one: an error is what could not be published.
  Result<void> sync_last();

 private:
  LayerManager& manager_;
  const std::string name_;
  Clock& clock_;
  const LayerWatchOptions& options_;
  SyncSchedule schedule_;
  bool in_trouble_ = false;
};

}  // namespace cairn::daemon
