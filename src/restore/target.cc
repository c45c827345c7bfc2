// What is listed. A replica of a month has thousands of names, most of them of the last hour. What merged objects hold
// does not need the level-0 segments in front of their end; so those are listed from there on, and more of them only
// where that does not lead to the target: behind a gap, or where little was merged.
//
// Finding a time. Keys of segments carry no time, footers do. As long as times are seen to ascend with the sequences
// (those of all snapshots, by their keys, and of every footer that is read), a time is looked up like a word in a
// dictionary, with a few footers. Where they do not, and where there are only a few objects, no search that assumes
// an order is sound. Then footers are read from the newest object down until no unread object can hold a higher
// sequence than the best one found: asking for a recent time reads few, in parallel, in growing batches. How far down
// it can go is bounded by the newest snapshot whose time fits; its key tells which one to look at first. A bundle's
// footer names the times of all runs in it, so the level-0 segments below a bundle are not read.
//
// A point that an object holds is not always one that can still be restored: a bundle stands behind a squashed segment
// that it overlaps, or the objects in front of it were pruned into one. Then the search goes on below it.

#include "restore/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
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
                                            const Damage& damage, std::int64_t time_ms) {
  for (auto snapshot = snapshots.rbegin(); snapshot != snapshots.rend(); ++snapshot) {
    if (snapshot->name.time_ms > time_ms || damage.contains(snapshot->name.key)) continue;
    CAIRN_ASSIGN(auto reader, segment::ObjectReader::open(store, snapshot->name.key));
    if (auto fits = newest_fitting(reader->footer(), time_ms)) return fits;
  }
  return std::optional<Sequence>();
}

// Reads footers downwards; see above.
class TimeSearch {
 public:
  // Looks at points with sequences up to `up_to` only.
  TimeSearch(Store& store, Executor& executor, const Damage& damage, std::int64_t time_ms,
             std::optional<Sequence> floor, std::optional<Sequence> up_to)
      : store_(store), executor_(executor), damage_(damage), time_ms_(time_ms), up_to_(up_to), best_(floor) {}

  Result<std::optional<Sequence>> run(std::vector<const StoredObject*> objects) {
    std::sort(objects.begin(), objects.end(), [](const StoredObject* a, const StoredObject* b) {
      return std::tie(b->name.last, a->name.first, a->name.key) < std::tie(a->name.last, b->name.first, b->name.key);
    });
    std::size_t batch_size = 1;
    for (std::size_t i = 0; i < objects.size();) {
      std::vector<const StoredObject*> batch;
      for (; i < objects.size() && batch.size() < batch_size; ++i) {
        if (best_ && objects[i]->name.last <= *best_) break;
        if (damage_.contains(objects[i]->name.key)) unread_.push_back(objects[i]);
        else if (!known(objects[i]->name)) batch.push_back(objects[i]);
      }
      if (batch.empty()) break;  // nothing unread reaches higher
      CAIRN_TRY(read(batch));
      batch_size = std::min(batch_size * 4, kLargestBatch);
    }
    CAIRN_TRY(expect_nothing_newer_unread());
    return best_;
  }

  // The first state behind that one that is known: it is too new.
  std::optional<Sequence> next_known() const {
    const auto next = best_ ? points_.upper_bound(*best_) : points_.begin();
    return next == points_.end() ? std::nullopt : std::optional(*next);
  }

 private:
  // What cannot be read may hold a newer state that fits, unless each of its states is known from another object.
  Result<void> expect_nothing_newer_unread() const {
    for (const StoredObject* object : unread_) {
      const segment::ObjectName& name = object->name;
      const Sequence last = up_to_ ? std::min(*up_to_, name.last) : name.last;
      for (Sequence at = best_ ? std::max(name.first, best_->next()) : name.first; at <= last; at = at.next()) {
        if (points_.contains(at)) continue;
        return Error(ErrorKind::corrupt,
                     fmt::format("which state is that of {} is not known: sequence {} may be, and is only in what is "
                                 "damaged: {}", format_time(time_ms_), at.value, damage_.find(name.key)->second));
      }
    }
    return {};
  }

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
      for (const segment::RestorePoint& point : footer.points) points_.insert(point.sequence);
      if (auto fits = newest_fitting(footer, time_ms_, up_to_)) best_ = best_ ? std::max(*best_, *fits) : *fits;
      const std::uint64_t length = footer.last.value - footer.first.value + 1;
      if (length > 1 && footer.points.size() == length) bundles_.emplace_back(footer.first, footer.last);
    }
    return {};
  }

  Store& store_;
  Executor& executor_;
  const Damage& damage_;
  const std::int64_t time_ms_;
  const std::optional<Sequence> up_to_;
  std::optional<Sequence> best_;
  std::vector<const StoredObject*> unread_;             // because they are damaged
  std::set<Sequence> points_;                           // all that were read
  std::vector<std::pair<Sequence, Sequence>> bundles_;  // every point of them is known
};

