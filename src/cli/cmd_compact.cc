// cairn compact URL...: many objects become few, and every restore point stays.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <memory>

#include "base/units.h"
#include "cli/compacting.h"
#include "cli/progress.h"
#include "cli/stop_on_signal.h"

namespace cairn::cli {

namespace {

constexpr const char* kCompactExamples = R"(Examples:
  cairn compact /backup/app.db --dry-run           what would be merged
  cairn compact /backup/app.db                     merge; what was merged goes an hour later, with the next run
  cairn compact s3://bucket/a.db s3://bucket/b.db
  cairn compact --all                              every replica that the catalogue names: for a timer
  cairn compact /backup/app.db --squash-older 30d  states older than that may go but for one of each merged object

Strategies:
  levelled      sixteen neighbours of a level become one of the next: each state is written once a level
  logarithmic   each object spans at least a third of what follows it: few objects, old ones are seldom touched
  identity      everything becomes one, as far as --max-size goes

Every state stays restorable, unless --squash-older says otherwise; cairn prune is what thins the past. Replicators,
restores, prunes and other compactors may be at work meanwhile, on any machine. A damaged object is named, and is
neither merged nor removed. An interrupted run has done no harm, and the next one goes on.)";

struct CompactCommand {
  CatalogueOptions catalogue;
  std::string strategy = "levelled", max_size = "512MiB", squash_older, grace = "1h";
  std::uint32_t fan = 16;
  bool all = false, keep_sources = false, dry_run = false;
};

Result<CompactOptions> compact_options_of(const CompactCommand& options) {
  CompactOptions compacting;
  compacting.strategy = options.strategy == "identity"      ? Strategy::identity
                        : options.strategy == "logarithmic" ? Strategy::logarithmic
                                                            : Strategy::levelled;
  compacting.fan = options.fan;
  compacting.remove_sources = !options.keep_sources;
  compacting.dry_run = options.dry_run;
  const Result<std::uint64_t> size = parse_size_bytes(options.max_size);
  if (!size) return size.error().with("--max-size");
  compacting.max_object_bytes = *size;
  const Result<std::int64_t> grace = parse_duration_ms(options.grace);
  if (!grace) return grace.error().with("--grace");
  compacting.grace_ms = *grace;
  if (options.squash_older.empty()) return compacting;
  const Result<std::int64_t> older = parse_duration_ms(options.squash_older);
  if (!older) return older.error().with("--squash-older");
  compacting.squash_older_ms = *older;
  return compacting;
}

struct Sums {
  std::uint64_t objects = 0, sources = 0, source_bytes = 0, size_bytes = 0;
};
Sums sums_of(const CompactReport& compacted) {
  Sums sums;
  for (const CompactedObject& object : compacted.merged) {
    ++sums.objects;
    sums.sources += object.source_objects;
    sums.source_bytes += object.source_bytes;
    sums.size_bytes += object.size_bytes;
  }
  return sums;
}

Json merged_json(const CompactedObject& object) {
  Json json;
  json["key"] = object.key;
  json["kind"] = object.is_squashed ? "squashed" : "bundle";
  json["first_sequence"] = object.first_sequence;
  json["last_sequence"] = object.last_sequence;
  json["restore_points"] = object.restore_points;
  json["source_objects"] = object.source_objects;
  json["source_bytes"] = object.source_bytes;
  json["size_bytes"] = object.size_bytes;
  json["was_there"] = object.was_there;
  return json;
}

void print_report_json(const std::string& url, const CompactReport& compacted, const CompactCommand& options) {
  Json json;
  json["replica"] = url;
  json["dry_run"] = options.dry_run;
  json["strategy"] = options.strategy;
  json["merged"] = Json::array();
  for (const CompactedObject& object : compacted.merged) json["merged"].push_back(merged_json(object));
  json["objects_before"] = compacted.objects_before;
  json["bytes_before"] = compacted.bytes_before;
  json["restore_points_before"] = compacted.points_before;
  json["objects_after"] = compacted.objects_after;
  json["bytes_after"] = compacted.bytes_after;
  json["restore_points_after"] = compacted.points_after;
  json["restore_before"] = compacted.restore_before ? path_json(*compacted.restore_before) : Json(nullptr);
  json["restore_after"] = compacted.restore_after ? path_json(*compacted.restore_after) : Json(nullptr);
  json["removed_objects"] = compacted.removed_objects;
  json["removed_bytes"] = compacted.removed_bytes;
  json["waiting_objects"] = compacted.waiting_objects;
  json["waiting_bytes"] = compacted.waiting_bytes;
  json["problems"] = compacted.problems;
  json["not_removed"] = compacted.not_removed ? Json(compacted.not_removed->message()) : Json(nullptr);
  print_json(json);
}

void print_merged(const CompactReport& compacted, bool dry_run) {
  std::vector<std::vector<std::string>> rows{{"merged", "first", "last", "sources", "bytes", "now"}};
  for (const CompactedObject& object : compacted.merged) {
    rows.push_back({fmt::format("{}{}", object.is_squashed ? "squashed" : "bundle",
                                object.was_there ? " (was there)" : ""),
                    std::to_string(object.first_sequence), std::to_string(object.last_sequence),
                    std::to_string(object.source_objects), std::to_string(object.source_bytes),
                    dry_run ? "?" : std::to_string(object.size_bytes)});
  }
  if (rows.size() > 1) print_line(table_text(rows));
}

std::string removal_text(const CompactReport& compacted, const CompactCommand& options) {
  if (options.keep_sources) return "what was merged was kept";
  std::string text = fmt::format("removed {} ({})", count_text(compacted.removed_objects, "object"),
                                 size_text(compacted.removed_bytes));
  if (compacted.waiting_objects == 0) return text;
  return text + fmt::format("; {} more ({}) can go when what stands for them is older than {}: run this again then",
                            compacted.waiting_objects, size_text(compacted.waiting_bytes), options.grace);
}

void print_report_text(const std::string& url, const CompactReport& compacted, const CompactCommand& options) {
  print_merged(compacted, options.dry_run);
  for (const std::string& problem : compacted.problems) print_line("problem: " + problem);
  const Sums sums = sums_of(compacted);
  if (options.dry_run) {
    print_line(fmt::format("{}: would make {} of {} ({}); at most {} instead of {} would be left", url,
                           count_text(sums.objects, "object"), sums.sources, size_text(sums.source_bytes),
                           count_text(compacted.objects_after, "object"), compacted.objects_before));
    return;
  }
  print_line(fmt::format("{}: {}; {}", url,
                         sums.objects == 0 ? std::string("nothing was due to be merged")
                                           : fmt::format("made {} ({}) of {} ({})", count_text(sums.objects, "object"),
                                                         size_text(sums.size_bytes), sums.sources,
                                                         size_text(sums.source_bytes)),
                         removal_text(compacted, options)));
  print_line(fmt::format("  before: {}, {}, {}", count_text(compacted.objects_before, "object"),
                         size_text(compacted.bytes_before), count_text(compacted.points_before, "restore point")));
  print_line(fmt::format("  after:  {}, {}, {}", count_text(compacted.objects_after, "object"),
                         size_text(compacted.bytes_after), count_text(compacted.points_after, "restore point")));
  if (!compacted.restore_before || !compacted.restore_after) return;
  print_line(fmt::format("  a restore of the newest state took {}", path_text(*compacted.restore_before)));
  print_line(fmt::format("  and takes now {}", path_text(*compacted.restore_after)));
}

// Its exit status.
int compact_one(Compacting& at, const std::string& url, const CompactOptions& compacting,
                const CompactCommand& options) {
  const Style style = style_of(options.catalogue.json);
  ProgressBar bar("merging", ProgressBar::Unit::bytes);
  CompactOptions one = compacting;
  one.progress = [&](std::uint64_t done, std::uint64_t total) { bar.show(done, total); };
  const Result<CompactReport> compacted = with_known(at, url, [&] { return at.compactor->compact(url, one); });
  bar.clear();
  if (!compacted) return report(at.failure(compacted.error()), style);
  if (style == Style::json) {
    print_report_json(url, *compacted, options);
  } else {
    print_report_text(url, *compacted, options);
  }
  // In JSON it is a member of the report.
  if (compacted->not_removed) {
    return report(at.failure(compacted->not_removed->with("what was merged is left where it was")), Style::text);
  }
  return compacted->problems.empty() ? kDone : kDamaged;
}

Result<std::vector<std::string>> urls_of(Compacting& at, const CompactCommand& options) {
  std::vector<std::string> urls;
  if (!options.all) {
    for (const std::string& given : options.catalogue.urls) {
      CAIRN_ASSIGN(std::string url, catalogue_url(given));
      urls.push_back(std::move(url));
    }
    return urls;
  }
  CAIRN_ASSIGN(const std::vector<MonitoredReplica> replicas, at.compactor->list_monitored());
  for (const MonitoredReplica& replica : replicas) urls.push_back(replica.url);
  if (!urls.empty()) return urls;
  return Error(ErrorKind::not_found, "the catalogue names no replica: 'cairn compact monitor URL' adds one");
}

int compact(const CompactCommand& options, const Tools& tools) {
  const Style style = style_of(options.catalogue.json);
  if (options.all == !options.catalogue.urls.empty()) {
    return report_usage("name one or more replicas, or say --all for those that the catalogue names", style);
  }
  Result<CompactOptions> compacting = compact_options_of(options);
  if (!compacting) return report({compacting.error()}, style);
  const Result<std::unique_ptr<Compacting>> at = open_compacting(options.catalogue);
  if (!at) return report({at.error()}, style);
  const Result<std::vector<std::string>> urls = urls_of(**at, options);
  if (!urls) return report({urls.error()}, style);
  std::stop_source stop;
  compacting->stop = stop.get_token();
  const StopOnSignal stop_on_signal(tools.signals, stop);
  int status = kDone;
  for (const std::string& url : *urls) {  // one that fails keeps no other from being compacted
    if (stop.stop_requested()) break;
    const int of_one = compact_one(**at, url, *compacting, options);
    if (status == kDone) status = of_one;
  }
  return status;
}

}  // namespace

