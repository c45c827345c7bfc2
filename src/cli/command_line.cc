// The command line of `cairn`. One cmd_*.cc a command; this is the table of contents.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "base/nearest.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/signals.h"

namespace cairn::cli {
namespace {

constexpr const char* kFooter = R"(Exit status:
  0  done
  1  another failure
  2  usage or configuration
  3  nothing there: no such database, replica, container or state
  4  refused: another writer, histories that diverge, or something in the way
  5  corrupt or incomplete
  6  store unreachable, or access denied

Begin with:
  cairn replicate app.db --to /backup/app.db
  cairn restore /backup/app.db -o copy.db
  cairn layer --help
Instead of a folder, s3://bucket/prefix: cairn store --help tells of keys and options.
Each command has its own --help, with examples.)";

std::vector<std::string> names_of_commands(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

// cairn compact URL: what is no command below it may be something else.
bool takes_words(const CLI::App& command) {
  const std::vector<const CLI::Option*> options = command.get_options();
  return std::any_of(options.begin(), options.end(), [](const CLI::Option* each) { return each->get_positional(); });
}

// A word where a command has to stand, and is none: CLI11 would only say that it did not expect it.
int refuse_unknown_command(const CLI::App& app, const std::string& word) {
  const std::string meant = nearest(word, names_of_commands(app));
  const std::string above = app.get_parent() == nullptr ? "" : app.get_name() + " ";
  const std::string advice = meant.empty() ? "cairn " + above + "--help lists them" : "did you mean '" + meant + "'?";
  return report_usage("there is no command '" + above + word + "': " + advice, Style::text);
}

bool wants_json(const std::vector<std::string>& arguments) {
  return std::find(arguments.begin(), arguments.end(), "--json") != arguments.end();
}

// Everything from "--" on: CLI11 would take it for more databases.
std::vector<std::string> cut_behind_dashes(std::vector<std::string>& arguments) {
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  if (arguments.empty() || arguments.front() != "replicate" || dashes == arguments.end()) return {};
  std::vector<std::string> behind(dashes + 1, arguments.end());
  arguments.erase(dashes, arguments.end());
  return behind;
}

void add_commands(CLI::App& app, Run& run) {
  add_replicate(app, run);
  add_status(app, run);
  add_sync(app, run);
  add_register(app, run);
  add_stop(app, run);
  add_snapshot(app, run);
  add_restore(app, run);
  add_list(app, run);
  add_history(app, run);
  add_verify(app, run);
  add_compact(app, run);
  add_prune(app, run);
  add_layer(app, run);
  add_store(app, run);
  add_config(app, run);
  add_completion(app, run);
  add_manual(app, run);
  add_version(app, run);
}

}  // namespace

int run_command_line(std::vector<std::string> arguments) {
  if (arguments.size() > 1 && arguments.front() == "replicate" && arguments.back() == "--") {
    return report_usage("no program stands behind --: name one, or leave -- out", Style::text);
  }
  const std::vector<std::string> behind_dashes = cut_behind_dashes(arguments);
  CLI::App app("Follows live SQLite databases and containers' layers into object storage, and brings back any state\n"
               "that was published.",
               "cairn");
  app.footer(kFooter);
  app.get_formatter()->column_width(36);
  app.fallthrough();
  std::string log_level = "info";
  app.add_option("--log-level", log_level, "what is logged to standard error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error", "off"}))
      ->type_name("LEVEL")
      ->capture_default_str();

  std::string log_format = "text";
  app.add_option("--log-format", log_format, "json: an object a line, with its time, level and what it is about")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("FORMAT")
      ->capture_default_str();

  Run run;
  add_commands(app, run);

  if (arguments.empty()) {
    print_line(app.help());
    return kDone;
  }
  const CLI::App* above = &app;
  for (const std::string& word : arguments) {  // cairn layer sync: two words, each of which may be mistyped
    const std::vector<std::string> names = names_of_commands(*above);
    if (names.empty() || word.empty() || word[0] == '-') break;
    if (std::find(names.begin(), names.end(), word) == names.end()) {
      if (takes_words(*above)) break;
      return refuse_unknown_command(*above, word);
    }
    above = above->get_subcommand(word);
  }
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 takes them from the back
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return report_usage(std::string(error.what()) + ": see --help", style_of(wants_json(arguments)));
  }
  if (!run) return report_usage("no command was given: cairn --help lists them", Style::text);

  Result<Signals> signals = Signals::open();
  if (!signals) return report({signals.error()}, Style::text);
  const Log log = Log::to_standard_error(log_level, log_format == "json" ? LogFormat::json : LogFormat::text);
  const int status = run({*signals, log, behind_dashes});
  if (status != kDone || all_is_printed()) return status;
  return report({Error(ErrorKind::io, "what was printed could not be written to standard output: is its disk full?"),
                 Origin::local}, Style::text);
}

}  // namespace cairn::cli
