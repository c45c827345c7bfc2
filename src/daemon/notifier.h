// inotify, and a bell that other threads ring, waited for together.
#pragma once

#include <sys/inotify.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/os.h"
#include "cairn/error.h"

namespace cairn::daemon {

// inotify_add_watch(2), or a test's that meets limits.
using AddWatch = int (*)(int inotify, const char* path, std::uint32_t mask);

class Notifier {
 public:
  enum class Wake { event, other, bell, timeout };
  enum class WaitFor { anything, bell };

  // io: not even a bell could be made. Without inotify (limits of the system) it has only the bell: see error().
  static Result<Notifier> open(AddWatch add_watch = ::inotify_add_watch);
  // Without a bell, for wait() of another one.
  static Notifier of_files_alone(AddWatch add_watch);

  // Of opening inotify: 0, or an errno.
  int error() const { return error_; }
  bool is_watching() const { return inotify_.is_open(); }
  // 0, or an errno. Again for the same file: nothing changes.
  int add(const std::string& path, std::uint32_t mask) const;
  // The same; `watch` gets the number that its events carry.
  int add(const std::string& path, std::uint32_t mask, int& watch) const;
  void remove(int watch) const;
  void stop_watching() { inotify_.close(); }

  // The timeout is rounded up to the kernel's grain. With WaitFor::bell what happens to files is kept for drain().
  Wake wait(std::int64_t timeout_us, WaitFor what) { return wait(timeout_us, what, nullptr); }
  // The same, and for what happens to the files of another one (null: there is none), which is Wake::other.
  Wake wait(std::int64_t timeout_us, WaitFor what, const Notifier* other);
  // Reads what is queued: `see` gets each event's mask and name.
  void drain(const std::function<void(std::uint32_t mask, std::string_view name)>& see);
  void drain(const std::function<void(int watch, std::uint32_t mask, std::string_view name)>& see);
  // Any thread. Rings that nobody waits for are kept, as one.
  void ring() const;

 private:
  bool silence_bell() const;

  FileDescriptor inotify_, bell_;
  AddWatch add_watch_ = ::inotify_add_watch;
  int error_ = 0;
};

// What a directory is watched for where files come and go in it, and what a file is watched for.
inline constexpr std::uint32_t kNameEvents = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR;
inline constexpr std::uint32_t kWriteEvents = IN_MODIFY;

// The path without symbolic links, as SQLite opens it; what does not exist yet stays as it is.
std::filesystem::path resolved(const std::string& path);

// What to do about an errno of inotify's: ": raise ..." or "".
const char* inotify_remedy(int error_number);

}  // namespace cairn::daemon
