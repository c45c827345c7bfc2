// cairn prune URL: thins the restore points of a replica, and removes what none of those that stay needs.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>

#include "base/units.h"
#include "cairn/compactor.h"
#include "cli/commands.h"
#include "cli/reading.h"
#include "cli/stop_on_signal.h"
#include "daemon/retention.h"

namespace cairn::cli {

namespace {

constexpr const char* kPruneExamples = R"(Examples:
  cairn prune /backup/app.db --dry-run                   what would go and what would stay
  cairn prune /backup/app.db                             every state of the last 24 h, one an hour for 30 days of use,
                                                         one a day for a year, and one a month for good
  cairn prune /backup/app.db --keep-all 7d --hourly 0 --daily 90 --monthly 12

Counted back from the newest state, so a database that rests keeps what it has. Of each hour, day, week (UTC) or month
in which something was published, the state that takes the fewest objects stays. The newest snapshot and all behind it
stay in any case: make one now and then (cairn snapshot). Replicators and restores may be at work meanwhile. What is
removed is gone: begin with --dry-run.)";

struct PruneCommand {
  std::string url, keep_all = "24h", grace = "1h", hourly = "720", daily = "365", weekly = "0", monthly = "all";
  bool dry_run = false, json = false;
};

constexpr std::array<const char*, kDensities> kDensityNames{"newest", "every", "hourly", "daily", "weekly", "monthly",
                                                            "recent"};
constexpr std::array<const char*, kDensities> kDensityTexts{"behind the newest snapshot", "every one", "one an hour",
                                                            "one a day", "one a week", "one a month", "for now"};

Result<PruneOptions> prune_options_of(const PruneCommand& options) {
  PruneOptions pruning;
  pruning.dry_run = options.dry_run;
  PrunePolicy& policy = pruning.policy;
  const auto lengths = {std::tuple("--keep-all", &options.keep_all, &policy.keep_all_ms),
                        std::tuple("--grace", &options.grace, &policy.grace_ms)};
  for (const auto& [name, text, into] : lengths) {
    const Result<std::int64_t> length = parse_duration_ms(*text);
    if (!length) return length.error().with(name);
    *into = *length;
  }
  const auto counts = {std::tuple("--hourly", &options.hourly, &policy.hourly),
                       std::tuple("--daily", &options.daily, &policy.daily),
                       std::tuple("--weekly", &options.weekly, &policy.weekly),
                       std::tuple("--monthly", &options.monthly, &policy.monthly)};
  for (const auto& [name, text, into] : counts) {
    const Result<std::uint32_t> count = daemon::parse_places(*text);
    if (!count) return count.error().with(name);
    *into = *count;
  }
  return pruning;
}

// What becomes of the objects of one class.
struct Weight {
  std::uint64_t kept = 0, kept_bytes = 0, going = 0, going_bytes = 0;
  void add(const PrunedObject& object) {
    const bool goes = object.fate == Fate::goes;
    ++(goes ? going : kept);
    (goes ? going_bytes : kept_bytes) += object.size_bytes;
  }
};

// Snapshots first, then by level.
std::map<std::pair<int, std::string>, Weight> classes_of(const PruneReport& pruned) {
  std::map<std::pair<int, std::string>, Weight> classes;
  for (const PrunedObject& object : pruned.objects) {
    const int order = object.is_snapshot ? -1 : object.level;
    classes[{order, object.is_snapshot ? "snapshots" : fmt::format("level {}", object.level)}].add(object);
  }
  return classes;
}

Weight total_of(const PruneReport& pruned) {
  Weight total;
  for (const PrunedObject& object : pruned.objects) total.add(object);
  return total;
}

const char* text_of(Fate fate) {
  switch (fate) {
    case Fate::goes: return "goes";
    case Fate::needed: return "needed";
    case Fate::newest: return "newest";
    case Fate::recent: return "recent";
    case Fate::unreadable: return "unreadable";
  }
  return "";
}

void print_report_json(const std::string& url, const PruneReport& pruned, const PruneCommand& options) {
  const Weight total = total_of(pruned);
  Json json;
  json["replica"] = url;
  json["dry_run"] = options.dry_run;
  json["removed_objects"] = pruned.removed_objects;
  json["removed_bytes"] = pruned.removed_bytes;
  json["going_objects"] = total.going;
  json["going_bytes"] = total.going_bytes;
  json["kept_objects"] = total.kept;
  json["kept_bytes"] = total.kept_bytes;
  json["dropped_restore_points"] = pruned.dropped_points;
  json["kept_restore_points"] = Json::object();
  for (int i = 0; i < kDensities; ++i) json["kept_restore_points"][kDensityNames[i]] = pruned.kept_points[i];
  json["objects"] = Json::array();
  for (const PrunedObject& object : pruned.objects) {
    Json one;
    one["key"] = object.key;
    one["size_bytes"] = object.size_bytes;
    one["fate"] = text_of(object.fate);
    json["objects"].push_back(std::move(one));
  }
  print_json(json);
}

void print_report_text(const std::string& url, const PruneReport& pruned, const PruneCommand& options) {
  const char* going = options.dry_run ? "would go" : "go";
  std::vector<std::vector<std::string>> rows{{"objects", "stay", "bytes", going, "bytes"}};
  for (const auto& [name, sums] : classes_of(pruned)) {
    rows.push_back({name.second, std::to_string(sums.kept), std::to_string(sums.kept_bytes),
                    std::to_string(sums.going), std::to_string(sums.going_bytes)});
  }
  print_line(table_text(rows));
  std::vector<std::vector<std::string>> points{{"restore points", "stay"}};
  std::uint64_t kept = 0;
  for (int i = 0; i < kDensities; ++i) {
    kept += pruned.kept_points[i];
    if (pruned.kept_points[i] > 0) points.push_back({kDensityTexts[i], std::to_string(pruned.kept_points[i])});
  }
  print_line(table_text(points));
  const Weight total = total_of(pruned);
  const auto unreadable = std::count_if(pruned.objects.begin(), pruned.objects.end(),
                                        [](const PrunedObject& object) { return object.fate == Fate::unreadable; });
  if (unreadable > 0) {
    print_line(fmt::format("note: {} cannot be read and {} left alone: 'cairn verify' tells more",
                           count_text(unreadable, "object"), unreadable == 1 ? "is" : "are"));
  }
  print_line(fmt::format("{}: {} {}, {}, and {}; {}, {}, and {} stay", url,
                         options.dry_run ? "would remove" : "removed",
                         count_text(options.dry_run ? total.going : pruned.removed_objects, "object"),
                         size_text(options.dry_run ? total.going_bytes : pruned.removed_bytes),
                         count_text(pruned.dropped_points, "restore point"), count_text(total.kept, "object"),
                         size_text(total.kept_bytes), count_text(kept, "restore point")));
}

int prune(const PruneCommand& options) {
  const Style style = style_of(options.json);
  const Result<PruneOptions> pruning = prune_options_of(options);
  if (!pruning) return report({pruning.error()}, style);
  const Result<std::unique_ptr<RememberingStore>> store = open_remembering_store(options.url);
  if (!store) return report({store.error()}, style);
  System system;
  const Result<PruneReport> pruned =
      prune_replica(**store, "", *pruning, system.clock, system.readers(options.url));
  if (!pruned) return report(reading_failure(**store, pruned.error()), style);
  if (style == Style::json) {
    print_report_json((*store)->url(), *pruned, options);
  } else {
    print_report_text((*store)->url(), *pruned, options);
  }
  return kDone;
}

}  // namespace

