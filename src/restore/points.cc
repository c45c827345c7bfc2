#include "restore/points.h"

#include <algorithm>
#include <optional>
#include <tuple>

namespace cairn::restore {
namespace {

struct Candidate {
  const ReadObject* from;
  const segment::RestorePoint* point;
  bool is_snapshot() const { return from->footer.kind == segment::ObjectKind::snapshot; }
};

RestorePointInfo describe(const Candidate& candidate) {
  const StoredObject& object = candidate.from->object;
  return {candidate.point->sequence.value, candidate.point->time_ms, candidate.point->page_count,
          candidate.from->footer.page_size, candidate.point->hash_after, object.name.key, object.size_bytes,
          candidate.is_snapshot()};
}

}  // namespace

std::vector<RestorePointInfo> reachable_points(const std::vector<ReadObject>& objects) {
  std::vector<Candidate> candidates;
  for (const ReadObject& object : objects) {
    for (const segment::RestorePoint& point : object.footer.points) candidates.push_back({&object, &point});
  }
  // By sequence, snapshots first, then the narrowest object.
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tuple(a.point->sequence, !a.is_snapshot(), b.from->footer.first, a.from->object.name.key) <
           std::tuple(b.point->sequence, !b.is_snapshot(), a.from->footer.first, b.from->object.name.key);
  });
  std::vector<RestorePointInfo> points;
  std::optional<Sequence> below;  // the highest reachable point below the one looked at: the best one to come from
  for (const Candidate& candidate : candidates) {
    const Sequence sequence = candidate.point->sequence;
    if (!points.empty() && points.back().sequence == sequence.value) continue;
    if (!points.empty()) below = Sequence(points.back().sequence);
    if (candidate.is_snapshot() || (below && candidate.from->footer.first.value <= below->value + 1)) {
      points.push_back(describe(candidate));
    }
  }
  return points;
}

}  // namespace cairn::restore
