// A database of a configuration on its way to its replica: opened when there is something to do for it, and closed when
// there is not.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>

#include "base/mutex.h"
#include "cli/exit_status.h"
#include "cli/log.h"
#include "cli/output.h"
#include "cli/replication.h"
#include "cli/status_report.h"
#include "cli/system.h"
#include "daemon/config.h"
#include "daemon/fleet.h"
#include "daemon/scheduler.h"

namespace cairn::cli {

struct DatabaseJob {
  std::string path, replica, state_root;
  std::string store;  // what may be slow or away for several: a server and bucket, or a folder above
  daemon::DatabaseSettings settings;
  std::int64_t stop_timeout_ms = 0, sleep_after_ms = 0;
  std::optional<PriceList> prices;
};

// Which stores were found to be of use: each is asked once.
class CheckedStores {
 public:
  // Runs `open`, which is to check the store as well unless that has succeeded; then no other of this store runs.
  std::optional<Failure> once(const std::string& store, const std::function<std::optional<Failure>(bool)>& open)
      EXCLUDES(mutex_);

 private:
  Mutex mutex_;
  ConditionVariable changed_;
  std::set<std::string> checked_ GUARDED_BY(mutex_), under_way_ GUARDED_BY(mutex_);
};

std::string about(const std::string& name, std::string_view sentence);

// What all of them share, and whom they tell. Outlives them.
struct DatabaseSurroundings {
  System& system;
  const Log& log;
  SharedSpools& spools;
  Style style = Style::text;
  CheckedStores checked_stores;
  std::function<void(const std::string& path, std::string_view)> warn;                      // each sentence once
  std::function<void(const std::string& path)> on_work;
  std::function<void(const DatabaseJob& job, const ReplicatorStatus& status)> on_change;
  std::function<Result<void>(const std::string& path, const Failure&)> on_failure;
  std::function<void()> on_restore;  // one that was missing is there
  std::atomic<std::uint64_t> last_number = 0;  // of the databases that were ever begun
};

class ConfiguredDatabase final : public daemon::Tended {
 public:
  using Ended = std::function<void(ConfiguredDatabase&, const Result<void>&)>;
  ConfiguredDatabase(DatabaseJob job, DatabaseSurroundings& around, Ended ended);

  // Of the scheduler.
  std::string database_path() const override { return job_.path; }
  bool sleeps_on(const Time& now, std::int64_t& due_us) override;
  Result<Replicator*> open(std::stop_token stop) override EXCLUDES(mutex_);
  bool fall_asleep(const Time& now) override EXCLUDES(mutex_);
  void end(const Result<void>& outcome) override EXCLUDES(mutex_);
  void note_hang() override EXCLUDES(mutex_);
  bool takes_its_time() const override { return is_at_store_; }
  RunOptions run_options();

  // Any thread.
  const std::string& path() const { return job_.path; }
  void describe(daemon::DatabaseView& view, const Time& now) const EXCLUDES(mutex_);
  bool is_open() const EXCLUDES(mutex_);
  std::optional<std::uint64_t> sequence() const EXCLUDES(mutex_);  // up to which it is published, once that is known
  // Of it only what is counted, since it was begun.
  ReplicatorStatus counted() const EXCLUDES(mutex_);
  StoreStatus store_status() const EXCLUDES(mutex_);
  // A wish, put to whoever has it open: again when it was opened anew.
  struct Request {
    std::uint64_t opening = 0, number = 0;
    std::uint64_t look = 0, tell = 0;  // the first of each that begins after the question
    std::uint64_t asked = 0;           // whose all that is: a reload may put another one in its place
  };
  // The sequence with which everything is in the store that was committed before the first call with this request.
  // None: not yet.
  std::optional<std::uint64_t> durable_at(Request& request) EXCLUDES(mutex_);
  // Whether there was no such file, or an empty one, since the first call of durable_at() with this request.
  bool is_missing(const Request& request) const EXCLUDES(mutex_);
  // True: its store is in trouble.
  bool look_at_store() EXCLUDES(mutex_);

 private:
  std::optional<Failure> restore_first(const std::stop_token& stop);
  std::string hang_text(std::int64_t since_us) const;
  ReplicationOptions replication_options() const;
  void on_change(const ReplicatorStatus& status) EXCLUDES(mutex_);
  void look_whether_missing(const ReplicatorStatus& status, std::uint64_t tell) EXCLUDES(mutex_);
  std::shared_ptr<StatusReport> report() const EXCLUDES(mutex_);
  void tell_spending(const char* when, const StoreUsage& usage, const std::string& service, std::int64_t ms) const;
  void tell_day() EXCLUDES(mutex_);

  const DatabaseJob job_;
  DatabaseSurroundings& around_;
  const Ended ended_;
  const std::uint64_t number_;
  bool looked_ = false;  // whether an earlier process has left it at rest

  mutable Mutex mutex_;
  std::unique_ptr<Replication> replication_ GUARDED_BY(mutex_);
  std::uint64_t openings_ GUARDED_BY(mutex_) = 0;
  // Workers look at its files, by number, and what came of it: for those who must not wait for its disk.
  std::uint64_t looks_ GUARDED_BY(mutex_) = 0, asleep_by_look_ GUARDED_BY(mutex_) = 0;
  std::uint64_t tells_ GUARDED_BY(mutex_) = 0, missing_by_tell_ GUARDED_BY(mutex_) = 0;
  std::uint64_t wanted_tell_ GUARDED_BY(mutex_) = 0;  // since when somebody wants to know; 0: nobody does
  std::optional<Rest> rest_ GUARDED_BY(mutex_);
  std::shared_ptr<StatusReport> report_ GUARDED_BY(mutex_);
  ReplicatorStatus counted_ GUARDED_BY(mutex_);     // by those that were open before: of it only what is counted
  StoreStatus store_counted_ GUARDED_BY(mutex_);
  std::int64_t begun_us_ GUARDED_BY(mutex_) = 0;    // when it was opened first
  std::int64_t day_begun_us_ = 0;
  StoreUsage day_before_;
  std::atomic<bool> store_in_trouble_ = false;
  std::atomic<bool> is_at_store_ = false;
  bool said_hang_ = false;                  // whoever notes it
};

}  // namespace cairn::cli
