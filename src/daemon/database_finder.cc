#include "daemon/database_finder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "base/clock.h"
#include "daemon/file_walk.h"
#include "daemon/inquiry.h"
#include "daemon/path_text.h"
#include "daemon/store_url.h"
#include "store/file_url.h"

namespace cairn::daemon {

namespace {

constexpr std::size_t kMostToldOf = 3;

// The path itself or what it lies below, where the set has one.
const std::string* one_above(const std::set<std::string>& paths, const std::string& path) {
  for (std::size_t end = path.size(); !paths.empty() && end != std::string::npos && end > 0;
       end = path.rfind('/', end - 1)) {
    if (const auto at = paths.find(path.substr(0, end)); at != paths.end()) return &*at;
  }
  const auto root = paths.find("/");
  return root != paths.end() ? &*root : nullptr;
}

// What is looked at is looked at first, by questions that have copies of all they need (file_walk.h); what it comes to
// follows without a file system.
class Finder {
 public:
  Finder(const Config& config, const FoundDatabases& before, const Patience& patience)
      : config_(config), before_(before), patience_(patience) {}

  FoundDatabases find() {
    for (const DatabaseEntry& entry : config_.databases) {
      if (entry.path.empty()) {
        const Way begin{entry.directory, entry.directory};
        patterns_.push_back({&entry, steps_of(entry.pattern), {{}, {}, {}, {begin}, {}}, {}});
      } else {
        named_.elsewhere.push_back({entry.path, entry.path});
      }
    }
    // A walk may take all its time, and the places of what it has found are to be asked for.
    look_at(named_, identity_of, patterns_, begun_ms_ + patience_.all_ms * 3 / 4);
    carry_what_waits();
    take_named();
    for (Pattern& pattern : patterns_) take_matching(pattern);
    look_at_places();
    for (Candidate& one : candidates_) one.rank = rank_of(one);
    std::stable_sort(candidates_.begin(), candidates_.end(),
                     [](const Candidate& a, const Candidate& b) { return a.rank < b.rank; });
    for (const Candidate& one : candidates_) add(one);
    std::sort(found_.databases.begin(), found_.databases.end(),
              [](const FoundDatabase& a, const FoundDatabase& b) { return a.path < b.path; });
    return std::move(found_);
  }

 private:
  using Texts = std::map<std::string, std::string>;
  // A newcomer displaces nothing that is replicated already, though that does not answer. Nor does one that was taken
  // in before it could be looked at, or is another file now, or goes to another place: only now does that show.
  enum class Rank { known, kept, seen_anew, is_new };
  struct Candidate {
    const DatabaseEntry* entry = nullptr;
    std::string path, below, identity;
    Result<std::string> replica;
    bool is_kept = false;  // by what was known, without an answer
    Rank rank = Rank::is_new;
  };
  struct Pattern {
    const DatabaseEntry* entry = nullptr;
    std::vector<std::string> components;
    Walked walked;
    std::set<std::string> unfinished;  // of what failed: it is only not done yet
  };
  // In rounds, since what lies on a device may lead to others. What is in `elsewhere` is to be asked.
  void look_at(Names& names, const Look& look, std::vector<Pattern>& patterns, std::int64_t end_ms) {
    for (int round = 0; round < kMostRounds; ++round) {
      std::vector<Inquiry> inquiries;
      inquire_about(names, look, "names", mounts_, inquiries);
      bool went_on = false;
      for (Pattern& pattern : patterns) {
        const std::vector<Way> below = std::exchange(pattern.walked.elsewhere, {});
        for (auto& [device, ways] : by_device(below, *mounts_)) went_on |= walk(pattern, device, ways, inquiries);
      }
      if (inquiries.empty() && !went_on) return;
      ask(inquiries, {patience_.step_ms, std::max<std::int64_t>(end_ms - monotonic_ms(), 0)});
    }
    for (const Way& way : names.elsewhere) names.failed.insert(way.path);
    for (Pattern& pattern : patterns) {
      for (const Way& way : pattern.walked.elsewhere) pattern.walked.failed.insert(way.path);
    }
  }

