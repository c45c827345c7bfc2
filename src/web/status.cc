#include "web/status.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "base/clock.h"
#include "base/utf8.h"
#include "daemon/replicator_json.h"
#include "web/text.h"

namespace cairn::web {

namespace {

using Json = nlohmann::ordered_json;
using daemon::DatabaseState;
using daemon::DatabaseView;
using daemon::FleetView;
using daemon::time_json;
using daemon::Totals;

constexpr std::size_t kMostReasons = 20;

Json in_the_way(std::string_view what, ErrorKind kind, std::string_view words) {
  Json json;
  json["what"] = what;
  json["kind"] = name_of(kind);
  json["message"] = readable(words);
  return json;
}

Json troubles_of(const DatabaseView& database) {
  Json troubles = Json::array();
  if (const auto& failing = database.failing) {
    troubles.push_back(in_the_way("failing", failing->kind, failing->message));
    troubles.back()["again_ms"] = failing->again_ms ? Json(*failing->again_ms) : Json(nullptr);
  }
  const ReplicatorStatus& status = database.status;
  const auto add = [&](const char* what, ErrorKind kind, const std::string& words) {
    if (!words.empty()) troubles.push_back(in_the_way(what, kind, words));
  };
  add("database", status.database_trouble_kind, status.database_trouble);
  add("store", status.store_trouble_kind, status.store_trouble);
  add("upkeep", status.upkeep_trouble_kind, status.upkeep_trouble);
  return troubles;
}

void put_usage(Json& json, const Totals& totals, const std::optional<PriceList>& prices) {
  const StoreUsage& usage = totals.usage;
  json["requests"] = {{"write", usage.writes},
                      {"list", usage.lists},
                      {"read", usage.reads},
                      {"delete", usage.deletes},
                      {"unanswered", usage.unanswered}};
  json["sent_bytes"] = usage.sent_bytes;
  json["received_bytes"] = usage.received_bytes;
  json["retries"] = totals.retries;
  const std::optional<Cost> cost = daemon::cost_of(totals, prices);
  json["cost_usd"] = cost ? Json(cost->usd()) : Json(nullptr);
}

// [milliseconds since 1970, restore points, snapshots, merged objects] of each slot.
Json slots_json(const DatabaseView& database) {
  Json json;
  const daemon::TimeSlots none;
  const daemon::TimeSlots& line = database.restore_points ? *database.restore_points : none;
  json["slot_ms"] = line.width_ms;
  json["slots"] = Json::array();
  for (const daemon::TimeSlot& slot : line.slots) {
    json["slots"].push_back({slot.begin_ms, slot.published, slot.snapshots, slot.merged});
  }
  return json;
}

Json database_json(const DatabaseView& database, const FleetView& view) {
  const ReplicatorStatus& status = database.status;
  const Totals totals = totals_of(database);
  Json json;
  json["database"] = readable(database.path);
  json["replica"] = readable(database.replica);
  json["store"] = readable(database.store);
  json["state"] = name_of(state_of(database));
  json["phase"] = database.is_open || database.is_asleep ? Json(name_of(status.phase)) : Json(nullptr);
  json["lag_ms"] = daemon::lag_ms(database, view.now_ms);
  json["lag_commits"] = status.unpublished_commits;
  json["published_sequence"] = status.published_sequence;
  json["published_time"] = time_json(status.published_time_ms);
  json["newest_snapshot_time"] = time_json(status.newest_snapshot_time_ms);
  json["snapshot_pages_done"] = status.snapshot_pages_done;
  json["snapshot_pages_total"] = status.snapshot_pages_total;
  json["spool_bytes"] = status.spool_bytes;
  json["wal_bytes"] = status.wal_bytes;
  json["size_bytes"] = status.page_count * status.page_size;
  json["write_lock_us_p999"] = status.write_lock_us_p999;
  json["write_lock_us_max"] = status.write_lock_us_max;
  json["commits"] = totals.commits;
  json["published_segments"] = totals.published_segments;
  json["published_bytes"] = totals.published_bytes;
  json["snapshots"] = totals.snapshots;
  json["merged_objects"] = totals.merged_objects;
  json["replaced_objects"] = totals.replaced_objects;
  json["errors"] = totals.errors();
  json["breaker"] = database.store_status.service.empty() ? Json(nullptr)
                                                           : Json(name_of(database.store_status.breaker));
  put_usage(json, totals, view.prices);
  json["restore_points"] = slots_json(database);
  json["troubles"] = troubles_of(database);
  return json;
}

Json sums_json(const FleetView& view) {
  std::map<DatabaseState, int> states;
  std::map<std::string, Totals> stores = view.gone;
  std::int64_t lag_ms = 0;
  std::uint64_t spool_bytes = 0, wal_bytes = 0, lag_commits = 0, lagging = 0;
  for (const DatabaseView& database : view.databases) {
    ++states[state_of(database)];
    stores[database.store].add(totals_of(database));
    lag_ms = std::max(lag_ms, daemon::lag_ms(database, view.now_ms));
    lagging += daemon::lag_ms(database, view.now_ms) > 0;
    lag_commits += database.status.unpublished_commits;
    spool_bytes += database.status.spool_bytes;
    wal_bytes += database.status.wal_bytes;
  }
  Json json;
  json["databases"] = view.databases.size();
  for (const DatabaseState state : daemon::kDatabaseStates) json[std::string(name_of(state))] = states[state];
  json["max_lag_ms"] = lag_ms;
  json["lagging"] = lagging;
  json["lag_commits"] = lag_commits;
  json["spool_bytes"] = spool_bytes;
  json["wal_bytes"] = wal_bytes;
  json["restores"] = view.restores;
  json["stores"] = Json::array();
  for (const auto& [store, totals] : stores) {
    if (totals.service.empty()) continue;
    Json one;
    one["store"] = readable(store);
    one["service"] = totals.service;
    put_usage(one, totals, view.prices);
    json["stores"].push_back(std::move(one));
  }
  return json;
}

Json layer_json(const daemon::LayerView& layer, std::int64_t now_ms) {
  Json json;
  json["layer"] = readable(layer.name);
  json["directory"] = readable(layer.directory);
  json["store_url"] = readable(layer.replica);
  const daemon::LayerCounts& counts = layer.counts;
  json["sequence"] = counts.last_ms == 0 ? Json(nullptr) : Json(counts.sequence);
  json["last_sync"] = time_json(counts.last_ms);
  json["last_sync_age_ms"] = counts.last_ms == 0 ? Json(nullptr) : Json(now_ms - counts.last_ms);
  json["syncs"] = counts.syncs;
  json["sent_bytes"] = counts.sent_bytes;
  json["torn_files"] = counts.torn_files;
  json["troubles"] = Json::array();
  if (const auto& failing = layer.failing) {
    json["troubles"].push_back(in_the_way("failing", failing->kind, failing->message));
    json["troubles"].back()["again_ms"] = failing->again_ms ? Json(*failing->again_ms) : Json(nullptr);
  }
  return json;
}

int rank_of(const DatabaseView& database) {
  switch (state_of(database)) {
    case DatabaseState::failing: return 0;
    case DatabaseState::in_trouble: return 1;
    case DatabaseState::starting: return 2;
    default: return database.status.upkeep_trouble.empty() ? 4 : 3;
  }
}

std::vector<const DatabaseView*> chosen(const FleetView& view, const StatusQuery& query) {
  struct Ranked {
    std::tuple<int, std::int64_t, std::uint64_t> key;
    const DatabaseView* database;
  };
  std::vector<Ranked> ranked;
  const std::string search = ascii_lower(query.search);
  using Sort = StatusQuery::Sort;
  for (const DatabaseView& one : view.databases) {
    const bool is_meant = search.empty() || ascii_lower(one.path).find(search) != std::string::npos ||
                          ascii_lower(one.replica).find(search) != std::string::npos;
    if (!is_meant) continue;
    const std::int64_t lag_ms = daemon::lag_ms(one, view.now_ms);
    ranked.push_back({{query.sort == Sort::trouble ? rank_of(one) : 0,
                       query.sort == Sort::trouble || query.sort == Sort::lag ? -lag_ms : 0,
                       query.sort == Sort::spool ? ~one.status.spool_bytes : 0},
                      &one});
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const Ranked& a, const Ranked& b) { return a.key < b.key; });
  std::vector<const DatabaseView*> databases;
  for (const Ranked& one : ranked) databases.push_back(one.database);
  return databases;
}

}  // namespace

