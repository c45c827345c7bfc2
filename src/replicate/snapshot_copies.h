// Ranges of the last snapshot on their way into the next one: copied by the store, run by run, each before the pass
// that reads the database comes to it. What could not be copied is sent like everything else; so no copy that fails,
// and no snapshot that goes away meanwhile, costs more than that.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "replicate/shared.h"
#include "replicate/upload_journal.h"
#include "store/part_uploads.h"

namespace cairn::replicate {

// Which ranges of the last snapshot in the store the job's snapshot has as well; null: none that is worth it. Reads the
// end of that snapshot. Errors are of the store, and pass; a snapshot that cannot be used is none.
Result<std::unique_ptr<CopyPlan>> plan_copies(Store& store, const std::string& replica, const SnapshotJob& job,
                                              const CopyLimits& limits);

class SnapshotCopies {
 public:
  // `there`: what an earlier process had copied into the same upload. All references outlive it.
  SnapshotCopies(Store& store, CopyPlan& plan, const std::map<int, JournaledPart>& there)
      : store_(store), plan_(plan), there_(there) {}

  // The run that comes next, and is neither copied nor ours yet; null: none.
  CopiedRun* next_run();
  // Of the next run: everything in front of it has been cut into parts, so they have these numbers. Once a run.
  void begin_run(int first_part);
  bool has_begun() const { return !parts_.empty(); }
  bool is_part(int number) const { return parts_.contains(number); }
  // Hands in as many as there is room for.
  void hand_in(PartUploads& uploads);
  // One has come back. An error: it is tried again, later.
  Result<void> take(int number, const Result<PartInfo>& info, PartUploads& uploads);
  // What came of the run, once all of its parts have come back: they, if the source still is what it was; else none,
  // and it is ours. Nothing: it still waits.
  Result<std::optional<std::vector<JournaledPart>>> end_run();
  // Afterwards, when all is noted: the pass goes on, and the run that follows is the next one.
  void leave_run(CopiedRun::State state);

  std::uint64_t copied_bytes() const { return copied_bytes_; }
  // Numbers under which the store has a copy that is not wanted, unless another part takes its place.
  const std::set<int>& stray() const { return stray_; }
  // A copy that nobody heard of may come into its place later, over what is put there.
  bool may_arrive_late() const { return may_arrive_late_; }
  const std::string& trouble() const { return trouble_; }  // why nothing more is copied; empty: nothing is in the way

 private:
  struct Part {
    JournaledPart part;
    bool is_handed_in = false, has_arrived = false, has_failed = false, is_doubtful = false;
  };
  Result<bool> is_source_the_same();

  Store& store_;
  CopyPlan& plan_;
  const std::map<int, JournaledPart>& there_;
  std::size_t next_ = 0;
  std::map<int, Part> parts_;  // of the next run, once it has begun
  int failures_ = 0;
  std::uint64_t copied_bytes_ = 0;
  std::set<int> stray_;
  bool may_arrive_late_ = false;
  std::string trouble_;
};

}  // namespace cairn::replicate
