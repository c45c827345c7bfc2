#include "restore/unlisted.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "restore/metadata.h"
#include "restore/plan.h"
#include "segment/keys.h"

namespace cairn::restore {
namespace {

// True: it is there; added, if it is not among them.
Result<bool> add_by_key(Store& store, std::string_view replica, const std::string& key,
                        std::vector<StoredObject>& objects) {
  auto name = segment::parse_key(replica, key);
  if (!name) return false;
  const bool is_listed = std::any_of(objects.begin(), objects.end(), [&](const StoredObject& object) {
    return object.name.key == key;
  });
  if (is_listed) return true;
  const auto there = store.head(key);
  if (!there && there.error().kind() == ErrorKind::not_found) return false;
  if (!there) return there.error();
  objects.push_back({std::move(*name), there->size_bytes, {}});
  return true;
}

Result<std::optional<Metadata>> claim_of(Store& store, std::string_view replica) {
  auto claim = read_metadata(store, replica);
  if (claim) return std::optional(std::move(*claim));
  const ErrorKind kind = claim.error().kind();
  if (kind == ErrorKind::not_found || kind == ErrorKind::corrupt) return std::optional<Metadata>();
  return claim.error();
}

// The newest one that the claim names, or the first one, which is named by when the replica was begun.
Result<void> add_snapshot(Store& store, std::string_view replica, const std::optional<Metadata>& claim,
                          std::int64_t begun_ms, std::vector<StoredObject>& snapshots) {
  if (claim) {
    CAIRN_ASSIGN(const bool there, add_by_key(store, replica, claim->latest_snapshot, snapshots));
    if (there) return {};
    begun_ms = claim->begun_ms;
  }
  if (begun_ms == 0) return {};
  CAIRN_TRY(add_by_key(store, replica, segment::snapshot_key(replica, begun_ms, Sequence(0)), snapshots));
  return {};
}

Result<void> add_published(Store& store, std::string_view replica, const Known& known,
                           const std::vector<StoredObject>& snapshots, std::vector<StoredObject>& segments) {
  if (known.published <= newest_of(snapshots, segments)) return {};
  const std::string published = segment::segment_key(replica, known.published);
  const std::string intent = segment::segment_key(replica, known.intent);
  for (const std::string& key : {published, known.bundle, intent}) {
    CAIRN_ASSIGN(const bool there, add_by_key(store, replica, key, segments));
    if (there) return {};
  }
  return {};
}

}  // namespace

Result<void> add_what_follows(Store& store, std::string_view replica, const Known& known,
                              std::vector<StoredObject>& snapshots, std::vector<StoredObject>& segments) {
  bool is_there = !snapshots.empty() || !segments.empty();
  if (snapshots.empty()) {
    CAIRN_ASSIGN(const std::optional<Metadata> claim, claim_of(store, replica));
    CAIRN_TRY(add_snapshot(store, replica, claim, known.begun_ms, snapshots));
    is_there = is_there || claim || !snapshots.empty();
  }
  CAIRN_TRY(add_published(store, replica, known, snapshots, segments));
  is_there = is_there || !segments.empty();
  while (is_there) {
    const Sequence next = newest_of(snapshots, segments).next();
    CAIRN_ASSIGN(is_there, add_by_key(store, replica, segment::segment_key(replica, next), segments));
  }
  return {};
}

Result<Sequence> find_published(Store& store, std::string_view replica, std::vector<StoredObject>& snapshots,
                                std::vector<StoredObject>& segments) {
  CAIRN_ASSIGN(const std::optional<Metadata> claim, claim_of(store, replica));
  const Sequence listed = newest_of(snapshots, segments);
  if (!claim || claim->latest_wal_sequence <= listed.value) return listed;
  const Sequence published(claim->latest_wal_sequence);
  CAIRN_TRY(add_by_key(store, replica, claim->latest_snapshot, snapshots));
  CAIRN_TRY(add_by_key(store, replica, segment::segment_key(replica, published), segments));
  if (newest_of(snapshots, segments) < published) return published;
  CAIRN_TRY(add_what_follows(store, replica, {}, snapshots, segments));
  return newest_of(snapshots, segments);
}

Result<void> expect_all_published(Store& store, std::string_view replica, std::vector<StoredObject>& snapshots,
                                  std::vector<StoredObject>& segments) {
  CAIRN_ASSIGN(const Sequence published, find_published(store, replica, snapshots, segments));
  const Sequence newest = newest_of(snapshots, segments);
  if (newest >= published) return {};
  return Error(ErrorKind::corrupt,
               fmt::format("sequence {} was published, and what holds it is not listed: either the store lists late, "
                           "and the same finds it in a while, or it is lost. The newest state that is listed is "
                           "sequence {}: ask for that one with --sequence",
                           published.value, newest.value));
}

Result<void> add_what_is_missing(Store& store, std::string_view replica, const Known& known, Sequence target,
                                 std::vector<StoredObject>& snapshots, std::vector<StoredObject>& segments) {
  if (snapshots.empty()) {
    CAIRN_ASSIGN(const std::optional<Metadata> claim, claim_of(store, replica));
    CAIRN_TRY(add_snapshot(store, replica, claim, known.begun_ms, snapshots));
  }
  if (known.published <= target) CAIRN_TRY(add_published(store, replica, known, snapshots, segments));
  while (true) {
    const auto reached = newest_reachable(snapshots, segments, target);
    if (!reached || *reached >= target) return {};
    const std::string key = segment::segment_key(replica, reached->next());
    CAIRN_ASSIGN(const bool there, add_by_key(store, replica, key, segments));
    if (!there) return {};
  }
}

}  // namespace cairn::restore
