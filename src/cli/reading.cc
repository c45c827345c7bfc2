#include "cli/reading.h"

#include <fmt/format.h>

#include "base/clock.h"
#include "base/units.h"

namespace cairn::cli {

namespace {

constexpr std::size_t kReplicasNamed = 3;

// "; replicas below it: a.db, b.db and 4 more"
std::string replicas_below(Store& store) {
  const Result<std::vector<ReplicaInfo>> replicas = list_replicas(store, "");
  if (!replicas || replicas->empty()) return "";
  std::string names;
  for (std::size_t i = 0; i < std::min(kReplicasNamed, replicas->size()); ++i) {
    if ((*replicas)[i].path.empty()) return "";
    names += (i > 0 ? ", " : "") + (*replicas)[i].path;
  }
  if (replicas->size() > kReplicasNamed) names += fmt::format(" and {} more", replicas->size() - kReplicasNamed);
  return "; replicas lie below it: " + names;
}

}  // namespace

Failure reading_failure(RememberingStore& store, const Error& error) {
  if (error.kind() == ErrorKind::not_found) {
    return {Error(error.kind(), error.message() + replicas_below(store)), Origin::store};
  }
  // Only an object can be what this version does not support.
  if (error.kind() == ErrorKind::unsupported) return {error, Origin::store};
  return {error, store.origin_of(error)};
}

Result<RestoreTarget> restore_target(const TargetOptions& options) {
  RestoreTarget target;
  target.sequence = options.sequence;
  const Result<std::uint64_t> request_costs = parse_size_bytes(options.request_costs);
  if (!request_costs) return request_costs.error().with("--request-costs");
  target.request_costs_bytes = *request_costs;
  if (options.at.empty()) return target;
  Result<std::int64_t> time = parse_time(options.at);
  if (!time) return time.error().with("--at");
  target.time_ms = *time;
  return target;
}

std::string damage_warning(const DamagedObject& damaged) { return "done without a damaged object: " + damaged.problem; }

void warn_of(const std::vector<DamagedObject>& damaged) {
  for (const DamagedObject& each : damaged) print_error_text(fmt::format("cairn: warning: {}\n", damage_warning(each)));
}

Json damaged_json(const std::vector<DamagedObject>& damaged) {
  Json json = Json::array();
  for (const DamagedObject& each : damaged) json.push_back({{"key", each.key}, {"problem", each.problem}});
  return json;
}

Json planned_json(const std::vector<PlannedObject>& objects) {
  Json json = Json::array();
  for (const PlannedObject& object : objects) {
    Json one;
    one["key"] = object.key;
    one["size_bytes"] = object.size_bytes;
    one["snapshot"] = object.is_snapshot;
    one["first_sequence"] = object.first_sequence;
    one["last_sequence"] = object.last_sequence;
    json.push_back(std::move(one));
  }
  return json;
}

Json point_json(const RestorePointInfo& point) {
  Json json;
  json["sequence"] = point.sequence;
  json["time"] = format_time(point.time_ms);
  json["time_ms"] = point.time_ms;
  json["page_size"] = point.page_size;
  json["page_count"] = point.page_count;
  json["database_hash"] = fmt::format("{:016x}", point.database_hash);
  json["snapshot"] = point.is_snapshot;
  json["object"] = point.object;
  json["object_size_bytes"] = point.object_size_bytes;
  return json;
}

}  // namespace cairn::cli
