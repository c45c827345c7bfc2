#include "compact/survey.h"

#include <fmt/format.h>

#include <algorithm>

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

Result<void> check_history(const Survey& found, Holes holes) {
  std::vector<restore::StoredObject> listed = found.unreadable;
  std::vector<restore::ReadObject> good;
  for (const AgedObject& object : found.objects) {
    listed.push_back(object.read.object);
    good.push_back(object.read);
  }
  std::vector<std::string> problems, notes;
  restore::compare_claims(good, problems);
  if (holes == Holes::refuse) restore::find_gaps(listed, good, found.pruned, problems, notes);
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
