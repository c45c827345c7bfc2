#include "cli/repairing.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "cairn/compactor.h"
#include "cli/reading.h"
#include "cli/snapshotting.h"
#include "cli/system.h"

namespace cairn::cli {

namespace {

const char* name_of(Mended mended) {
  switch (mended) {
    case Mended::rebuilt: return "rebuilt";
    case Mended::put_aside: return "put_aside";
    case Mended::no: return "no";
  }
  return "";
}

std::string sentence(const RepairedObject& object, bool dry_run) {
  std::string text = object.key;
  switch (object.mended) {
    case Mended::rebuilt: text += fmt::format(": {} {}", dry_run ? "would be rebuilt" : "rebuilt", object.what); break;
    case Mended::put_aside:
      text += fmt::format(": {}, since all of its states are held by others ({})",
                          dry_run ? "would be put aside" : "put aside", object.what);
      break;
    case Mended::no: text += fmt::format(": cannot be repaired: {}", object.what); break;
  }
  if (!object.kept_as.empty()) text += fmt::format("; the damaged one is kept as {}", object.kept_as);
  return text;
}

using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

std::string ranges_text(const Ranges& of) {
  std::vector<std::string> ranges;
  for (const auto& [first, last] : of) {
    ranges.push_back(first == last ? std::to_string(first) : fmt::format("{}-{}", first, last));
  }
  std::string text;
  for (const std::string& range : ranges) text += (text.empty() ? "" : ", ") + range;
  return text;
}

void print_text(const std::string& url, const RepairReport& repaired, bool dry_run) {
  for (const RepairedObject& object : repaired.damaged) {
    print_line("problem: " + object.problem);
    print_line(sentence(object, dry_run));
  }
  if (!repaired.lost.empty()) {
    print_line(fmt::format("lost, unless the objects that held them are brought back: the states {}",
                           ranges_text(repaired.lost)));
  }
  print_line(fmt::format("{}: {} read, {} damaged", url, count_text(repaired.objects, "object"),
                         repaired.damaged.size()));
}

void print_as_json(const std::string& url, const RepairReport& repaired, bool dry_run) {
  Json json;
  json["replica"] = url;
  json["dry_run"] = dry_run;
  json["objects"] = repaired.objects;
  json["damaged"] = Json::array();
  for (const RepairedObject& object : repaired.damaged) {
    Json one;
    one["key"] = object.key;
    one["problem"] = object.problem;
    one["mended"] = name_of(object.mended);
    one["what"] = object.what;
    one["kept_as"] = object.kept_as.empty() ? Json(nullptr) : Json(object.kept_as);
    json["damaged"].push_back(std::move(one));
  }
  json["lost"] = Json::array();
  for (const auto& [first, last] : repaired.lost) json["lost"].push_back({first, last});
  print_json(json);
}

Result<RepairReport> run_repair(Store& store, const RepairingOptions& options, bool dry_run) {
  System system;
  RepairOptions repairing;
  repairing.scratch_directory = options.scratch;
  repairing.dry_run = dry_run;
  return repair_replica(store, "", repairing, *system.files, system.readers(options.url));
}

// All is read once more: an index does not tell of damaged pages.
Result<Ranges> still_lost(const RepairingOptions& options) {
  CAIRN_ASSIGN(const auto store, open_remembering_store(options.url));
  CAIRN_ASSIGN(const RepairReport again, run_repair(*store, options, true));
  return again.lost;
}

// A whole copy of what the database is now: nothing from there on depends on what is damaged.
int begin_anew(const RepairingOptions& options, const Tools& tools) {
  if (options.dry_run) {
    if (!options.json) print_line(fmt::format("would publish a snapshot of {}", options.database));
    return kDone;
  }
  SnapshotOptions snapshot;
  snapshot.database = options.database;
  snapshot.to = options.url;
  snapshot.state_root = options.state_root;
  snapshot.whole = true;
  snapshot.json = options.json;
  if (const int status = publish_snapshot(snapshot, tools); status != kDone) return status;
  const Result<Ranges> left = still_lost(options);
  if (!left) return report({left.error()}, style_of(options.json));
  if (options.json) {
    Json json;
    json["lost_for_good"] = *left;
    print_json(json);
  } else if (!left->empty()) {
    print_line(fmt::format("lost for good: the states {}; from the new snapshot on, none", ranges_text(*left)));
  }
  return kDone;
}

}  // namespace

int repair(const RepairingOptions& options, const Tools& tools) {
  const Style style = style_of(options.json);
  bool whole = false;
  {
    const Result<std::unique_ptr<RememberingStore>> store = open_remembering_store(options.url);
    if (!store) return report({store.error()}, style);
    const Result<RepairReport> repaired = run_repair(**store, options, options.dry_run);
    if (!repaired) return report(reading_failure(**store, repaired.error()), style);
    const std::string url = (*store)->url();
    style == Style::json ? print_as_json(url, *repaired, options.dry_run)
                         : print_text(url, *repaired, options.dry_run);
    whole = repaired->lost.empty() &&
            std::none_of(repaired->damaged.begin(), repaired->damaged.end(),
                         [](const RepairedObject& object) { return object.mended == Mended::no; });
  }
  if (whole) return kDone;
  if (!options.database.empty()) {
    if (const int status = begin_anew(options, tools); status != kDone) return status;
  }
  return kDamaged;
}

}  // namespace cairn::cli
