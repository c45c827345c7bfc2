// cairn register DB, cairn unregister DB: what a running cairn replicates beside what its configuration names.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "cli/commands.h"
#include "cli/control_client.h"
#include "cli/places.h"

namespace cairn::cli {

namespace {

constexpr const char* kRegisterNotes = R"(It lasts: the running cairn keeps it in registered.toml in its state
directory, and begins with it again. What is
not said here is as [defaults] of its configuration has it. What the configuration names cannot be registered.

Examples:
  cairn register /srv/tenants/42/data.db
  cairn register app.db --to s3://bucket/app.db --set interval=250ms --set levels=none
  cairn register /srv/app/app.db --set restore_if_missing=true --missing-ok)";

constexpr const char* kUnregisterNotes = R"(What is committed is published first; the replica stays as it is. What
the configuration names is taken out
there, and then: cairn reload.

Example:
  cairn unregister /srv/tenants/42/data.db)";

struct RegisterCommand {
  std::string database, to, control;
  std::vector<std::string> settings;
  bool missing_ok = false, json = false;
};

// Here and not where it is replicated: reading a database there and closing it would drop SQLite's locks on it.
Result<void> check_is_database(const std::string& path, bool missing_ok) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    if (missing_ok) return {};
    return Error(ErrorKind::not_found, path + " does not exist: add --missing-ok if it is yet to be made");
  }
  if (std::filesystem::is_directory(path, error)) {
    return Error(ErrorKind::invalid, path + " is a folder: name the database file");
  }
  std::array<char, 16> head{};
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error(ErrorKind::denied, path + " cannot be read");
  file.read(head.data(), head.size());
  const std::string_view got(head.data(), static_cast<std::size_t>(file.gcount()));
  if (got.empty() || got == std::string_view("SQLite format 3\0", 16)) return {};
  return Error(ErrorKind::invalid, path + " is not a SQLite database");
}

// A word that is a number or true or false means just that.
Json setting_value(const std::string& text) {
  const Json parsed = Json::parse(text, nullptr, false);
  return parsed.is_boolean() || parsed.is_number_integer() ? parsed : Json(text);
}

Result<Json> register_request(const RegisterCommand& options) {
  CAIRN_ASSIGN(const std::string path, absolute_database(options.database));
  CAIRN_TRY(check_is_database(path, options.missing_ok));
  Json request;
  request["command"] = "register";
  request["database"] = path;
  if (!options.to.empty()) {
    // A folder is named from where this command runs, and not from where the other one does.
    const bool is_path = options.to.find("://") == std::string::npos;
    request["to"] = is_path ? std::filesystem::absolute(options.to).lexically_normal().string() : options.to;
  }
  for (const std::string& setting : options.settings) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error(ErrorKind::invalid, "--set: '" + setting + "' is not KEY=VALUE");
    }
    request["settings"][setting.substr(0, equals)] = setting_value(setting.substr(equals + 1));
  }
  return request;
}

int print_answer(const Result<Json>& answer, Style style) {
  if (!answer) return report({answer.error()}, style);
  if (style == Style::json) print_json(*answer);
  else print_line((*answer)["message"]);
  return kDone;
}

int register_one(const RegisterCommand& options, const Tools& tools) {
  const Style style = style_of(options.json);
  const Result<Json> request = register_request(options);
  if (!request) return report({request.error()}, style);
  Result<ControlClient> client = ControlClient::connect(options.control);
  if (!client) return report({client.error()}, style);
  return print_answer(client->ask(*request, kAnswerLimitMs, tools.signals), style);
}

int unregister_one(const RegisterCommand& options, const Tools& tools) {
  const Style style = style_of(options.json);
  Result<ControlClient> client = ControlClient::connect(options.control);
  if (!client) return report({client.error()}, style);
  const Json request = {{"command", "unregister"}};
  return print_answer(ask_of_database(*client, request, options.database, kAnswerLimitMs, tools.signals), style);
}

}  // namespace

void add_register(CLI::App& app, Run& run) {
  const auto options = std::make_shared<RegisterCommand>();
  CLI::App* command = app.add_subcommand("register",
      "Has a running cairn replicate --config replicate one more database.");
  command->add_option("DB", options->database, "the database file")->required()->type_name("");
  command->add_option("--to", options->to, "URL of its replica. Default: as [defaults] says, else <DB>-cairn beside it")
      ->type_name("URL");
  command->add_option("--set", options->settings, "any key of [[database]], as interval=10s; again for another")
      ->type_name("KEY=VALUE")
      ->take_all()
      ->allow_extra_args(false);
  command->add_flag("--missing-ok", options->missing_ok, "the file may be yet to be made");
  add_control_option(*command, options->control);
  command->add_flag("--json", options->json, "the answer as one line of JSON");
  command->footer(kRegisterNotes);
  command->callback([options, &run] { run = [options](const Tools& tools) { return register_one(*options, tools); }; });

  const auto leaving = std::make_shared<RegisterCommand>();
  CLI::App* unregister = app.add_subcommand("unregister", "Ends the replication of a database that was registered.");
  unregister->add_option("DB", leaving->database, "the database file")->required()->type_name("");
  add_control_option(*unregister, leaving->control);
  unregister->add_flag("--json", leaving->json, "the answer as one line of JSON");
  unregister->footer(kUnregisterNotes);
  unregister->callback([leaving, &run] { run = [leaving](const Tools& tools) { return unregister_one(*leaving,
      tools); }; });
}

}  // namespace cairn::cli
