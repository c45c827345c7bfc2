// One seed, one thread, one history: an application at work on a real SQLite database, a Replicator beside it whose
// steps are called in any order, a clock that jumps, a disk and a store that fail, processes that die. After every
// round the replica is held against the model.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "cairn/replicator.h"
#include "store/faulty.h"
#include "support/crash_file_system.h"
#include "support/mortal_store.h"
#include "support/page_model.h"
#include "support/replica_oracle.h"
#include "support/scratch.h"
#include "support/workload.h"

namespace cairn::testing {

struct SimulationOptions {
  std::uint64_t seed = 1;
  int rounds = 0;        // 0: as many as the seed says, 8 to 24
  bool verbose = false;  // print each step
  std::string keep;      // where to leave the store's objects and the newest states, when it fails
  bool away_at_start = false;  // whenever the replicator starts, its store is away until the round ends
  bool lists_late = false;  // listings are behind what is there, at any moment
  bool prunes = false;      // a policy that drops much, now and then without the right to delete
  bool check_always = false;  // the database's own integrity after every step, to find the one that hurt
};

struct SimulationReport {
  std::string failure;  // empty: all held
  std::vector<std::string> trace;
  std::uint64_t commits = 0, restore_points = 0, restores = 0, kills = 0, power_losses = 0, faults = 0;
  std::uint64_t wal_restarts = 0, reconciles = 0, rollovers = 0, snapshots = 0, merged = 0, replaced = 0;
  std::uint64_t prunes = 0, pruned = 0, promised = 0;  // runs that ended well, objects removed, states restored after
  std::uint64_t rests = 0, woken = 0;  // woken: by what was written while it was at rest
  int most_waits = 0;    // of an application's checkpoint for Cairn
};

SimulationReport simulate(const SimulationOptions& options);

// Until what is written to a file now has a later time than what was written before. Milliseconds, of the real
// clock: the file system's does not come from the seed.
void let_file_clock_tick(const std::string& directory);

// A process that replicates, and the machine that it runs on: its own disk, its own luck with the store.
class Host {
 public:
  // `store` is the one that several hosts share.
  Host(Store& store, std::string database, std::string directory, SeededRandom& random);

  bool is_up() const { return replicator_ != nullptr; }
  Replicator& replicator() { return *replicator_; }
  Life& life() { return life_; }
  CrashFileSystem& files() { return *files_; }
  FaultPlan& store_faults() { return plan_; }
  std::uint64_t store_calls() const { return store_->calls(); }
  ReplicatorOptions& options() { return options_; }
  std::uint64_t faults() const { return plan_.injected + files_->faults_injected(); }

  Result<void> start();        // with what one at rest has left, if there is one
  void stop();                 // tidily
  // False: it does not rest now.
  bool rest(const Time& now);
  bool is_at_rest() const { return rest_.has_value(); }
  // Nothing is committed that is not published: as far as is known to the process, and to one that begins now.
  bool goes_on_resting(const Time& now) const { return rest_ && rest_->goes_on(now); }
  bool is_found_at_rest(const Time& now) const;
  void die(CrashKind kind);    // of power loss, the disk's part only
  void lose_state_directory();
  void heal();                 // no faults, no limit to its life
  // Listings do not show what was made less than that many calls ago. It stays so when the host is healed.
  void list_late(std::uint64_t calls) { late_calls_ = plan_.hidden_calls = calls; }
  // Nor does that.
  void may_delete(bool may) {
    may_delete_ = may;
    set_rights();
  }
  void store_is_folder(bool is) { store_->is_folder = is; }
  // Calls `look` with the store as it is listed here, which fails at nothing meanwhile.
  template <class Look>
  void look_without_faults(const Look& look) {
    FaultPlan faults;
    faults.hidden_calls = late_calls_;
    std::swap(faults, plan_);
    look(*faulty_);
    std::swap(faults, plan_);
  }
  bool is_faultless() const { return faultless_ && !life_.is_limited(); }
  void make_faulty(SeededRandom& random);
  void store_goes_away();      // until it is healed, or made faulty in another way

 private:
  void begin_boot();
  void set_rights();

  std::string directory_;
  Life life_;
  SeededRandom disk_random_, store_random_, replicator_random_;
  std::unique_ptr<CrashFileSystem> files_;
  FaultPlan plan_;
  std::unique_ptr<Store> faulty_;
  std::unique_ptr<MortalStore> store_;
  InlineExecutor executor_;
  ReplicatorOptions options_;
  std::unique_ptr<Replicator> replicator_;
  std::optional<Rest> rest_;
  std::uint64_t boots_ = 0;
  bool faultless_ = true;
  std::uint64_t late_calls_ = 0;
  bool may_delete_ = true;
};

}  // namespace cairn::testing
