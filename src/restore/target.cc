// Finding a time. Keys of segments carry no time, footers do; and because clocks jump, no search that assumes an
// order is sound. So footers are read from the newest object down until no unread object can hold a higher sequence
// than the best one found: asking for a recent time reads few, in parallel, in growing batches. How far down it can
// go is bounded by the newest snapshot whose time fits; its key tells which one to look at first. A bundle's footer
// names the times of all runs in it, so the level-0 segments below a bundle are not read.
//
// A point that an object holds is not always one that can still be restored: a bundle stands behind a squashed segment
// that it overlaps, or the objects in front of it were pruned into one. Then the search goes on below it.

#include "restore/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "base/clock.h"
#include "base/parallel.h"
#include "restore/plan.h"
#include "restore/pruned.h"
#include "segment/reader.h"

namespace cairn::restore {
namespace {

constexpr std::size_t kLargestBatch = 256;

// Highest sequence among the restore points of a footer whose time fits.
std::optional<Sequence> newest_fitting(const segment::Footer& footer, std::int64_t time_ms,
                                       std::optional<Sequence> up_to = std::nullopt) {
  std::optional<Sequence> best;
  for (const segment::RestorePoint& point : footer.points) {
    if (up_to && point.sequence > *up_to) continue;
    if (point.time_ms <= time_ms) best = best ? std::max(*best, point.sequence) : point.sequence;
  }
  return best;
}

// A floor for the search: a snapshot whose own footer says that it fits, the newest that its key lets hope for.
Result<std::optional<Sequence>> snapshot_at(Store& store, const std::vector<StoredObject>& snapshots,
                                            std::int64_t time_ms) {
  for (auto snapshot = snapshots.rbegin(); snapshot != snapshots.rend(); ++snapshot) {
    if (snapshot->name.time_ms > time_ms) continue;
    CAIRN_ASSIGN(auto reader, segment::ObjectReader::open(store, snapshot->name.key));
    if (auto fits = newest_fitting(reader->footer(), time_ms)) return fits;
  }
  return std::optional<Sequence>();
}

// Reads footers downwards; see above.
class TimeSearch {
 public:
  // Looks at points with sequences up to `up_to` only.
  TimeSearch(Store& store, Executor& executor, std::int64_t time_ms, std::optional<Sequence> floor,
             std::optional<Sequence> up_to)
      : store_(store), executor_(executor), time_ms_(time_ms), up_to_(up_to), best_(floor) {}

  Result<std::optional<Sequence>> run(std::vector<const StoredObject*> objects) {
    std::sort(objects.begin(), objects.end(), [](const StoredObject* a, const StoredObject* b) {
      return std::tie(b->name.last, a->name.first, a->name.key) < std::tie(a->name.last, b->name.first, b->name.key);
    });
    std::size_t batch_size = 1;
    for (std::size_t i = 0; i < objects.size();) {
      std::vector<const StoredObject*> batch;
      for (; i < objects.size() && batch.size() < batch_size; ++i) {
        if (best_ && objects[i]->name.last <= *best_) break;
        if (!known(objects[i]->name)) batch.push_back(objects[i]);
      }
      if (batch.empty()) break;  // nothing unread reaches higher
      CAIRN_TRY(read(batch));
      batch_size = std::min(batch_size * 4, kLargestBatch);
    }
    return best_;
  }

 private:
  bool known(const segment::ObjectName& name) const {
    return std::any_of(bundles_.begin(), bundles_.end(), [&](const auto& bundle) {
      return bundle.first <= name.first && name.last <= bundle.second;
    });
  }

  Result<void> read(const std::vector<const StoredObject*>& batch) {
    std::vector<segment::Footer> footers(batch.size());
    CAIRN_TRY(parallel_for(executor_, batch.size(), [&](std::uint64_t i) -> Result<void> {
      CAIRN_ASSIGN(auto reader, segment::ObjectReader::open(store_, batch[i]->name.key));
      footers[i] = reader->footer();
      return {};
    }));
    for (const segment::Footer& footer : footers) {
      if (auto fits = newest_fitting(footer, time_ms_, up_to_)) best_ = best_ ? std::max(*best_, *fits) : *fits;
      const std::uint64_t length = footer.last.value - footer.first.value + 1;
      if (length > 1 && footer.points.size() == length) bundles_.emplace_back(footer.first, footer.last);
    }
    return {};
  }

