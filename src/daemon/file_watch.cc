// The directory is watched for names (the WAL is born, the database is replaced by a rename or removed), the database
// and its WAL for writes. A file watch follows the inode, not the name: after any event about one of our names the
// watches are set again, which does nothing where they are still right.
//
// The directory itself is not watched for writes: a busy neighbour in it would wake us for nothing.
#include "daemon/file_watch.h"

#include <fmt/format.h>
#include <sys/inotify.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace cairn::daemon {

Result<std::unique_ptr<FileWatch>> FileWatch::open(const std::string& database_path) {
  CAIRN_ASSIGN(Notifier notifier, Notifier::open());
  const int error_number = notifier.error();
  std::unique_ptr<FileWatch> watch(new FileWatch(std::move(notifier)));
  const std::filesystem::path path = resolved(database_path);
  watch->directory_ = path.has_parent_path() ? path.parent_path().string() : std::string(".");
  watch->name_ = path.filename().string();
  if (error_number != 0) {
    watch->stop_watching(error_number);
    return watch;
  }
  watch->refresh();
  return watch;
}

bool FileWatch::add(const std::string& path, std::uint32_t mask) {
  const int error_number = notifier_.add(path, mask);
  // Not there (yet): the watch on the directory tells when it is.
  if (error_number == 0 || error_number == ENOENT || error_number == ENOTDIR) return true;
  stop_watching(error_number);
  return false;
}

void FileWatch::refresh() {
  if (!is_watching()) return;
  const std::string path = directory_ + "/" + name_;
  if (add(directory_, kNameEvents) && add(path, kWriteEvents)) add(path + "-wal", kWriteEvents);
}

void FileWatch::stop_watching(int error_number) {
  notifier_.stop_watching();
  trouble_ = fmt::format("{}/{} cannot be watched for changes ({}), so it is looked at ten times a second{}",
                         directory_, name_, std::strerror(error_number), inotify_remedy(error_number));
}

bool FileWatch::drain() {
  bool ours = false, set_again = false;
  notifier_.drain([&](std::uint32_t mask, std::string_view name) {
    const bool about_us = name == name_ || (name.starts_with(name_) && name.substr(name_.size()) == "-wal");
    // Without a name it is a write to a watched file, a watch that ended, or an overflow of the queue.
    ours |= about_us || name.empty();
    set_again |= about_us || (mask & (IN_IGNORED | IN_Q_OVERFLOW)) != 0;
  });
  if (set_again) refresh();
  return ours;
}

}  // namespace cairn::daemon