  // True: the same walk has been underway since an earlier look, and is not waited for again.
  bool walk(Pattern& pattern, const std::string& device, const std::vector<Way>& ways,
            std::vector<Inquiry>& inquiries) {
    const std::string name = fmt::format("files below {} on {}", place_of_pattern(*pattern.entry), device);
    const auto fresh = std::make_shared<WalkUnderway>(name, pattern.components, ways);
    for (const std::shared_ptr<const WalkUnderway>& one : before_.underway) {
      if (!one->is_for(*fresh) || !(one->is_over() || one->gets_on(patience_.step_ms))) continue;
      asked_.insert(one.get());
      take_walk(pattern, one);
      return true;
    }
    const auto work = [fresh, mounts = mounts_, device](Steps& steps) { fresh->run(*mounts, device, steps); };
    const auto take = [this, fresh, &pattern](const Question& asked) {
      if (asked.is_answered || asked.is_late) return take_walk(pattern, fresh);
      for (const Way& way : fresh->ways()) pattern.walked.failed.insert(way.path);
    };
    inquiries.push_back({{name, device, work}, take});
    return false;
  }

  // As far as it has come.
  void take_walk(Pattern& pattern, const std::shared_ptr<const WalkUnderway>& walk) {
    const bool is_over = walk->is_over();  // before it is asked for all
    Walked found = walk->found();
    if (!is_over) found.elsewhere.clear();  // other devices are asked once, and not for each part of where it leads
    pattern.walked.merge(std::move(found));
    if (is_over) return;
    found_.underway.push_back(walk);
    for (const Way& way : walk->ways()) {
      pattern.walked.failed.insert(way.path);
      pattern.unfinished.insert(way.path);
    }
  }

  // What lies behind a search that is not over is not asked for in this look, and its own search goes on.
  void carry_what_waits() {
    if (found_.underway.empty()) return;
    for (const std::shared_ptr<const WalkUnderway>& one : before_.underway) {
      const bool waits = !asked_.contains(one.get()) && (one->is_over() || one->gets_on(patience_.step_ms));
      if (waits) found_.underway.push_back(one);
    }
  }

  static std::string place_of_pattern(const DatabaseEntry& entry) { return name_in(entry.directory, entry.pattern); }

  void take(const DatabaseEntry& entry, const std::string& path, const std::string& below,
            const std::string& identity, bool is_kept = false) {
    const Result<std::string> replica = replica_url(entry, path, below);
    if (!is_kept && belongs_to_unanswered(path, replica)) return;
    if (paths_.insert(normal(path)).second) candidates_.push_back({&entry, path, below, identity, replica, is_kept});
  }

  Rank rank_of(const Candidate& one) const {
    if (one.is_kept) return Rank::kept;
    const FoundDatabase* const known = known_as(one.path);
    if (!known || !one.replica || known->replica != *one.replica) return Rank::is_new;
    const bool is_same_place = real_place_before(*one.replica) == real_places_.at(*one.replica);
    return is_same_place && known->identity == one.identity ? Rank::known : Rank::seen_anew;
  }

  // As far as no file system said otherwise.
  std::string real_place_before(const std::string& replica) const {
    const auto known = before_.real_places.find(replica);
    return known != before_.real_places.end() ? known->second : place_of(replica).value_or(replica);
  }

  // An earlier pattern means it, and is not known to have left it to this one: it is begun when that one answers.
  bool belongs_to_unanswered(const std::string& path, const Result<std::string>& replica) const {
    const auto means = [&](const Pattern* pattern) {
      return one_above(pattern->walked.failed, path) && below_if_meant(*pattern, path);
    };
    if (std::none_of(unanswered_.begin(), unanswered_.end(), means)) return false;
    const FoundDatabase* const known = known_as(path);
    return !known || !replica || known->replica != *replica;
  }

