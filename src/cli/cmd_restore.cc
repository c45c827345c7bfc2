// cairn restore URL -o FILE: brings a published state back, exactly, or leaves everything as it was.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>
#include <optional>
#include <stop_token>

#include "base/clock.h"
#include "cairn/restore.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/reading.h"
#include "cli/stop_on_signal.h"

namespace cairn::cli {

namespace {

constexpr const char* kRestoreExamples = R"(Examples:
  cairn restore /backup/app.db -o app.db                              the newest state
  cairn restore /backup/app.db -o old.db --at '2026-11-21 08:00:00'   the newest state at or before that time (UTC)
  cairn restore /backup/app.db -o old.db --sequence 42                exactly that state (see cairn history)
  cairn restore /backup/app.db -o app.db --onto                       fetches only the pages that differ from app.db
  cairn restore /backup/app.db -o app.db --if-missing                 before a program starts: what exists is left alone
  cairn restore /backup/app.db --dry-run                              what would be fetched

A database that is there stays as it was until the new one is complete and checked. A database that is in use is not
replaced: stop the program first. A damaged object is done without, and named in a warning, when others lead to the
same state; if none do the restore fails.)";

struct RestoreCommand {
  std::string url, output;
  TargetOptions target;
  bool overwrite = false, onto = false, if_missing = false, dry_run = false, json = false;
};

Json plan_json(const RestorePlan& plan) {
  Json json;
  json["lineage"] = plan.lineage;
  json["restore_point"] = point_json(plan.point);
  json["objects"] = planned_json(plan.objects);
  json["plan_size_bytes"] = plan.size_bytes;
  json["damaged"] = damaged_json(plan.damaged);
  return json;
}

std::string point_text(const RestorePointInfo& point) {
  return fmt::format("sequence {} of {} ({} of {} bytes)", point.sequence, format_time(point.time_ms),
                     count_text(point.page_count, "page"), point.page_size);
}

void print_plan(const RestorePlan& plan, Style style) {
  warn_of(plan.damaged);
  if (style == Style::json) return print_json(plan_json(plan));
  print_line(fmt::format("{} is made of {}, at most {} to fetch:", point_text(plan.point),
                         count_text(plan.objects.size(), "object"), size_text(plan.size_bytes)));
  for (const PlannedObject& object : plan.objects) {
    print_line(fmt::format("  {}  {}", object.key, size_text(object.size_bytes)));
  }
}

void print_result(const std::string& output, const RestoreResult& result, Style style) {
  warn_of(result.plan.damaged);
  if (style == Style::json) {
    Json json = plan_json(result.plan);
    json["output"] = output;
    json["size_bytes"] = result.size_bytes;
    json["fetched_bytes"] = result.fetched_bytes;
    json["reused_pages"] = result.reused_pages;
    json["requests"] = result.requests;
    return print_json(json);
  }
  print_line(fmt::format("{}: {}, {}; fetched {} in {}", output, point_text(result.plan.point),
                         size_text(result.size_bytes), size_text(result.fetched_bytes),
                         count_text(result.requests, "request")));
}

bool is_there(const std::string& path) { return make_real_file_system()->info(path).has_value(); }

int leave_alone(const std::string& output, Style style) {
  if (style == Style::json) print_json({{"output", output}, {"exists", true}});
  else print_line(output + " exists already, and is left as it is");
  return kDone;
}

int restore(const RestoreCommand& options, const Tools& tools) {
  const Style style = style_of(options.json);
  const Result<RestoreTarget> target = restore_target(options.target);
  if (!target) return report({target.error()}, style);
  if (options.output.empty() && !options.dry_run) {
    return report_usage("where to? Name the file with -o FILE, or ask for the plan with --dry-run", style);
  }
  if (options.if_missing && !options.dry_run && is_there(options.output)) return leave_alone(options.output, style);
  const Result<std::unique_ptr<RememberingStore>> store =
      open_remembering_store(options.url, StoreUse::reading);
  if (!store) return report({store.error()}, style);
  if (options.dry_run) {
    System system;
    const Result<RestorePlan> plan = plan_restore(**store, "", *target, &system.readers(options.url));
    if (!plan) return report(reading_failure(**store, plan.error()), style);
    print_plan(*plan, style);
    return kDone;
  }

  System system;
  std::stop_source stop;
  ProgressBar bar("restoring", ProgressBar::Unit::bytes);
  RestoreOptions restoring;
  restoring.target = *target;
  if (options.overwrite || options.onto) restoring.overwrite = Overwrite::replace;
  if (options.onto) restoring.base = Base::existing;
  restoring.progress = [&](std::uint64_t done, std::uint64_t total) { bar.show(done, total); };
  restoring.stop = stop.get_token();
  Result<RestoreResult> result = [&] {
    const StopOnSignal stop_on_signal(tools.signals, stop);
    return run_restore(**store, "", options.output, restoring, *system.files, system.readers(options.url));
  }();
  bar.clear();
  const bool was_quicker = options.if_missing && !result && result.error().kind() == ErrorKind::conflict;
  if (was_quicker && is_there(options.output)) return leave_alone(options.output, style);
  if (!result) return report(reading_failure(**store, result.error()), style);
  print_result(options.output, *result, style);
  return kDone;
}

}  // namespace

void add_restore(CLI::App& app, Run& run) {
  const auto options = std::make_shared<RestoreCommand>();
  CLI::App* command = app.add_subcommand(
      "restore", "Brings back the newest state of a replica, or an earlier one, as a database file.\n"
                 "It is byte for byte what was published, or the restore fails and touches nothing.");
  command->add_option("URL", options->url, "the replica")->required()->type_name("");
  command->add_option("-o,--output", options->output, "the file to restore into")->type_name("FILE");
  CLI::Option* at = command->add_option("--at", options->target.at,
                                        "the newest state at or before this time:\n"
                                        "2026-11-21T08:00:00Z, with an offset (+02:00), a date\n"
                                        "alone; without an offset it is UTC");
  at->type_name("TIME")->check([](const std::string& text) {
    return text.empty() ? std::string("a time is missing (for the newest state leave it out)") : std::string();
  });
  command->add_option("--sequence", options->target.sequence, "exactly this state")
      ->type_name("N")
      ->excludes(at)
      ->check([](const std::string& text) {
        const bool is_number = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
        return is_number ? std::string() : fmt::format("'{}' is not the number of a state", text);
      });
  command->add_option("--request-costs", options->target.request_costs,
                      "of several ways to the state the cheapest is taken, where a\n"
                      "request costs as much as fetching so many bytes; 0: the fewest\n"
                      "bytes (default 256KiB)")
      ->type_name("SIZE");
  command->add_flag("--overwrite", options->overwrite, "replace the file if it exists");
  command->add_flag("--onto", options->onto, "replace it, and fetch only what differs from it");
  command->add_flag("--if-missing", options->if_missing,
                    "when the file exists (an empty one, too) leave it as it is:\nexit status 0")
      ->excludes("--overwrite")
      ->excludes("--onto");
  command->add_flag("--dry-run", options->dry_run, "print which objects would be read, and end");
  command->add_flag("--json", options->json, "what was restored as one line of JSON");
  command->footer(kRestoreExamples);
  command->callback([options, &run] { run = [options](const Tools& tools) { return restore(*options, tools); }; });
}

}  // namespace cairn::cli