  Store& store_;
  Executor& executor_;
  const std::int64_t time_ms_;
  const std::optional<Sequence> up_to_;
  std::optional<Sequence> best_;
  std::vector<std::pair<Sequence, Sequence>> bundles_;  // every point of them is known
};

// The newest snapshot at or before `target`: where listing segments begins.
Sequence snapshot_before(const std::vector<StoredObject>& snapshots, std::optional<Sequence> target) {
  Sequence best;
  for (const StoredObject& object : snapshots) {
    if (!target || object.name.last <= *target) best = std::max(best, object.name.last);
  }
  return best;
}

// Of the objects that end behind the target.
Result<void> read_stops_around(Store& store, Located& found) {
  for (StoredObject& object : found.segments) {
    const bool around = object.name.first <= found.target && object.name.last > found.target;
    if (around && object.stops.empty()) CAIRN_TRY(read_stops(store, object));
  }
  return {};
}

// The target cannot be reached any more, and that is not because something is missing: it lies inside a squashed
// segment only, or was pruned.
Result<bool> is_no_longer_a_restore_point(Store& store, std::string_view replica, const Located& found) {
  const auto reached = newest_reachable(found.snapshots, found.segments, found.target);
  if (!reached || *reached == found.target) return false;
  const bool squashed = std::any_of(found.segments.begin(), found.segments.end(), [&](const StoredObject& object) {
    return object.name.first <= reached->next() && object.name.last > found.target;
  });
  if (squashed) return true;
  CAIRN_ASSIGN(const Pruned pruned, read_pruned(store, replica));
  return pruned.covers(found.target, found.target);
}

Result<void> locate_time(Store& store, std::string_view replica, std::int64_t time_ms, Executor& executor,
                         Located& found) {
  CAIRN_ASSIGN(const std::optional<Sequence> floor, snapshot_at(store, found.snapshots, time_ms));
  const Sequence from = floor ? *floor : found.snapshots.front().name.last;
  CAIRN_ASSIGN(found.segments, list_segments(store, replica, from));
  std::vector<const StoredObject*> objects;
  for (const StoredObject& object : found.segments) objects.push_back(&object);
  for (const StoredObject& object : found.snapshots) {
    if (!floor || object.name.last > *floor) objects.push_back(&object);
  }
  for (std::optional<Sequence> up_to;;) {
    TimeSearch search(store, executor, time_ms, floor, up_to);
    CAIRN_ASSIGN(const std::optional<Sequence> best, search.run(objects));
    if (!best) {
      return Error(ErrorKind::not_found, fmt::format("no restore point is as old as {}: the first snapshot is from {}",
                                                     format_time(time_ms),
                                                     format_time(found.snapshots.front().name.time_ms)));
    }
    found.target = *best;
    CAIRN_TRY(read_stops_around(store, found));
    // What is behind a gap is an error of the plan, which names the gap.
    CAIRN_ASSIGN(const bool search_on, is_no_longer_a_restore_point(store, replica, found));
    if (!search_on) return {};
    up_to = newest_reachable(found.snapshots, found.segments, *best);
  }
}

}  // namespace

Result<Located> locate(Store& store, std::string_view replica, const RestoreTarget& target, Executor& executor) {
  if (target.time_ms && target.sequence) {
    return Error(ErrorKind::invalid, "a time and a sequence were both given: give one of them");
  }
  Located found;
  CAIRN_ASSIGN(found.snapshots, list_snapshots(store, replica));
  if (target.time_ms && !found.snapshots.empty()) {
    CAIRN_TRY(locate_time(store, replica, *target.time_ms, executor, found));
  } else {
    std::optional<Sequence> wanted;
    if (target.sequence) wanted = Sequence(*target.sequence);
    CAIRN_ASSIGN(found.segments, list_segments(store, replica, snapshot_before(found.snapshots, wanted), wanted));
    found.target = wanted ? *wanted : newest_of(found.snapshots, found.segments);
  }
  CAIRN_TRY(read_stops_around(store, found));
  return found;
}

}  // namespace cairn::restore
