// What FileWatch is for one database, for many with one inotify: tells which of them was written to, made, replaced or
// removed.
#pragma once

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

  // io: not even a bell could be made.
  static Result<std::unique_ptr<FilesWatch>> open(AddWatch add_watch = ::inotify_add_watch);

  // Any thread. Watching may not be to be had for a database (limits of the system): then trouble_of() says so.
  // These two ask the file system, and take as long as that does: nobody else waits for it. What happened before they
  // return may not be told of, so look at the files after them.
  void add(Id id, const std::string& database_path) EXCLUDES(mutex_);
  // A directory that has appeared since, or was replaced, is watched from now on. Cheap; for every slow look.
  void refresh(Id id) EXCLUDES(mutex_);
  void remove(Id id) EXCLUDES(mutex_);
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

  // One thread waits.
  Wake wait(std::int64_t timeout_us) { return notifier_.wait(timeout_us, Notifier::WaitFor::anything); }
  Wake wait_for_bell(std::int64_t timeout_us) { return notifier_.wait(timeout_us, Notifier::WaitFor::bell); }
  // Reads what is queued: those to which something happened.
  enum class What { only_wal, database };  // the second: to the database file, or that is not known
  std::map<Id, What> drain() EXCLUDES(mutex_);

 private:
  struct File {
    std::string directory, name;
    int watch = -1;
    int error_number = 0;  // why it is not watched
    bool is_lost = false;
  };
  struct Named {
    Id id = 0;
    What what = What::database;
  };
  struct Watch {  // of a directory
    std::unordered_map<std::string, Named> names;
  };

  explicit FilesWatch(Notifier notifier) : notifier_(std::move(notifier)) {}
  bool note_watch(Id id, std::uint64_t removals, int number, int error_number) EXCLUDES(mutex_);

  Notifier notifier_;
  mutable Mutex mutex_;
  std::unordered_map<Id, File> files_ GUARDED_BY(mutex_);
  std::unordered_map<int, Watch> watches_ GUARDED_BY(mutex_);
  std::uint64_t removals_ GUARDED_BY(mutex_) = 0;  // of watches
};

}  // namespace cairn::daemon