void add_prune(CLI::App& app, Run& run) {
  const auto options = std::make_shared<PruneCommand>();
  CLI::App* command = app.add_subcommand("prune",
                                         "Thins the restore points of a replica, and removes the objects that none of\n"
                                         "those that stay needs. It reads the index of every object, no data.");
  command->add_option("URL", options->url, "the replica")->required()->type_name("");
  command->add_option("--keep-all", options->keep_all,
                      "every state of this time back from the newest one. A pause\nof more than an hour counts as one")
      ->type_name("TIME")
      ->capture_default_str();
  const auto series = [&](const char* name, std::string& into, const char* text) {
    command->add_option(name, into, text)->type_name("N")->capture_default_str();
  };
  series("--hourly", options->hourly, "one state of each of the last N hours with any; 'all': of each");
  series("--daily", options->daily, "the same of days");
  series("--weekly", options->weekly, "of weeks");
  series("--monthly", options->monthly, "of months");
  command->add_option("--grace", options->grace, "objects that are younger than this are left alone")
      ->type_name("TIME")
      ->capture_default_str();
  command->add_flag("--dry-run", options->dry_run, "say what would be removed, and end");
  command->add_flag("--json", options->json, "the report as one line of JSON");
  command->footer(kPruneExamples);
  command->callback([options, &run] {
    run = [options](const Tools& tools) {
      const EndOnSignal ends(tools.signals);
      return prune(*options);
    };
  });
}

}  // namespace cairn::cli
