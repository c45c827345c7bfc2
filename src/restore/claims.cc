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

void find_gaps(const std::vector<StoredObject>& listed, const std::vector<ReadObject>& good,
               std::vector<std::string>& problems, std::vector<std::string>& notes) {
  std::optional<Sequence> first_snapshot;
  Sequence newest;
  for (const StoredObject& object : listed) {
    newest = std::max(newest, object.name.last);
    if (object.name.kind != segment::KeyKind::snapshot) continue;
    first_snapshot = first_snapshot ? std::min(*first_snapshot, object.name.last) : object.name.last;
  }
  if (!first_snapshot) return;
  std::vector<std::pair<Sequence, Sequence>> covered;
  std::uint64_t too_old = 0;
  for (const ReadObject& object : good) {
    if (object.footer.kind == segment::ObjectKind::snapshot) continue;
    covered.emplace_back(object.footer.first, object.footer.last);
    if (object.footer.last <= *first_snapshot) ++too_old;
  }
  if (too_old > 0) {
    notes.push_back(fmt::format("{} segments are older than the first snapshot (sequence {}) and no longer needed",
                                too_old, first_snapshot->value));
  }
  std::sort(covered.begin(), covered.end());
  Sequence reached = *first_snapshot;
  covered.emplace_back(newest.next(), newest.next());
  for (const auto& [first, last] : covered) {
    if (first.value > reached.value + 1) {
      const std::uint64_t missing_last = first.value - 1;
      problems.push_back(missing_last == reached.value + 1
                             ? fmt::format("segment {} is missing or damaged", missing_last)
                             : fmt::format("segments {}..{} are missing or damaged", reached.value + 1, missing_last));
    }
    reached = std::max(reached, last);
  }
}

}  // namespace cairn::restore
