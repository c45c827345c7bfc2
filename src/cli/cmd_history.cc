// cairn history URL: the states that a replica can bring back, as a picture and a table.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "cairn/restore.h"
#include "cli/commands.h"
#include "cli/history_picture.h"
#include "cli/reading.h"
#include "cli/stop_on_signal.h"

namespace cairn::cli {

namespace {

constexpr const char* kHistoryExamples = R"(Examples:
  cairn history /backup/app.db
  cairn history /backup/app.db --since 2026-11-20T00:00:00Z --until 2026-11-21T00:00:00Z
  cairn history /backup/app.db --json

The number in the first column is what cairn restore --sequence takes; the time is what --at compares with.
What a restore takes is counted for the objects that there are now: requests without lists, at most so many bytes.)";

constexpr std::uint64_t kRowsOnATerminal = 20;

struct HistoryCommand {
  std::string url, since, until;
  std::optional<std::uint64_t> limit;
  bool json = false;
};

// Leaves the states between the two times.
Result<void> cut_to_times(const HistoryCommand& options, ReplicaHistory& history) {
  const auto cut = [&](const std::string& text, const char* name, auto is_out) -> Result<void> {
    if (text.empty()) return {};
    const Result<std::int64_t> time = parse_time(text);
    if (!time) return time.error().with(name);
    std::erase_if(history.points, [&](const HistoryPoint& point) { return is_out(point.state.time_ms, *time); });
    return {};
  };
  CAIRN_TRY(cut(options.since, "--since", [](std::int64_t at, std::int64_t since) { return at < since; }));
  CAIRN_TRY(cut(options.until, "--until", [](std::int64_t at, std::int64_t until) { return at > until; }));
  return {};
}

std::string class_of(const HistoryObject& object) {
  return object.is_snapshot ? "snapshot" : fmt::format("level {}", object.level);
}

// Of the newest `limit` states. Older ones are counted.
void print_table(const ReplicaHistory& history, std::uint64_t limit) {
  std::map<std::string_view, std::string> classes;
  for (const HistoryObject& object : history.objects) classes[object.key] = class_of(object);
  std::vector<std::vector<std::string>> rows{{"sequence", "time", "database", "object", "restore: objects", "requests",
                                              "at most"}};
  const std::uint64_t left_out = history.points.size() - std::min<std::uint64_t>(limit, history.points.size());
  for (std::size_t i = left_out; i < history.points.size(); ++i) {
    const RestorePointInfo& state = history.points[i].state;
    rows.push_back({std::to_string(state.sequence), format_time(state.time_ms),
                    size_text(std::uint64_t{state.page_count} * state.page_size), classes[state.object],
                    std::to_string(history.points[i].restore_objects),
                    std::to_string(history.points[i].restore_requests), size_text(history.points[i].restore_bytes)});
  }
  if (left_out > 0) {
    print_line(fmt::format("{} older than these: --limit and --since show more", count_text(left_out, "state")));
  }
  print_line(table_text(rows));
}

void print_text(const ReplicaHistory& history, const HistoryCommand& options) {
  const std::string picture = history_picture(history, picture_style());
  if (!picture.empty()) print_line(picture + "\n");
  const std::uint64_t all = history.points.size();
  print_table(history, options.limit.value_or(is_terminal() ? kRowsOnATerminal : all));
}

Json levels_json(const std::vector<HistoryObject>& objects) {
  std::map<int, std::pair<std::uint64_t, std::uint64_t>> levels;  // of objects and bytes
  for (const HistoryObject& object : objects) {
    auto& [count, bytes] = levels[object.is_snapshot ? -1 : object.level];
    ++count;
    bytes += object.size_bytes;
  }
  Json json = Json::array();
  for (const auto& [level, sums] : levels) {
    Json one;
    one["level"] = level < 0 ? Json(nullptr) : Json(level);
    one["snapshots"] = level < 0;
    one["objects"] = sums.first;
    one["size_bytes"] = sums.second;
    json.push_back(std::move(one));
  }
  return json;
}

void print_as_json(const std::string& url, const ReplicaHistory& history, const HistoryCommand& options) {
  Json json;
  json["replica"] = url;
  json["levels"] = levels_json(history.objects);
  json["restore_points"] = Json::array();
  const std::uint64_t all = history.points.size();
  for (std::size_t i = all - std::min(options.limit.value_or(all), all); i < all; ++i) {
    const HistoryPoint& point = history.points[i];
    Json one = point_json(point.state);
    one["restore_objects"] = point.restore_objects;
    one["restore_requests"] = point.restore_requests;
    one["restore_bytes"] = point.restore_bytes;
    json["restore_points"].push_back(std::move(one));
  }
  json["damaged"] = damaged_json(history.damaged);
  print_json(json);
}

int history(const HistoryCommand& options) {
  const Style style = style_of(options.json);
  const Result<std::unique_ptr<RememberingStore>> store =
      open_remembering_store(options.url, StoreUse::reading);
  if (!store) return report({store.error()}, style);
  ReplicaHistory none;
  if (const auto times = cut_to_times(options, none); !times) return report_usage(times.error().message(), style);
  System system;
  Result<ReplicaHistory> history = read_history(**store, "", &system.readers(options.url));
  if (!history) return report(reading_failure(**store, history.error()), style);
  if (const auto cut = cut_to_times(options, *history); !cut) return report_usage(cut.error().message(), style);
  warn_of(history->damaged);
  if (style == Style::json) {
    print_as_json((*store)->url(), *history, options);
  } else {
    print_text(*history, options);
  }
  return kDone;
}

}  // namespace

void add_history(CLI::App& app, Run& run) {
  const auto options = std::make_shared<HistoryCommand>();
  CLI::App* command = app.add_subcommand("history",
                                         "Draws and lists the states that a replica can bring back, oldest first,\n"
                                         "with what a restore of each would fetch.\n"
                                         "It reads the index of every object, no data.");
  command->add_option("URL", options->url, "the replica")->required()->type_name("");
  command->add_option("--since", options->since, "only states from this time on (UTC)")->type_name("TIME");
  command->add_option("--until", options->until, "only states up to this time")->type_name("TIME");
  command->add_option("--limit", options->limit,
                      "list only the newest N of them. Default: 20 on a terminal, else all")
      ->type_name("N");
  command->add_flag("--json", options->json, "as one line of JSON");
  command->footer(kHistoryExamples);
  command->callback([options, &run] {
    run = [options](const Tools& tools) {
      const EndOnSignal ends(tools.signals);
      return history(*options);
    };
  });
}

}  // namespace cairn::cli
