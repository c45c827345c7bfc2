// cairn layer list URL and cairn layer history URL --name NAME: what a store holds of containers.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "base/clock.h"
#include "cli/layers.h"
#include "cli/stop_on_signal.h"

namespace cairn::cli {

namespace {

constexpr const char* kLayerListExamples = R"(Examples:
  cairn layer list /backup/layers
  cairn layer list s3://bucket/layers --json

When there is no container at all, the exit status is 3.)";

constexpr const char* kLayerHistoryExamples = R"(Examples:
  cairn layer history /backup/layers --name web_1

The number in the first column is what cairn layer restore --sequence takes; the time, when the sync looked at the
directory, is what --at compares with.)";

struct LayerListCommand {
  std::string url, name;
  bool json = false;
};

Json containers_json(const std::string& url, const std::vector<StoredContainer>& containers) {
  Json json;
  json["store_url"] = url;
  json["containers"] = Json::array();
  for (const StoredContainer& container : containers) {
    Json one;
    one["name"] = container.name;
    one["lineage"] = container.lineage;
    one["syncs"] = container.syncs;
    one["newest_sequence"] = container.newest_sequence;
    one["newest_time"] = format_time(container.newest_time_ms);
    one["newest_time_ms"] = container.newest_time_ms;
    one["compressed_size_bytes"] = container.size_bytes;
    json["containers"].push_back(std::move(one));
  }
  return json;
}

int list(const LayerListCommand& options) {
  const Style style = style_of(options.json);
  const Result<LayerStore> at = open_layer_store(options.url, StoreUse::reading);
  if (!at) return report({at.error()}, style);
  RememberingStore& store = *at->store;
  const Result<std::vector<StoredContainer>> containers = list_stored_containers(store);
  if (!containers) return report(layer_failure(store, containers.error()), style);
  if (containers->empty()) {
    return report({Error(ErrorKind::not_found, fmt::format("there is no container in {}", store.url()))}, style);
  }
  if (style == Style::json) {
    print_json(containers_json(store.url(), *containers));
    return kDone;
  }
  std::vector<std::vector<std::string>> rows{{"container", "sync", "time", "syncs", "bytes stored"}};
  for (const StoredContainer& container : *containers) {
    rows.push_back({container.name, std::to_string(container.newest_sequence), format_time(container.newest_time_ms),
                    std::to_string(container.syncs), std::to_string(container.size_bytes)});
  }
  print_line(table_text(rows));
  return kDone;
}

int history(const LayerListCommand& options) {
  const Style style = style_of(options.json);
  const Result<LayerStore> at = open_layer_store(options.url, StoreUse::reading);
  if (!at) return report({at.error()}, style);
  RememberingStore& store = *at->store;
  const Result<std::vector<LayerSnapshot>> syncs = layer_history(store, options.name);
  if (!syncs) return report(layer_failure(store, syncs.error()), style);
  if (style == Style::json) {
    Json json;
    json["container"] = options.name;
    json["store_url"] = store.url();
    json["syncs"] = Json::array();
    for (const LayerSnapshot& sync : *syncs) json["syncs"].push_back(snapshot_json(sync));
    print_json(json);
    return kDone;
  }
  std::vector<std::vector<std::string>> rows{{"sync", "time", "kind", "entries", "bytes", "bytes stored", "layer"}};
  for (const LayerSnapshot& sync : *syncs) {
    rows.push_back({std::to_string(sync.sequence), format_time(sync.created_at_ms), sync.is_full ? "full" : "increment",
                    std::to_string(sync.file_count), std::to_string(sync.size_bytes),
                    std::to_string(sync.compressed_size_bytes), "sha256:" + sync.digest.substr(0, 12)});
  }
  print_line(table_text(rows));
  return kDone;
}

}  // namespace

void add_layer_list(CLI::App& layer, Run& run) {
  const auto options = std::make_shared<LayerListCommand>();
  CLI::App* command = layer.add_subcommand("list", "Lists the containers in a store.");
  command->add_option("URL", options->url, "the store")->required()->type_name("");
  command->add_flag("--json", options->json, "as one line of JSON");
  command->footer(kLayerListExamples);
  command->callback([options, &run] {
    run = [options](const Tools& tools) {
      const EndOnSignal ends(tools.signals);
      return list(*options);
    };
  });
}

void add_layer_history(CLI::App& layer, Run& run) {
  const auto options = std::make_shared<LayerListCommand>();
  CLI::App* command = layer.add_subcommand("history", "Lists the syncs of a container that can be restored.");
  command->add_option("URL", options->url, "the store")->required()->type_name("");
  command->add_option("--name", options->name, "the container")->required()->type_name("NAME");
  command->add_flag("--json", options->json, "as one line of JSON");
  command->footer(kLayerHistoryExamples);
  command->callback([options, &run] {
    run = [options](const Tools& tools) {
      const EndOnSignal ends(tools.signals);
      return history(*options);
    };
  });
}

}  // namespace cairn::cli
