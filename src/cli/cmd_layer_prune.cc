// cairn layer prune URL: removes what no container needs any more.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "base/clock.h"
#include "base/units.h"
#include "cli/layers.h"
#include "cli/stop_on_signal.h"

namespace cairn::cli {

namespace {

constexpr const char* kLayerPruneExamples = R"(Examples:
  cairn layer prune /backup/layers --dry-run       what would be removed
  cairn layer prune /backup/layers                 what interrupted syncs have left behind
  cairn layer prune /backup/layers --keep 30d      also the history that nothing of the last 30 days needs

Syncs and restores may go on meanwhile, from any machine. A full layer and its increments go together, so somewhat more
than asked for is kept; the newest sync always is.)";

struct LayerPruneCommand {
  std::string url, keep, grace = "24h";
  bool dry_run = false, json = false;
};

Result<LayerPruneOptions> prune_options_of(const LayerPruneCommand& options) {
  LayerPruneOptions pruning;
  pruning.dry_run = options.dry_run;
  const Result<std::int64_t> grace = parse_duration_ms(options.grace);
  if (!grace) return grace.error().with("--grace");
  pruning.grace_ms = *grace;
  if (options.keep.empty()) return pruning;
  const Result<std::int64_t> keep = parse_duration_ms(options.keep);
  if (!keep) return keep.error().with("--keep");
  pruning.keep_ms = *keep;
  return pruning;
}

void print_report(const std::string& url, const LayerPruneReport& pruned, const LayerPruneCommand& options) {
  if (options.json) {
    Json json;
    json["store_url"] = url;
    json["dry_run"] = options.dry_run;
    json["removed"] = pruned.removed;
    json["removed_bytes"] = pruned.removed_bytes;
    json["kept_objects"] = pruned.kept_objects;
    json["kept_bytes"] = pruned.kept_bytes;
    json["aborted_uploads"] = pruned.aborted_uploads;
    json["dropped_syncs"] = pruned.dropped_syncs;
    return print_json(json);
  }
  if (options.dry_run) {
    for (const std::string& key : pruned.removed) print_line(key);
  }
  std::string text = fmt::format("{}: {} {}, {}", url, options.dry_run ? "would remove" : "removed",
                                 count_text(pruned.removed.size(), "object"), size_text(pruned.removed_bytes));
  if (pruned.dropped_syncs > 0) text += fmt::format("; {} of the history", count_text(pruned.dropped_syncs, "sync"));
  if (pruned.aborted_uploads > 0) text += "; " + count_text(pruned.aborted_uploads, "unfinished upload");
  text += fmt::format("; kept {}, {}", count_text(pruned.kept_objects, "object"), size_text(pruned.kept_bytes));
  print_line(text);
}

int prune(const LayerPruneCommand& options) {
  const Style style = style_of(options.json);
  const Result<LayerPruneOptions> pruning = prune_options_of(options);
  if (!pruning) return report({pruning.error()}, style);
  const Result<LayerStore> at = open_layer_store(options.url);
  if (!at) return report({at.error()}, style);
  RememberingStore& store = *at->store;
  const Result<LayerPruneReport> pruned = prune_layers(store, at->machine->clock().now().wall_ms, *pruning);
  if (!pruned) return report(layer_failure(store, pruned.error()), style);
  print_report(store.url(), *pruned, options);
  return kDone;
}

}  // namespace

void add_layer_prune(CLI::App& layer, Run& run) {
  const auto options = std::make_shared<LayerPruneCommand>();
  CLI::App* command = layer.add_subcommand("prune", "Removes layers, temporary objects and unfinished uploads that no\n"
                                                    "container needs any more.");
  command->add_option("URL", options->url, "the store")->required()->type_name("");
  command->add_option("--keep", options->keep,
                      "states older than this may go. Without it, all that the\n"
                      "containers' histories name are kept")
      ->type_name("TIME");
  command->add_option("--grace", options->grace, "what is younger than this is left alone: a sync may be at work")
      ->type_name("TIME")
      ->capture_default_str();
  command->add_flag("--dry-run", options->dry_run, "say what would be removed, and end");
  command->add_flag("--json", options->json, "the report as one line of JSON");
  command->footer(kLayerPruneExamples);
  command->callback([options, &run] {
    run = [options](const Tools& tools) {
      const EndOnSignal ends(tools.signals);
      return prune(*options);
    };
  });
}

}  // namespace cairn::cli
