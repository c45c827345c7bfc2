// Making an object again from others that hold the same states.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/files.h"
#include "cairn/store.h"
#include "restore/points.h"
#include "segment/writer.h"

namespace cairn::compact {

struct Damaged {
  restore::StoredObject object;
  std::string etag;
  std::string problem;
  std::optional<segment::Footer> footer;  // when that is whole: it says what the object was
};

// What a rebuild may rely on.
struct Reliable {
  const std::vector<restore::ReadObject>& objects;  // found whole
  std::set<std::string> hidden;                     // keys of all others
};

class Rebuilder {
 public:
  Rebuilder(Store& store, std::string_view replica, FileSystem& files, std::string scratch, Executor& executor,
            std::stop_token stop)
      : store_(store), replica_(replica), files_(files), scratch_(std::move(scratch)), executor_(executor),
        stop_(std::move(stop)) {}

  // Writes the object into `file` and returns what it was made from, in words. not_found: the others do not hold it.
  // corrupt, unsupported: they do not give what it must be.
  Result<std::string> rebuild(const Damaged& damaged, const Reliable& reliable, File& file);

 private:
  Result<std::string> segment_from_bundle(const Damaged& damaged, const Reliable& reliable, File& file);
  Result<std::string> merge_again(const Damaged& damaged, const Reliable& reliable, File& file);
  Result<std::string> snapshot_from_others(const Damaged& damaged, const Reliable& reliable, File& file);
  Result<void> write_snapshot(const segment::ObjectHead& head, const segment::RestorePoint& point,
                              const File& database, File& file);

  Store& store_;
  const std::string_view replica_;
  FileSystem& files_;
  const std::string scratch_;
  Executor& executor_;
  const std::stop_token stop_;
};

}  // namespace cairn::compact