// Looks a time up between two states, the newest known one that is at or before it and the oldest known one that is
// not.
class OrderedSearch {
 public:
  OrderedSearch(Store& store, std::int64_t time_ms) : store_(store), time_ms_(time_ms) {}

  // A restore point, and when it was. A snapshot of one says when it was begun, which is later: the earliest counts.
  void know(Sequence at, std::int64_t at_ms) {
    const auto [here, is_new] = times_.emplace(at, at_ms);
    if (!is_new && here->second <= at_ms) return;
    here->second = at_ms;
    if (here != times_.begin() && std::prev(here)->second > at_ms) ascends_ = false;
    if (std::next(here) != times_.end() && std::next(here)->second < at_ms) ascends_ = false;
    if (at_ms <= time_ms_ && (!below_ || at > below_->first)) below_ = {at, at_ms};
    if (at_ms > time_ms_) bound(at, at_ms);
  }
  // A state that is known to be too new, and about when it was.
  void bound(Sequence at, std::int64_t at_ms) {
    if (!above_ || at < above_->first) above_ = {at, at_ms};
  }
  Result<void> read(StoredObject& object) {
    read_.insert(object.name.key);
    CAIRN_ASSIGN(const auto reader, segment::ObjectReader::open(store_, object.name.key));
    set_stops(object, *reader);
    for (const segment::RestorePoint& point : reader->footer().points) know(point.sequence, point.time_ms);
    return {};
  }
  Result<void> run(std::vector<StoredObject>& objects) {
    while (ascends_) {
      StoredObject* next = next_of(objects);
      if (next == nullptr) return {};
      CAIRN_TRY(read(*next));
    }
    return {};
  }

  bool ascends() const { return ascends_; }
  Sequence below() const { return below_->first; }
  // The first state that is too new; nothing: there is none.
  std::optional<Sequence> above() const { return above_ ? std::optional(above_->first) : std::nullopt; }
  bool is_found() const { return !above_ || above_->first == below_->first.next(); }

 private:
  // Of those that may have a point between the two: the one nearest to where the time is likely to be, of several the
  // narrowest, which is more likely to be a bundle.
  StoredObject* next_of(std::vector<StoredObject>& objects) {
    if (is_found()) return nullptr;
    const std::uint64_t guess = guessed();
    StoredObject* best = nullptr;
    std::pair<std::uint64_t, std::uint64_t> best_order;
    for (StoredObject& object : objects) {
      const auto& [first, last] = std::pair(object.name.first, object.name.last);
      const bool may_hold = last > below_->first && first < above_->first && (last < above_->first || first < last);
      if (!may_hold || read_.contains(object.name.key)) continue;
      const std::uint64_t before = guess < first.value ? first.value - guess : 0;
      const std::uint64_t away = guess > last.value ? guess - last.value : before;
      const std::pair order(away, last.value - first.value);
      if (best == nullptr || order < best_order) std::tie(best, best_order) = std::pair(&object, order);
    }
    return best;
  }

  // As if states came evenly, and every other time halfway, whatever they do.
  std::uint64_t guessed() {
    const std::uint64_t low = below_->first.value, high = above_->first.value;
    const double part = halfway_ ? 0.5
                                 : static_cast<double>(time_ms_ - below_->second) /
                                       static_cast<double>(std::max<std::int64_t>(above_->second - below_->second, 1));
    halfway_ = !halfway_;
    return low + static_cast<std::uint64_t>(std::clamp(part, 0.0, 1.0) * static_cast<double>(high - low));
  }

  Store& store_;
  const std::int64_t time_ms_;
  std::map<Sequence, std::int64_t> times_;
  std::set<std::string> read_;
  std::optional<std::pair<Sequence, std::int64_t>> below_, above_;
  bool ascends_ = true, halfway_ = false;
};

// The newest snapshot at or before `target`: where listing segments begins.
Sequence snapshot_before(const std::vector<StoredObject>& snapshots, std::optional<Sequence> target) {
  Sequence best;
  for (const StoredObject& object : snapshots) {
    if (!target || object.name.last <= *target) best = std::max(best, object.name.last);
  }
  return best;
}

