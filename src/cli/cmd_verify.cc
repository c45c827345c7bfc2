// cairn verify URL: reads every object of a replica and says what is wrong.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "cairn/restore.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/reading.h"
#include "cli/repairing.h"
#include "cli/stop_on_signal.h"

namespace cairn::cli {

namespace {

constexpr const char* kVerifyExamples = R"(Examples:
  cairn verify /backup/app.db          every object, every checksum, every hash, and that nothing is missing between
  cairn verify /backup/app.db --deep   also restores states of all its history and lets SQLite check them
  cairn verify /backup/app.db --repair --dry-run             what is damaged could be rebuilt, and what is lost
  cairn verify /backup/app.db --repair --database app.db     rebuild, and begin anew with a snapshot if states are lost

Problems give exit status 5. A replica that holds nothing is no good replica: exit status 3.)";

struct VerifyCommand {
  std::string url, scratch, database, state_root;
  std::uint64_t samples = kVerifySamples;
  bool deep = false, repair = false, dry_run = false, json = false;
};

// A folder of its own, since another verify may be at work beside this one; gone with this.
class Scratch {
 public:
  explicit Scratch(const VerifyCommand& options) {
    std::error_code ignored;  // without one it is the current folder that fails, with its own sentence
    const std::string folder =
        options.scratch.empty() ? std::filesystem::temp_directory_path(ignored).string() : options.scratch;
    path_ = fmt::format("{}/cairn-verify.{}", folder, ::getpid());
    std::filesystem::create_directories(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void print_report(const std::string& url, const VerifyReport& report, Style style) {
  if (style == Style::json) {
    Json json;
    json["replica"] = url;
    json["ok"] = report.problems.empty();
    json["objects"] = report.objects;
    json["restore_points"] = report.restore_points;
    json["size_bytes"] = report.size_bytes;
    json["sampled"] = report.sampled;
    json["problems"] = report.problems;
    json["notes"] = report.notes;
    return print_json(json);
  }
  for (const std::string& problem : report.problems) print_line("problem: " + problem);
  for (const std::string& note : report.notes) print_line("note: " + note);
  if (!report.sampled.empty()) {
    print_line(fmt::format("restored and asked SQLite about: sequence{} {}", report.sampled.size() == 1 ? "" : "s",
                           fmt::join(report.sampled, ", ")));
  }
  print_line(fmt::format("{}: {}, {}, {}; {}", url, count_text(report.objects, "object"),
                         size_text(report.size_bytes), count_text(report.restore_points, "restore point"),
                         report.problems.empty() ? "all is well" : count_text(report.problems.size(), "problem")));
}

int verify(const VerifyCommand& options, const Tools& tools) {
  const Style style = style_of(options.json);
  const Result<std::unique_ptr<RememberingStore>> store =
      open_remembering_store(options.url, StoreUse::reading);
  if (!store) return report({store.error()}, style);
  const Scratch scratch(options);
  const EndOnSignal ends(tools.signals, [&] {
    std::error_code ignored;
    std::filesystem::remove_all(scratch.path(), ignored);
  });
  System system;
  ProgressBar bar("verifying", ProgressBar::Unit::bytes);
  const auto progress = [&](std::uint64_t done, std::uint64_t total) { bar.show(done, total); };
  const Result<VerifyReport> verified =
      verify_replica(**store, "", options.deep ? VerifyDepth::deep : VerifyDepth::chain, scratch.path(), *system.files,
                     system.readers(options.url), progress, options.samples);
  bar.clear();
  if (!verified) return report(reading_failure(**store, verified.error()), style);
  print_report((*store)->url(), *verified, style);
  return verified->problems.empty() ? kDone : kDamaged;
}

}  // namespace

void add_verify(CLI::App& app, Run& run) {
  const auto options = std::make_shared<VerifyCommand>();
  CLI::App* command = app.add_subcommand("verify",
                                         "Reads every object of a replica and checks all that can be checked.\n"
                                         "Each problem is one sentence; none means that it can be restored.");
  command->add_option("URL", options->url, "the replica")->required()->type_name("");
  command->add_flag("--deep", options->deep,
                    "also restore states from the oldest to the newest, and run SQLite's\nintegrity check on each");
  command->add_option("--samples", options->samples, "with --deep: how many. 1: the newest alone")
      ->type_name("N")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI::Option* repairing = command->add_flag(
      "--repair", options->repair,
      "rebuild damaged objects from others that hold the same states; the damaged\nbytes are kept in damaged/");
  command->add_flag("--dry-run", options->dry_run, "with --repair: say what would be done, and end")->needs(repairing);
  command->add_option("--database", options->database,
                      "with --repair: the database. When states are lost, a snapshot of it is\npublished, as cairn "
                      "snapshot does")
      ->needs(repairing)
      ->type_name("DB");
  command->add_option("--state-dir", options->state_root, "with --database: as for replicate")->type_name("DIR");
  command->add_option("--scratch", options->scratch, "folder for the restored copy. Default: the temporary folder")
      ->type_name("DIR");
  command->add_flag("--json", options->json, "the report as one line of JSON");
  command->footer(kVerifyExamples);
  command->callback([options, &run] {
    run = [options](const Tools& tools) {
      if (!options->repair) return verify(*options, tools);
      const Scratch scratch(*options);
      return repair({options->url, scratch.path(), options->database, options->state_root, options->dry_run,
                     options->json}, tools);
    };
  });
}

}  // namespace cairn::cli
