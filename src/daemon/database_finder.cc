#include "daemon/database_finder.h"

#include <fmt/format.h>
#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <span>
#include <utility>

#include "daemon/path_text.h"
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

// The files below one directory that a pattern means. What cannot be read, or goes away meanwhile, is passed over: the
// next look finds it.
class Walk {
 public:
  explicit Walk(const std::vector<std::string>& components) : components_(components) {}

  void at(const std::string& directory, const std::string& below, std::size_t index) {
    if (!seen_.emplace(directory, index).second) return;
    directories.insert(directory);
    const std::string& component = components_[index];
    const bool any_depth = component == "**";
    if (any_depth) at(directory, below, index + 1);
    std::error_code error;
    fs::directory_iterator entry(directory, fs::directory_options::skip_permission_denied, error), end;
    for (; !error && entry != end; entry.increment(error)) {
      const std::string name = entry->path().filename().string();
      if (any_depth ? is_walked(*entry, name) : ::fnmatch(component.c_str(), name.c_str(), FNM_PERIOD) == 0) {
        take(*entry, directory, name, below, index, any_depth ? index : index + 1);
      }
    }
  }

  std::map<std::string, std::string> files;  // path to the path below the directory
  std::set<std::string> directories;

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

class Finder {
 public:
  explicit Finder(const Config& config) : config_(config) {}

  FoundDatabases find() {
    for (const DatabaseEntry& entry : config_.databases) {
      if (!entry.path.empty()) add(entry, entry.path, "");
    }
    for (const DatabaseEntry& entry : config_.databases) {
      if (!entry.path.empty()) continue;
      const std::vector<std::string> components = steps_of(entry.pattern);
      Walk walk(components);
      walk.at(entry.directory, "", 0);
      found_.directories.merge(walk.directories);
      for (const auto& [path, below] : walk.files) add(entry, path, below);
    }
    std::sort(found_.databases.begin(), found_.databases.end(),
              [](const FoundDatabase& a, const FoundDatabase& b) { return a.path < b.path; });
    return std::move(found_);
  }

 private:
  void add(const DatabaseEntry& entry, const std::string& path, const std::string& below) {
    if (!paths_.insert(fs::path(path).lexically_normal().string()).second) return;
    const Result<std::string> replica = replica_url(entry, path, below);
    if (!replica) return leave_out(entry, path, replica.error().message());
    const std::string identity = identity_of(path);
    if (const auto [same, is_new] = files_.emplace(identity, path); !is_new) {
      return leave_out(entry, path, fmt::format("is the same database as {}: name it once", same->second));
    }
    if (const auto [same, is_new] = places_.emplace(real_place(*replica), path); !is_new) {
      return leave_out(entry, path, fmt::format("would share the replica {} with {}: give one of them a to of its own",
                                                same->first, same->second));
    }
    found_.databases.push_back({path, *replica, identity, entry.settings, entry.line, entry.is_registered});
  }

  void leave_out(const DatabaseEntry& entry, const std::string& path, const std::string& why) {
    const std::string where =
        entry.is_registered ? std::string(kRegisteredClash) : fmt::format("{}:{}: ", config_.file, entry.line);
    found_.clashes.push_back({path, fmt::format("{}{} {}", where, path, why)});
  }

  const Config& config_;
  FoundDatabases found_;
  std::set<std::string> paths_;
  std::map<std::string, std::string> files_, places_;  // to the path that has it
};

}  // namespace

bool is_beside_a_database(std::string_view name) {
  static constexpr std::array<std::string_view, 3> kEnds{"-wal", "-shm", "-journal"};
  return std::any_of(kEnds.begin(), kEnds.end(), [&](std::string_view end) { return name.ends_with(end); });
}

FoundDatabases find_databases(const Config& config) { return Finder(config).find(); }

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
