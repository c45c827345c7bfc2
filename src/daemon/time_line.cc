#include "daemon/time_line.h"

namespace cairn::daemon {

namespace {

std::int64_t slot_of(std::int64_t ms, std::int64_t width_ms) { return ms - ms % width_ms; }

void add_to(TimeSlots& line, const TimeSlot& what) {
  const std::int64_t begin_ms = slot_of(what.begin_ms, line.width_ms);
  if (line.slots.empty() || begin_ms > line.slots.back().begin_ms) line.slots.push_back({begin_ms, 0, 0, 0});
  TimeSlot& slot = line.slots.back();
  slot.published += what.published;
  slot.snapshots += what.snapshots;
  slot.merged += what.merged;
}

}  // namespace

void TimeLine::note(const ReplicatorStatus& status, std::int64_t now_ms) {
  const Seen now{status.published_segments, status.snapshots_published, status.merged_objects};
  const TimeSlot news{now_ms, static_cast<std::uint32_t>(now.published - seen_.published),
                      static_cast<std::uint32_t>(now.snapshots - seen_.snapshots),
                      static_cast<std::uint32_t>(now.merged - seen_.merged)};
  seen_ = now;
  if (news.published + news.snapshots + news.merged == 0) return;
  TimeSlots line = slots_ ? *slots_ : TimeSlots();
  add_to(line, news);
  while (line.slots.size() > kMostSlots) {
    TimeSlots wider;
    wider.width_ms = line.width_ms * 2;
    for (const TimeSlot& slot : line.slots) add_to(wider, slot);
    line = std::move(wider);
  }
  slots_ = std::make_shared<const TimeSlots>(std::move(line));
}

}  // namespace cairn::daemon
