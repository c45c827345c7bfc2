#include "restore/damage.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "restore/plan.h"

namespace cairn::restore {

std::vector<StoredObject> whole(const std::vector<StoredObject>& objects, const Damage& damage) {
  std::vector<StoredObject> left;
  std::copy_if(objects.begin(), objects.end(), std::back_inserter(left),
               [&](const StoredObject& object) { return !damage.contains(object.name.key); });
  return left;
}

std::vector<StoredObject> take_damaged(std::vector<StoredObject>& objects, const Damage& damage) {
  const auto begin = std::stable_partition(objects.begin(), objects.end(), [&](const StoredObject& object) {
    return !damage.contains(object.name.key);
  });
  std::vector<StoredObject> taken(std::make_move_iterator(begin), std::make_move_iterator(objects.end()));
  objects.erase(begin, objects.end());
  return taken;
}

std::optional<Sequence> newest_hoped_for(const std::vector<StoredObject>& snapshots,
                                         const std::vector<StoredObject>& segments, const Damage& damage,
                                         Sequence target) {
  std::vector<StoredObject> hoped = segments;
  for (StoredObject& object : hoped) {
    const bool around = object.name.first <= target && object.name.last > target;
    if (around && damage.contains(object.name.key)) object.stops = {{target, object.size_bytes}};
  }
  return newest_reachable(snapshots, hoped, target);
}

bool might_be_reached(const std::vector<StoredObject>& snapshots, const std::vector<StoredObject>& segments,
                      const Damage& damage, Sequence target) {
  return newest_hoped_for(snapshots, segments, damage, target) == target;
}

Error only_by_damaged(const std::vector<StoredObject>& snapshots, const std::vector<StoredObject>& segments,
                      const Damage& damage, Sequence target) {
  std::string wrong;
  for (const auto& [key, problem] : damage) wrong += (wrong.empty() ? "" : "; ") + problem;
  const std::optional<Sequence> before = newest_reachable(whole(snapshots, damage), whole(segments, damage), target);
  return Error(ErrorKind::corrupt,
               fmt::format("sequence {} cannot be restored without what is damaged{}: {}", target.value,
                           before ? fmt::format(" (the newest state before it that can be is sequence {}: ask for that "
                                                "one with --sequence)", before->value)
                                  : std::string(" (nor can any state before it)"),
                           wrong));
}

}  // namespace cairn::restore
