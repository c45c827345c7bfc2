// A directory is watched, for names and for writes, and not the files in it: so there are as many watches as
// directories, and a database that nobody has open needs none of its own. (A database that is written to by another
// name, a hard link in another directory, is not heard of: whoever looks now and then finds that.)
#include "daemon/files_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>
#include <vector>

namespace cairn::daemon {

Result<std::unique_ptr<FilesWatch>> FilesWatch::open(AddWatch add_watch) {
  CAIRN_ASSIGN(Notifier notifier, Notifier::open(add_watch));
  return std::unique_ptr<FilesWatch>(new FilesWatch(std::move(notifier)));
}

void FilesWatch::add(Id id, const std::string& database_path) {
  const std::filesystem::path path = resolved(database_path);
  MutexLock lock(mutex_);
  File& file = files_[id];
  file.directory = path.has_parent_path() ? path.parent_path().string() : std::string(".");
  file.name = path.filename().string();
  watch(id, file);
}

void FilesWatch::refresh(Id id) {
  MutexLock lock(mutex_);
  const auto file = files_.find(id);
  if (file != files_.end()) watch(id, file->second);
}

void FilesWatch::watch(Id id, File& file) {
  file.error_number = 0;
  if (Watch* names = add_watch(file, file.directory, kNameEvents | kWriteEvents)) {
    names->names[file.name] = {id, What::database};
    names->names[file.name + "-wal"] = {id, What::only_wal};
  }
}

// Null: not there (yet), or no watch is to be had, which the file's error_number says.
FilesWatch::Watch* FilesWatch::add_watch(File& file, const std::string& path, std::uint32_t mask) {
  int number = -1;
  const int error_number =
      notifier_.is_watching() ? notifier_.add(path, mask, number) : notifier_.error();
  if (error_number == 0) {
    file.watch = number;
    return &watches_[number];
  }
  if (error_number != ENOENT && error_number != ENOTDIR) {
    file.error_number = error_number;
  }
  return nullptr;
}

void FilesWatch::remove(Id id) {
  MutexLock lock(mutex_);
  const auto file = files_.find(id);
  if (file == files_.end()) return;
  if (const auto watch = watches_.find(file->second.watch); watch != watches_.end()) {
    for (const std::string& name : {file->second.name, file->second.name + "-wal"}) {
      const auto named = watch->second.names.find(name);
      if (named != watch->second.names.end() && named->second.id == id) watch->second.names.erase(named);
    }
    if (watch->second.names.empty()) {
      notifier_.remove(watch->first);
      watches_.erase(watch);
    }
  }
  files_.erase(file);
}

bool FilesWatch::is_watched(Id id) const { return error_number_of(id) == 0; }

int FilesWatch::error_number_of(Id id) const {
  MutexLock lock(mutex_);
  const auto file = files_.find(id);
  return file == files_.end() ? 0 : file->second.error_number;
}

std::string FilesWatch::trouble_of(Id id) const {
  MutexLock lock(mutex_);
  const auto file = files_.find(id);
  if (file == files_.end() || file->second.error_number == 0) return {};
  const File& one = file->second;
  return fmt::format("{}/{} cannot be watched for changes ({}), so it is looked at again and again{}", one.directory,
                     one.name, std::strerror(one.error_number), inotify_remedy(one.error_number));
}

std::map<FilesWatch::Id, FilesWatch::What> FilesWatch::drain() {
  struct Event {
    int number;
    std::uint32_t mask;
    std::string name;
  };
  std::vector<Event> events;
  notifier_.drain([&](int number, std::uint32_t mask, std::string_view name) {
    events.push_back({number, mask, std::string(name)});
  });
  MutexLock lock(mutex_);
  std::map<Id, What> changed;
  std::set<Id> set_again;
  for (const Event& event : events) {
    if ((event.mask & IN_Q_OVERFLOW) != 0) {  // something was lost
      for (const auto& [id, file] : files_) set_again.insert(id);
    }
    const auto watch = watches_.find(event.number);
    if (watch == watches_.end()) continue;
    if (const auto named = watch->second.names.find(event.name); named != watch->second.names.end()) {
      What& what = changed.emplace(named->second.id, What::only_wal).first->second;
      what = std::max(what, named->second.what);
    }
    if ((event.mask & (IN_IGNORED | IN_MOVE_SELF)) == 0) continue;  // else it has gone, and perhaps been replaced
    for (const auto& [name, named] : watch->second.names) {
      set_again.insert(named.id);
      files_[named.id].watch = -1;
    }
    if ((event.mask & IN_IGNORED) == 0) notifier_.remove(event.number);
    watches_.erase(watch);
  }
  for (const Id id : set_again) {
    changed[id] = What::database;
    watch(id, files_[id]);
  }
  return changed;
}

}  // namespace cairn::daemon
