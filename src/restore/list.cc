#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/executor.h"
#include "base/parallel.h"
#include "cairn/restore.h"
#include "restore/head.h"
#include "restore/metadata.h"
#include "restore/plan.h"
#include "restore/points.h"
#include "restore/replica.h"
#include "segment/reader.h"

namespace cairn {
namespace restore {
namespace {

struct ReadFooters {
  std::vector<ReadObject> whole;
  std::vector<DamagedObject> damaged;
};

// Footers of all objects. What was pruned since it was listed is left out.
Result<ReadFooters> read_footers(Store& store, std::vector<StoredObject> objects, Executor& executor) {
  std::vector<ReadObject> read(objects.size());
  std::vector<std::string> problems(objects.size());
  std::vector<char> usable(objects.size());  // not bool: threads write neighbours at the same time
  CAIRN_TRY(parallel_for(executor, objects.size(), [&](std::uint64_t i) -> Result<void> {
    auto reader = segment::ObjectReader::open(store, objects[i].name.key);
    if (reader) {
      read[i] = {std::move(objects[i]), (*reader)->footer()};
      set_stops(read[i].object, **reader);
      usable[i] = 1;
      return {};
    }
    const ErrorKind kind = reader.error().kind();
    if (kind == ErrorKind::corrupt) problems[i] = reader.error().message();
    if (kind == ErrorKind::corrupt || kind == ErrorKind::not_found) return {};
    return reader.error();
  }));
  ReadFooters footers;
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (usable[i]) footers.whole.push_back(std::move(read[i]));
    else if (!problems[i].empty()) footers.damaged.push_back({objects[i].name.key, std::move(problems[i])});
  }
  return footers;
}

Result<ReadFooters> read_all(Store& store, std::string_view replica, Executor* executor) {
  InlineExecutor inline_executor;
  CAIRN_ASSIGN(std::vector<StoredObject> objects, list_snapshots(store, replica));
  CAIRN_ASSIGN(std::vector<StoredObject> segments, list_segments(store, replica, Sequence(0)));
  std::move(segments.begin(), segments.end(), std::back_inserter(objects));
  if (objects.empty()) {
    return Error(ErrorKind::not_found, "there is no snapshot and no segment").with(location(store, replica));
  }
  auto read = read_footers(store, std::move(objects), executor != nullptr ? *executor : inline_executor);
  if (!read) return read.error().with(location(store, replica));
  return read;
}

HistoryObject described(const ReadObject& read) {
  const segment::Footer& footer = read.footer;
  HistoryObject object;
  object.key = read.object.name.key;
  object.size_bytes = read.object.size_bytes;
  object.is_snapshot = footer.kind == segment::ObjectKind::snapshot;
  object.is_squashed = footer.kind == segment::ObjectKind::squashed;
  object.level = read.object.name.level;
  object.first_sequence = footer.first.value;
  object.last_sequence = footer.last.value;
  object.first_time_ms = footer.first_time_ms;
  object.last_time_ms = footer.last_time_ms;
  object.restore_points = footer.points.size();
  return object;
}

void add_costs(const std::vector<ReadObject>& read, std::vector<HistoryPoint>& points) {
  std::vector<StoredObject> snapshots, segments;
  for (const ReadObject& each : read) {
    (each.object.name.kind == segment::KeyKind::snapshot ? snapshots : segments).push_back(each.object);
  }
  std::vector<Sequence> targets;
  for (const HistoryPoint& point : points) targets.emplace_back(point.state.sequence);
  const auto totals = cover_totals(snapshots, segments, targets);
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!totals[i]) continue;
    points[i].restore_objects = totals[i]->objects;
    points[i].restore_requests = totals[i]->requests;
    points[i].restore_bytes = totals[i]->size_bytes;
  }
}

// The replica that a key belongs to: what stands before the folder of its kind.
std::optional<std::pair<std::string, std::optional<segment::ObjectName>>> owner_of(const std::string& key) {
  constexpr std::string_view kMetadata = "metadata.json";
  for (std::size_t at = 0; at != std::string::npos; at = key.find('/', at + 1)) {
    const std::string replica = at == 0 ? "" : key.substr(0, at);
    if (auto name = segment::parse_key(replica, key)) return std::pair(replica, std::optional(std::move(*name)));
    if (key.ends_with(kMetadata) && key == segment::metadata_key(replica)) {
      return std::pair(replica, std::optional<segment::ObjectName>());
    }
  }
  return std::nullopt;
}

// Lineage and time of the newest state; false: what looks like a replica is none (a foreign metadata.json).
Result<bool> look_closer(Store& store, ReplicaInfo& info) {
  if (info.snapshot_count + info.segment_count > 0) {
    auto head = read_head(store, info.path);
    if (head) {
      info.lineage = head->lineage.hex();
      info.newest_time_ms = head->footer.points.back().time_ms;
      return true;
    }
    const ErrorKind kind = head.error().kind();
    if (kind != ErrorKind::corrupt && kind != ErrorKind::conflict && kind != ErrorKind::unsupported) {
      return head.error();
    }
  }
  // Damaged, or claimed and not yet published: it is named all the same.
  CAIRN_ASSIGN(const std::optional<Id128> claimed, claimed_lineage(store, info.path));
  if (claimed) info.lineage = claimed->hex();
  return claimed || info.snapshot_count + info.segment_count > 0;
}

}  // namespace
}  // namespace restore

Result<std::vector<RestorePointInfo>> list_restore_points(Store& store, std::string_view replica,
                                                          Executor* executor) {
  using namespace restore;
  CAIRN_ASSIGN(const ReadFooters read, read_all(store, replica, executor));
  return reachable_points(read.whole);
}

Result<ReplicaHistory> read_history(Store& store, std::string_view replica, Executor* executor) {
  using namespace restore;
  CAIRN_ASSIGN(ReadFooters read, read_all(store, replica, executor));
  ReplicaHistory history;
  for (const ReadObject& object : read.whole) history.objects.push_back(described(object));
  for (RestorePointInfo& point : reachable_points(read.whole)) history.points.push_back({std::move(point)});
  add_costs(read.whole, history.points);
  history.damaged = std::move(read.damaged);
  return history;
}

Result<std::vector<ReplicaInfo>> list_replicas(Store& store, std::string_view prefix) {
  using namespace restore;
  std::map<std::string, ReplicaInfo> found;
  std::string under(prefix);
  while (!under.empty() && under.back() == '/') under.pop_back();
  if (!under.empty()) under += '/';  // "apps" is a folder: "apps2" is not in it
  CAIRN_TRY(list_objects(store, under, {}, [&](const ObjectInfo& object) {
    auto owner = owner_of(object.key);
    if (!owner) return true;
    ReplicaInfo& info = found[owner->first];
    info.path = owner->first;
    info.size_bytes += object.size_bytes;
    if (!owner->second) return true;
    info.newest_sequence = std::max(info.newest_sequence, owner->second->last.value);
    ++(owner->second->kind == segment::KeyKind::snapshot ? info.snapshot_count : info.segment_count);
    return true;
  }));
  std::vector<ReplicaInfo> replicas;
  for (auto& [path, info] : found) {
    CAIRN_ASSIGN(const bool is_replica, look_closer(store, info));
    if (is_replica) replicas.push_back(std::move(info));
  }
  return replicas;
}

}  // namespace cairn
