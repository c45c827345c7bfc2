#include "compact/paths.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "restore/plan.h"

namespace cairn::compact {
namespace {

// A bundle is left behind any of its runs. How many bytes reach it is taken from the frames: they are much alike.
restore::StoredObject with_stops(const restore::ReadObject& object) {
  restore::StoredObject stored = object.object;
  if (object.footer.kind != segment::ObjectKind::bundle || object.footer.index_count == 0) return stored;
  for (const segment::RestorePoint& point : object.footer.points) {
    const auto share = static_cast<double>(point.frame_end) / static_cast<double>(object.footer.index_count);
    const auto bytes = static_cast<std::uint64_t>(share * static_cast<double>(stored.size_bytes));
    stored.stops.push_back({point.sequence, std::min(bytes, stored.size_bytes)});
  }
  return stored;
}

Result<Sequence> sequence_of(const std::vector<restore::ReadObject>& objects, const RestoreTarget& target,
                             Sequence newest) {
  if (target.time_ms && target.sequence) {
    return Error(ErrorKind::invalid, "a time and a sequence were both given: give one of them");
  }
  if (target.sequence) return Sequence(*target.sequence);
  if (!target.time_ms) return newest;
  std::optional<Sequence> found;
  for (const RestorePointInfo& point : restore::reachable_points(objects)) {
    if (point.time_ms <= *target.time_ms) found = Sequence(point.sequence);
  }
  if (found) return *found;
  return Error(ErrorKind::not_found, fmt::format("no restore point is as old as {}", format_time(*target.time_ms)));
}

}  // namespace

Result<RestorePath> path_to(const std::vector<restore::ReadObject>& objects, const RestoreTarget& target) {
  std::vector<restore::StoredObject> snapshots, segments;
  for (const restore::ReadObject& object : objects) {
    const bool is_snapshot = object.footer.kind == segment::ObjectKind::snapshot;
    (is_snapshot ? snapshots : segments).push_back(with_stops(object));
  }
  const Sequence newest = restore::newest_of(snapshots, segments);
  CAIRN_ASSIGN(const Sequence sequence, sequence_of(objects, target, newest));
  const restore::Prices prices{.request = target.request_costs_bytes, .byte = 1};
  CAIRN_ASSIGN(const auto cover, restore::cheapest_cover(snapshots, segments, sequence, prices));
  RestorePath path;
  path.sequence = sequence.value;
  for (const restore::StoredObject& object : cover) {
    path.objects.push_back({object.name.key, object.size_bytes, object.name.kind == segment::KeyKind::snapshot,
                            object.name.first.value, object.name.last.value});
    path.requests += restore::cost_of(object, sequence, {1, 0}).value_or(0);
    path.size_bytes += restore::cost_of(object, sequence, {0, 1}).value_or(0);
  }
  return path;
}

}  // namespace cairn::compact
