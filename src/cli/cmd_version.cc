// cairn version: what this is, and which SQLite it runs with.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "cli/commands.h"
#include "cli/output.h"
#include "segment/format.h"
#include "sqlite/database.h"

namespace cairn::cli {

namespace {

int version(Style style) {
  const std::uint32_t number = sqlite::library_version();
  const std::string library = fmt::format("{}.{}.{}", number / 1'000'000, number / 1000 % 1000, number % 1000);
  if (style == Style::json) {
    Json json;
    json["version"] = CAIRN_VERSION;
    json["sqlite"] = library;
    json["format"] = segment::kFormatVersion;
    print_json(json);
  } else {
    print_line(fmt::format("cairn {} (object format {}, SQLite {})", CAIRN_VERSION, segment::kFormatVersion, library));
  }
  return kDone;
}

}  // namespace

void add_version(CLI::App& app, Run& run) {
  const auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("version",
                                         "Prints the versions of Cairn, of its object format and of SQLite.\n"
                                         "The library version is the one that it runs with.");
  command->add_flag("--json", *json, "as one line of JSON");
  command->callback([json, &run] { run = [json](const Tools&) { return version(style_of(*json)); }; });
}

}  // namespace cairn::cli
