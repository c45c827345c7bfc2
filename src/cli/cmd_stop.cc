// cairn reload, cairn stop: what signals ask a running cairn for, with an answer.
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/commands.h"
#include "cli/control_client.h"

namespace cairn::cli {

namespace {

constexpr const char* kReloadNotes = R"(As SIGHUP does. A file that is not good changes nothing, and is said here
(status 2).

Example:
  cairn config check && cairn reload)";

constexpr const char* kStopNotes = R"(As SIGTERM does: everything that is captured is published first, for as long
as stop_timeout
says.

Example:
  cairn stop --wait        returns when the process has ended; exit status 0: everything is published)";

struct StopCommand {
  std::string control;
  bool wait = false, json = false;
};

int reload_configuration(const StopCommand& options, const Tools& tools) {
  const Style style = style_of(options.json);
  Result<ControlClient> client = ControlClient::connect(options.control);
  if (!client) return report({client.error()}, style);
  const Result<Json> answer = client->ask({{"command", "reload"}}, kAnswerLimitMs, tools.signals);
  if (!answer) return report({answer.error()}, style);
  if (style == Style::json) print_json(*answer);
  else print_line((*answer)["message"]);
  return kDone;
}

int stop_running(const StopCommand& options, const Tools& tools) {
  const Style style = style_of(options.json);
  Result<ControlClient> client = ControlClient::connect(options.control);
  if (!client) return report({client.error()}, style);
  const Json request = {{"command", "stop"}, {"wait", options.wait}};
  const std::optional<std::int64_t> limit_ms = options.wait ? std::nullopt : std::optional(kAnswerLimitMs);
  const Result<Json> answer = client->ask(request, limit_ms, tools.signals);
  // What could not be published is the store's, as for the process itself.
  if (options.wait && (answer || answer.error().kind() != ErrorKind::cancelled)) {
    if (const Result<void> ended = client->wait_for_end(tools.signals); !ended) return report({ended.error()}, style);
  }
  if (!answer) return report({answer.error(), Origin::store}, style);
  if (style == Style::json) print_json(*answer);
  else print_line(options.wait ? "it has ended, and everything is published" : "it publishes what it has, and ends");
  return kDone;
}

}  // namespace

void add_stop(CLI::App& app, Run& run) {
  const auto reloading = std::make_shared<StopCommand>();
  CLI::App* reload = app.add_subcommand("reload",
      "Has a running cairn replicate --config read its configuration again.");
  add_control_option(*reload, reloading->control);
  reload->add_flag("--json", reloading->json, "the answer as one line of JSON");
  reload->footer(kReloadNotes);
  reload->callback([reloading, &run] {
    run = [reloading](const Tools& tools) { return reload_configuration(*reloading, tools); };
  });

  const auto options = std::make_shared<StopCommand>();
  CLI::App* stop = app.add_subcommand("stop", "Has a running cairn replicate --config publish everything and end.");
  stop->add_flag("--wait", options->wait, "return when it has ended");
  add_control_option(*stop, options->control);
  stop->add_flag("--json", options->json, "the answer as one line of JSON");
  stop->footer(kStopNotes);
  stop->callback([options, &run] { run = [options](const Tools& tools) { return stop_running(*options, tools); }; });
}

}  // namespace cairn::cli
