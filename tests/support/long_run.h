// Days of a database that publishes steadily, under a clock that is only told what time it is: a real SQLite database
// and the real Replicator with its pruner, into a store in memory that counts. What is left is weighed, and states of
// it are restored and held against a model.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "cairn/compactor.h"
#include "store/counting.h"

namespace cairn::testing {

struct LongRunOptions {
  double days = 30;
  std::int64_t every_ms = 1000;  // a transaction, and its publish
  int rows = 100;                // about one a page
  int updates = 3;               // of rows, in each transaction; a row is chosen the more often the lower its rank
  std::uint32_t page_size = 1024;
  std::uint64_t seed = 1;
  PrunePolicy policy;
  std::uint64_t restores = 200;  // of random states in the end, each by time and by sequence; 0: of all
  bool may_delete = true;        // whether the store lets anything be removed
  bool progress = false;         // a line a day, on standard error
};

struct Amount {
  std::uint64_t objects = 0, bytes = 0;
};

struct LongRunReport {
  std::string failure;  // empty: all held
  std::string upkeep_trouble;  // as the replicator says in the end
  std::uint64_t publishes = 0, restore_points = 0, restores = 0, prunes = 0;
  std::uint64_t day_bytes = 0;               // level 0, as published in the last 24 hours
  std::map<std::string, Amount> left;        // what the store holds in the end: "snapshots", "level 0", ...
  std::uint64_t most_objects = 0;            // at any prune or end of a day
  StoreCounts counts;                        // of the replicator
  std::uint64_t most_requests = 0, all_requests = 0;  // of a restore, beside those for ranges of the snapshot
  std::uint64_t most_requests_by_time = 0;            // when it has to find the time first
  std::string most_requests_what, most_requests_by_time_what;

  Amount total() const;
};

LongRunReport run_for_long(const LongRunOptions& options);

}  // namespace cairn::testing
