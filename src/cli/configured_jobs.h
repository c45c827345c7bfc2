// The jobs of a configuration: a database on its way to its replica, a container's directory on its way to its store.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "cli/config_file.h"
#include "cli/configured_database.h"
#include "cli/exit_status.h"
#include "cli/log.h"
#include "cli/output.h"
#include "cli/system.h"
#include "daemon/fleet.h"
#include "daemon/scheduler.h"
#include "daemon/supervisor.h"

namespace cairn {
struct LayerSnapshot;
}
namespace cairn::cli {

class ConfiguredJobs : public daemon::Fleet {
 public:
  // `scheduler` does what there is to do for databases.
  ConfiguredJobs(daemon::Scheduler& scheduler, Style style, const Log& log);

  // One a database and layer. They use this object, which outlives them.
  Result<std::vector<daemon::Job>> jobs_of(const daemon::Config& config, const daemon::FoundDatabases& found)
      EXCLUDES(mutex_);

  // The log, of which every line is about this database: with the sequence up to which it is published, once that is
  // known.
  Log log_of(const std::string& database) const EXCLUDES(mutex_);
  void tell_failure(const daemon::JobFailure& failure);
  void note_end(const std::string& name) EXCLUDES(mutex_);
  // How stores are may change while nothing else does. True: one is in trouble, so look again soon.
  bool look_at_stores() EXCLUDES(mutex_);
  // Of one that failed at its last try, and has not begun to work since; 0: there is none.
  int exit_status() const EXCLUDES(mutex_);
  daemon::FleetView view() const override EXCLUDES(mutex_);
  // All of it is to end.
  void note_stopping() EXCLUDES(mutex_);

  // A wish that everything which is committed in a database when it is made is in the store.
  struct Sync {
    std::string database;
    ConfiguredDatabase::Request request;
  };
  // The sequence that has it all; none: not yet. Puts the wish to whoever replicates the database now, so it outlives
  // an end and a new beginning. not_found: it is not replicated, or there is no file; else why its replication fails.
  std::optional<Result<std::uint64_t>> look_at(Sync& sync) EXCLUDES(mutex_);
  // What keeps it, in words.
  Error why_not_yet(const Sync& sync) const EXCLUDES(mutex_);

 private:
  // What stays of a database when it is let go of and opened again.
  struct Kept {
    std::string store;
    daemon::Totals totals;
    daemon::TimeLine time_line;
    std::optional<std::uint64_t> sequence;  // up to which it was published when it was let go of
    std::int64_t closed_since_ms = 0;  // 0: it is open, or asleep
  };
  // All that there is of one that sleeps, beside what has been counted.
  struct WantedDatabase {
    std::string path, replica, store;
  };
  struct Failed {
    int exit_status = kDone;
    daemon::Failing why;
  };

  daemon::Job job_of(DatabaseJob database);
  daemon::Job job_of(const daemon::LayerEntry& layer, const std::string& state_root);
  void begin_database(const DatabaseJob& job, std::stop_token stop, daemon::Job::Ended ended) EXCLUDES(mutex_);
  void note_sync(const std::string& layer, const LayerSnapshot& snapshot);
  Result<void> run_layer(const daemon::LayerEntry& layer, const std::string& state_root, std::stop_token stop);
  Result<void> fail(const std::string& name, const Failure& failure) EXCLUDES(mutex_);
  void begin_run(const DatabaseJob& job, const std::shared_ptr<ConfiguredDatabase>& database) EXCLUDES(mutex_);
  void note_change(const DatabaseJob& job, const ReplicatorStatus& status) EXCLUDES(mutex_);
  void end_run(const DatabaseJob& job, const ConfiguredDatabase& database) EXCLUDES(mutex_);
  Kept* kept_of(const DatabaseJob& job) REQUIRES(mutex_);
  void keep_those_of(const std::vector<WantedDatabase>& wanted) REQUIRES(mutex_);
  void note_works(const std::string& name) EXCLUDES(mutex_);
  // Each try begins with the same warnings.
  void warn_once(const std::string& database, std::string_view warning) EXCLUDES(mutex_);

  daemon::Scheduler& scheduler_;
  const Style style_;
  const Log& log_;
  System system_;
  SharedSpools shared_spools_;
  mutable Mutex mutex_;
  std::atomic<std::uint64_t> restored_ = 0;  // databases that were missing
  DatabaseSurroundings databases_{system_, log_, shared_spools_, style_, {}, {}, {}, {}, {}, {}};
  std::unordered_map<std::string, std::shared_ptr<ConfiguredDatabase>> running_ GUARDED_BY(mutex_);  // by path
  std::map<std::string, const RememberingStore*> open_layers_ GUARDED_BY(mutex_);  // by name: of those being watched
  std::map<std::string, daemon::LayerCounts> layer_counts_ GUARDED_BY(mutex_);  // by name
  std::set<std::string> warned_ GUARDED_BY(mutex_);
  std::map<std::string, Failed> failed_ GUARDED_BY(mutex_);  // by name: its last failure
  std::map<std::string, Kept> kept_ GUARDED_BY(mutex_);      // of the databases of wanted_
  std::map<std::string, daemon::Totals> gone_ GUARDED_BY(mutex_);  // by store, of what is not wanted there any more
  std::int64_t came_round_us_ GUARDED_BY(mutex_) = 0;        // the main thread
  // What there is to be, nothing of it open; its databases, by path, apart from it: a view of each is large.
  daemon::FleetView wanted_ GUARDED_BY(mutex_);
  std::vector<WantedDatabase> wanted_databases_ GUARDED_BY(mutex_);
};

}  // namespace cairn::cli
