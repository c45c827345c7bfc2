// cairn replicate DB... [--to URL]: follows live databases into a store. cairn replicate [--config FILE]: follows
// everything that a configuration names.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <set>

#include "base/units.h"
#include "cli/auto_restore.h"
#include "cli/commands.h"
#include "cli/config_file.h"
#include "cli/configured.h"
#include "cli/follow.h"
#include "cli/places.h"
#include "cli/replication.h"
#include "cli/stop_on_signal.h"
#include "cli/targets.h"
#include "daemon/retention.h"

namespace cairn::cli {

namespace {

constexpr const char* kReplicateExamples = R"(Examples:
  cairn replicate app.db                              into the folder app.db-cairn beside it, until Ctrl-C
  cairn replicate app.db --to /backup/app.db          the replica is exactly that folder
  cairn replicate a.db b.db --to /backup              into /backup/a.db and /backup/b.db
  cairn replicate app.db --to s3://bucket/app.db      into object storage; cairn store --help tells of keys
  cairn replicate app.db --to /backup/app.db --once   publish what is committed now, and end
  cairn replicate app.db --exec './server --port 80'  run a program, publish everything after it has ended
  cairn replicate app.db -- ./server --port 80        the same without a shell
  cairn replicate app.db --restore-if-missing -- ./server
                                                      on a new machine too: first the newest state, then the server
  cairn replicate --config /etc/cairn/cairn.toml      all databases and layers that it names: cairn config --help

The database stays in use meanwhile, and is never written to (but see --no-wal-switch). SIGINT or SIGTERM publishes
everything that is committed and ends; a second one ends at once, which loses nothing that is committed either.
With --exec, signals go to the program, and its exit status is cairn's. With --config, SIGHUP reads the file again.)";

struct ReplicateCommand {
  std::vector<std::string> databases;
  std::string to, interval = "1s", timeout, exec, state_root, adopt, prices, config;
  std::string levels = "auto", snapshot_interval = "24h";
  std::string retention = "keep-all=24h,hourly=720,daily=365,monthly=all";
  bool once = false, no_wal_switch = false, restore_if_missing = false, json = false;
};

// The values of the options, checked; the error says which is wrong.
Result<ReplicationOptions> common_options(const ReplicateCommand& options, const Tools& tools) {
  ReplicationOptions common;
  Result<std::int64_t> interval = parse_duration_ms(options.interval);
  if (!interval) return interval.error().with("--interval");
  common.interval_ms = *interval;
  Result<std::optional<std::vector<std::int64_t>>> windows = parse_windows(options.levels);
  if (!windows) return windows.error().with("--levels");
  common.level_windows_ms = std::move(*windows);
  Result<std::int64_t> snapshot_interval = parse_duration_ms(options.snapshot_interval);
  if (!snapshot_interval) return snapshot_interval.error().with("--snapshot-interval");
  common.snapshot_interval_ms = *snapshot_interval;
  const auto retention = daemon::parse_retention(options.retention);
  if (!retention) return retention.error().with("--retention");
  common.retention = *retention;
  common.state_root = options.state_root;
  if (common.state_root.empty()) {
    CAIRN_ASSIGN(common.state_root, default_state_root());
  }
  if (options.no_wal_switch) common.wal_switch = AllowWalSwitch::no;
  if (options.adopt == "local") common.adopt = AdoptSide::local;
  if (options.adopt == "remote") common.adopt = AdoptSide::remote;
  const bool has_child = !options.exec.empty() || !tools.behind_dashes.empty();
  if (has_child) common.wait_for_database = WaitForDatabase::yes;
  common.publish_without_database = options.once;
  if (!options.exec.empty() && !tools.behind_dashes.empty()) {
    return Error(ErrorKind::invalid, "--exec and a program behind -- were both given: give one of them");
  }
  if (has_child && options.once) {
    return Error(ErrorKind::invalid,
                 "--once and --exec were both given: --exec publishes everything at its end anyway");
  }
  return common;
}

// Databases that are missing come back before anything else looks at them. While the store is away nothing begins;
// --once
// has a limit for that.
std::optional<Failure> restore_missing_ones(const std::vector<Target>& targets, ReplicationOptions common,
                                            const ReplicateCommand& options, std::int64_t timeout_ms, System& system,
                                            const Tools& tools) {
  std::stop_source stop;
  const StopOnSignal stop_on_signal(tools.signals, stop);
  const std::optional<std::int64_t> limit_ms = options.once ? std::optional(timeout_ms) : std::nullopt;
  for (const Target& target : targets) {
    common.database = target.database;
    common.url = target.url;
    const Log log = tools.log.about_database(target.database);
    const auto say = [&](std::string_view warning) { log.warn("{}", warning); };
    Missing missing = Missing::no;
    auto failure = restore_with_patience(common, system, say, stop.get_token(), limit_ms, missing);
    if (failure) return failure;
    if (missing != Missing::restored) continue;
    log.info("it was missing, and is the newest state of {} now", target.url);
  }
  return std::nullopt;
}

int replicate_configured(const ReplicateCommand& options, const Tools& tools, Style style) {
  if (!tools.behind_dashes.empty()) {
    return report_usage("a program behind -- is for databases that are named: leave it out beside a configuration",
                        style);
  }
  std::string path = options.config;
  if (path.empty()) {
    const Result<std::string> usual = default_config_path();
    if (!usual) return report({usual.error().with("no database is named")}, style);
    path = *usual;
  }
  Result<LoadedConfig> loaded = load_with_registered(path);
  if (!loaded && options.config.empty()) return report({loaded.error().with("no database is named")}, style);
  if (!loaded) return report({loaded.error()}, style);
  return run_configured(std::move(*loaded), path, style, tools.signals, tools.log);
}

int replicate(const ReplicateCommand& options, const Tools& tools) {
  const Style style = style_of(options.json);
  if (options.databases.empty()) return replicate_configured(options, tools, style);
  FollowOptions following;
  following.style = style;
  if (options.once) following.until = RunUntil::settled;
  following.child = tools.behind_dashes;
  if (!options.exec.empty()) following.child = {"sh", "-c", options.exec};
  if (!options.timeout.empty()) {
    const Result<std::int64_t> timeout = parse_duration_ms(options.timeout);
    if (!timeout) return report_usage(timeout.error().with("--timeout").message(), style);
    following.timeout_ms = following.stop_limit_ms = *timeout;
  }
  if (!options.prices.empty()) {
    const Result<PriceList> prices = parse_prices(options.prices);
    if (!prices) return report_usage(prices.error().with("--prices").message(), style);
    following.prices = *prices;
  }

  Result<ReplicationOptions> common = common_options(options, tools);
  if (!common) return report({common.error()}, style);
  const Result<std::vector<Target>> targets = choose_targets(options.databases, options.to);
  if (!targets) return report({targets.error()}, style);

  System system;
  if (options.restore_if_missing) {
    const auto failure = restore_missing_ones(*targets, *common, options, following.timeout_ms, system, tools);
    if (failure) return report(*failure, style);
  }
  std::vector<std::unique_ptr<Replication>> replications;
  for (const Target& target : *targets) {
    common->database = target.database;
    common->url = target.url;
    const Log log = tools.log.about_database(target.database);
    const auto say = [&](std::string_view warning) { log.warn("{}", warning); };
    const std::optional<Failure> failure = Replication::open(*common, system, say, replications.emplace_back());
    if (failure) return report(*failure, style);
  }
  return follow(std::move(replications), following, tools.signals, tools.log);
}

void add_config_option(CLI::App& command, ReplicateCommand& options, CLI::Option* databases) {
  CLI::Option* config = command.add_option("--config", options.config,
                                            "run what this file names. Default, without a DB:\n"
                                            "/etc/cairn/cairn.toml for root, else\n"
                                            "$XDG_CONFIG_HOME/cairn/cairn.toml");
  config->type_name("FILE")->excludes(databases);
  // What they say of named databases, the file says of its own.
  for (const char* name : {"--to", "--interval", "--levels", "--snapshot-interval", "--retention", "--once", "--exec",
                           "--state-dir", "--no-wal-switch", "--restore-if-missing", "--adopt", "--timeout",
                           "--prices"}) {
    config->excludes(command.get_option(name));
    command.get_option(name)->needs(databases);
  }
}

void add_snapshots_and_retention(CLI::App& command, ReplicateCommand& options) {
  command.add_option("--snapshot-interval", options.snapshot_interval,
                     "publish a whole copy this often, while there is something\n"
                     "new; 0: only the first one")
      ->type_name("TIME")
      ->capture_default_str();
  command.add_option("--retention", options.retention,
                     "how dense the past stays, in the words of cairn prune: what\n"
                     "nothing of it needs is removed, some times a day. all:\n"
                     "every state stays")
      ->type_name("WORDS")
      ->capture_default_str();
}

}  // namespace

void add_replicate(CLI::App& app, Run& run) {
  const auto options = std::make_shared<ReplicateCommand>();
  CLI::App* command = app.add_subcommand(
      "replicate", "Follows live SQLite databases into a store, commit by commit, until it is stopped.\n"
                   "Every published state can be restored later.");
  CLI::Option* databases = command->add_option("DB", options->databases, "the database files")->type_name("");
  command->add_option("--to", options->to,
                      "URL of the replica; with several databases, of the folder\n"
                      "that gets one replica a file name.\n"
                      "Default: <DB>-cairn beside the database")->type_name("URL");
  command->add_option("--interval", options->interval,
                      "at most one publish per interval while changes go on;\n"
                      "the first change after quiet is published at once")
      ->type_name("TIME")
      ->capture_default_str();
  command->add_option("--levels", options->levels,
                      "what is published in such a window of time is merged into\n"
                      "one object, in larger windows again; those of an hour and\n"
                      "more, and the last one, keep one state a window beside the\n"
                      "others. none: no merging. auto: 15s,1m,5m,20m,1h,6h; in a\n"
                      "folder, where requests cost nothing, 5m,20m,1h,6h")
      ->type_name("TIMES")
      ->capture_default_str();
  add_snapshots_and_retention(*command, *options);
  command->add_flag("--once", options->once, "publish everything that is committed now, and end");
  command->add_option("--exec", options->exec, "run this through sh, and replicate while it lives")
      ->type_name("CMD")
      ->check([](const std::string& text) -> std::string { return text.empty() ? "a program is missing" : ""; });
  command->add_option("--state-dir", options->state_root,
                      "where local state and the spool lie, one folder a database\n"
                      "and replica. Default: /var/lib/cairn for root, else\n"
                      "$XDG_STATE_HOME/cairn or ~/.local/state/cairn")
      ->type_name("DIR");
  command->add_flag("--no-wal-switch", options->no_wal_switch,
                    "refuse a database that is not in WAL mode instead of\n"
                    "switching it");
  command->add_flag("--restore-if-missing", options->restore_if_missing,
                    "a database that is missing is the replica's newest state\n"
                    "before anything starts; what exists is never touched.\n"
                    "While the store is away nothing starts");
  command->add_option("--adopt", options->adopt,
                      "when database and replica have diverged: local publishes\n"
                      "the difference as the next state, remote restores the\n"
                      "replica's newest state over the database (the old file is\n"
                      "kept beside it)")
      ->check(CLI::IsMember({"local", "remote"}))
      ->type_name("");
  command->add_option("--timeout", options->timeout,
                      "how long the store may be away before --once gives up or\n"
                      "--exec starts its program all the same (default 10s), and\n"
                      "before a stop gives up publishing the rest (default 30s)")
      ->type_name("TIME");
  command->add_option("--prices", options->prices,
                      "what an S3 store costs, for the estimate in the log and in\n"
                      "--json: s3, r2, b2, or write=USD,list=USD,read=USD,... for\n"
                      "a thousand requests, received=USD a GB, stored=USD a GB and\n"
                      "month. Default: list prices, where the host is known")
      ->type_name("PRICES");
  command->add_flag("--json", options->json,
                    "status as JSON: a line a change, with --once one line at\n"
                    "the end");
  add_config_option(*command, *options, databases);
  command->footer(kReplicateExamples);
  command->callback([options, &run] { run = [options](const Tools& tools) { return replicate(*options, tools); }; });
}

}  // namespace cairn::cli
