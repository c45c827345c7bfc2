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

namespace {

using What = FilesWatch::What;

constexpr std::array kFiles{What::only_wal, What::database};

std::size_t index_of(What what) { return static_cast<std::size_t>(what); }

std::string name_of(const std::string& database, What what) {
  return what == What::database ? database : database + "-wal";
}

void note(std::map<FilesWatch::Id, What>& changed, FilesWatch::Id id, What what) {
  What& all = changed.emplace(id, What::only_wal).first->second;
  all = std::max(all, what);
}

}  // namespace

Result<std::unique_ptr<FilesWatch>> FilesWatch::open(AddWatch add_watch) {
  CAIRN_ASSIGN(Notifier notifier, Notifier::open(add_watch));
  return std::unique_ptr<FilesWatch>(new FilesWatch(std::move(notifier), Notifier::of_files_alone(add_watch)));
}

void FilesWatch::add(Id id, const std::string& database_path) {
  const std::filesystem::path path = resolved(database_path);
  {
    MutexLock lock(mutex_);
    File& file = files_[id];
    file.directory = path.has_parent_path() ? path.parent_path().string() : std::string(".");
    file.name = path.filename().string();
  }
  refresh(id);
}

// The kernel looks the directory up, which a mount that hangs does not answer: so no lock is held meanwhile.
void FilesWatch::refresh(Id id) {
  std::string directory;
  std::uint64_t removals = 0;
  int number = -1, error_number = 0;
  do {
    {
      MutexLock lock(mutex_);
      const auto file = files_.find(id);
      if (file == files_.end()) return;
      file->second.is_lost = false;
      directory = file->second.directory;
      removals = removals_;
    }
    error_number = notifier_.is_watching() ? notifier_.add(directory, kNameEvents | kWriteEvents, number)
                                           : notifier_.error();
  } while (!note_watch(id, removals, number, error_number));
  watch_at_once(id);
}

void FilesWatch::tell_at_once(Id id, AtOnce files) {
  {
    MutexLock lock(mutex_);
    const auto file = files_.find(id);
    if (file == files_.end()) return;
    file->second.at_once = files;
  }
  watch_at_once(id);
}

void FilesWatch::watch_at_once(Id id) {
  for (const What what : kFiles) watch_at_once(id, what);
}

// As in refresh() no lock is held while the kernel looks the file up.
void FilesWatch::watch_at_once(Id id, What what) {
  std::string path;
  {
    MutexLock lock(mutex_);
    const auto file = files_.find(id);
    if (file == files_.end()) return;
    const bool has_watch = file->second.at_once_watches[index_of(what)] >= 0, is_wanted = file->second.wants(what);
    if (has_watch && !is_wanted) note_at_once(id, what, -1);
    if (has_watch || !is_wanted || !at_once_.is_watching()) return;
    path = file->second.directory + "/" + name_of(file->second.name, what);
  }
  int number = -1;
  if (at_once_.add(path, kWriteEvents, number) != 0) return;
  MutexLock lock(mutex_);
  const auto file = files_.find(id);
  if (file != files_.end() && file->second.wants(what)) return note_at_once(id, what, number);
  if (!at_once_names_.contains(number)) at_once_.remove(number);
}

// -1: it has none any more. Two names of one file have one watch, which tells of the last of them.
void FilesWatch::note_at_once(Id id, What what, int number) {
  const int before = std::exchange(files_[id].at_once_watches[index_of(what)], number);
  if (number >= 0) at_once_names_[number] = {id, what};
  const auto named = at_once_names_.find(before);
  if (before == number || named == at_once_names_.end() || named->second.id != id) return;
  at_once_names_.erase(named);
  at_once_.remove(before);
}

