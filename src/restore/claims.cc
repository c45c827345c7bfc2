#include "restore/claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>

namespace cairn::restore {
namespace {

struct Claim {
  std::uint64_t hash = 0;
  std::optional<std::uint32_t> page_count;  // "the hash before" comes without
  std::uint32_t page_size = 0;
  std::string key;                          // who says so
};

class Comparer {
 public:
  explicit Comparer(std::vector<std::string>& problems) : problems_(problems) {}

  void add(Sequence sequence, Claim claim) {
    auto [known, fresh] = claims_.try_emplace(sequence, claim);
    if (fresh) return;
    const Claim& before = known->second;
    const bool same_size = !before.page_count || !claim.page_count ||
                           (*before.page_count == *claim.page_count && before.page_size == claim.page_size);
    const bool agree = before.hash == claim.hash && same_size;
    if (!agree && reported_.insert(sequence).second) {
      problems_.push_back(fmt::format("{} and {} disagree about the state at sequence {}: one of the two is not what "
                                      "was published", before.key, claim.key, sequence.value));
    }
    if (!before.page_count) known->second = std::move(claim);
  }

 private:
  std::map<Sequence, Claim> claims_;
  std::set<Sequence> reported_;
  std::vector<std::string>& problems_;
};

}  // namespace

void compare_claims(const std::vector<ReadObject>& objects, std::vector<std::string>& problems) {
  Comparer comparer(problems);
  for (const ReadObject& object : objects) {
    const segment::Footer& footer = object.footer;
    const std::string& key = object.object.name.key;
    for (const segment::RestorePoint& point : footer.points) {
      comparer.add(point.sequence, {point.hash_after, point.page_count, footer.page_size, key});
    }
    if (footer.kind != segment::ObjectKind::snapshot) {
      comparer.add(Sequence(footer.first.value - 1), {footer.hash_before, std::nullopt, footer.page_size, key});
    }
  }
}

namespace {

// Objects in front of the first snapshot are of no use. Nothing without a snapshot.
std::optional<Sequence> first_snapshot_of(const std::vector<StoredObject>& listed) {
  std::optional<Sequence> first;
  for (const StoredObject& object : listed) {
    if (object.name.kind != segment::KeyKind::snapshot) continue;
    first = first ? std::min(*first, object.name.last) : object.name.last;
  }
  return first;
}

struct Ranges {
  std::vector<std::pair<Sequence, Sequence>> segments;
  std::set<Sequence> snapshots;
};
Ranges ranges_of(const std::vector<ReadObject>& good) {
  Ranges ranges;
  for (const ReadObject& object : good) {
    if (object.footer.kind == segment::ObjectKind::snapshot) ranges.snapshots.insert(object.footer.last);
    else ranges.segments.emplace_back(object.footer.first, object.footer.last);
  }
  std::sort(ranges.segments.begin(), ranges.segments.end());
  return ranges;
}

// Was all of it removed on purpose? A snapshot's own state can be there although the segment that led to it is not.
bool explains(const Pruned& pruned, const std::set<Sequence>& snapshots, Sequence first, Sequence last) {
  if (pruned.number == 0) return false;
  for (auto at = snapshots.lower_bound(first); at != snapshots.end() && *at <= last; ++at) {
    if (first < *at && !pruned.covers(first, Sequence(at->value - 1))) return false;
    first = at->next();
  }
  return first > last || pruned.covers(first, last);
}

}  // namespace

Gaps find_gaps(const std::vector<StoredObject>& listed, const std::vector<ReadObject>& good, const Pruned& pruned,
               Sequence newest) {
  Gaps gaps;
  const std::optional<Sequence> first_snapshot = first_snapshot_of(listed);
  if (!first_snapshot) return gaps;
  gaps.first_snapshot = *first_snapshot;
  Ranges ranges = ranges_of(good);
  gaps.too_old = std::count_if(ranges.segments.begin(), ranges.segments.end(),
                               [&](const auto& range) { return range.second <= *first_snapshot; });
  Sequence reached = *first_snapshot;
  ranges.segments.emplace_back(newest.next(), newest.next());
  for (const auto& [first, last] : ranges.segments) {
    const Sequence missing_first = reached.next(), missing_last(first.value - 1);
    reached = std::max(reached, last);
    if (missing_first > missing_last) continue;
    if (explains(pruned, ranges.snapshots, missing_first, missing_last)) {
      gaps.pruned += missing_last.value - missing_first.value + 1;
    } else {
      gaps.missing.emplace_back(missing_first, missing_last);
    }
  }
  return gaps;
}

void tell_gaps(const Gaps& gaps, std::vector<std::string>& problems, std::vector<std::string>& notes) {
  if (gaps.too_old > 0) {
    notes.push_back(fmt::format("{} segments are older than the first snapshot (sequence {}) and no longer needed",
                                gaps.too_old, gaps.first_snapshot.value));
  }
  for (const auto& [first, last] : gaps.missing) {
    problems.push_back(first == last ? fmt::format("segment {} is missing or damaged", last.value)
                                     : fmt::format("segments {}..{} are missing or damaged", first.value, last.value));
  }
  if (gaps.pruned > 0) notes.push_back(fmt::format("{} sequences were pruned", gaps.pruned));
}

}  // namespace cairn::restore
