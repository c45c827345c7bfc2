// What was published waits in lists, one a level. Neighbours whose newest commits lie in one window of time are a
// group. A group is closed by what follows it in the order of sequences (another window, in either direction, a gap,
// another page size, or because it is as large as it may get), or, when nothing follows, once a whole window has passed
// by a clock that never jumps. So no clock that is set merges anything twice, and none keeps a window open for ever.
//
// A closed group is merged into the partial file, put into the store create-only, and only then noted for removal, kept
// for the next level, and its sources let go of, in this order. A process that dies in between finds the sources, or
// the merged object that covers them, and goes on: the same sources give the same bytes, so an object that is there
// already is known for its own.
//
// What is removed from the store is in a bundle that has lain there for the whole grace period, that is looked at again
// just before, and that has every restore point of it.
//
// The first segment that this state directory has published (Kept::fence) is never removed. A writer that was put aside
// by --adopt and comes back, even from a pause in which its clocks stood still, puts its next segment under that very
// key, and must find it taken.
#include "replicate/levels.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "replicate/snapshot_schedule.h"
#include "restore/metadata.h"
#include "segment/keys.h"

namespace cairn::replicate {
namespace {

constexpr std::int64_t kOneSecond_us = 1'000'000;
constexpr std::int64_t kNoWindow_us = 3600 * kOneSecond_us;
constexpr std::int64_t kBeforeLevels_us = 2 * kOneSecond_us;
constexpr std::int64_t kSquashedFrom_ms = 3'600'000;
constexpr std::size_t kMostSources = 320;  // all are open at once; five minutes of one a second and some
constexpr std::size_t kFewSources = 4;

std::int64_t window_of(std::int64_t time_ms, std::int64_t window_ms) {
  return time_ms / window_ms - (time_ms % window_ms < 0);
}

}  // namespace

Levels::Levels(Shared& shared)
    : shared_(shared),
      waiting_(shared.options.level_windows_ms.size()),
      removals_(shared.files, shared.kept.removals_path()) {}

Step Levels::step(const Time& now) {
  if (waiting_.empty()) return Step{now.mono_us + kNoWindow_us};
  if (shared_.upkeep_ends || !shared_.is_firm()) return Step{now.mono_us + kBeforeLevels_us};
  if (!loaded_ && !load(now)) return Step{now.mono_us + kTryAgain_us};
  take_new(now);
  count_waiting_time(now);
  if (now.mono_us >= not_before_us_) {
    if (!merged_) merge_next(now);
    if (merged_) put_merged(now);
  }
  if (removal_is_due(now)) remove_replaced(now);
  report();
  return Step{std::min(next_us(now), now.mono_us + kNoWindow_us)};
}

// What is known of removals goes on in the next process, and what was to be merged.
void Levels::close() {
  if (loaded_ && removals_.count() > 0) (void)removals_.save();
  for (KeptObject& object : shared_.kept.taken()) (void)shared_.kept.write_down(object);  // else it is not merged
  for (auto& list : waiting_) {
    for (KeptObject& object : list) (void)shared_.kept.write_down(object);
  }
}

bool Levels::load(const Time& now) {
  const LocalRecord record = shared_.local->record();
  auto kept = shared_.kept.load(record.lineage, record.published);
  if (!kept) return false;
  removals_.load();
  const Remembered* const known = shared_.options.known.get();
  if (known != nullptr) counted_us_ = known->removals_counted_us;
  for (KeptObject& object : *kept) {
    const auto at = static_cast<std::size_t>(object.level);
    object.since_us = known != nullptr && at < known->kept_since_us.size() ? known->kept_since_us[at] : now.mono_us;
    const auto level = static_cast<std::size_t>(object.level);
    if (level < waiting_.size()) waiting_[level].push_back(std::move(object));
    else shared_.kept.let_go(object);  // of the last level: all it was here for is that its sources go
  }
  loaded_ = true;
  return true;
}

void Levels::take_new(const Time& now) {
  for (KeptObject& object : shared_.kept.taken()) {
    object.since_us = now.mono_us;
    wait_for(0, std::move(object));
  }
  if (!merged_) keep_within_limit();
}

// The widest windows take the most room and save the least.
void Levels::keep_within_limit() {
  const std::uint64_t most = shared_.options.kept_limit_bytes / 4 * 3;
  for (std::size_t level = waiting_.size(); level-- > 0 && shared_.kept.size_bytes() > most;) {
    let_go(level, waiting_[level].size());
  }
}

std::int64_t Levels::due_us(const Time& now) {
  if (waiting_.empty()) return kNeverDue_us;
  if (!loaded_) return now.mono_us;  // it is about to find out
  take_new(now);
  return next_us(now);
}

// Of each level the newest: so nothing there is merged before its window has passed.
void Levels::remember(Remembered& known) const {
  known.removals_counted_us = counted_us_;
  for (const std::deque<KeptObject>& list : waiting_) {
    std::int64_t newest_us = 0;
    for (const KeptObject& object : list) newest_us = std::max(newest_us, object.since_us);
    known.kept_since_us.push_back(newest_us);
  }
}

std::int64_t Levels::next_us(const Time& now) const {
  std::int64_t next = kNeverDue_us;
  if (merged_) next = std::max(not_before_us_, now.mono_us);
  for (std::size_t level = 0; !merged_ && level < waiting_.size(); ++level) {
    if (waiting_[level].empty()) continue;
    const bool is_closed = first_group(level, now).is_closed;
    if (is_closed) next = std::min(next, std::max(not_before_us_, now.mono_us));
    if (is_closed || !nothing_waits_below(level)) continue;
    next = std::min(next, waiting_[level].front().since_us + shared_.options.level_windows_ms[level] * 1000);
  }
  if (const Removal* removal = removals_.front()) {
    const std::int64_t left_ms = shared_.options.replaced_grace_ms - removals_.waited_ms(*removal);
    const std::int64_t due_us = counted_us_ + std::max<std::int64_t>(left_ms, 0) * 1000 + kOneSecond_us;
    next = std::min(next, std::max(remove_not_before_us_, due_us));
  }
  return next;
}

// Which objects become one.

bool Levels::belongs_with(std::size_t level, const KeptObject& before, const KeptObject& next) const {
  const std::int64_t window_ms = shared_.options.level_windows_ms[level];
  return next.first == before.last.next() && next.hash_before == before.hash_after &&
         next.page_size == before.page_size &&
         window_of(next.time_ms, window_ms) == window_of(before.time_ms, window_ms);
}

bool Levels::nothing_waits_below(std::size_t level) const {
  return std::all_of(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(level),
                     [](const auto& list) { return list.empty(); });
}

// What comes behind all that waits for this level: it has not come as far yet. After a start what was passed on before
// may be there again, and is older: then it is not known.
const KeptObject* Levels::follower(std::size_t level) const {
  const Sequence last = waiting_[level].back().last;
  while (level-- > 0) {
    if (waiting_[level].empty()) continue;
    const KeptObject& next = waiting_[level].front();
    return next.first > last ? &next : nullptr;
  }
  return nullptr;
}

Levels::Group Levels::first_group(std::size_t level, const Time& now) const {
  const std::deque<KeptObject>& list = waiting_[level];
  std::uint64_t size_bytes = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const bool is_next = i == 0 || (i < kMostSources && belongs_with(level, list[i - 1], list[i]) &&
                                    size_bytes + list[i].size_bytes <= shared_.options.merged_limit_bytes);
    if (!is_next) return {i, true};
    size_bytes += list[i].size_bytes;
  }
  if (list.empty()) return {};
  const KeptObject* const next = follower(level);
  if (next != nullptr && !belongs_with(level, list.back(), *next)) return {list.size(), true};
  const std::int64_t window_us = shared_.options.level_windows_ms[level] * 1000;
  return {list.size(), nothing_waits_below(level) && now.mono_us - list.front().since_us >= window_us};
}

