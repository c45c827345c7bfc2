#include "replicate/snapshot_schedule.h"

#include <algorithm>
#include <utility>

#include "replicate/rest.h"

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
      const Remembered* const known = shared_.options.known.get();
      last_us_ = known != nullptr && known->snapshot_us > 0 ? known->snapshot_us : now.mono_us - age_ms * 1000;
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

std::int64_t SnapshotSchedule::due_us(const Time& now) const {
  const std::int64_t interval_ms = shared_.options.snapshot_interval_ms;
  if (interval_ms == 0) return kNeverDue_us;
  if (!begun_) return now.mono_us;  // it is about to find out
  MutexLock hold(shared_.mutex);
  return shared_.published > shared_.newest_snapshot ? last_us_ + interval_ms * 1000 : kNeverDue_us;
}

}  // namespace cairn::replicate
