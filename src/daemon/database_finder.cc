#include "daemon/database_finder.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "daemon/mounts.h"
#include "daemon/path_text.h"
#include "daemon/patient.h"
#include "daemon/store_url.h"
#include "store/file_url.h"

namespace cairn::daemon {

namespace {

namespace fs = std::filesystem;

std::string in(const std::string& directory, const std::string& name) {
  return directory == "/" ? "/" + name : directory + "/" + name;
}

std::vector<std::string> steps_of(std::string_view pattern) {
  std::vector<std::string> components;
  while (!pattern.empty()) {
    const std::size_t slash = std::min(pattern.find('/'), pattern.size());
    components.emplace_back(pattern.substr(0, slash));
    pattern.remove_prefix(std::min(slash + 1, pattern.size()));
  }
  return components;
}

// Whether a walk would find a path that consists of these names.
bool matches(std::span<const std::string> components, std::span<const std::string> names) {
  if (components.empty() || names.empty()) return components.empty() && names.empty();
  const auto rest = components.subspan(1);
  if (components[0] == "**") return matches(rest, names) || matches(components, names.subspan(1));
  return ::fnmatch(components[0].c_str(), names[0].c_str(), FNM_PERIOD) == 0 && matches(rest, names.subspan(1));
}

// The files below one directory that a pattern means. What cannot be read, or goes away meanwhile, is passed over: the
// next look finds it.
class Walk {
 public:
  Walk(const std::vector<std::string>& components, Steps& steps) : components_(components), steps_(steps) {}

  void at(const std::string& directory, const std::string& below, std::size_t index) {
    if (!seen_.emplace(directory, index).second) return;
    directories.insert(directory);
    const std::string& component = components_[index];
    const bool any_depth = component == "**";
    if (any_depth) at(directory, below, index + 1);
    std::error_code error;
    fs::directory_iterator entry(directory, fs::directory_options::skip_permission_denied, error), end;
    for (; !error && entry != end; entry.increment(error), ++steps_) {
      const std::string name = entry->path().filename().string();
      if (any_depth ? is_walked(*entry, name) : ::fnmatch(component.c_str(), name.c_str(), FNM_PERIOD) == 0) {
        take(*entry, directory, name, below, index, any_depth ? index : index + 1);
      }
    }
    const int number = error ? error.value() : 0;
    failed |= number != 0 && number != ENOENT && number != ENOTDIR && number != ELOOP && number != EACCES;
  }

  std::map<std::string, std::string> files;  // path to the path below the directory
  std::set<std::string> directories;
  bool failed = false;  // a directory that is there could not be read: of a disk or a mount that fails

 private:
  // Links are not followed at any depth: they can lead in circles. Nor are replicas that lie beside databases.
  static bool is_walked(const fs::directory_entry& entry, const std::string& name) {
    std::error_code ignored;
    return name[0] != '.' && !name.ends_with("-cairn") && !entry.is_symlink(ignored) && entry.is_directory(ignored);
  }

  void take(const fs::directory_entry& entry, const std::string& directory, const std::string& name,
            const std::string& below, std::size_t index, std::size_t next) {
    const std::string path = in(directory, name), path_below = below.empty() ? name : below + "/" + name;
    std::error_code ignored;
    if (index + 1 < components_.size()) {
      if (entry.is_directory(ignored)) at(path, path_below, next);
    } else if (entry.is_regular_file(ignored) && !is_beside_a_database(name)) {
      files.emplace(path, path_below);
    }
  }

  const std::vector<std::string>& components_;
  Steps& steps_;
  std::set<std::pair<std::string, std::size_t>> seen_;
};

std::string identity_of(const std::string& path) {
  struct stat file{};
  return ::stat(path.c_str(), &file) == 0 ? fmt::format("{}:{}", file.st_dev, file.st_ino) : path;
}

// Symbolic links of a folder are followed.
std::string real_place(const std::string& replica) {
  const std::string place = place_of(replica).value_or(replica);
  if (!place.starts_with("file://")) return place;
  std::error_code error;
  const fs::path real = fs::weakly_canonical(path_of_file_url(place).value_or(place), error);
  return error ? place : file_url(real.string());
}

// What is looked at is looked at first, by questions that have copies of all they need (patient.h); what it comes to
// follows without a file system.
class Finder {
 public:
  Finder(const Config& config, const FoundDatabases& before) : config_(config), before_(before) {}

