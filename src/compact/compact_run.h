// One replica, compacted: plan, merge, plan again until nothing is left to merge, then remove what is not needed.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "compact/catalogue.h"
#include "compact/merge_group.h"
#include "compact/strategies.h"

namespace cairn::compact {

class CompactRun {
 public:
  struct Needs {
    Store& store;
    Catalogue& catalogue;
    const KnownReplica& replica;
    const CompactOptions& options;
    std::string scratch_directory;
    Clock& clock;
    FileSystem& files;
    Executor& executor;
  };
  explicit CompactRun(Needs needs)
      : n_(std::move(needs)), desk_(n_.store, "", n_.files, n_.scratch_directory, n_.executor, n_.options.stop) {}

  // The catalogue is up to date when this is called, and afterwards.
  Result<CompactReport> run();

 private:
  struct Due {
    MergeJob job;
    std::uint64_t size_bytes = 0;
  };

  Result<void> load();
  Sequence keep_from() const;
  std::vector<Due> plan();
  void plan_line(const std::vector<std::size_t>& line, segment::ObjectKind kind, std::vector<Due>& due);
  Result<void> merge_all(const std::vector<Due>& due);
  Result<void> merge(const MergeJob& job);
  Result<void> take(const MergeJob& job, MergeOutcome outcome);
  void leave_out(const std::string& key, const std::string& problem);
  void promise(const std::vector<Due>& due);
  Result<void> remove_sources();
  Result<void> sync_again();
  void fill_after();

  const Needs n_;
  MergeDesk desk_;
  std::vector<KnownObject> known_;
  std::vector<restore::ReadObject> usable_;  // of them: without a problem
  std::set<std::string> left_out_;           // keys of damaged objects
  std::set<std::string> tried_;              // merges, by the keys of their inputs
  CompactReport report_;
};

}  // namespace cairn::compact
