// The jobs of a configuration: a database on its way to its replica, a container's directory on its way to its store.
#pragma once

#include <spdlog/logger.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cli/config_file.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/replication.h"
#include "cli/status_report.h"
#include "cli/system.h"
#include "daemon/fleet.h"
#include "daemon/scheduler.h"
#include "daemon/supervisor.h"

namespace cairn::cli {

class ConfiguredJobs : public daemon::Fleet {
 public:
  // `scheduler` does what there is to do for databases.
  ConfiguredJobs(daemon::Scheduler& scheduler, Style style, spdlog::logger& log)
      : scheduler_(scheduler), style_(style), log_(log) {}

  // One a database and layer. They use this object, which outlives them.
  Result<std::vector<daemon::Job>> jobs_of(const daemon::Config& config, const daemon::FoundDatabases& found)
      EXCLUDES(mutex_);

  void tell_failure(const daemon::JobFailure& failure);
  void note_end(const std::string& name) EXCLUDES(mutex_);
  // How stores are may change while nothing else does. True: one is in trouble, so look again soon.
  bool look_at_stores() EXCLUDES(mutex_);
  // Of one that failed at its last try, and has not begun to work since; 0: there is none.
  int exit_status() const EXCLUDES(mutex_);
  daemon::FleetView view() const override EXCLUDES(mutex_);

 private:
  struct DatabaseJob {
    std::string path, replica, state_root;
    daemon::DatabaseSettings settings;
    std::int64_t stop_timeout_ms = 0;
    std::optional<PriceList> prices;
  };
  struct Running {
    std::shared_ptr<StatusReport> report;
    const Replication* replication = nullptr;
    std::int64_t begun_us = 0;
    bool store_in_trouble = false;
  };
  struct Failed {
    int exit_status = kDone;
    daemon::Failing why;
  };

  daemon::Job job_of(DatabaseJob database);
  daemon::Job job_of(const daemon::LayerEntry& layer, const std::string& state_root);
  Result<void> run_database(const DatabaseJob& job, std::stop_token stop);
  std::optional<Failure> open_database(const DatabaseJob& job, const std::stop_token& stop,
                                       std::unique_ptr<Replication>& replication) EXCLUDES(mutex_);
  Result<void> run_layer(const daemon::LayerEntry& layer, const std::string& state_root, std::stop_token stop);
  Result<void> fail(const std::string& name, const Failure& failure) EXCLUDES(mutex_);
  void note_works(const std::string& name) EXCLUDES(mutex_);
  // Each try begins with the same warnings.
  void warn_once(std::string warning) EXCLUDES(mutex_);

  daemon::Scheduler& scheduler_;
  const Style style_;
  spdlog::logger& log_;
  System system_;
  mutable Mutex mutex_;
  ConditionVariable opened_;
  std::map<std::string, int> opening_ GUARDED_BY(mutex_);  // by store, how many databases are being opened
  std::map<std::string, Running> running_ GUARDED_BY(mutex_);
  std::set<std::string> warned_ GUARDED_BY(mutex_);
  std::map<std::string, Failed> failed_ GUARDED_BY(mutex_);  // by name: its last failure
  daemon::FleetView wanted_ GUARDED_BY(mutex_);  // what there is to be, nothing of it open
};

}  // namespace cairn::cli