StatusQuery parse_status_query(std::string_view query) {
  StatusQuery parsed;
  const auto number = [](std::string_view text, std::size_t& into) {
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) into = value;
  };
  using Sort = StatusQuery::Sort;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = pair.substr(0, equals);
    const std::string value = percent_decoded(pair.substr(equals + 1));
    if (name == "search") parsed.search = value;
    if (name == "offset") number(value, parsed.offset);
    if (name == "limit") number(value, parsed.limit);
    if (name != "sort") continue;
    for (const auto& [word, sort] : {std::pair("trouble", Sort::trouble), std::pair("lag", Sort::lag),
                                     std::pair("spool", Sort::spool), std::pair("name", Sort::name)}) {
      if (value == word) parsed.sort = sort;
    }
  }
  return parsed;
}

std::string status_json(const FleetView& view, const StatusQuery& query, const std::string& version) {
  const std::vector<const DatabaseView*> databases = chosen(view, query);
  Json json;
  json["version"] = version;
  json["now"] = format_time(view.now_ms);
  json["now_ms"] = view.now_ms;
  json["begun"] = format_time(view.begun_ms);
  json["begun_ms"] = view.begun_ms;
  json["config"] = readable(view.config);
  json["stopping"] = view.is_stopping;
  json["not_ready"] = why_not_ready(view);
  json["prices"] = view.prices ? Json(view.prices->name) : Json(nullptr);
  json["sums"] = sums_json(view);
  json["matching"] = databases.size();
  json["databases"] = Json::array();
  const std::size_t begin = std::min(query.offset, databases.size());
  const std::size_t end = begin + std::min(query.limit, databases.size() - begin);
  for (std::size_t i = begin; i < end; ++i) json["databases"].push_back(database_json(*databases[i], view));
  json["layers"] = Json::array();
  for (const daemon::LayerView& layer : view.layers) json["layers"].push_back(layer_json(layer, view.now_ms));
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::vector<std::string> why_not_ready(const FleetView& view) {
  std::vector<std::string> reasons;
  std::size_t left_out = 0;
  const auto add = [&](const std::string& reason) {
    if (reasons.size() < kMostReasons) reasons.push_back(readable(reason));
    else ++left_out;
  };
  if (view.is_stopping) add("it is stopping");
  for (const DatabaseView& database : view.databases) {
    if (database.failing) {
      add(fmt::format("{}: {}", database.path, database.failing->message));
    } else if (database.is_asleep) {
      continue;
    } else if (!database.is_open) {
      add(fmt::format("{}: not open yet", database.path));
    } else if (database.status.phase != Phase::following) {
      const std::string& trouble = database.status.store_trouble.empty() ? database.status.database_trouble
                                                                          : database.status.store_trouble;
      add(fmt::format("{}: {}{}{}", database.path, name_of(database.status.phase), trouble.empty() ? "" : ": ",
                      trouble));
    }
  }
  for (const daemon::LayerView& layer : view.layers) {
    if (layer.failing) add(fmt::format("layer {}: {}", layer.name, layer.failing->message));
  }
  if (left_out > 0) reasons.push_back(fmt::format("and {} more", left_out));
  return reasons;
}

}  // namespace cairn::web
