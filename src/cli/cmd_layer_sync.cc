// cairn layer sync and cairn layer check: publishes what has changed in a container's directory, or says whether
// anything has.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "base/clock.h"
#include "cli/layers.h"
#include "cli/progress.h"
#include "cli/spending.h"
#include "cli/stop_on_signal.h"

namespace cairn::cli {

namespace {

constexpr const char* kSyncExamples = R"(Examples:
  cairn layer sync /srv/web/upper --to /backup/layers --name web_1
  cairn layer sync /srv/web/upper --to 's3://bucket/layers?endpoint=https://s3.example.com' --name web_1
  cairn layer sync /srv/web/upper --to /backup/layers --name web_1 --lower /srv/image/rootfs

The container may go on meanwhile. The first sync stores everything, later ones what has changed since; when nothing
has, nothing is read and nothing is asked of the store. One that was interrupted is gone on with by the next.
A name has one writer: another machine, or another directory, is refused (exit status 4).)";

constexpr const char* kLayerSyncNotes = R"(Exit status 0: a sync would publish something. 3: nothing has changed.
The store is not asked: whether somebody else has published meanwhile is found out by the sync.

Example:
  cairn layer check /srv/web/upper --to /backup/layers --name web_1 && echo 'there are changes')";

int sync(const SyncOptions& options, const Tools& tools) {
  const Style style = style_of(options.json);
  SyncedContainer container;
  if (const std::optional<Failure> failure = open_container(options, container)) return report(*failure, style);
  std::stop_source stop;
  ProgressBar bar("syncing", ProgressBar::Unit::bytes);
  LayerSyncOptions syncing = sync_options_of(options);
  syncing.progress = [&](std::uint64_t done, std::uint64_t total) { bar.show(done, total); };
  syncing.on_notice = [&](std::string_view notice) {
    bar.clear();
    tools.log.warn("{}", notice);
  };
  syncing.stop = stop.get_token();
  SystemClock clock;
  const std::int64_t begun_us = clock.now().mono_us;
  const Result<std::optional<LayerSnapshot>> synced = [&] {
    const StopOnSignal stop_on_signal(tools.signals, stop);
    return container.manager->sync_layer(options.name, syncing);
  }();
  bar.clear();
  RememberingStore& store = *container.at.store;
  if (!synced) return report(layer_failure(store, synced.error()), style);
  const std::int64_t elapsed_ms = (clock.now().mono_us - begun_us) / 1000;
  print_sync(options, store, *synced, store_json(store.status(), elapsed_ms, std::nullopt));
  return kDone;
}

int check(const SyncOptions& options, const Tools& tools) {
  const Style style = style_of(options.json);
  SyncedContainer container;
  if (const std::optional<Failure> failure = open_container(options, container)) return report(*failure, style);
  LayerSyncOptions checking = sync_options_of(options);
  checking.on_notice = [&](std::string_view notice) { tools.log.warn("{}", notice); };
  const Result<bool> changed = container.manager->check_for_changes(options.name, checking);
  if (!changed) return report(layer_failure(*container.at.store, changed.error()), style);
  if (style == Style::json) {
    Json json;
    json["container"] = options.name;
    json["directory"] = options.directory;
    json["changed"] = *changed;
    print_json(json);
  } else {
    const char* said = *changed ? "a sync would publish something" : "nothing has changed";
    print_line(fmt::format("{}: {}", options.name, said));
  }
  return *changed ? kDone : kNothingThere;
}

}  // namespace

void add_layer_sync(CLI::App& layer, Run& run) {
  const auto options = std::make_shared<SyncOptions>();
  CLI::App* command = layer.add_subcommand("sync", "Publishes what has changed in a container's directory, once.\n"
                                                   "Afterwards that state can be restored, anywhere.");
  add_sync_options(*command, *options);
  command->add_flag("--json", options->json, "what was published as one line of JSON");
  command->footer(kSyncExamples);
  command->callback([options, &run] { run = [options](const Tools& tools) { return sync(*options, tools); }; });
}

void add_layer_check(CLI::App& layer, Run& run) {
  const auto options = std::make_shared<SyncOptions>();
  CLI::App* command = layer.add_subcommand("check", "Says whether a sync would publish something.");
  add_sync_options(*command, *options);
  command->add_flag("--json", options->json, "as one line of JSON");
  command->footer(kLayerSyncNotes);
  command->callback([options, &run] { run = [options](const Tools& tools) { return check(*options, tools); }; });
}

}  // namespace cairn::cli
