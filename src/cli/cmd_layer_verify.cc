// cairn layer verify URL: reads every layer and says what is wrong.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "cli/layers.h"
#include "cli/progress.h"
#include "cli/stop_on_signal.h"

namespace cairn::cli {

namespace {

constexpr const char* kLayerVerifyExamples = R"(Examples:
  cairn layer verify /backup/layers                 all containers
  cairn layer verify s3://bucket/layers --name web_1

Every byte is fetched and decompressed, and compared with every hash there is. Problems give exit status 5.)";

struct LayerVerifyCommand {
  std::string url, name;
  bool json = false;
};

struct Verified {
  std::string name;
  LayerVerifyReport report;
};

Json report_json(const std::string& url, const std::vector<Verified>& all) {
  Json json;
  json["store_url"] = url;
  bool ok = true;
  for (const Verified& one : all) ok = ok && one.report.problems.empty();
  json["ok"] = ok;
  json["containers"] = Json::array();
  for (const auto& [name, report] : all) {
    Json one;
    one["name"] = name;
    one["ok"] = report.problems.empty();
    one["layers"] = report.layers;
    one["entries"] = report.entries;
    one["size_bytes"] = report.size_bytes;
    one["problems"] = report.problems;
    one["notes"] = report.notes;
    json["containers"].push_back(std::move(one));
  }
  return json;
}

void print_report(const Verified& verified) {
  const LayerVerifyReport& report = verified.report;
  const std::string& name = verified.name;
  for (const std::string& problem : report.problems) print_line(fmt::format("problem: {}: {}", name, problem));
  for (const std::string& note : report.notes) print_line(fmt::format("note: {}: {}", name, note));
  print_line(fmt::format("{}: {}, {} entries, {}; {}", name, count_text(report.layers, "layer"), report.entries,
                         size_text(report.size_bytes),
                         report.problems.empty() ? "all is well" : count_text(report.problems.size(), "problem")));
}

Result<std::vector<std::string>> names_of(const LayerVerifyCommand& options, Store& store) {
  if (!options.name.empty()) return std::vector<std::string>{options.name};
  CAIRN_ASSIGN(std::vector<std::string> names, stored_container_names(store));
  if (names.empty()) return Error(ErrorKind::not_found, fmt::format("there is no container in {}", store.url()));
  return names;
}

int verify(const LayerVerifyCommand& options) {
  const Style style = style_of(options.json);
  const Result<LayerStore> at = open_layer_store(options.url, StoreUse::reading);
  if (!at) return report({at.error()}, style);
  RememberingStore& store = *at->store;
  const Result<std::vector<std::string>> names = names_of(options, store);
  if (!names) return report(layer_failure(store, names.error()), style);
  std::vector<Verified> all;
  int status = kDone;
  for (const std::string& name : *names) {
    ProgressBar bar("verifying " + name, ProgressBar::Unit::bytes);
    Result<LayerVerifyReport> verified = verify_layers(
        store, name, *at->machine, [&](std::uint64_t done, std::uint64_t total) { bar.show(done, total); });
    bar.clear();
    if (!verified) return report(layer_failure(store, verified.error()), style);
    if (!verified->problems.empty()) status = kDamaged;
    all.push_back({name, std::move(*verified)});
    if (style == Style::text) print_report(all.back());
  }
  if (style == Style::json) print_json(report_json(store.url(), all));
  return status;
}

}  // namespace

void add_layer_verify(CLI::App& layer, Run& run) {
  const auto options = std::make_shared<LayerVerifyCommand>();
  CLI::App* command =
      layer.add_subcommand("verify", "Reads every layer and checks all that can be checked.\n"
                                     "Each problem is one sentence; none means that every sync can be restored.");
  command->add_option("URL", options->url, "the store")->required()->type_name("");
  command->add_option("--name", options->name, "only this container")->type_name("NAME");
  command->add_flag("--json", options->json, "the report as one line of JSON");
  command->footer(kLayerVerifyExamples);
  command->callback([options, &run] {
    run = [options](const Tools& tools) {
      const EndOnSignal ends(tools.signals);
      return verify(*options);
    };
  });
}

}  // namespace cairn::cli