// Wide windows are squashed: what a restore far from a snapshot reads is then the newest version of each page, and
// bundles that wide would only be in the way of thinning what they hold.
bool Levels::is_bundle(std::size_t level) const {
  if (level == 0 && level_count() == 1) return true;
  return level + 1 < level_count() && (level == 0 || shared_.options.level_windows_ms[level] < kSquashedFrom_ms);
}

// Fewer are worth no object: what is saved is requests and names. They wait for the next level instead.
std::size_t Levels::least_sources(std::size_t level) const {
  if (is_bundle(level) && level + 1 < level_count() && is_bundle(level + 1)) return kFewSources;
  // A bundle alone is worth squashing; what is squashed already is not.
  const int of = waiting_[level].front().level;
  return !is_bundle(level) && of > 0 && is_bundle(static_cast<std::size_t>(of) - 1) ? 1 : 2;
}

// Whether the next level's window ends with this group: then all of that is merged at once, and an object of this level
// would be part of a wider one as soon as it is there.
bool Levels::ends_wider_window(std::size_t level, const Group& group) const {
  if (level + 1 == level_count() || !is_bundle(level) || !is_bundle(level + 1)) return false;
  const std::deque<KeptObject>& list = waiting_[level];
  const KeptObject* const next = group.size < list.size() ? &list[group.size] : follower(level);
  return next != nullptr && !belongs_with(level + 1, list[group.size - 1], *next);
}

// Merges the first group that is closed, the lowest level first.
void Levels::merge_next(const Time& now) {
  for (std::size_t level = 0; level < waiting_.size() && !merged_; ++level) {
    for (Group group = first_group(level, now); group.is_closed; group = first_group(level, now)) {
      const bool is_wider = ends_wider_window(level, group);
      if (!is_wider && group.size >= least_sources(level)) return merge(level, group.size, now);
      pass_on(level, group.size, is_wider);
    }
  }
}

