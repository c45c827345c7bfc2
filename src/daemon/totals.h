// What has been counted of a database, over every Replicator that this process has had for it: one that is opened anew
// begins at zero, and what is told to the outside must never go down.
#pragma once

#include <cstdint>
#include <string>

#include "cairn/replicator.h"
#include "cairn/store_status.h"

namespace cairn::daemon {

struct Totals {
  std::uint64_t commits = 0, published_segments = 0, published_bytes = 0, snapshots = 0;
  std::uint64_t merged_objects = 0, merged_bytes = 0, replaced_objects = 0;
  std::uint64_t wal_restarts = 0, reconciles = 0, rollovers = 0;
  WriteLockCounts write_lock_counts{};
  std::int64_t write_lock_us = 0;
  ErrorCounts database_errors{}, store_errors{}, upkeep_errors{};
  std::string service;  // the host that answered last
  StoreUsage usage;
  std::uint64_t retries = 0;

  void add(const ReplicatorStatus& status, const StoreStatus& store);
  void add(const Totals& other);
  std::uint64_t errors() const;  // of every origin and kind
};

}  // namespace cairn::daemon
