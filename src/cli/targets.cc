#include "cli/targets.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <map>

#include "cli/places.h"
#include "cli/system.h"

namespace cairn::cli {

namespace {

Result<std::string> url_for(const std::string& database, std::size_t count, const std::string& to) {
  std::string path = database;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (file_name(path).empty() || file_name(path) == "." || file_name(path) == "..") {
    return Error(ErrorKind::invalid, fmt::format("'{}' is not the name of a database file", database));
  }
  if (to.empty()) return path + "-cairn";
  return count == 1 ? to : join_url(to, file_name(path));
}

// The file itself where there is one, for it may have two names; else the path.
std::string identity_of(const std::string& database) {
  struct stat file{};
  if (::stat(database.c_str(), &file) == 0) return fmt::format("{}:{}", file.st_dev, file.st_ino);
  return real_path(database);
}

}  // namespace

Result<std::vector<Target>> choose_targets(const std::vector<std::string>& databases, const std::string& to) {
  std::vector<Target> targets;
  std::map<std::string, std::string> by_file, by_replica;  // to the name that the user gave
  for (const std::string& database : databases) {
    CAIRN_ASSIGN(const std::string url, url_for(database, databases.size(), to));
    CAIRN_ASSIGN(const std::unique_ptr<Store> store, open_store(url));
    const auto [same_file, new_file] = by_file.emplace(identity_of(database), database);
    if (!new_file) {
      return Error(ErrorKind::invalid, fmt::format("{} and {} are the same database: name it once", same_file->second,
                                                   database));
    }
    const auto [same_replica, new_replica] = by_replica.emplace(canonical_url(url, store->url()), database);
    if (!new_replica) {
      return Error(ErrorKind::invalid,
                   fmt::format("{} and {} would share the replica {}: replicate each with a --to of its own",
                               same_replica->second, database, store->url()));
    }
    targets.push_back({database, url});
  }
  return targets;
}

}  // namespace cairn::cli