void add_compact(CLI::App& app, Run& run) {
  const auto options = std::make_shared<CompactCommand>();
  CLI::App* command = app.add_subcommand(
      "compact", "Merges the segments of a replica: fewer objects, quicker restores, the same restore points.\n"
                 "It works from outside, on any machine, and needs no more of the disk than --max-size.");
  command->add_option("URL", options->catalogue.urls, "replicas")->type_name("");
  command->add_flag("--all", options->all, "every replica that the catalogue names");
  command->add_option("--strategy", options->strategy, "which neighbours become one: see below")
      ->check(CLI::IsMember({"levelled", "logarithmic", "identity"}))
      ->type_name("NAME")
      ->capture_default_str();
  command->add_option("--fan", options->fan, "levelled: so many become one")
      ->check(CLI::Range(2, 256))
      ->type_name("N")
      ->capture_default_str();
  command->add_option("--max-size", options->max_size, "what becomes one object has no more bytes than this")
      ->type_name("SIZE")
      ->capture_default_str();
  command->add_option("--squash-older", options->squash_older,
                      "states further back from the newest one than this may\ngo, but for one of each merged object")
      ->type_name("TIME");
  command->add_flag("--keep-sources", options->keep_sources, "remove nothing, and need no right to delete");
  command->add_option("--grace", options->grace, "objects that are younger than this are not relied on when\n"
                                                 "sources are removed. Use the same with cairn prune")
      ->type_name("TIME")
      ->capture_default_str();
  command->add_flag("--dry-run", options->dry_run, "say what would be merged first, and end");
  add_catalogue_options(*command, options->catalogue);
  command->footer(kCompactExamples);
  add_compact_catalogue(*command, run);
  // Runs after the one of a command below it.
  command->callback([command, options, &run] {
    if (!command->get_subcommands().empty()) return;
    run = [options](const Tools& tools) { return compact(*options, tools); };
  });
}

}  // namespace cairn::cli
