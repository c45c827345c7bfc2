#include "replicate/snapshot_schedule.h"

#include <algorithm>
#include <utility>

namespace cairn::replicate {
namespace {
constexpr std::int64_t kIdle_us = 3600ll * 1'000'000;
constexpr std::int64_t kUnattached_us = 2'000'000;
}  // namespace

std::int64_t SnapshotSchedule::look(const Time& now) {
  const std::int64_t interval_ms = shared_.options.snapshot_interval_ms;
  if (interval_ms == 0) return now.mono_us + kIdle_us;
  bool is_new = false;  // something was published since the last one
  {
    MutexLock hold(shared_.mutex);
    if (shared_.footing != Footing::firm) return now.mono_us + kUnattached_us;
    if (!std::exchange(begun_, true)) {
      const std::int64_t age_ms = std::clamp<std::int64_t>(now.wall_ms - shared_.newest_snapshot_ms, 0, interval_ms);
      last_us_ = now.mono_us - age_ms * 1000;
    }
    if (shared_.newest_published_number != last_number_) {
      last_number_ = shared_.newest_published_number;
      last_us_ = now.mono_us;
    }
    is_new = shared_.status.has_snapshot && shared_.published > shared_.newest_snapshot && !shared_.job;
  }
  const std::int64_t due_us = last_us_ + interval_ms * 1000;
  if (now.mono_us < due_us) return due_us;
  if (is_new && !shared_.snapshot_requested.exchange(true)) last_us_ = now.mono_us;
  return now.mono_us + kIdle_us;  // whatever is published next is told of
}

}  // namespace cairn::replicate
