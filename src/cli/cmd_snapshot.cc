// cairn snapshot DB --to URL: publishes a whole copy now.
#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "base/units.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/places.h"
#include "cli/replication.h"
#include "cli/signals.h"
#include "cli/snapshotting.h"
#include "cli/targets.h"
#include "replicate/requests.h"

namespace cairn::cli {

namespace {

constexpr const char* kSnapshotExamples = R"(Examples:
  cairn snapshot app.db --to /backup/app.db

While a `cairn replicate` follows the database, it is asked to make the copy (it has to have the same --state-dir), and
this command waits for that. Else it takes over from the one that has ended, and leaves the replica to the next.)";

void print_asked(const ReplicationOptions& options, const std::string& url, std::uint64_t sequence, const Tools& tools,
                 Style style) {
  tools.log.about_database(options.database, sequence)
      .info("snapshot of sequence {} published, by the cairn that replicates it", sequence);
  if (style != Style::json) return;
  Json json;
  json["database"] = options.database;
  json["replica"] = url;
  json["snapshot_sequence"] = sequence;
  json["asked"] = true;
  print_json(json);
}

// Of the process that replicates the database already. `refused` is what it was told when it wanted to do it itself.
int ask_for_snapshot(const ReplicationOptions& options, std::int64_t timeout_ms, const Failure& refused, System& system,
                     const Tools& tools, Style style) {
  constexpr int kLook_ms = 200;
  const auto store = open_remembering_store(options.url);
  if (!store) return report({store.error()}, style);
  const std::string url = canonical_url(options.url, (*store)->url());
  const std::string directory = state_directory(options.state_root, real_path(options.database), url);
  auto request = replicate::SnapshotRequest::put(*system.files, directory, system.random.id().hex(),
                                                 options.copy_unchanged);
  if (!request && request.error().kind() == ErrorKind::not_found) {
    const std::string why = ": it has another --state-dir, so it cannot be asked for a snapshot";
    return report({Error(refused.error.kind(), refused.error.message() + why)}, style);
  }
  if (!request) return report({request.error().with(refused.error.message())}, style);
  tools.log.about_database(options.database).info("asked the cairn that replicates it");
  std::string mark;
  for (std::int64_t progress_us = system.clock.now().mono_us;;) {
    const auto event = tools.signals.wait(kLook_ms);
    const auto progress = request->look();
    if (!progress) return report({progress.error()}, style);
    if (progress->sequence) {
      print_asked(options, (*store)->url(), *progress->sequence, tools, style);
      return kDone;
    }
    if (event && event->kind == Event::Kind::signal) {
      request->take_back();
      return report({Error(ErrorKind::cancelled, "the snapshot was asked for, and is not there yet")}, style);
    }
    const std::int64_t now_us = system.clock.now().mono_us;
    const bool waits = !progress->is_taken || !progress->trouble.empty();
    if (std::exchange(mark, progress->words) != progress->words || !waits) progress_us = now_us;
    if ((now_us - progress_us) / 1000 <= timeout_ms) continue;
    request->take_back();
    const std::string why = progress->is_taken ? progress->trouble : "the cairn that replicates it does not answer";
    return report({Error(ErrorKind::retry_later, options.database + ": no snapshot: " + why), Origin::store}, style);
  }
}

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
  if (options.whole) replicating.copy_unchanged = CopyUnchanged::no;
  if (replicating.state_root.empty()) {
    Result<std::string> root = default_state_root();
    if (!root) return report({root.error()}, style);
    replicating.state_root = *root;
  }
  System system;
  std::vector<std::unique_ptr<Replication>> replications(1);
  const auto say = [&](std::string_view warning) { tools.log.warn("{}", warning); };
  const std::optional<Failure> failure = Replication::open(replicating, system, say, replications.front());
  if (failure && failure->error.kind() == ErrorKind::busy) {
    return ask_for_snapshot(replicating, following.timeout_ms, *failure, system, tools, style);
  }
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
  command->add_flag("--whole", options->whole,
                    "send all of it, also what the store could copy from the last\nsnapshot: when that may be damaged");
  command->add_option("--timeout", options->timeout, "how long the store may be away before it gives up")
      ->type_name("TIME")
      ->capture_default_str();
  command->add_flag("--json", options->json, "the status at the end as one line of JSON");
  command->footer(kSnapshotExamples);
  command->callback([options, &run] {
    run = [options](const Tools& tools) { return publish_snapshot(*options, tools); };
  });
}

}  // namespace cairn::cli