// False: a watch was removed meanwhile, and it may be this one, which others had: it is to be made again.
bool FilesWatch::note_watch(Id id, std::uint64_t removals, int number, int error_number) {
  MutexLock lock(mutex_);
  if (error_number == 0 && removals != removals_) return false;
  const auto found = files_.find(id);
  if (found == files_.end()) {  // it was removed meanwhile
    if (error_number == 0 && !watches_.contains(number)) {
      notifier_.remove(number);
      ++removals_;
    }
    return true;
  }
  File& file = found->second;
  file.error_number = error_number == ENOENT || error_number == ENOTDIR ? 0 : error_number;  // not there (yet)
  if (error_number != 0) return true;
  file.watch = number;
  Watch& names = watches_[number];
  for (const What what : kFiles) names.names[name_of(file.name, what)] = {id, what};
  return true;
}

void FilesWatch::remove(Id id) {
  MutexLock lock(mutex_);
  const auto file = files_.find(id);
  if (file == files_.end()) return;
  for (const What what : kFiles) note_at_once(id, what, -1);
  if (const auto watch = watches_.find(file->second.watch); watch != watches_.end()) {
    for (const What what : kFiles) {
      const auto named = watch->second.names.find(name_of(file->second.name, what));
      if (named != watch->second.names.end() && named->second.id == id) watch->second.names.erase(named);
    }
    if (watch->second.names.empty()) {
      notifier_.remove(watch->first);
      watches_.erase(watch);
      ++removals_;
    }
  }
  files_.erase(file);
}

bool FilesWatch::has_watch(Id id) const {
  MutexLock lock(mutex_);
  const auto file = files_.find(id);
  if (file == files_.end() || file->second.error_number != 0 || file->second.is_lost) return false;
  const auto watch = watches_.find(file->second.watch);
  if (watch == watches_.end()) return false;
  const auto named = watch->second.names.find(file->second.name);
  return named != watch->second.names.end() && named->second.id == id;
}

bool FilesWatch::is_lost(Id id) const {
  MutexLock lock(mutex_);
  const auto file = files_.find(id);
  return file != files_.end() && file->second.is_lost;
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

std::string FilesWatch::resolved_path_of(Id id) const {
  MutexLock lock(mutex_);
  const auto file = files_.find(id);
  return file == files_.end() ? "" : file->second.directory + "/" + file->second.name;
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
  std::set<Id> lost;
  for (const Event& event : events) {
    if ((event.mask & IN_Q_OVERFLOW) != 0) {  // something was lost
      for (const auto& [id, file] : files_) lost.insert(id);
    }
    const auto watch = watches_.find(event.number);
    if (watch == watches_.end()) continue;
    if (const auto named = watch->second.names.find(event.name); named != watch->second.names.end()) {
      note(changed, named->second.id, named->second.what);
      const auto file = files_.find(named->second.id);
      const bool is_another = (event.mask & kNameEvents) != 0;
      if (is_another && file != files_.end() && file->second.wants(named->second.what)) {
        file->second.is_lost = true;  // it is to be watched anew
        note_at_once(file->first, named->second.what, -1);
      }
    }
    if ((event.mask & (IN_IGNORED | IN_MOVE_SELF)) == 0) continue;  // else it has gone, and perhaps been replaced
    for (const auto& [name, named] : watch->second.names) {
      lost.insert(named.id);
      files_[named.id].watch = -1;
    }
    if ((event.mask & IN_IGNORED) == 0) notifier_.remove(event.number);
    watches_.erase(watch);
    ++removals_;
  }
  for (const Id id : lost) {
    changed[id] = What::database;
    files_[id].is_lost = true;
    for (const What what : kFiles) note_at_once(id, what, -1);
  }
  return changed;
}

std::map<FilesWatch::Id, FilesWatch::What> FilesWatch::drain_at_once() {
  std::vector<std::pair<int, std::uint32_t>> events;
  at_once_.drain([&](int number, std::uint32_t mask, std::string_view) { events.emplace_back(number, mask); });
  MutexLock lock(mutex_);
  std::map<Id, What> changed;
  for (const auto& [number, mask] : events) {
    const auto found = at_once_names_.find(number);
    if (found == at_once_names_.end()) continue;
    const auto [id, what] = found->second;
    note(changed, id, what);
    if ((mask & IN_IGNORED) != 0) note_at_once(id, what, -1);  // its file has gone
  }
  return changed;
}

}  // namespace cairn::daemon
