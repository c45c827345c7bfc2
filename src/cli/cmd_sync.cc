// cairn sync DB... [--wait]: publishes what is committed now.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "base/clock.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/control_client.h"

namespace cairn::cli {

namespace {

constexpr const char* kSyncNotes = R"(With --wait it returns when everything that was committed when it was called
is in the store: a restore from
there alone has it. While the store is away it waits (see --timeout). That holds also for a database that is asleep, or
that has just been registered.

Examples:
  cairn sync /srv/app/app.db --wait && echo safe
  cairn sync a.db b.db --wait --timeout 10s

Exit status 0: it is so. 3: not replicated by that cairn. 6: the store did not answer in time.)";

struct SyncCommand {
  std::vector<std::string> databases;
  std::string control, timeout;
  bool wait = false, json = false;
};

int sync_databases(const SyncCommand& options, const Tools& tools) {
  const Style style = style_of(options.json);
  std::optional<std::int64_t> until_ms;
  if (!options.timeout.empty()) {
    const Result<std::int64_t> timeout = parse_duration_ms(options.timeout);
    if (!timeout) return report_usage(timeout.error().with("--timeout").message(), style);
    until_ms = monotonic_ms() + *timeout;
  }
  Result<ControlClient> client = ControlClient::connect(options.control);
  if (!client) return report({client.error()}, style);
  // All are asked for before any is waited for, so that they go on side by side.
  for (const bool wait : {false, true}) {
    if (wait && !options.wait) continue;
    if (!wait && options.wait && options.databases.size() == 1) continue;
    for (const std::string& database : options.databases) {
      Json request;
      request["command"] = "sync";
      request["database"] = "";
      request["wait"] = wait;
      if (wait && until_ms) request["timeout_ms"] = std::max<std::int64_t>(*until_ms - monotonic_ms(), 0);
      const std::optional<std::int64_t> limit_ms = wait ? std::nullopt : std::optional(kAnswerLimitMs);
      const Result<Json> answer = ask_of_database(*client, request, database, limit_ms, tools.signals);
      // What keeps it is the store, unless it says otherwise.
      if (!answer) return report({answer.error(), Origin::store}, style);
      if (wait != options.wait) continue;
      if (style == Style::json) {
        Json json;
        json["database"] = database;
        json["durable"] = wait;
        json["sequence"] = wait ? (*answer)["sequence"] : Json(nullptr);
        print_json(json);
      } else {
        print_line(wait ? fmt::format("{}: durable, up to sequence {}", database,
            (*answer)["sequence"].get<std::uint64_t>())
                        : fmt::format("{}: asked for", database));
      }
    }
  }
  return kDone;
}

}  // namespace

void add_sync(CLI::App& app, Run& run) {
  const auto options = std::make_shared<SyncCommand>();
  CLI::App* command = app.add_subcommand(
      "sync", "Asks a running cairn replicate --config to publish what is committed now, without waiting for its\n"
              "interval.");
  command->add_option("DB", options->databases, "the databases")->required()->type_name("");
  command->add_flag("--wait", options->wait, "return when everything committed before is in the store");
  command->add_option("--timeout", options->timeout, "how long to wait at most. Default: as long as it takes")
      ->type_name("TIME");
  add_control_option(*command, options->control);
  command->add_flag("--json", options->json, "a line of JSON for each");
  command->footer(kSyncNotes);
  command->callback([options, &run] { run = [options](const Tools& tools) { return sync_databases(*options,
      tools); }; });
}

}  // namespace cairn::cli
