// cairn snapshot DB --to URL: publishes a whole copy now.
#include <memory>

#include "base/units.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/places.h"
#include "cli/replication.h"
#include "cli/snapshotting.h"
#include "cli/targets.h"

namespace cairn::cli {

namespace {

constexpr const char* kExamples = R"(Examples:
  cairn snapshot app.db --to /backup/app.db

It takes over from a `cairn replicate` that has ended and leaves the replica to the next one. While one is running it
is refused (exit status 4): a replica has one writer.)";

}  // namespace

int publish_snapshot(const SnapshotOptions& options, const Tools& tools) {
  const Style style = style_of(options.json);
  FollowOptions following;
  following.style = style;
  following.until = RunUntil::snapshot;
  const Result<std::int64_t> timeout = parse_duration_ms(options.timeout);
  if (!timeout) return report_usage(timeout.error().with("--timeout").message(), style);
  following.timeout_ms = *timeout;
  const Result<std::vector<Target>> targets = choose_targets({options.database}, options.to);
  if (!targets) return report({targets.error()}, style);

  ReplicationOptions replicating;
  replicating.database = options.database;
  replicating.url = targets->front().url;
  replicating.state_root = options.state_root;
  if (options.no_wal_switch) replicating.wal_switch = AllowWalSwitch::no;
  if (replicating.state_root.empty()) {
    Result<std::string> root = default_state_root();
    if (!root) return report({root.error()}, style);
    replicating.state_root = *root;
  }
  System system;
  std::vector<std::unique_ptr<Replication>> replications(1);
  const auto say = [&](std::string_view warning) { tools.log.warn("{}", warning); };
  const std::optional<Failure> failure = Replication::open(replicating, system, say, replications.front());
  if (failure) return report(*failure, style);
  return follow(std::move(replications), following, tools.signals, tools.log);
}

void add_snapshot(CLI::App& app, Run& run) {
  const auto options = std::make_shared<SnapshotOptions>();
  CLI::App* command = app.add_subcommand(
      "snapshot", "Publishes everything that is committed and a whole copy of the database, and ends.\n"
                  "Restores from there on begin with that copy.");
  command->add_option("DB", options->database, "the database file")->required()->type_name("");
  command->add_option("--to", options->to, "URL of the replica. Default: <DB>-cairn beside the database")
      ->type_name("URL");
  command->add_option("--state-dir", options->state_root, "where local state lies, as for replicate")->type_name("DIR");
  command->add_flag("--no-wal-switch", options->no_wal_switch,
                    "refuse a database that is not in WAL mode instead of switching it");
  command->add_option("--timeout", options->timeout, "how long the store may be away before it gives up")
      ->type_name("TIME")
      ->capture_default_str();
  command->add_flag("--json", options->json, "the status at the end as one line of JSON");
  command->footer(kExamples);
  command->callback([options, &run] {
    run = [options](const Tools& tools) { return publish_snapshot(*options, tools); };
  });
}

}  // namespace cairn::cli
