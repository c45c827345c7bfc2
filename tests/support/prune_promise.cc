#include "support/prune_promise.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "segment/keys.h"
#include "segment/reader.h"

namespace cairn::testing {
namespace {

constexpr std::int64_t kHourLong_ms = 3'600'000;

struct Aged {
  segment::Footer footer;
  std::int64_t modified_ms = 0;
};

struct Moment {
  std::uint64_t at = 0;
  std::int64_t time_ms = 0;    // the earliest that an object says: a snapshot says when it was begun
  std::int64_t latest_ms = 0;  // what may be all that a late listing shows of it
};

Result<std::vector<Aged>> all_aged(Store& store, const std::string& replica) {
  std::vector<Aged> found;
  std::string after;
  for (bool more = true; more;) {
    CAIRN_ASSIGN(const ListPage page, store.list(replica + "/", after));
    for (const ObjectInfo& info : page.objects) {
      after = info.key;
      if (!segment::parse_key(replica, info.key)) continue;
      CAIRN_ASSIGN(const auto reader, segment::ObjectReader::open(store, info.key));
      found.push_back({reader->footer(), info.modified_ms});
    }
    more = page.more;
  }
  return found;
}

// States that objects lead to, in whatever way, ascending.
std::vector<Moment> reached(const std::vector<Aged>& objects) {
  std::map<std::uint64_t, std::int64_t> found;
  for (std::size_t before = 1; before != found.size();) {
    before = found.size();
    for (const Aged& object : objects) {
      const bool is_snapshot = object.footer.kind == segment::ObjectKind::snapshot;
      for (const segment::RestorePoint& point : object.footer.points) {
        const std::uint64_t at = point.sequence.value;
        const auto from = found.lower_bound(object.footer.first.value == 0 ? 0 : object.footer.first.value - 1);
        if (is_snapshot || (from != found.end() && from->first < at)) found.try_emplace(at, point.time_ms);
      }
    }
    if (found.empty()) break;
  }
  std::vector<Moment> moments;
  for (const auto& [at, time_ms] : found) moments.push_back({at, time_ms, time_ms});
  for (const Aged& object : objects) {
    for (const segment::RestorePoint& point : object.footer.points) {
      const auto there = std::ranges::find(moments, point.sequence.value, &Moment::at);
      if (there == moments.end()) continue;
      there->time_ms = std::min(there->time_ms, point.time_ms);
      there->latest_ms = std::max(there->latest_ms, point.time_ms);
    }
  }
  return moments;
}

// The age of a point is the sum of the steps behind it: a step back counts nothing, one of more than an hour counts as
// an hour, the first two of those, from the newest on, count nothing. By a late listing each step may be any from the
// shortest to the longest that the objects tell of: the age is the greatest that comes of it.
bool is_in_window(const std::vector<Moment>& points, std::size_t i, std::int64_t window_ms, Listing listing) {
  constexpr std::int64_t kNoWay = std::numeric_limits<std::int64_t>::min() / 2;
  std::array<std::int64_t, 3> greatest_ms{0, kNoWay, kNoWay};  // by how many long steps counted nothing
  for (std::size_t at = points.size() - 1; at > i; --at) {
    const Moment &to = points[at], &from = points[at - 1];
    const bool is_late = listing == Listing::late;
    const std::int64_t longest_ms = (is_late ? to.latest_ms : to.time_ms) - from.time_ms;
    const std::int64_t shortest_ms = to.time_ms - (is_late ? from.latest_ms : from.time_ms);
    const std::int64_t counted_ms = std::min(std::max<std::int64_t>(longest_ms, 0), kHourLong_ms);
    std::array<std::int64_t, 3> next_ms{kNoWay, kNoWay, kNoWay};
    for (std::size_t used = 0; used < next_ms.size(); ++used) {
      if (shortest_ms <= kHourLong_ms) next_ms[used] = std::max(next_ms[used], greatest_ms[used] + counted_ms);
      if (longest_ms <= kHourLong_ms) continue;
      const bool is_free = used < 2;
      const std::size_t then = is_free ? used + 1 : used;
      next_ms[then] = std::max(next_ms[then], greatest_ms[used] + (is_free ? 0 : kHourLong_ms));
    }
    greatest_ms = next_ms;
  }
  return *std::ranges::max_element(greatest_ms) <= window_ms;
}

std::int64_t floored(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0); }

std::chrono::sys_days day_of(std::int64_t time_ms) {
  return std::chrono::floor<std::chrono::days>(std::chrono::sys_time(std::chrono::milliseconds(time_ms)));
}
std::int64_t hour(std::int64_t time_ms) { return floored(time_ms, kHourLong_ms); }
std::int64_t day(std::int64_t time_ms) { return day_of(time_ms).time_since_epoch().count(); }
std::int64_t week(std::int64_t time_ms) {  // by its Monday
  const std::chrono::sys_days today = day_of(time_ms);
  return (today - (std::chrono::weekday(today) - std::chrono::Monday)).time_since_epoch().count();
}
std::int64_t month(std::int64_t time_ms) {
  const std::chrono::year_month_day date(day_of(time_ms));
  return static_cast<int>(date.year()) * 12 + static_cast<unsigned>(date.month());
}

// Neighbours in one hour (day, week, month) are a run; a run takes a place when its hour is before all hours of newer
// runs. By a late listing each may be the first of its hour that is shown, or show a later one.
void add_series(const std::vector<Moment>& points, std::int64_t (*bucket_of)(std::int64_t), std::uint64_t places,
                Listing listing, PrunePromise& owed) {
  if (places == 0) return;
  std::int64_t earliest = std::numeric_limits<std::int64_t>::max();
  for (std::size_t end = points.size(); end > 0;) {
    const std::int64_t bucket = bucket_of(points[end - 1].time_ms);
    std::vector<std::uint64_t> run;
    bool is_sure = true;
    for (; end > 0 && bucket_of(points[end - 1].time_ms) == bucket; --end) {
      run.push_back(points[end - 1].at);
      is_sure = is_sure && (listing == Listing::whole || bucket_of(points[end - 1].latest_ms) == bucket);
    }
    if (!is_sure) return;
    if ((listing == Listing::late || bucket < earliest) && places-- == 0) return;
    earliest = std::min(earliest, bucket);
    owed.one_of.push_back(std::move(run));
  }
}

}  // namespace

