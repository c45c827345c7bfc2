#include "daemon/tree_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace cairn::daemon {

namespace fs = std::filesystem;

namespace {

constexpr std::uint32_t kChanges = IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM |
                                   IN_MOVED_TO | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK;

}  // namespace

Result<std::unique_ptr<TreeWatch>> TreeWatch::open(std::string root, std::size_t most_directories) {
  CAIRN_ASSIGN(Notifier notifier, Notifier::open());
  const int error_number = notifier.error();
  std::unique_ptr<TreeWatch> watch(new TreeWatch(std::move(notifier), std::move(root), most_directories));
  if (error_number != 0) {
    watch->stop_watching(std::strerror(error_number), inotify_remedy(error_number));
  } else {
    watch->add_all();
  }
  return watch;
}

bool TreeWatch::drain() {
  bool changed = false;
  notifier_.drain([&](std::uint32_t mask, std::string_view) {
    if ((mask & IN_IGNORED) != 0) return;  // a directory has gone, of which its parent told
    changed = true;
    const bool new_directory = (mask & IN_ISDIR) != 0 && (mask & (IN_CREATE | IN_MOVED_TO)) != 0;
    stale_ |= new_directory || (mask & IN_Q_OVERFLOW) != 0;
  });
  return changed;
}

void TreeWatch::refresh() {
  if (!std::exchange(stale_, false) || !is_watching()) return;
  add_all();
}

void TreeWatch::add_all() {
  std::size_t directories = 1;
  if (!add(root_)) return;
  std::error_code error;
  // What cannot be read, or goes away meanwhile, is passed over: its change has been told, or the next look finds it.
  fs::recursive_directory_iterator entry(root_, fs::directory_options::skip_permission_denied, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (!entry->is_directory(ignored) || entry->is_symlink(ignored)) continue;
    if (++directories > most_directories_) {
      return stop_watching(fmt::format("it has more than {} directories", most_directories_), "");
    }
    if (!add(entry->path().string())) return;
  }
}

bool TreeWatch::add(const std::string& path) {
  const int error_number = notifier_.add(path, kChanges);
  if (error_number != ENOSPC && error_number != ENOMEM) return true;
  stop_watching(std::strerror(error_number), inotify_remedy(error_number));
  return false;
}

void TreeWatch::stop_watching(const std::string& why, const char* remedy) {
  notifier_.stop_watching();
  trouble_ = fmt::format("{} cannot be watched for changes ({}), so it is only looked at once an interval{}", root_,
                         why, remedy);
}

}  // namespace cairn::daemon
