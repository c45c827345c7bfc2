// cairn config check: whether a configuration is good, and what it means.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/config_file.h"
#include "cli/output.h"
#include "daemon/retention.h"

namespace cairn::cli {

namespace {

constexpr const char* kConfigNotes = R"(Each database that it means now is listed with its replica, each layer with
its store. Stores are not asked. Exit status 0: it is good. 2: it is not; the sentence says where, and what to write.

Examples:
  cairn config check
  cairn config check cairn.toml && systemctl reload cairn
  cairn config check cairn.toml --json)";

struct ConfigCommand {
  std::string file;
  bool json = false;
};

Json database_json(const daemon::FoundDatabase& database) {
  Json json;
  json["database"] = database.path;
  json["replica"] = database.replica;
  json["line"] = database.line;
  json["interval_ms"] = database.settings.interval_ms;
  json["wal_switch"] = database.settings.wal_switch;
  json["spool_limit_bytes"] = database.settings.spool_limit_bytes;
  json["segment_level"] = database.settings.segment_level;
  json["snapshot_level"] = database.settings.snapshot_level;
  const auto& windows_ms = database.settings.level_windows_ms;
  json["level_windows_ms"] = windows_ms ? Json(*windows_ms) : Json("auto");
  json["kept_limit_bytes"] = database.settings.kept_limit_bytes;
  json["snapshot_interval_ms"] = database.settings.snapshot_interval_ms;
  json["retention"] = daemon::retention_text(database.settings.retention);
  json["restore_if_missing"] = database.settings.restore_if_missing;
  return json;
}

Json layer_json(const daemon::LayerEntry& layer) {
  Json json;
  json["container"] = layer.name;
  json["directory"] = layer.directory;
  json["store_url"] = layer.url;
  json["line"] = layer.line;
  json["lower"] = layer.lower;
  json["interval_ms"] = layer.settings.interval_ms;
  json["quiet_ms"] = layer.settings.quiet_ms;
  json["marks"] = layer.settings.marks;
  json["databases_as_files"] = layer.settings.databases_as_files;
  json["accept_hidden_attributes"] = layer.settings.accept_hidden_attributes;
  json["part_size_bytes"] = layer.settings.part_size_bytes;
  json["uploads"] = layer.settings.uploads;
  json["spool_limit_bytes"] = layer.settings.spool_limit_bytes;
  json["level"] = layer.settings.level;
  return json;
}

void print_meaning(const LoadedConfig& loaded) {
  Json json;
  json["file"] = loaded.config.file;
  json["state_dir"] = loaded.config.state_dir.empty() ? Json(nullptr) : Json(loaded.config.state_dir);
  json["stop_timeout_ms"] = loaded.config.stop_timeout_ms;
  json["spool_limit_of_all_bytes"] = loaded.config.spool.size_bytes;
  json["drain_bytes_per_s"] = loaded.config.spool.drain_bytes_per_s;
  json["http"] = nullptr;
  if (const auto& http = loaded.config.http) {
    json["http"] = {{"listen", text_of(http->listen)},
                    {"hosts", http->hosts},
                    {"metrics_databases", http->metrics_databases}};
  }
  json["databases"] = Json::array();
  for (const daemon::FoundDatabase& database : loaded.found.databases) {
    json["databases"].push_back(database_json(database));
  }
  json["layers"] = Json::array();
  for (const daemon::LayerEntry& layer : loaded.config.layers) json["layers"].push_back(layer_json(layer));
  print_json(json);
}

int check(const ConfigCommand& options, const Tools& tools) {
  const Style style = style_of(options.json);
  const Result<std::string> path = options.file.empty() ? default_config_path() : options.file;
  if (!path) return report({path.error()}, style);
  const Result<LoadedConfig> loaded = load_config(*path);
  if (!loaded) return report({loaded.error()}, style);
  for (const daemon::Unanswered& one : loaded->found.unanswered) tools.log.warn("{}", one.sentence);
  if (style == Style::json) {
    print_meaning(*loaded);
    return kDone;
  }
  std::vector<std::vector<std::string>> rows{{"WHAT", "FROM", "TO"}};
  for (const daemon::FoundDatabase& one : loaded->found.databases) {
    const char* const also = one.settings.restore_if_missing ? ", restored if missing" : "";
    rows.push_back({"database", one.path, one.replica + also});
  }
  for (const daemon::LayerEntry& one : loaded->config.layers) {
    rows.push_back({"layer " + one.name, one.directory, one.url});
  }
  if (rows.size() > 1) print_line(table_text(rows));
  print_line(fmt::format("{} is good: {} now, {}", *path, count_text(loaded->found.databases.size(), "database"),
                         count_text(loaded->config.layers.size(), "layer")));
  return kDone;
}

}  // namespace

void add_config(CLI::App& app, Run& run) {
  CLI::App* config = app.add_subcommand("config", "The configuration of cairn replicate --config.");
  const auto options = std::make_shared<ConfigCommand>();
  CLI::App* command = config->add_subcommand("check", "Says whether a configuration is good, and what it means now.");
  command->add_option("FILE", options->file,
                      "the configuration. Default: /etc/cairn/cairn.toml for root,\n"
                      "else $XDG_CONFIG_HOME/cairn/cairn.toml or\n"
                      "~/.config/cairn/cairn.toml")
      ->type_name("");
  command->add_flag("--json", options->json, "as one line of JSON");
  command->footer(kConfigNotes);
  command->callback([options, &run] { run = [options](const Tools& tools) { return check(*options, tools); }; });
  // Runs after the one of a command below it.
  config->callback([config, &run] {
    if (run) return;
    run = [help = config->help("cairn")](const Tools&) {
      print_line(help);
      return kDone;
    };
  });
}

}  // namespace cairn::cli