  static std::optional<std::string> below_if_meant(const Pattern& pattern, const std::string& path) {
    const std::string above = name_in(pattern.entry->directory, "");
    if (!path.starts_with(above)) return std::nullopt;
    std::string below = path.substr(above.size());
    return matches(pattern.components, steps_of(below)) ? std::optional(std::move(below)) : std::nullopt;
  }

  using Known = std::vector<FoundDatabase>::const_iterator;
  Known known_from(const std::string& path) const {  // they are by path
    return std::lower_bound(before_.databases.begin(), before_.databases.end(), path,
                            [](const FoundDatabase& one, const std::string& of) { return one.path < of; });
  }

  const FoundDatabase* known_as(const std::string& path) const {
    const Known at = known_from(path);
    return at != before_.databases.end() && at->path == path ? &*at : nullptr;
  }

  // Of what does not say: what it was, also of another name that was left out. Else the path.
  std::string known_identity(const std::string& path) const {
    if (const FoundDatabase* const known = known_as(path)) return known->identity;
    const auto left_out = std::find_if(before_.clashes.begin(), before_.clashes.end(),
                                       [&](const Clash& clash) { return clash.path == path; });
    return left_out != before_.clashes.end() ? left_out->identity : path;
  }

  void take_named() {
    for (const DatabaseEntry& entry : config_.databases) {
      if (entry.path.empty()) continue;
      const auto identity = named_.answers.find(entry.path);
      take(entry, entry.path, "", identity != named_.answers.end() ? identity->second : known_identity(entry.path));
    }
    add_unanswered(named_.failed, "what was known of them is taken to be so still");
  }

  void add_unanswered(const std::set<std::string>& names, const std::string& meanwhile) {
    if (names.empty()) return;
    const std::string what = fmt::format("{}: what lies at {}", config_.file, text_of_first(names));
    found_.unanswered.push_back({what, fmt::format("{} does not answer, or fails: {}", what, meanwhile)});
  }

  void take_matching(Pattern& pattern) {
    found_.directories.merge(pattern.walked.directories);
    for (const auto& [path, file] : pattern.walked.files) {
      const std::string identity = file.identity.empty() ? known_identity(path) : file.identity;
      take(*pattern.entry, path, file.below, identity);
    }
    keep_matching(pattern);
  }

  // What lies below a directory that may not be read counts only where something is known there: all kinds of
  // directories may not be read.
  void keep_matching(Pattern& pattern) {
    const DatabaseEntry& entry = *pattern.entry;
    std::set<std::string>& missing = pattern.walked.failed;
    const std::string above = name_in(entry.directory, "");
    for (Known one = known_from(above); one != before_.databases.end() && one->path.starts_with(above); ++one) {
      const std::string* const denied = one_above(pattern.walked.denied, one->path);
      if (!denied && !one_above(missing, one->path)) continue;
      const std::optional<std::string> below = below_if_meant(pattern, one->path);
      if (!below || replica_url(entry, one->path, *below).value_or("") != one->replica) continue;
      take(entry, one->path, *below, one->identity, true);
      if (denied) missing.insert(*denied);
    }
    if (missing.empty()) return;
    unanswered_.push_back(&pattern);
    const std::string what = fmt::format("{}:{}: what lies at {}", config_.file, entry.line, place_of_pattern(entry));
    if (missing == pattern.unfinished) {
      found_.unanswered.push_back(
          {what, what + " takes long to look through: what has been found so far is replicated, the databases known "
                        "there go on, and others are found as the search goes on", true});
      return;
    }
    const std::string where = missing.contains(entry.directory) ? "" : fmt::format(" ({})", text_of_first(missing));
    found_.unanswered.push_back(
        {what, fmt::format("{} does not answer, or fails, or may not be read{}: the databases known there go on if "
                           "their replica is the same, and others are found when it answers", what, where)});
  }

