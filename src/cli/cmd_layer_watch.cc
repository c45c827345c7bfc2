// cairn layer watch: syncs a container's directory whenever it has changed, until it is stopped.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/units.h"
#include "cairn/daemon.h"
#include "cli/layers.h"
#include "cli/places.h"
#include "cli/signals.h"

namespace cairn::cli {

namespace {

constexpr const char* kLayerWatchExamples = R"(Examples:
  cairn layer watch /srv/web/upper --to s3://bucket/layers --name web_1
  cairn layer watch /srv/web/upper --to /backup/layers --name web_1 --interval 5m --quiet 10s

SIGINT, SIGTERM or SIGHUP: what has changed is synced once more, and it ends; a second one ends at once, which is as
safe as a crash. A store that is away is tried again after growing waits. Run one for each container.)";

struct LayerWatchCommand {
  SyncOptions sync;
  std::string interval = "30s", quiet = "2s";
};

class Watching {
 public:
  Watching(const LayerWatchCommand& options, const Tools& tools, SyncedContainer& container)
      : options_(options.sync), tools_(tools), container_(container) {}

  // Until a signal, or what ends the watching by itself.
  Result<void> run(std::int64_t interval_ms, std::int64_t quiet_ms);

 private:
  const SyncOptions& options_;
  const Tools& tools_;
  SyncedContainer& container_;
};

Result<void> Watching::run(std::int64_t interval_ms, std::int64_t quiet_ms) {
  LayerWatchOptions watching = watch_options_of(options_, container_, tools_.log);
  watching.interval_ms = interval_ms;
  watching.quiet_ms = quiet_ms;
  std::stop_source stop;
  std::optional<Result<void>> ended;
  tools_.log.about_container(options_.name).info("watching {}", options_.directory);
  std::thread thread([&] {
    const Result<void> result = watch_layer(*container_.manager, options_.name, real_path(options_.directory),
                                            container_.at.machine->clock(), stop.get_token(), watching);
    ended = result;
    stop.request_stop();
    tools_.signals.ring();
  });
  while (true) {
    const std::optional<Event> event = tools_.signals.wait(-1);
    if (event && event->kind == Event::Kind::rung) break;
    if (!event || event->kind != Event::Kind::signal) continue;
    if (stop.stop_requested()) std::_Exit(128 + event->signal);  // whatever is on its way, a crash is safe
    tools_.log.about_container(options_.name).info("syncing once more before ending; another signal ends at once");
    stop.request_stop();
  }
  thread.join();
  return *ended;
}

int watch(const LayerWatchCommand& options, const Tools& tools) {
  const Style style = style_of(options.sync.json);
  const Result<std::int64_t> interval_ms = parse_duration_ms(options.interval);
  if (!interval_ms) return report_usage(interval_ms.error().with("--interval").message(), style);
  const Result<std::int64_t> quiet_ms = parse_duration_ms(options.quiet);
  if (!quiet_ms) return report_usage(quiet_ms.error().with("--quiet").message(), style);
  if (*interval_ms == 0) return report_usage("--interval: it would look all the time: give it some length", style);
  SyncedContainer container;
  if (const std::optional<Failure> failure = open_container(options.sync, container)) return report(*failure, style);
  const Result<void> ended = Watching(options, tools, container).run(*interval_ms, *quiet_ms);
  if (!ended) return report(layer_failure(*container.at.store, ended.error()), style);
  tools.log.about_container(options.sync.name).info("stopped, everything is published");
  return kDone;
}

}  // namespace

void add_layer_watch(CLI::App& layer, Run& run) {
  const auto options = std::make_shared<LayerWatchCommand>();
  CLI::App* command = layer.add_subcommand(
      "watch", "Syncs a container's directory whenever it has changed, until it is stopped.");
  add_sync_options(*command, options->sync);
  command->add_option("--interval", options->interval,
                      "at the latest so long after a change it is published; while\n"
                      "changes go on, once in that time")
      ->type_name("TIME")
      ->capture_default_str();
  command->add_option("--quiet", options->quiet, "how long it has to be quiet after a change before that")
      ->type_name("TIME")
      ->capture_default_str();
  command->add_flag("--json", options->sync.json, "a line of JSON for every sync");
  command->footer(kLayerWatchExamples);
  command->callback([options, &run] { run = [options](const Tools& tools) { return watch(*options, tools); }; });
}

}  // namespace cairn::cli
