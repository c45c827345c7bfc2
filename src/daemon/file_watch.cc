// The directory is watched for names (the WAL is born, the database is replaced by a rename or removed), the database
// and its WAL for writes. A file watch follows the inode, not the name: after any event about one of our names the
// watches are set again, which does nothing where they are still right.
//
// The directory itself is not watched for writes: a busy neighbour in it would wake us for nothing.
#include "daemon/file_watch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>

namespace cairn::daemon {

namespace {

constexpr std::uint32_t kNames = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
constexpr std::uint32_t kWrites = IN_MODIFY;
constexpr std::int64_t kUsPerSecond = 1'000'000;

// The path without symbolic links, as SQLite opens it; what does not exist yet stays as it is.
std::filesystem::path resolved(const std::string& path) {
  std::error_code ignored;
  std::filesystem::path real = std::filesystem::weakly_canonical(path, ignored);
  return real.empty() ? std::filesystem::path(path) : real;
}

}  // namespace

Result<std::unique_ptr<FileWatch>> FileWatch::open(const std::string& database_path) {
  std::unique_ptr<FileWatch> watch(new FileWatch);
  const std::filesystem::path path = resolved(database_path);
  watch->directory_ = path.has_parent_path() ? path.parent_path().string() : std::string(".");
  watch->name_ = path.filename().string();
  watch->bell_ = FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!watch->bell_.is_open()) return os_error(errno, "making an eventfd");
  watch->inotify_ = FileDescriptor(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!watch->inotify_.is_open()) {
    watch->stop_watching(errno);
    return watch;
  }
  watch->watching_ = true;
  watch->refresh();
  return watch;
}

bool FileWatch::add(const std::string& path, std::uint32_t mask) {
  if (::inotify_add_watch(inotify_.get(), path.c_str(), mask) >= 0) return true;
  const int error_number = errno;
  // Not there (yet): the watch on the directory tells when it is.
  if (error_number == ENOENT || error_number == ENOTDIR) return true;
  stop_watching(error_number);
  return false;
}

void FileWatch::refresh() {
  if (!watching_) return;
  const std::string path = directory_ + "/" + name_;
  if (add(directory_, kNames) && add(path, kWrites)) add(path + "-wal", kWrites);
}

void FileWatch::stop_watching(int error_number) {
  watching_ = false;
  inotify_.close();
  const char* remedy = "";
  if (error_number == ENOSPC) remedy = ": raise fs.inotify.max_user_watches with sysctl";
  if (error_number == EMFILE) remedy = ": raise fs.inotify.max_user_instances with sysctl";
  trouble_ = fmt::format("{}/{} cannot be watched for changes ({}), so it is looked at ten times a second{}",
                         directory_, name_, std::strerror(error_number), remedy);
}

bool FileWatch::silence_bell() {
  std::uint64_t rings = 0;
  return ::read(bell_.get(), &rings, sizeof rings) == static_cast<ssize_t>(sizeof rings);
}

void FileWatch::ring() {
  const std::uint64_t one = 1;
  // It fails only when the counter is full, and then the bell is ringing anyway.
  [[maybe_unused]] const ssize_t written = ::write(bell_.get(), &one, sizeof one);
}

FileWatch::Wake FileWatch::wait_on(std::int64_t timeout_us, bool files_too) {
  std::array<pollfd, 2> waiting{{{bell_.get(), POLLIN, 0}, {inotify_.get(), POLLIN, 0}}};
  timeout_us = std::max<std::int64_t>(timeout_us, 0);
  const timespec timeout{static_cast<time_t>(timeout_us / kUsPerSecond),
                         static_cast<long>(timeout_us % kUsPerSecond * 1000)};
  const int ready = ::ppoll(waiting.data(), files_too && watching_ ? 2 : 1, &timeout, nullptr);
  if (ready <= 0) return Wake::timeout;  // a signal is as good as a timeout: the caller looks, and waits again
  if (waiting[0].revents != 0 && silence_bell()) return Wake::bell;
  return waiting[1].revents != 0 ? Wake::event : Wake::timeout;
}

FileWatch::Wake FileWatch::wait(std::int64_t timeout_us) { return wait_on(timeout_us, true); }
FileWatch::Wake FileWatch::wait_for_bell(std::int64_t timeout_us) { return wait_on(timeout_us, false); }

bool FileWatch::drain() {
  if (!watching_) return false;
  bool ours = false, set_again = false;
  alignas(inotify_event) std::array<char, 4096> buffer;
  ssize_t got = 0;
  while (watching_ && (got = ::read(inotify_.get(), buffer.data(), buffer.size())) > 0) {
    for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
      inotify_event event;
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const std::string_view name = event.len == 0 ? "" : buffer.data() + at + sizeof event;
      at += sizeof event + event.len;
      const bool about_us = name == name_ || (name.starts_with(name_) && name.substr(name_.size()) == "-wal");
      // Without a name it is a write to a watched file, a watch that ended, or an overflow of the queue.
      ours |= about_us || name.empty();
      set_again |= about_us || (event.mask & (IN_IGNORED | IN_Q_OVERFLOW)) != 0;
    }
  }
  if (set_again) refresh();
  return ours;
}

}  // namespace cairn::daemon