  static std::string text_of_first(const std::set<std::string>& names) {
    std::vector<std::string> first;
    for (auto one = names.begin(); one != names.end() && first.size() < kMostToldOf; ++one) first.push_back(*one);
    const std::size_t more = names.size() - first.size();
    return fmt::format("{}{}", fmt::join(first, ", "), more > 0 ? fmt::format(" and {} more", more) : "");
  }

  // Symbolic links of folders lead to one place by several names. What does not answer is not asked for its replica
  // either, which may lie beside it.
  void look_at_places() {
    Names places;
    for (const Candidate& one : candidates_) {
      if (!one.replica) continue;
      const std::string place = place_of(*one.replica).value_or(*one.replica);
      const bool is_new = real_places_.emplace(*one.replica, real_place_before(*one.replica)).second;
      if (!is_new || !place.starts_with("file://")) continue;
      if (one.is_kept || named_.failed.contains(one.path)) continue;
      places.elsewhere.push_back({*one.replica, path_of_file_url(place).value_or(place)});
    }
    std::vector<Pattern> none;
    look_at(places, place_at, none, begun_ms_ + patience_.all_ms);
    for (const auto& [replica, place] : places.answers) real_places_[replica] = place;
    add_unanswered(places.failed, "that two replicas there are one place is not seen before it does");
    for (const auto& [replica, place] : real_places_) {
      if (place != place_of(replica).value_or(replica)) found_.real_places.emplace(replica, place);
    }
  }

  void add(const Candidate& one) {
    if (!one.replica) return leave_out(one, one.replica.error().message());
    const auto [file, is_new_file] = files_.emplace(one.identity, one.path);
    if (!is_new_file) {
      return leave_out(one, fmt::format("is the same database as {}: name it once", file->second));
    }
    if (const auto [same, is_new] = places_.emplace(real_places_.at(*one.replica), one.path); !is_new) {
      files_.erase(file);
      return leave_out(one, fmt::format("would share the replica {} with {}: give one of them a to of its own",
                                        same->first, same->second));
    }
    const DatabaseEntry& entry = *one.entry;
    found_.databases.push_back(
        {one.path, *one.replica, one.identity, entry.settings, entry.line, entry.is_registered});
  }

  void leave_out(const Candidate& one, const std::string& why) {
    if (one.is_kept) return;  // what is known of it may not be so any more
    const std::string where = one.entry->is_registered ? std::string(kRegisteredClash)
                                                       : fmt::format("{}:{}: ", config_.file, one.entry->line);
    found_.clashes.push_back({one.path, fmt::format("{}{} {}", where, one.path, why), one.identity});
  }

  const Config& config_;
  const FoundDatabases& before_;
  const Patience patience_;
  const SharedMounts mounts_ = std::make_shared<MountTable>(read_mounts());
  const std::int64_t begun_ms_ = monotonic_ms();
  Names named_;
  std::vector<Pattern> patterns_;
  FoundDatabases found_;
  std::vector<Candidate> candidates_;
  std::vector<const Pattern*> unanswered_;
  std::set<const WalkUnderway*> asked_;
  std::set<std::string> paths_;
  Texts files_, places_;  // to the path that has it
  Texts real_places_;     // of each replica
};

}  // namespace

bool is_beside_a_database(std::string_view name) {
  static constexpr std::array<std::string_view, 3> kEnds{"-wal", "-shm", "-journal"};
  return std::any_of(kEnds.begin(), kEnds.end(), [&](std::string_view end) { return name.ends_with(end); });
}

FoundDatabases find_databases(const Config& config, const FoundDatabases& before, const Patience& patience) {
  return Finder(config, before, patience).find();
}

Result<std::string> replica_url(const DatabaseEntry& entry, const std::string& path, const std::string& below) {
  if (entry.to == DatabaseEntry::To::beside) return path + "-cairn";
  std::string url = entry.url;
  if (entry.to == DatabaseEntry::To::replica) return url;
  for (const std::string& component : components_of(below)) {
    CAIRN_ASSIGN(url, join_url(url, component));
  }
  return url;
}

}  // namespace cairn::daemon
