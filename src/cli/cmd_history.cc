// cairn history URL: the states that a replica can bring back.
#include <fmt/format.h>

#include <memory>

#include "base/clock.h"
#include "cairn/restore.h"
#include "cli/commands.h"
#include "cli/reading.h"

namespace cairn::cli {

namespace {

constexpr const char* kHistoryExamples = R"(Examples:
  cairn history /backup/app.db
  cairn history /backup/app.db --json

The number in the first column is what cairn restore --sequence takes; the time is what --at compares with.)";

struct HistoryCommand {
  std::string url;
  bool json = false;
};

void print_table(const std::vector<RestorePointInfo>& points) {
  std::vector<std::vector<std::string>> rows{{"sequence", "time", "pages", "page size", "bytes stored", "object"}};
  for (const RestorePointInfo& point : points) {
    rows.push_back({std::to_string(point.sequence), format_time(point.time_ms), std::to_string(point.page_count),
                    std::to_string(point.page_size), std::to_string(point.object_size_bytes),
                    point.is_snapshot ? "snapshot" : "segment"});
  }
  print_line(table_text(rows));
}

int history(const HistoryCommand& options) {
  const Style style = style_of(options.json);
  const Result<std::unique_ptr<RememberingStore>> store = open_remembering_store(options.url);
  if (!store) return report({store.error()}, style);
  System system;
  const Result<std::vector<RestorePointInfo>> points = list_restore_points(**store, "", &system.readers(options.url));
  if (!points) return report(reading_failure(**store, points.error()), style);
  if (style == Style::text) {
    print_table(*points);
    return kDone;
  }
  Json json;
  json["replica"] = (*store)->url();
  json["restore_points"] = Json::array();
  for (const RestorePointInfo& point : *points) json["restore_points"].push_back(point_json(point));
  print_json(json);
  return kDone;
}

}  // namespace

void add_history(CLI::App& app, Run& run) {
  const auto options = std::make_shared<HistoryCommand>();
  CLI::App* command = app.add_subcommand("history", "Lists the states that a replica can bring back, oldest first.\n"
                                                    "It reads the index of every object, no data.");
  command->add_option("URL", options->url, "the replica")->required()->type_name("");
  command->add_flag("--json", options->json, "as one line of JSON");
  command->footer(kHistoryExamples);
  command->callback([options, &run] { run = [options](const Tools&) { return history(*options); }; });
}

}  // namespace cairn::cli
