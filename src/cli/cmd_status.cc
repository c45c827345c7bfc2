// cairn status [DB...]: what a running cairn keeps replicated, and how it is.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "base/units.h"
#include "cli/commands.h"
#include "cli/control_client.h"

namespace cairn::cli {

namespace {

constexpr const char* kStatusNotes = R"(STATE is what it is at: attaching, opening, comparing, first snapshot,
following; asleep or being opened; or
that it fails. LAG says how old, at most, what is not in the store yet is; SPOOL what waits for the store on this disk.

Examples:
  cairn status
  cairn status /srv/app/app.db
  cairn status --json | jq '.databases[] | select(.settled | not)'

Exit status 0: it answered. 3: no cairn listens there, or it does not replicate that database.)";

struct StatusCommand {
  std::vector<std::string> databases;
  std::string control;
  bool json = false;
};

std::string state_text(const Json& one) {
  if (!one["failing"].is_null()) return "failing";
  if (!one["open"].get<bool>()) return one.value("asleep", false) ? "asleep" : "opening";
  const std::string phase = one["phase"];
  if (phase == "first_snapshot") {
    const std::uint64_t total = one["snapshot_pages_total"], done = one["snapshot_pages_done"];
    return total == 0 ? "first snapshot" : fmt::format("first snapshot, {} %", done * 100 / total);
  }
  return phase == "reconciling" ? "comparing" : phase;
}

std::string lag_text(const Json& lag_ms) {
  if (lag_ms.is_null()) return "-";
  const std::int64_t ms = lag_ms;
  if (ms == 0) return "none";
  if (ms < 120'000) return fmt::format("{:.1f}s", static_cast<double>(ms) / 1000);
  return ms < 7'200'000 ? fmt::format("{}m", ms / 60'000) : fmt::format("{}h", ms / 3'600'000);
}

std::string trouble_text(const Json& one) {
  for (const char* what : {"failing", "store_trouble", "database_trouble", "upkeep_trouble"}) {
    const auto trouble = one.find(what);
    if (trouble != one.end() && trouble->is_object()) return (*trouble)["message"];
  }
  return "-";
}

void print_status(const Json& status) {
  std::vector<std::vector<std::string>> rows{{"DATABASE", "STATE", "LAG", "SPOOL", "PUBLISHED", "TROUBLE"}};
  for (const Json& one : status["databases"]) {
    const std::uint64_t spool = one["spool_bytes"];
    const Json& published = one["published_time"];
    rows.push_back({one["database"], state_text(one), lag_text(one["lag_ms"]), spool == 0 ? "-" : size_text(spool),
                    published.is_string() ? published.get<std::string>() : "-", trouble_text(one)});
  }
  for (const Json& one : status["layers"]) {
    rows.push_back({"layer " + one["container"].get<std::string>(), one["failing"].is_null() ? "watching"
        : "failing", "-",
                    "-", "-", trouble_text(one)});
  }
  if (rows.size() > 1) print_line(table_text(rows));
  else print_line("nothing is replicated");
  if (status["stopping"].get<bool>()) print_line("it is ending: what is captured is being published");
}

int show_status(const StatusCommand& options, const Tools& tools) {
  const Style style = style_of(options.json);
  Json request;
  request["command"] = "status";
  for (const std::string& database : options.databases) {
    const Result<std::string> path = absolute_database(database);
    if (!path) return report({path.error()}, style);
    request["databases"].push_back(*path);
  }
  Result<ControlClient> client = ControlClient::connect(options.control);
  if (!client) return report({client.error()}, style);
  const Result<Json> status = client->ask(request, kAnswerLimitMs, tools.signals);
  if (!status) return report({status.error()}, style);
  if (style == Style::json) print_json(*status);
  else print_status(*status);
  return kDone;
}

}  // namespace

void add_status(CLI::App& app, Run& run) {
  const auto options = std::make_shared<StatusCommand>();
  CLI::App* command = app.add_subcommand(
      "status", "Shows what a running cairn replicate --config keeps replicated, and how far each database is.");
  command->add_option("DB", options->databases, "these alone")->type_name("");
  add_control_option(*command, options->control);
  command->add_flag("--json", options->json, "as one line of JSON (docs/control.md)");
  command->footer(kStatusNotes);
  command->callback([options, &run] { run = [options](const Tools& tools) { return show_status(*options, tools); }; });
}

}  // namespace cairn::cli
