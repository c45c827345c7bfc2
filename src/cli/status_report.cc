#include "cli/status_report.h"

#include <utility>

#include "daemon/replicator_json.h"

namespace cairn::cli {

Json status_json(const std::string& database, const std::string& url, const ReplicatorStatus& s, Json store) {
  Json json;
  json["database"] = database;
  json["replica"] = url;
  json.update(daemon::replicator_json(s));
  json["published_bytes"] = s.published_bytes;
  json["captured_commits"] = s.captured_commits;
  json["snapshots_published"] = s.snapshots_published;
  json["snapshot_copied_bytes"] = s.snapshot_copied_bytes;
  json["merged_objects"] = s.merged_objects;
  json["merged_bytes"] = s.merged_bytes;
  json["replaced_objects"] = s.replaced_objects;
  json["kept_bytes"] = s.kept_bytes;
  json["pruned_objects"] = s.pruned_objects;
  json["pruned_bytes"] = s.pruned_bytes;
  json["pruned_points"] = s.pruned_points;
  json["wal_frames"] = s.wal_frames;
  json["wal_restarts"] = s.wal_restarts;
  json["reconciles"] = s.reconciles;
  json["rollovers"] = s.rollovers;
  json["hold"] = s.hold;
  json["write_lock_count"] = s.write_lock_count;
  json["write_lock_us_last"] = s.write_lock_us_last;
  json["write_lock_us_p999"] = s.write_lock_us_p999;
  json["write_lock_us_max"] = s.write_lock_us_max;
  json["copy_trouble"] = s.copy_trouble.empty() ? Json(nullptr) : Json(s.copy_trouble);
  json["store"] = std::move(store);
  return json;
}

std::optional<std::uint64_t> known_sequence(const ReplicatorStatus& status) {
  return status.lineage.empty() ? std::nullopt : std::optional(status.published_sequence);
}

StatusReport::StatusReport(std::string database, std::string url, const Log& log, JsonLines json_lines,
                           std::function<Json()> store)
    : database_(std::move(database)),
      url_(std::move(url)),
      store_(std::move(store)),
      log_(log),
      json_lines_(json_lines),
      bar_(database_ + ": snapshot", ProgressBar::Unit::pages) {}

void StatusReport::update(const ReplicatorStatus& now) {
  MutexLock lock(mutex_);
  if (now.snapshot_pages_total > 0) {
    bar_.show(now.snapshot_pages_done, now.snapshot_pages_total);
  } else {
    bar_.clear();
  }
  tell_phase(now);
  tell_snapshots(now);
  tell_trouble(now, "the database", &ReplicatorStatus::database_trouble);
  tell_trouble(now, "the store", &ReplicatorStatus::store_trouble);
  tell_trouble(now, "copying what is the same in two snapshots", &ReplicatorStatus::copy_trouble);
  tell_pruning(now);
  tell_trouble(now, "merging and removing", &ReplicatorStatus::upkeep_trouble);
  if (json_lines_ == JsonLines::every_change) print_if_new(now);
  last_ = now;
  first_ = false;
}

void StatusReport::look_at_store() {
  MutexLock lock(mutex_);
  if (json_lines_ == JsonLines::every_change && !first_) print_if_new(last_);
}

// How far a snapshot or upkeep is and what was asked of the store so far make no line of their own.
void StatusReport::print_if_new(const ReplicatorStatus& now) {
  ReplicatorStatus shown = now;
  shown.snapshot_pages_done = 0;
  shown.prunes = shown.pruned_objects = shown.pruned_bytes = shown.pruned_points = 0;
  shown.merged_objects = shown.merged_bytes = shown.replaced_objects = shown.kept_bytes = 0;
  const Json store = store_();
  const Json breaker = store.is_object() ? store["breaker"] : Json(nullptr);
  const std::string text = status_json(database_, url_, shown, breaker).dump();
  if (std::exchange(last_json_, text) != text) print_json(status_json(database_, url_, now, store));
}

void StatusReport::tell_phase(const ReplicatorStatus& now) {
  const auto holds = [](const ReplicatorStatus& status) { return status.hold == "pin" || status.hold == "floor"; };
  if (now.phase == Phase::attaching && holds(now) && (first_ || !holds(last_))) {
    bar_.clear();
    log_of(now).info(
        "the store does not answer yet; what is committed is captured, and published once it does");
  }
  if (!first_ && now.phase == last_.phase) return;
  const Log log = log_of(now);
  if ((first_ || last_.phase == Phase::attaching) && now.phase != Phase::attaching) {
    bar_.clear();
    log.info("attached to {}, lineage {}, at sequence {}", url_, now.lineage, now.published_sequence);
  }
  if (now.phase == Phase::following) {
    bar_.clear();
    log.info("following it, captured up to sequence {}", now.captured_sequence);
  } else if (now.phase == Phase::reconciling) {
    log.info("comparing it with the published state");
  }
}

void StatusReport::tell_snapshots(const ReplicatorStatus& now) {
  if (now.snapshots_published <= last_.snapshots_published) return;  // fewer: they are counted anew
  bar_.clear();
  const std::uint64_t bytes = now.snapshot_copied_bytes - last_.snapshot_copied_bytes;
  const std::string copied = bytes > 0 ? fmt::format("; {} of it copied by the store", size_text(bytes)) : "";
  log_of(now).info("snapshot published, {} pages of {} bytes{}", now.page_count, now.page_size, copied);
}

void StatusReport::tell_pruning(const ReplicatorStatus& now) {
  if (now.pruned_objects <= last_.pruned_objects) return;
  bar_.clear();
  log_of(now).info("the past was thinned: {} objects removed, {} restore points given up",
                   now.pruned_objects - last_.pruned_objects, now.pruned_points - last_.pruned_points);
}

void StatusReport::tell_trouble(const ReplicatorStatus& now, const char* what,
                                std::string ReplicatorStatus::* trouble) {
  if (last_.*trouble == now.*trouble) return;
  bar_.clear();
  if ((now.*trouble).empty()) {
    log_of(now).info("{} is well again", what);
  } else {
    log_of(now).warn("{}", now.*trouble);
  }
}

Log StatusReport::log_of(const ReplicatorStatus& status) const {
  const std::optional<std::uint64_t> sequence = known_sequence(status);
  return log_.about_database(database_, sequence ? sequence : known_sequence(last_));
}

}  // namespace cairn::cli