std::optional<Sequence> reached_by(const Located& found, const Damage& damage) {
  if (damage.empty()) return newest_reachable(found.snapshots, found.segments, found.target);
  return newest_reachable(whole(found.snapshots, damage), whole(found.segments, damage), found.target);
}

bool is_reached(const Located& found, const Damage& damage) { return reached_by(found, damage) == found.target; }

enum class Listed { all, mostly_enough };

// Segments behind `after`, up to `up_to`: all of them, or, when many are merged, these and those of level 0 behind
// them.
Result<Listed> list_few(Store& store, std::string_view replica, Sequence after, std::optional<Sequence> up_to,
                        Located& found) {
  constexpr std::size_t kManyMerged = 100;
  CAIRN_ASSIGN(found.segments, list_merged(store, replica, after, up_to));
  const Listed listed = found.segments.size() < kManyMerged ? Listed::all : Listed::mostly_enough;
  Sequence from = after;
  for (const StoredObject& object : found.segments) {
    if (listed == Listed::mostly_enough && (!up_to || object.name.first <= *up_to)) {
      from = std::max(from, object.name.last);
    }
  }
  if (up_to && from >= *up_to) return listed;
  CAIRN_ASSIGN(std::vector<StoredObject> rest, list_unmerged(store, replica, from, up_to));
  std::move(rest.begin(), rest.end(), std::back_inserter(found.segments));
  return listed;
}

// Of the objects that end behind the target the narrowest first, at least one, until it is reached: not each is to be
// looked into.
Result<bool> read_stops_until_reached(Store& store, const Damage& damage, Located& found) {
  std::vector<StoredObject*> around;
  for (StoredObject& object : found.segments) {
    const bool is_around = object.name.first <= found.target && object.name.last > found.target;
    if (is_around && !damage.contains(object.name.key)) around.push_back(&object);
  }
  std::sort(around.begin(), around.end(), [](const StoredObject* a, const StoredObject* b) {
    const auto width = [](const StoredObject& object) { return object.name.last.value - object.name.first.value; };
    return std::tuple(width(*a), a->name.level, a->name.key) < std::tuple(width(*b), b->name.level, b->name.key);
  });
  for (auto next = around.begin(); next == around.begin() || !is_reached(found, damage); ++next) {
    if (next == around.end()) return is_reached(found, damage);
    if (!(*next)->stops.empty()) continue;
    // What is damaged, or gone, is for whoever looks at everything.
    const auto read = read_stops(store, **next);
    if (!read && read.error().kind() != ErrorKind::corrupt && read.error().kind() != ErrorKind::not_found) {
      return read.error();
    }
  }
  return true;
}

// Of the objects that end behind the target.
Result<void> read_stops_around(Store& store, const Damage& damage, Located& found) {
  for (StoredObject& object : found.segments) {
    const bool around = object.name.first <= found.target && object.name.last > found.target;
    if (around && object.stops.empty() && !damage.contains(object.name.key)) CAIRN_TRY(read_stops(store, object));
  }
  return {};
}

// The target cannot be reached any more, and that is not because something is missing: it lies inside a squashed
// segment only, or was pruned. Nor damaged.
Result<bool> is_no_longer_a_restore_point(Store& store, std::string_view replica, const Damage& damage,
                                          const Located& found) {
  const auto reached = newest_hoped_for(found.snapshots, found.segments, damage, found.target);
  if (!reached || *reached == found.target) return false;
  const bool squashed = std::any_of(found.segments.begin(), found.segments.end(), [&](const StoredObject& object) {
    return object.name.first <= reached->next() && object.name.last > found.target;
  });
  if (squashed) return true;
  CAIRN_ASSIGN(const Pruned pruned, read_pruned(store, replica));
  return pruned.covers(found.target, found.target);
}

// Behind the state that was found, up to the next one that is known, every state is in some object, or was pruned. One
// that was lost may be the one that is meant.
Result<void> expect_no_hole_behind(Store& store, std::string_view replica, std::int64_t time_ms, const Located& found,
                                   std::optional<Sequence> next) {
  std::optional<Pruned> pruned;
  for (Sequence at = found.target.next(); next && at < *next;) {
    Sequence end, behind = *next;  // of those that begin up to there, and where others begin
    for (const StoredObject& object : found.segments) {
      if (object.name.first <= at) end = std::max(end, object.name.last);
      else behind = std::min(behind, object.name.first);
    }
    if (end < at) {
      if (!pruned) {
        CAIRN_ASSIGN(pruned, read_pruned(store, replica));
      }
      end = Sequence(behind.value - 1);
      if (!pruned->covers(at, end)) {
        return Error(ErrorKind::corrupt,
                     fmt::format("which state is that of {} is not known: segment {} is missing, and may have been it. "
                                 "The newest one before it is sequence {}: ask for that one with --sequence, or bring "
                                 "the missing object back", format_time(time_ms), at.value, found.target.value));
      }
    }
    at = end.next();
  }
  return {};
}

