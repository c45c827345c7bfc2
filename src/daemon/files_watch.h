// What FileWatch is for one database, for many with one inotify: tells which of them was written to, made, replaced or
// removed.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/mutex.h"
#include "cairn/error.h"
#include "daemon/notifier.h"

namespace cairn::daemon {

class FilesWatch {
 public:
  using Id = std::uint64_t;
  using Wake = Notifier::Wake;
  enum class What { only_wal, database };  // what is written to; the second: to the database file, or that is not known

  // io: not even a bell could be made.
  static Result<std::unique_ptr<FilesWatch>> open(AddWatch add_watch = ::inotify_add_watch);

  // Any thread. Watching may not be to be had for a database (limits of the system): then trouble_of() says so.
  // These two ask the file system, and take as long as that does: nobody else waits for it. What happened before they
  // return may not be told of, so look at the files after them.
  void add(Id id, const std::string& database_path) EXCLUDES(mutex_);
  // A directory that has appeared since, or was replaced, is watched from now on. Cheap; for every slow look.
  void refresh(Id id) EXCLUDES(mutex_);
  void remove(Id id) EXCLUDES(mutex_);
  // Writes to which of its files drain_at_once() tells of, too. Where that is not to be had, and from when a file is
  // made anew until a refresh(), drain() alone tells of them.
  enum class AtOnce { nothing, database, both };
  void tell_at_once(Id id, AtOnce files) EXCLUDES(mutex_);
  // There is a watch, and it has not gone. (It may be on a directory that has been moved away with all above it.)
  bool has_watch(Id id) const EXCLUDES(mutex_);
  // What it was watched by has gone, and it has not been refreshed since.
  bool is_lost(Id id) const EXCLUDES(mutex_);
  bool is_watched(Id id) const EXCLUDES(mutex_);
  // Why it is not watched, and what to do; "" when it is.
  std::string trouble_of(Id id) const EXCLUDES(mutex_);
  int error_number_of(Id id) const EXCLUDES(mutex_);  // 0: it is watched
  std::string resolved_path_of(Id id) const EXCLUDES(mutex_);  // without symbolic links, as it was when it was added
  void ring() const { notifier_.ring(); }

  // One thread waits: for the bell, and if it asks for that for what drain() (Wake::event) and what drain_at_once()
  // (Wake::other) tells of.
  struct For {
    bool files = true, at_once = false;
  };
  Wake wait(std::int64_t timeout_us, For what) {
    return notifier_.wait(timeout_us, what.files ? Notifier::WaitFor::anything : Notifier::WaitFor::bell,
                          what.at_once ? &at_once_ : nullptr);
  }
  Wake wait(std::int64_t timeout_us) { return wait(timeout_us, For()); }
  // Reads what is queued: those to which something happened.
  std::map<Id, What> drain() EXCLUDES(mutex_);
  std::map<Id, What> drain_at_once() EXCLUDES(mutex_);

 private:
  struct File {
    std::string directory, name;
    int watch = -1;
    int error_number = 0;  // why it is not watched
    bool is_lost = false;
    AtOnce at_once = AtOnce::nothing;
    std::array<int, 2> at_once_watches{-1, -1};  // by What; -1: none is wanted or to be had, or its file is another one
    bool wants(What what) const {
      return at_once == AtOnce::both || (at_once == AtOnce::database && what == What::database);
    }
  };
  struct Named {
    Id id = 0;
    What what = What::database;
  };
  struct Watch {  // of a directory
    std::unordered_map<std::string, Named> names;
  };

  FilesWatch(Notifier notifier, Notifier at_once) : notifier_(std::move(notifier)), at_once_(std::move(at_once)) {}
  bool note_watch(Id id, std::uint64_t removals, int number, int error_number) EXCLUDES(mutex_);
  void watch_at_once(Id id) EXCLUDES(mutex_);
  void watch_at_once(Id id, What what) EXCLUDES(mutex_);
  void note_at_once(Id id, What what, int number) REQUIRES(mutex_);

  Notifier notifier_;  // directories
  Notifier at_once_;   // files
  mutable Mutex mutex_;
  std::unordered_map<Id, File> files_ GUARDED_BY(mutex_);
  std::unordered_map<int, Watch> watches_ GUARDED_BY(mutex_);
  std::unordered_map<int, Named> at_once_names_ GUARDED_BY(mutex_);
  std::uint64_t removals_ GUARDED_BY(mutex_) = 0;  // of watches
};

}  // namespace cairn::daemon
