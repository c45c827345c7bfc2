// The commands below cairn compact: what the catalogue names, and what it knows.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <functional>
#include <memory>
#include <optional>

#include "base/clock.h"
#include "cli/compacting.h"
#include "cli/reading.h"
#include "cli/stop_on_signal.h"

namespace cairn::cli {

namespace {

struct CatalogueCommand {
  CatalogueOptions catalogue;
  TargetOptions target;
  bool full = false, no_sync = false;
};

Json sync_json(const SyncReport& synced) {
  Json json;
  json["replica"] = synced.url;
  json["added"] = synced.added;
  json["gone"] = synced.gone;
  json["objects"] = synced.objects;
  json["other_history"] = synced.other_history;
  json["problems"] = synced.problems;
  return json;
}

int print_sync(const SyncReport& synced, Style style) {
  if (style == Style::json) {
    print_json(sync_json(synced));
  } else {
    for (const std::string& problem : synced.problems) print_line("problem: " + problem);
    if (synced.other_history) print_line("note: another history lies there than before, and was learned anew");
    print_line(fmt::format("{}: {} known, {} of them new, {} gone", synced.url, count_text(synced.objects, "object"),
                           synced.added, synced.gone));
  }
  return synced.problems.empty() ? kDone : kDamaged;
}

Json replica_json(const MonitoredReplica& replica) {
  Json json;
  json["replica"] = replica.url;
  json["lineage"] = replica.lineage;
  json["added"] = format_time(replica.added_ms);
  json["synced"] = replica.synced_ms > 0 ? Json(format_time(replica.synced_ms)) : Json(nullptr);
  json["snapshots"] = replica.snapshots;
  json["segments"] = replica.segments;
  json["restore_points"] = replica.restore_points;
  json["size_bytes"] = replica.size_bytes;
  json["newest_sequence"] = replica.newest_sequence;
  return json;
}

int list_replicas(Compacting& at, Style style) {
  const auto replicas = at.compactor->list_monitored();
  if (!replicas) return report(at.failure(replicas.error()), style);
  std::vector<std::vector<std::string>> rows{{"replica", "snapshots", "segments", "points", "bytes", "synced"}};
  for (const MonitoredReplica& replica : *replicas) {
    if (style == Style::json) print_json(replica_json(replica));
    rows.push_back({replica.url, std::to_string(replica.snapshots), std::to_string(replica.segments),
                    std::to_string(replica.restore_points), std::to_string(replica.size_bytes),
                    time_text(replica.synced_ms)});
  }
  if (rows.size() == 1) {
    return report({Error(ErrorKind::not_found, "the catalogue names no replica: 'cairn compact monitor URL' adds "
                                               "one")}, style);
  }
  if (style == Style::text) print_line(table_text(rows));
  return kDone;
}

const char* kind_of(const CatalogueSegment& segment) {
  if (!segment.problem.empty()) return "unusable";
  if (segment.is_snapshot) return "snapshot";
  return segment.is_squashed ? "squashed" : segment.level > 0 ? "bundle" : "segment";
}

int list_one(Compacting& at, const std::string& url, Style style) {
  const auto segments = at.compactor->list_segments(url);
  if (!segments) return report(at.failure(segments.error()), style);
  Json json;
  json["replica"] = url;
  json["objects"] = Json::array();
  std::vector<std::vector<std::string>> rows{{"kind", "level", "first", "last", "points", "bytes", "newest commit"}};
  for (const CatalogueSegment& segment : *segments) {
    Json one;
    one["key"] = segment.key;
    one["kind"] = kind_of(segment);
    one["level"] = segment.level;
    one["first_sequence"] = segment.first_sequence;
    one["last_sequence"] = segment.last_sequence;
    one["restore_points"] = segment.restore_points;
    one["first_time"] = segment.problem.empty() ? Json(format_time(segment.first_time_ms)) : Json(nullptr);
    one["last_time"] = segment.problem.empty() ? Json(format_time(segment.last_time_ms)) : Json(nullptr);
    one["size_bytes"] = segment.size_bytes;
    one["problem"] = segment.problem.empty() ? Json(nullptr) : Json(segment.problem);
    json["objects"].push_back(std::move(one));
    rows.push_back({kind_of(segment), segment.is_snapshot ? "-" : std::to_string(segment.level),
                    std::to_string(segment.first_sequence), std::to_string(segment.last_sequence),
                    std::to_string(segment.restore_points), std::to_string(segment.size_bytes),
                    time_text(segment.last_time_ms)});
  }
  if (style == Style::json) {
    print_json(json);
  } else {
    print_line(table_text(rows));
  }
  return kDone;
}

int list(Compacting& at, const std::vector<std::string>& urls, const CatalogueCommand& options) {
  const Style style = style_of(options.catalogue.json);
  if (urls.empty()) return list_replicas(at, style);
  int status = kDone;
  for (const std::string& url : urls) status = std::max(status, list_one(at, url, style));
  return status;
}

void print_analysis_json(const Analysis& analysis) {
  Json json = replica_json(analysis.replica);
  json["snapshot_bytes"] = analysis.snapshot_bytes;
  json["levels"] = Json::array();
  for (const LevelSum& sum : analysis.levels) {
    Json one;
    one["level"] = sum.level;
    one["objects"] = sum.objects;
    one["size_bytes"] = sum.size_bytes;
    json["levels"].push_back(std::move(one));
  }
  json["first_sequence"] = analysis.segments ? Json(analysis.segments->first_sequence) : Json(nullptr);
  json["last_sequence"] = analysis.segments ? Json(analysis.segments->last_sequence) : Json(nullptr);
  json["lines"] = analysis.lines;
  json["shortest_restore_path"] = analysis.newest ? path_json(*analysis.newest) : Json(nullptr);
  json["problems"] = analysis.problems;
  print_json(json);
}

void print_analysis_text(const Analysis& analysis) {
  std::vector<std::vector<std::string>> rows{{"objects", "number", "bytes"}};
  rows.push_back({"snapshots", std::to_string(analysis.replica.snapshots), std::to_string(analysis.snapshot_bytes)});
  for (const LevelSum& sum : analysis.levels) {
    rows.push_back({fmt::format("level {}", sum.level), std::to_string(sum.objects), std::to_string(sum.size_bytes)});
  }
  print_line(table_text(rows));
  for (const std::string& problem : analysis.problems) print_line("problem: " + problem);
  const std::string range = analysis.segments ? fmt::format("sequences {} to {} in {}",
                                                            analysis.segments->first_sequence,
                                                            analysis.segments->last_sequence,
                                                            count_text(analysis.lines, "unbroken run"))
                                              : std::string("no segment");
  print_line(fmt::format("{}: {}, {}", analysis.replica.url,
                         count_text(analysis.replica.restore_points, "restore point"), range));
  if (analysis.newest) {
    print_line(fmt::format("  a restore of the newest state takes {}", path_text(*analysis.newest)));
  }
}

int analyse(Compacting& at, const std::string& url, const CatalogueCommand& options) {
  const Style style = style_of(options.catalogue.json);
  if (!options.no_sync) {
    const auto synced = with_known(at, url, [&] { return at.compactor->sync_one(url, SyncDepth::incremental); });
    if (!synced) return report(at.failure(synced.error()), style);
  }
  const auto analysis = at.compactor->analyse(url);
  if (!analysis) return report(at.failure(analysis.error()), style);
  if (style == Style::json) {
    print_analysis_json(*analysis);
  } else {
    print_analysis_text(*analysis);
  }
  return analysis->problems.empty() ? kDone : kDamaged;
}

int path(Compacting& at, const std::string& url, const CatalogueCommand& options) {
  const Style style = style_of(options.catalogue.json);
  const Result<RestorePath> found = [&]() -> Result<RestorePath> {
    CAIRN_ASSIGN(const RestoreTarget target, restore_target(options.target));
    if (!options.no_sync) {
      CAIRN_TRY(with_known(at, url, [&] { return at.compactor->sync_one(url, SyncDepth::incremental); }));
    }
    return at.compactor->shortest_restore_path(url, target);
  }();
  if (!found) return report(at.failure(found.error()), style);
  if (style == Style::json) {
    Json json;
    json["replica"] = url;
    json.update(path_json(*found));
    print_json(json);
    return kDone;
  }
  print_line(fmt::format("{}: sequence {} takes {}:", url, found->sequence, path_text(*found)));
  for (const PlannedObject& object : found->objects) {
    print_line(fmt::format("  {}  {}", object.key, size_text(object.size_bytes)));
  }
  return kDone;
}

int sync(Compacting& at, const std::vector<std::string>& urls, const CatalogueCommand& options) {
  const Style style = style_of(options.catalogue.json);
  const SyncDepth depth = options.full ? SyncDepth::full : SyncDepth::incremental;
  std::vector<std::pair<std::string, Result<SyncReport>>> all;
  if (urls.empty()) {
    auto synced = at.compactor->sync_all(depth);
    if (!synced) return report(at.failure(synced.error()), style);
    all = std::move(*synced);
  }
  for (const std::string& url : urls) all.emplace_back(url, at.compactor->sync_one(url, depth));
  int status = kDone;
  for (const auto& [url, synced] : all) {
    const int of_one = synced ? print_sync(*synced, style) : report(at.failure(synced.error().with(url)), style);
    if (status == kDone) status = of_one;
  }
  return status;
}

int monitor(Compacting& at, const std::string& url, const CatalogueCommand& options) {
  const Style style = style_of(options.catalogue.json);
  const auto added = at.compactor->monitor(url);
  return added ? print_sync(*added, style) : report(at.failure(added.error()), style);
}

int unmonitor(Compacting& at, const std::string& url, const CatalogueCommand& options) {
  const Style style = style_of(options.catalogue.json);
  if (const auto removed = at.compactor->unmonitor(url); !removed) return report(at.failure(removed.error()), style);
  if (style == Style::json) {
    Json json;
    json["replica"] = url;
    json["monitored"] = false;
    print_json(json);
  } else {
    print_line(fmt::format("{}: is not in the catalogue any more; the replica is as it was", url));
  }
  return kDone;
}

using Each = std::function<int(Compacting& at, const std::string& url, const CatalogueCommand& options)>;
using All = std::function<int(Compacting& at, const std::vector<std::string>& urls, const CatalogueCommand& options)>;

All for_each(Each each) {
  return [each = std::move(each)](Compacting& at, const std::vector<std::string>& urls,
                                  const CatalogueCommand& options) {
    int status = kDone;
    for (const std::string& url : urls) {
      const int of_one = each(at, url, options);
      if (status == kDone) status = of_one;
    }
    return status;
  };
}

int with_catalogue(const CatalogueCommand& options, const All& all) {
  const Style style = style_of(options.catalogue.json);
  std::vector<std::string> urls;
  for (const std::string& given : options.catalogue.urls) {
    Result<std::string> url = catalogue_url(given);
    if (!url) return report({url.error()}, style);
    urls.push_back(std::move(*url));
  }
  const Result<std::unique_ptr<Compacting>> at = open_compacting(options.catalogue);
  if (!at) return report({at.error()}, style);
  return all(**at, urls, options);
}

enum class Urls { required, optional };

CLI::App* add(CLI::App& compact, Run& run, const std::shared_ptr<CatalogueCommand>& options, const char* name,
              const char* text, Urls urls, All all) {
  CLI::App* command = compact.add_subcommand(name, text);
  CLI::Option* option = command->add_option("URL", options->catalogue.urls, "replicas")->type_name("");
  if (urls == Urls::required) option->required();
  add_catalogue_options(*command, options->catalogue);
  command->callback([options, all = std::move(all), &run] {
    run = [options, all](const Tools& tools) {
      const EndOnSignal ends(tools.signals);
      return with_catalogue(*options, all);
    };
  });
  return command;
}

}  // namespace

void add_compact_catalogue(CLI::App& compact, Run& run) {
  const auto fresh = [] { return std::make_shared<CatalogueCommand>(); };
  add(compact, run, fresh(), "monitor", "Adds replicas to the catalogue, and learns what is in them.", Urls::required,
      for_each(monitor));
  add(compact, run, fresh(), "unmonitor", "Takes replicas out of the catalogue. Nothing happens to them.",
      Urls::required, for_each(unmonitor));
  add(compact, run, fresh(), "list",
      "Lists the replicas that the catalogue names; of a URL, the objects that it knows.", Urls::optional, list);
  auto options = fresh();
  add(compact, run, options, "sync", "Brings the catalogue up to date: of the URLs, or of all that it names.",
      Urls::optional, sync)
      ->add_flag("--full", options->full, "list everything, and forget what is not there any more");
  options = fresh();
  add(compact, run, options, "analyse", "Says what a replica is made of, and what a restore of it takes.",
      Urls::required, for_each(analyse))
      ->add_flag("--no-sync", options->no_sync, "by the catalogue alone, without a request");
  options = fresh();
  CLI::App* command = add(compact, run, options, "path", "The shortest restore path: which objects lead to a state.",
                          Urls::required, for_each(path));
  CLI::Option* at = command->add_option("--at", options->target.at, "the newest state at or before this time (UTC)");
  at->type_name("TIME");
  command->add_option("--sequence", options->target.sequence, "exactly this state")->type_name("N")->excludes(at);
  command->add_option("--request-costs", options->target.request_costs,
                      "what a request costs, as bytes that could be fetched instead (default 256KiB)")
      ->type_name("SIZE");
  command->add_flag("--no-sync", options->no_sync, "by the catalogue alone, without a request");
}

}  // namespace cairn::cli
