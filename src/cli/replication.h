// One database on its way to one replica: everything that has to live while it is replicated, and what has to hold
// before it begins.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cairn/compactor.h"
#include "cairn/daemon.h"
#include "cairn/replicator.h"
#include "cli/exclusion.h"
#include "cli/exit_status.h"
#include "cli/remembering_store.h"
#include "cli/system.h"

namespace cairn::cli {

enum class AdoptSide { none, local, remote };

struct ReplicationOptions {
  std::string database;    // as the user wrote it
  std::string url;         // of the replica
  std::string state_root;
  std::int64_t interval_ms = 1000;
  AllowWalSwitch wal_switch = AllowWalSwitch::yes;
  AdoptSide adopt = AdoptSide::none;
  WaitForDatabase wait_for_database = WaitForDatabase::no;
  // A database that is missing: what an earlier run has captured of it is published first, if there is any.
  bool publish_without_database = false;
  SharedSpool* shared_spool = nullptr;  // outlives the Replication
  std::uint64_t spool_limit_bytes = ReplicatorOptions().spool_limit_bytes;
  int segment_level = ReplicatorOptions().segment_level, snapshot_level = ReplicatorOptions().snapshot_level;
  CopyUnchanged copy_unchanged = CopyUnchanged::yes;
  std::optional<std::vector<std::int64_t>> level_windows_ms;  // none: default_level_windows_ms() of the store
  std::uint64_t kept_limit_bytes = ReplicatorOptions().kept_limit_bytes;
  std::int64_t snapshot_interval_ms = ReplicatorOptions().snapshot_interval_ms;
  // Whether the store is asked, before anything else, if it can be used at all.
  enum class CheckStore { yes, no } check_store = CheckStore::yes;
  // It may be closed while nothing is to be done for it (Replicator::rest), and was so before.
  bool may_rest = false;
  std::shared_ptr<const replicate::Remembered> known;
  std::optional<PrunePolicy> retention = PrunePolicy();  // none: every state stays
};

class Replication {
 public:
  using Say = std::function<void(std::string_view warning)>;

  // Checks the database and the store, keeps other processes out, adopts the replica's state when asked to. The
  // failure says what the user has to do. `say` hears warnings.
  static std::optional<Failure> open(const ReplicationOptions& options, System& system, const Say& say,
                                     std::unique_ptr<Replication>& out);

  // What drives the Replicator; has the outcome of run_replicator().
  using Drive = std::function<Result<void>(Replicator&, std::stop_token, const RunOptions&)>;
  // Until the goal, a stop or an error; then the database is let go of, and last_status() says how it ended. Without
  // `drive` it is run_replicator().
  std::optional<Failure> run(const RunOptions& options, std::stop_token stop, const Drive& drive = {});
  // For who drives it otherwise: until finish(), or a rest.
  Replicator& replicator() { return *replicator_; }
  std::optional<Failure> finish(const Result<void>& outcome) EXCLUDES(mutex_);
  std::optional<Rest> rest(const Time& now) EXCLUDES(mutex_);
  // As an earlier process has left it; see Replicator::find_at_rest.
  static Result<std::optional<Rest>> find_at_rest(const ReplicationOptions& options, System& system);
  const ReplicatorStatus& last_status() const { return last_status_; }
  // The newest one, also after run(). Any thread.
  ReplicatorStatus status() const EXCLUDES(mutex_);

  // Asks for everything that is committed to be captured now; the number for is_durable() of a later status. None: it
  // has
  // ended. Any thread.
  std::optional<std::uint64_t> request_capture() EXCLUDES(mutex_);

  const std::string& database() const { return options_.database; }
  const std::string& real_database() const { return real_database_; }
  std::string url() const { return store_->url(); }
  // As the user wrote it, for commands that are proposed: with the options that lead there.
  const std::string& given_url() const { return options_.url; }
  StoreStatus store_status() const { return store_->status(); }
  bool database_is_there() const;
  bool adopts_local() const { return options_.adopt == AdoptSide::local; }

 private:
  Replication(const ReplicationOptions& options, System& system) : options_(options), system_(system) {}
  Result<void> check_database(const Say& say) const;
  Result<void> check_store();
  ReplicatorOptions replicator_options() const;
  Result<void> open_replicator();
  Origin origin_of(const Error& error) const;

  const ReplicationOptions options_;
  System& system_;
  std::string real_database_, state_directory_;
  std::optional<Error> missing_database_;
  std::unique_ptr<RememberingStore> store_;
  std::optional<Exclusion> exclusion_;
  std::unique_ptr<Replicator> replicator_;
  ReplicatorStatus last_status_;
  mutable Mutex mutex_;
  bool closed_ GUARDED_BY(mutex_) = false;  // the replicator is, and `last_status_` does not change any more
};

}  // namespace cairn::cli