void Levels::pass_on(std::size_t level, std::size_t count, bool is_merged_at_once) {
  if (level + 1 == level_count()) return let_go(level, count);
  for (; count > 0; --count) {
    if (!is_merged_at_once) (void)shared_.kept.write_down(waiting_[level].front());  // it will wait for long
    wait_for(level + 1, std::move(waiting_[level].front()));
    waiting_[level].pop_front();
  }
}

// What was passed on before a process died comes again, behind what was merged after it.
void Levels::wait_for(std::size_t level, KeptObject object) {
  std::deque<KeptObject>& list = waiting_[level];
  const auto place = std::ranges::upper_bound(list, object.first, {}, &KeptObject::first);
  list.insert(place, std::move(object));
}

void Levels::let_go(std::size_t level, std::size_t count) {
  for (; count > 0; --count) {
    shared_.kept.let_go(waiting_[level].front());
    waiting_[level].pop_front();
  }
}

// Removing.

void Levels::count_waiting_time(const Time& now) {
  now_us_ = now.mono_us;
  if (counted_us_ < 0) counted_us_ = now.mono_us;
  const std::int64_t passed_ms = (now.mono_us - counted_us_) / 1000;
  removals_.wait(passed_ms);
  counted_us_ += passed_ms * 1000;
}

bool Levels::removal_is_due(const Time& now) const {
  const Removal* removal = removals_.front();
  return removal != nullptr && removals_.waited_ms(*removal) >= shared_.options.replaced_grace_ms &&
         now.mono_us >= remove_not_before_us_;
}

void Levels::remove_replaced(const Time& now) {
  const auto removed = remove_replaced_by(*removals_.front());
  if (removed) {
    shared_.set_status([&](ReplicatorStatus& s) { s.replaced_objects += *removed; });
    removal_trouble_ = {};
    removals_.pop();
    (void)removals_.save();
    return;
  }
  count_error(removed.error().kind());
  const bool has_no_right = removed.error().kind() == ErrorKind::denied;
  remove_not_before_us_ = now.mono_us + (has_no_right ? kTryRightsAgain_us : kTryAgain_us);
  if (!has_no_right) return;
  removal_trouble_ = {fmt::format("what merged objects replace stays in {}: the credentials may not delete (S3: "
                                  "s3:DeleteObject). Replication goes on; 'cairn prune' with others removes it. {}",
                                  shared_.store.url(), removed.error().message()),
                      ErrorKind::denied};
}

// How many it was about: none, when the bundle is not there as it was put.
Result<std::uint64_t> Levels::remove_replaced_by(const Removal& removal) {
  const std::string& replica = shared_.options.replica;
  const auto bundle = shared_.store.head(segment::merged_key(replica, removal.level, removal.first, removal.last));
  if (!bundle && bundle.error().kind() != ErrorKind::not_found) return bundle.error();
  if (!bundle || bundle->size_bytes != removal.size_bytes || bundle->etag != removal.etag) return std::uint64_t{0};
  std::vector<std::string> keys;
  for (const auto& [level, first, last] : removal.replaced) {
    if (level > 0) keys.push_back(segment::merged_key(replica, level, first, last));
    for (Sequence at = first; level == 0 && at <= last; at = at.next()) {
      keys.push_back(segment::segment_key(replica, at));
    }
  }
  if (keys.empty()) return std::uint64_t{0};
  CAIRN_TRY(note_where_the_head_is(removal));
  if (removal.last > claimed_) {
    const Sequence published = shared_.local->record().published;
    CAIRN_TRY(restore::claim_before_removing(shared_.store, replica, removal.last, published));
    claimed_ = removal.last;
  }
  CAIRN_ASSIGN(const auto left, shared_.store.remove_many(keys));
  if (!left.empty()) return left.front().error.with(left.front().key);
  return std::uint64_t{keys.size()};
}

void Levels::count_error(ErrorKind kind) {
  shared_.set_status([&](ReplicatorStatus& s) { ++s.upkeep_errors[static_cast<std::size_t>(kind)]; });
}

// A start must find it also when the store lists late.
Result<void> Levels::note_where_the_head_is(const Removal& removal) {
  if (removal.last != shared_.local->record().published) return {};
  return shared_.local->update(Sync::yes, [&](LocalRecord& r) {
    r.bundle_level = removal.level;
    r.bundle_first = removal.first;
    r.bundle_last = removal.last;
  });
}

void Levels::report() {
  std::uint64_t objects = 0;
  for (const auto& list : waiting_) objects += list.size();
  shared_.set_status([&](ReplicatorStatus& s) {
    s.kept_objects = objects;
    s.kept_bytes = shared_.kept.size_bytes();
    s.replacing_objects = removals_.count();
  });
}

}  // namespace cairn::replicate