// False: nothing is known, because clocks were set, or there is so little that all of it is looked at. `all_behind` is
// the snapshot behind which all segments are listed then.
Result<bool> locate_time_by_order(Store& store, std::string_view replica, std::int64_t time_ms, Located& found,
                                  const Damage& damage, std::optional<Sequence>& all_behind) {
  if (!damage.empty()) return false;
  constexpr std::size_t kFewObjects = 32;
  const auto older = [](const StoredObject& a, const StoredObject& b) { return a.name.time_ms < b.name.time_ms; };
  if (!std::is_sorted(found.snapshots.begin(), found.snapshots.end(), older)) return false;
  auto behind = std::find_if(found.snapshots.begin(), found.snapshots.end(),
                                   [&](const StoredObject& object) { return object.name.time_ms > time_ms; });
  OrderedSearch search(store, time_ms);
  // Keys say whole seconds: what was made in the one that is asked for may be too new.
  for (; behind != found.snapshots.begin() && std::prev(behind)->name.time_ms > time_ms - 1000; --behind) {
    StoredObject closest = *std::prev(behind);
    CAIRN_TRY(search.read(closest));
    if (search.above() != closest.name.last) break;
  }
  if (behind == found.snapshots.begin()) return false;
  std::optional<Sequence> up_to;
  if (behind != found.snapshots.end()) {
    up_to = behind->name.last;
    search.bound(*up_to, behind->name.time_ms);
  }
  StoredObject floor = *std::prev(behind);
  CAIRN_ASSIGN(const Listed listed, list_few(store, replica, floor.name.last, up_to, found));
  if (!up_to) CAIRN_TRY(add_what_follows(store, replica, {}, found.snapshots, found.segments));
  if (listed == Listed::all && !up_to) all_behind = floor.name.last;
  if (found.segments.size() <= kFewObjects) return false;
  CAIRN_TRY(search.read(floor));
  if (!search.ascends()) return false;
  if (!up_to) {
    const Sequence newest = newest_of(found.snapshots, found.segments);
    const auto head = std::find_if(found.segments.begin(), found.segments.end(),
                                   [&](const StoredObject& object) { return object.name.last == newest; });
    if (head == found.segments.end()) return false;
    CAIRN_TRY(search.read(*head));
  }
  CAIRN_TRY(search.run(found.segments));
  if (search.ascends() && !search.is_found()) {  // unmerged segments may lie in between
    CAIRN_ASSIGN(std::vector<StoredObject> between, list_unmerged(store, replica, search.below(), search.above()));
    std::erase_if(between, [&](const StoredObject& object) {
      return std::any_of(found.segments.begin(), found.segments.end(),
                         [&](const StoredObject& other) { return other.name.key == object.name.key; });
    });
    std::move(between.begin(), between.end(), std::back_inserter(found.segments));
    CAIRN_TRY(search.run(found.segments));
  }
  if (!search.ascends()) return false;
  found.target = search.below();
  CAIRN_TRY(expect_no_hole_behind(store, replica, time_ms, found, search.above()));
  CAIRN_ASSIGN(const bool enough, read_stops_until_reached(store, damage, found));
  if (enough || listed == Listed::all) return enough;
  CAIRN_ASSIGN(found.segments, list_segments(store, replica, floor.name.last, found.target));
  return read_stops_until_reached(store, damage, found);
}

Result<void> locate_time(Store& store, std::string_view replica, std::int64_t time_ms, Executor& executor,
                         const Damage& damage, std::optional<Sequence> all_behind, Located& found) {
  CAIRN_ASSIGN(const std::optional<Sequence> floor, snapshot_at(store, found.snapshots, damage, time_ms));
  const Sequence from = floor ? *floor : found.snapshots.front().name.last;
  if (all_behind != from) {
    CAIRN_ASSIGN(found.segments, list_segments(store, replica, from));
    CAIRN_TRY(add_what_follows(store, replica, {}, found.snapshots, found.segments));
  }
  std::vector<const StoredObject*> objects;
  for (const StoredObject& object : found.segments) objects.push_back(&object);
  for (const StoredObject& object : found.snapshots) {
    if (!floor || object.name.last > *floor) objects.push_back(&object);
  }
  for (std::optional<Sequence> up_to;;) {
    TimeSearch search(store, executor, damage, time_ms, floor, up_to);
    CAIRN_ASSIGN(const std::optional<Sequence> best, search.run(objects));
    if (!best) {
      return Error(ErrorKind::not_found, fmt::format("no restore point is as old as {}: the first snapshot is from {}",
                                                     format_time(time_ms),
                                                     format_time(found.snapshots.front().name.time_ms)));
    }
    found.target = *best;
    CAIRN_TRY(read_stops_around(store, damage, found));
    // What is behind a gap is an error of the plan, which names the gap.
    CAIRN_ASSIGN(const bool search_on, is_no_longer_a_restore_point(store, replica, damage, found));
    if (!search_on) return expect_no_hole_behind(store, replica, time_ms, found, search.next_known());
    // Also what only damage keeps from being reached: it may be the one that is meant.
    up_to = newest_hoped_for(found.snapshots, found.segments, damage, found.target);
  }
}