  FoundDatabases find() {
    take_named();
    for (const DatabaseEntry& entry : config_.databases) {
      if (entry.path.empty()) take_matching(entry);
    }
    look_at_places();
    for (const bool kept : {false, true}) {
      for (const Candidate& one : candidates_) {
        if (one.is_kept == kept) add(one);
      }
    }
    std::sort(found_.databases.begin(), found_.databases.end(),
              [](const FoundDatabase& a, const FoundDatabase& b) { return a.path < b.path; });
    return std::move(found_);
  }

 private:
  using Texts = std::map<std::string, std::string>;
  struct Candidate {
    const DatabaseEntry* entry = nullptr;
    std::string path, below, identity;
    Result<std::string> replica;
    bool is_kept = false;  // by what was known
  };
  struct Walked {
    std::map<std::string, std::pair<std::string, std::string>> files;  // path to the path below, and the identity
    std::set<std::string> directories;
    bool failed = false;
  };

  void take(const DatabaseEntry& entry, const std::string& path, const std::string& below,
            const std::string& identity, bool is_kept = false) {
    const Result<std::string> replica = replica_url(entry, path, below);
    if (!is_kept && belongs_to_unanswered(path, replica)) return;
    if (!paths_.insert(fs::path(path).lexically_normal().string()).second) return;
    candidates_.push_back({&entry, path, below, identity, replica, is_kept});
  }

  // An earlier pattern means it, and is not known to have left it to this one: it is begun when that one answers.
  bool belongs_to_unanswered(const std::string& path, const Result<std::string>& replica) const {
    const auto means = [&](const DatabaseEntry* entry) { return below_if_meant(*entry, path).has_value(); };
    if (std::none_of(unanswered_.begin(), unanswered_.end(), means)) return false;
    const FoundDatabase* const known = known_as(path);
    return !known || !replica || known->replica != *replica;
  }

  static std::optional<std::string> below_if_meant(const DatabaseEntry& entry, const std::string& path) {
    const std::string above = in(entry.directory, "");
    if (!path.starts_with(above)) return std::nullopt;
    std::string below = path.substr(above.size());
    return matches(steps_of(entry.pattern), steps_of(below)) ? std::optional(std::move(below)) : std::nullopt;
  }

  const FoundDatabase* known_as(const std::string& path) const {  // they are by path
    const auto at = std::lower_bound(before_.databases.begin(), before_.databases.end(), path,
                                     [](const FoundDatabase& one, const std::string& of) { return one.path < of; });
    return at != before_.databases.end() && at->path == path ? &*at : nullptr;
  }

  // Nothing: it does not answer. One question of each find() waits for a device, the others go by what that one met.
  template <class T>
  std::optional<T> ask(const std::string& name, const std::string& device, std::function<T(Steps&)> question) {
    if (silent_.contains(device)) return std::nullopt;
    const auto answer = std::make_shared<std::optional<T>>();
    std::vector<Question> one{{name, device, [answer, question = std::move(question)](Steps& steps) {
                                 *answer = question(steps);
                               }}};
    ask_all(one, {});
    if (one[0].is_answered) return std::move(*answer);
    silent_.insert(device);
    return std::nullopt;
  }

  // Each text's answer, all of a device at once; what does not answer is left out.
  using Look = std::string (*)(const std::string& text);
  Texts look_at(const std::string& what, const std::vector<std::pair<std::string, std::string>>& by_path, Look look) {
    std::map<std::string, std::vector<std::string>> by_device;
    for (const auto& [path, text] : by_path) by_device[mounts_.device_of(path)].push_back(text);
    Texts all;
    for (const auto& [device, texts] : by_device) {
      const std::function<Texts(Steps&)> question = [texts = texts, look](Steps& steps) {
        Texts answers;
        for (const std::string& text : texts) {
          answers.emplace(text, look(text));
          ++steps;
        }
        return answers;
      };
      if (auto answers = ask<Texts>(what + " on " + device, device, question)) all.merge(*answers);
    }
    return all;
  }

