// cairn list URL: the replicas below a URL.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "base/clock.h"
#include "cairn/restore.h"
#include "cli/commands.h"
#include "cli/reading.h"
#include "cli/stop_on_signal.h"

namespace cairn::cli {

namespace {

constexpr const char* kListExamples = R"(Examples:
  cairn list /backup
  cairn list /backup --json

A replica that lies at the URL itself is shown as ".". When there is none at all, the exit status is 3.)";

struct ListCommand {
  std::string url;
  bool json = false;
};

void print_table(const std::vector<ReplicaInfo>& replicas) {
  std::vector<std::vector<std::string>> rows{{"replica", "sequence", "time", "snapshots", "segments", "bytes"}};
  for (const ReplicaInfo& replica : replicas) {
    rows.push_back({replica.path.empty() ? "." : replica.path, std::to_string(replica.newest_sequence),
                    time_text(replica.newest_time_ms), std::to_string(replica.snapshot_count),
                    std::to_string(replica.segment_count), std::to_string(replica.size_bytes)});
  }
  print_line(table_text(rows));
}

void print_list_json(const std::string& url, const std::vector<ReplicaInfo>& replicas) {
  Json json;
  json["store"] = url;
  json["replicas"] = Json::array();
  for (const ReplicaInfo& replica : replicas) {
    Json one;
    one["path"] = replica.path;
    one["lineage"] = replica.lineage;
    one["newest_sequence"] = replica.newest_sequence;
    one["newest_time"] = replica.newest_time_ms > 0 ? Json(format_time(replica.newest_time_ms)) : Json(nullptr);
    one["newest_time_ms"] = replica.newest_time_ms;
    one["snapshot_count"] = replica.snapshot_count;
    one["segment_count"] = replica.segment_count;
    one["size_bytes"] = replica.size_bytes;
    json["replicas"].push_back(std::move(one));
  }
  print_json(json);
}

int list(const ListCommand& options) {
  const Style style = style_of(options.json);
  const Result<std::unique_ptr<RememberingStore>> store =
      open_remembering_store(options.url, StoreUse::reading);
  if (!store) return report({store.error()}, style);
  const Result<std::vector<ReplicaInfo>> replicas = list_replicas(**store, "");
  if (!replicas) return report(reading_failure(**store, replicas.error()), style);
  if (replicas->empty()) {
    return report({Error(ErrorKind::not_found, fmt::format("there is no replica below {}", (*store)->url()))}, style);
  }
  if (style == Style::json) {
    print_list_json((*store)->url(), *replicas);
  } else {
    print_table(*replicas);
  }
  return kDone;
}

}  // namespace

void add_list(CLI::App& app, Run& run) {
  const auto options = std::make_shared<ListCommand>();
  CLI::App* command = app.add_subcommand("list", "Lists the databases that have a replica below a URL.\n"
                                                 "It reads names and the newest object of each, no data.");
  command->add_option("URL", options->url, "where replicas lie")->required()->type_name("");
  command->add_flag("--json", options->json, "as one line of JSON");
  command->footer(kListExamples);
  command->callback([options, &run] {
    run = [options](const Tools& tools) {
      const EndOnSignal ends(tools.signals);
      return list(*options);
    };
  });
}

}  // namespace cairn::cli