// Of the newest state: what a listing lacks that is late.
Result<void> add_all_newer(Store& store, std::string_view replica, Located& found) {
  CAIRN_TRY(add_what_follows(store, replica, {}, found.snapshots, found.segments));
  return expect_all_published(store, replica, found.snapshots, found.segments);
}

// When a time led to the newest state that is listed.
Result<void> expect_nothing_newer(Store& store, std::string_view replica, Located found) {
  if (found.target < newest_of(found.snapshots, found.segments)) return {};
  CAIRN_TRY(expect_all_published(store, replica, found.snapshots, found.segments));
  const Sequence newest = newest_of(found.snapshots, found.segments);
  if (newest == found.target) return {};
  return Error(ErrorKind::corrupt,
               fmt::format("sequence {} may be the state of that time, and is not listed yet: the store lists late. "
                           "Try again in a while, or ask for a state with --sequence", newest.value));
}

}  // namespace

Result<Located> locate(Store& store, std::string_view replica, const RestoreTarget& target, Executor& executor,
                       const Damage& damage, const Known& known) {
  if (target.time_ms && target.sequence) {
    return Error(ErrorKind::invalid, "a time and a sequence were both given: give one of them");
  }
  Located found;
  CAIRN_ASSIGN(found.snapshots, list_snapshots(store, replica));
  if (target.time_ms && !found.snapshots.empty()) {
    std::optional<Sequence> all_behind;
    const auto by_order = locate_time_by_order(store, replica, *target.time_ms, found, damage, all_behind);
    if (by_order && *by_order) {
      CAIRN_TRY(expect_nothing_newer(store, replica, found));
      return found;
    }
    if (!by_order) all_behind.reset();
    // Damaged or gone: whoever looks at everything knows what that means.
    if (!by_order && by_order.error().kind() != ErrorKind::corrupt && by_order.error().kind() != ErrorKind::not_found) {
      return by_order.error();
    }
    CAIRN_TRY(locate_time(store, replica, *target.time_ms, executor, damage, all_behind, found));
  } else {
    std::optional<Sequence> wanted;
    if (target.sequence) wanted = Sequence(*target.sequence);
    const Sequence begin = snapshot_before(whole(found.snapshots, damage), wanted);
    CAIRN_ASSIGN(const Listed listed, list_few(store, replica, begin, wanted, found));
    if (!wanted) CAIRN_TRY(add_all_newer(store, replica, found));
    found.target = wanted ? *wanted : newest_of(found.snapshots, found.segments);
    if (listed == Listed::mostly_enough) {
      CAIRN_ASSIGN(const bool enough, read_stops_until_reached(store, damage, found));
      if (enough) return found;
      CAIRN_ASSIGN(found.segments, list_segments(store, replica, begin, wanted));
      if (!wanted) CAIRN_TRY(add_all_newer(store, replica, found));
      if (!wanted) found.target = newest_of(found.snapshots, found.segments);
    }
  }
  CAIRN_TRY(read_stops_around(store, damage, found));
  if (target.time_ms) {
    CAIRN_TRY(expect_nothing_newer(store, replica, found));
    return found;
  }
  const std::vector<StoredObject> damaged_snapshots = take_damaged(found.snapshots, damage);
  const std::vector<StoredObject> damaged_segments = take_damaged(found.segments, damage);
  CAIRN_TRY(add_what_is_missing(store, replica, known, found.target, found.snapshots, found.segments));
  found.snapshots.insert(found.snapshots.end(), damaged_snapshots.begin(), damaged_snapshots.end());
  found.segments.insert(found.segments.end(), damaged_segments.begin(), damaged_segments.end());
  return found;
}

}  // namespace cairn::restore
