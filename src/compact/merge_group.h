// One merge from a store back into it, by way of one file on the local disk.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/executor.h"
#include "base/files.h"
#include "cairn/store.h"
#include "restore/history.h"
#include "segment/publish_merged.h"
#include "segment/reader.h"

namespace cairn::compact {

struct MergeJob {
  std::vector<restore::StoredObject> inputs;  // neighbours, in order
  segment::ObjectKind kind = segment::ObjectKind::bundle;
  int level = 1;
};

// Either it is merged, or these are why not.
struct MergeOutcome {
  std::optional<segment::PublishedMerge> merged;
  std::vector<std::string> gone;  // inputs that are not there any more: to be planned anew
  // Inputs that are damaged, or are whole and not what they claim to be, with a sentence each.
  std::vector<std::pair<std::string, std::string>> damaged;
  std::vector<std::string> notes;  // what lies under the key that was to be used is damaged, or contradicts the inputs
};

class MergeDesk {
 public:
  MergeDesk(Store& store, std::string_view replica, FileSystem& files, std::string scratch_directory,
            Executor& executor, std::stop_token stop)
      : store_(store), replica_(replica), files_(files), scratch_(std::move(scratch_directory)), executor_(executor),
        stop_(std::move(stop)) {}

  // Errors: of the store and the disk, cancelled. The input that is at fault is found by reading each of them alone;
  // when each is whole, by holding their claims against the state before the first of them.
  // When another object that keeps fewer restore points, or a damaged one, lies under the key, the next level is taken.
  Result<MergeOutcome> run(const MergeJob& job);

 private:
  using Readers = std::vector<std::unique_ptr<segment::ObjectReader>>;
  Result<Readers> open_inputs(const MergeJob& job, MergeOutcome& outcome);
  Result<segment::Footer> merge(const MergeJob& job, const Readers& readers, File& file);
  Result<void> publish(const MergeJob& job, const segment::Footer& footer, const File& file, MergeOutcome& outcome);
  Result<void> find_fault(const MergeJob& job, const Readers& readers, const Error& error, MergeOutcome& outcome);
  Result<void> find_liar(const MergeJob& job, const Readers& readers, MergeOutcome& outcome);
  Result<std::vector<std::uint64_t>> hashes_before(const MergeJob& job, const Readers& readers);

  Store& store_;
  const std::string_view replica_;
  FileSystem& files_;
  const std::string scratch_;
  Executor& executor_;
  const std::stop_token stop_;
};

}  // namespace cairn::compact
