#include "daemon/replicator_json.h"

#include <string>

#include "base/clock.h"

namespace cairn::daemon {

namespace {

using Json = nlohmann::ordered_json;

Json trouble_json(const std::string& words, ErrorKind kind) {
  if (words.empty()) return nullptr;
  Json trouble;
  trouble["kind"] = name_of(kind);
  trouble["message"] = words;
  return trouble;
}

}  // namespace

Json time_json(std::int64_t wall_ms) { return wall_ms > 0 ? Json(format_time(wall_ms)) : Json(nullptr); }

Json replicator_json(const ReplicatorStatus& s) {
  Json json;
  json["phase"] = name_of(s.phase);
  json["settled"] = s.settled;
  json["lineage"] = s.lineage;
  json["captured_sequence"] = s.captured_sequence;
  json["published_sequence"] = s.published_sequence;
  json["published_time"] = time_json(s.published_time_ms);
  json["has_snapshot"] = s.has_snapshot;
  json["page_size"] = s.page_size;
  json["page_count"] = s.page_count;
  json["spool_segments"] = s.spool_segments;
  json["spool_bytes"] = s.spool_bytes;
  json["snapshot_pages_done"] = s.snapshot_pages_done;
  json["snapshot_pages_total"] = s.snapshot_pages_total;
  json["database_trouble"] = trouble_json(s.database_trouble, s.database_trouble_kind);
  json["store_trouble"] = trouble_json(s.store_trouble, s.store_trouble_kind);
  json["upkeep_trouble"] = trouble_json(s.upkeep_trouble, s.upkeep_trouble_kind);
  return json;
}

}  // namespace cairn::daemon
