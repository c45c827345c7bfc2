#include "compact/survey.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/parallel.h"
#include "restore/claims.h"
#include "restore/history.h"
#include "restore/replica.h"
#include "segment/reader.h"

namespace cairn::compact {
namespace {

struct Listed {
  restore::StoredObject object;
  std::int64_t modified_ms = 0;
  std::string etag;
};

Result<std::vector<Listed>> list_all(Store& store, std::string_view replica) {
  std::vector<Listed> found;
  for (const std::string& prefix : {segment::snapshot_prefix(replica), segment::segment_prefix(replica),
                                    segment::level_prefix(replica)}) {
    CAIRN_TRY(restore::list_objects(store, prefix, {}, [&](const ObjectInfo& object) {
      if (auto name = segment::parse_key(replica, object.key)) {
        found.push_back({{std::move(*name), object.size_bytes, {}}, object.modified_ms, object.etag});
      }
      return true;
    }));
  }
  return found;
}

// Nothing: it is damaged, or was removed since it was listed.
Result<std::optional<segment::Footer>> known_footer(Store& store, const Listed& listed, const KnownFooters& known) {
  const std::string& key = listed.object.name.key;
  if (const auto found = known.find(key); found != known.end() && found->second.etag == listed.etag &&
                                          found->second.size_bytes == listed.object.size_bytes) {
    return std::optional(found->second.footer);
  }
  auto reader = segment::ObjectReader::open(store, key);
  if (reader) return std::optional((*reader)->footer());
  const ErrorKind kind = reader.error().kind();
  if (kind != ErrorKind::corrupt && kind != ErrorKind::not_found) return reader.error();
  return std::optional<segment::Footer>();
}

Result<void> check_lineage(const Survey& found, const std::optional<Id128>& claimed) {
  if (found.objects.empty()) return {};
  const Id128 ours = claimed ? *claimed : found.objects.front().read.footer.lineage;
  for (const AgedObject& object : found.objects) {
    if (object.read.footer.lineage == ours) continue;
    return Error(ErrorKind::conflict, fmt::format("{} belongs to another history (lineage {}) than this replica ({}): "
                                                  "nothing was removed", object.read.object.name.key,
                                                  object.read.footer.lineage.hex(), ours.hex()));
  }
  return {};
}

// What only a damaged object leads to would look like what nothing leads to, and go: then nothing could bring it back,
// not even who has a copy of the damaged one. Its name says where it may lead.
void find_hidden(const std::vector<restore::StoredObject>& unreadable, const std::vector<restore::ReadObject>& good,
                 const restore::Pruned& pruned, std::vector<std::string>& problems) {
  if (unreadable.empty()) return;
  std::vector<restore::ReadObject> hoped = good;
  for (const restore::StoredObject& object : unreadable) {
    const Sequence first = object.name.first, last = object.name.last;
    std::set<Sequence> states = {first, last};
    for (const restore::ReadObject& other : good) {
      const Sequence before(other.footer.first.value - 1);
      if (other.footer.kind != segment::ObjectKind::snapshot && first < before && before < last) states.insert(before);
    }
    const bool is_snapshot = object.name.kind == segment::KeyKind::snapshot;
    restore::ReadObject& as_named = hoped.emplace_back();
    as_named.object = object;
    as_named.footer.kind = is_snapshot ? segment::ObjectKind::snapshot : segment::ObjectKind::bundle;
    as_named.footer.first = first;
    as_named.footer.last = last;
    for (const Sequence at : states) as_named.footer.points.emplace_back().sequence = at;
  }
  std::set<std::uint64_t> reached;
  for (const RestorePointInfo& point : restore::reachable_points(good)) reached.insert(point.sequence);
  std::set<std::uint64_t> might_be;
  for (const RestorePointInfo& point : restore::reachable_points(hoped)) might_be.insert(point.sequence);
  for (const restore::ReadObject& object : good) {
    for (const segment::RestorePoint& point : object.footer.points) {
      const Sequence at = point.sequence;
      const bool is_hidden = !reached.contains(at.value) && might_be.contains(at.value) && !pruned.covers(at, at);
      if (!is_hidden) continue;
      const auto closest = std::max_element(unreadable.begin(), unreadable.end(), [&](const auto& a, const auto& b) {
        return std::pair(a.name.first <= at, a.name.last) < std::pair(b.name.first <= at, b.name.last);
      });
      problems.push_back(fmt::format("sequence {} cannot be restored while {} is damaged: have that repaired ('cairn "
                                     "verify --repair'), or move it away when it is lost for good",
                                     at.value, closest->name.key));
      return;
    }
  }
}

Result<void> check_history(const Survey& found, Holes holes) {
  std::vector<restore::StoredObject> listed = found.unreadable;
  std::vector<restore::ReadObject> good;
  for (const AgedObject& object : found.objects) {
    listed.push_back(object.read.object);
    good.push_back(object.read);
  }
  std::vector<std::string> problems, notes;
  restore::compare_claims(good, problems);
  if (holes == Holes::refuse) {
    const Sequence newest = restore::newest_of(listed, {});
    restore::tell_gaps(restore::find_gaps(listed, good, found.pruned, newest), problems, notes);
    find_hidden(found.unreadable, good, found.pruned, problems);
  }
  if (problems.empty()) return {};
  return Error(ErrorKind::corrupt, fmt::format("{}: nothing was removed. 'cairn verify' tells all that is wrong{}",
                                               problems.front(), problems.size() > 1 ? ", and there is more" : ""));
}

}  // namespace

Result<Survey> survey(Store& store, std::string_view replica, KnownFooters& known, Holes holes, Executor& executor) {
  Survey found;
  CAIRN_ASSIGN(std::vector<Listed> listed, list_all(store, replica));
  std::vector<std::optional<segment::Footer>> footers(listed.size());
  CAIRN_TRY(parallel_for(executor, listed.size(), [&](std::uint64_t i) -> Result<void> {
    CAIRN_ASSIGN(footers[i], known_footer(store, listed[i], known));
    return {};
  }));
  // After the objects: a prune records before it removes, so whatever hole the listing showed is in this record.
  CAIRN_ASSIGN(found.pruned, restore::read_pruned(store, replica));
  bool has_snapshot = false;
  for (std::size_t i = 0; i < listed.size(); ++i) {
    if (!footers[i]) {
      found.unreadable.push_back(std::move(listed[i].object));
      continue;
    }
    has_snapshot = has_snapshot || footers[i]->kind == segment::ObjectKind::snapshot;
    known.insert_or_assign(listed[i].object.name.key,
                           KnownFooter{listed[i].etag, listed[i].object.size_bytes, *footers[i]});
    found.objects.push_back({{std::move(listed[i].object), std::move(*footers[i])}, listed[i].modified_ms});
  }
  if (!has_snapshot) return Error(ErrorKind::not_found, "there is no snapshot that can be read: nothing was removed");
  CAIRN_TRY(restore::with_claimed_lineage(store, replica, [&](const std::optional<Id128>& claimed) {
    return check_lineage(found, claimed);
  }));
  CAIRN_TRY(check_history(found, holes));
  return found;
}

}  // namespace cairn::compact