Result<PrunePromise> promise_of(Store& store, const std::string& replica, const PrunePolicy& policy,
                                std::int64_t now_ms, Listing listing) {
  CAIRN_ASSIGN(const std::vector<Aged> all, all_aged(store, replica));
  std::int64_t youngest_ms = std::numeric_limits<std::int64_t>::min();
  for (const Aged& object : all) youngest_ms = std::max(youngest_ms, object.modified_ms);
  now_ms = std::min(now_ms, youngest_ms);
  std::vector<Aged> old;
  std::optional<std::uint64_t> base;
  for (const Aged& object : all) {
    if (object.modified_ms + policy.grace_ms > now_ms) continue;
    old.push_back(object);
    const bool is_snapshot = object.footer.kind == segment::ObjectKind::snapshot;
    if (is_snapshot) base = std::max(base.value_or(0), object.footer.last.value);
  }
  PrunePromise owed;
  const std::vector<Moment> everything = reached(all);
  if (everything.empty()) return owed;
  owed.newest = everything.back().at;
  std::set<std::uint64_t> each{owed.newest};
  const std::vector<Moment> points = reached(old);
  for (std::size_t i = 0; i < points.size(); ++i) {
    const bool stays = points[i].at >= base.value_or(0) || i + 1 == points.size() ||
                       (policy.keep_all_ms > 0 && is_in_window(points, i, policy.keep_all_ms, listing));
    if (stays) each.insert(points[i].at);
  }
  owed.each.assign(each.begin(), each.end());
  add_series(points, hour, policy.hourly, listing, owed);
  add_series(points, day, policy.daily, listing, owed);
  add_series(points, week, policy.weekly, listing, owed);
  add_series(points, month, policy.monthly, listing, owed);
  return owed;
}

}  // namespace cairn::testing