  void take_named() {
    std::vector<std::pair<std::string, std::string>> named;
    for (const DatabaseEntry& entry : config_.databases) {
      if (!entry.path.empty()) named.emplace_back(entry.path, entry.path);
    }
    const Texts identities = look_at("databases", named, identity_of);
    for (const DatabaseEntry& entry : config_.databases) {
      if (entry.path.empty()) continue;
      const auto identity = identities.find(entry.path);
      const FoundDatabase* const known = known_as(entry.path);
      take(entry, entry.path, "", identity != identities.end() ? identity->second
                                  : known                      ? known->identity
                                                               : entry.path);
    }
  }

  void take_matching(const DatabaseEntry& entry) {
    const std::vector<std::string> components = steps_of(entry.pattern);
    const std::function<Walked(Steps&)> question = [components, directory = entry.directory](Steps& steps) {
      Walk walk(components, steps);
      walk.at(directory, "", 0);
      Walked walked{{}, std::move(walk.directories), walk.failed};
      for (auto& [path, below] : walk.files) {
        walked.files.emplace(path, std::pair(below, identity_of(path)));
        ++steps;
      }
      return walked;
    };
    auto walked = ask<Walked>("files below " + in(entry.directory, entry.pattern), mounts_.device_of(entry.directory),
                              question);
    if (walked) {
      found_.directories.merge(walked->directories);
      for (const auto& [path, file] : walked->files) take(entry, path, file.first, file.second);
    }
    if (!walked || walked->failed) keep_matching(entry);
  }

  void keep_matching(const DatabaseEntry& entry) {
    found_.unanswered.push_back(fmt::format("{}:{}: what lies at {} does not answer, or fails: the databases known "
                                            "there go on, and others are found when it does", config_.file, entry.line,
                                            in(entry.directory, entry.pattern)));
    for (const FoundDatabase& one : before_.databases) {
      const std::optional<std::string> below = below_if_meant(entry, one.path);
      if (!below || replica_url(entry, one.path, *below).value_or("") != one.replica) continue;
      take(entry, one.path, *below, one.identity, true);
    }
    unanswered_.push_back(&entry);
  }

  // Symbolic links of folders lead to one place by several names.
  void look_at_places() {
    std::vector<std::pair<std::string, std::string>> replicas;
    for (const Candidate& one : candidates_) {
      if (!one.replica) continue;
      const std::string place = place_of(*one.replica).value_or(*one.replica);
      real_places_.emplace(*one.replica, place);  // as far as no file system says otherwise
      if (place.starts_with("file://")) replicas.emplace_back(path_of_file_url(place).value_or(place), *one.replica);
    }
    for (auto& [replica, place] : look_at("replicas", replicas, real_place)) real_places_[replica] = place;
  }

  void add(const Candidate& one) {
    if (!one.replica) return leave_out(one, one.replica.error().message());
    if (const auto [same, is_new] = files_.emplace(one.identity, one.path); !is_new) {
      return leave_out(one, fmt::format("is the same database as {}: name it once", same->second));
    }
    if (const auto [same, is_new] = places_.emplace(real_places_.at(*one.replica), one.path); !is_new) {
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
    found_.clashes.push_back({one.path, fmt::format("{}{} {}", where, one.path, why)});
  }

  const Config& config_;
  const FoundDatabases& before_;
  const MountTable mounts_ = MountTable(read_mounts());
  FoundDatabases found_;
  std::vector<Candidate> candidates_;
  std::vector<const DatabaseEntry*> unanswered_;
  std::set<std::string> paths_, silent_;  // the second: devices
  Texts files_, places_;  // to the path that has it
  Texts real_places_;     // of each replica
};

}  // namespace

bool is_beside_a_database(std::string_view name) {
  static constexpr std::array<std::string_view, 3> kEnds{"-wal", "-shm", "-journal"};
  return std::any_of(kEnds.begin(), kEnds.end(), [&](std::string_view end) { return name.ends_with(end); });
}

FoundDatabases find_databases(const Config& config, const FoundDatabases& before) {
  return Finder(config, before).find();
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
