#include "daemon/layer_watcher.h"

#include <algorithm>

namespace cairn::daemon {

namespace {

// Trouble that passes, or that somebody puts right without touching us: rights, a full disk, a store that is away.
bool may_pass(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::retry_later:
    case ErrorKind::maybe_done:
    case ErrorKind::denied:
    case ErrorKind::busy:
    case ErrorKind::io: return true;
    default: return false;
  }
}

SyncTiming timing_of(const LayerWatchOptions& options) {
  SyncTiming timing;
  timing.interval_us = options.interval_ms * 1000;
  timing.quiet_us = options.quiet_ms * 1000;
  timing.longest_retry_us = std::max(timing.longest_retry_us, timing.interval_us);
  return timing;
}

}  // namespace

void SyncSchedule::note_change(std::int64_t now_us) { changed_us_ = now_us; }

void SyncSchedule::note_sync(std::int64_t begun_us, bool published) {
  if (published || changed_us_) busy_us_ = begun_us;
  changed_us_.reset();
  retry_us_ = 0;
  due_us_ = begun_us + timing_.interval_us;
}

void SyncSchedule::note_failure(std::int64_t now_us) {
  retry_us_ = retry_us_ == 0 ? timing_.first_retry_us : std::min(retry_us_ * 2, timing_.longest_retry_us);
  due_us_ = now_us + retry_us_;
}

std::int64_t SyncSchedule::due_us() const {
  if (!changed_us_ || retry_us_ > 0) return due_us_;
  std::int64_t quiet_us = *changed_us_ + timing_.quiet_us;
  if (busy_us_) quiet_us = std::max(quiet_us, *busy_us_ + timing_.interval_us);
  return std::min(quiet_us, due_us_);
}

LayerWatcher::LayerWatcher(LayerManager& manager, std::string name, Clock& clock, const LayerWatchOptions& options)
    : manager_(manager), name_(std::move(name)), clock_(clock), options_(options),
      schedule_(timing_of(options), clock.now().mono_us) {}

Result<void> LayerWatcher::sync() {
  const std::int64_t begun_us = clock_.now().mono_us;
  const Result<std::optional<LayerSnapshot>> synced = manager_.sync_layer(name_, options_.sync);
  if (!synced) {
    if (!may_pass(synced.error().kind())) return synced.error();
    if (!in_trouble_ && options_.on_trouble) options_.on_trouble(synced.error());
    in_trouble_ = true;
    schedule_.note_failure(clock_.now().mono_us);
    return {};
  }
  if (in_trouble_ && options_.on_recovered) options_.on_recovered();
  in_trouble_ = false;
  schedule_.note_sync(begun_us, synced->has_value());
  if (*synced && options_.on_sync) options_.on_sync(**synced);
  return {};
}

Result<void> LayerWatcher::sync_last() {
  const Result<std::optional<LayerSnapshot>> synced = manager_.sync_layer(name_, options_.sync);
  if (!synced) return synced.error().with("the last changes are not published");
  if (*synced && options_.on_sync) options_.on_sync(**synced);
  return {};
}

}  // namespace cairn::daemon
