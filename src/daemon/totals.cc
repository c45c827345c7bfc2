#include "daemon/totals.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace cairn::daemon {

namespace {

template <class Counts>
void add_each(Counts& to, const Counts& what) {
  std::ranges::transform(to, what, to.begin(), std::plus<>());
}

void add_usage(StoreUsage& to, const StoreUsage& what) {
  to.writes += what.writes;
  to.lists += what.lists;
  to.reads += what.reads;
  to.deletes += what.deletes;
  to.unanswered += what.unanswered;
  to.sent_bytes += what.sent_bytes;
  to.received_bytes += what.received_bytes;
}

}  // namespace

void Totals::add(const ReplicatorStatus& status, const StoreStatus& store) {
  Totals one;
  one.commits = status.captured_commits;
  one.published_segments = status.published_segments;
  one.published_bytes = status.published_bytes;
  one.snapshots = status.snapshots_published;
  one.merged_objects = status.merged_objects;
  one.merged_bytes = status.merged_bytes;
  one.replaced_objects = status.replaced_objects;
  one.wal_restarts = status.wal_restarts;
  one.reconciles = status.reconciles;
  one.rollovers = status.rollovers;
  one.write_lock_counts = status.write_lock_counts;
  one.write_lock_us = status.write_lock_us_total;
  one.database_errors = status.database_errors;
  one.store_errors = status.store_errors;
  one.upkeep_errors = status.upkeep_errors;
  one.service = store.service;
  one.usage = store.usage;
  one.retries = store.retries;
  add(one);
}

void Totals::add(const Totals& other) {
  commits += other.commits;
  published_segments += other.published_segments;
  published_bytes += other.published_bytes;
  snapshots += other.snapshots;
  merged_objects += other.merged_objects;
  merged_bytes += other.merged_bytes;
  replaced_objects += other.replaced_objects;
  wal_restarts += other.wal_restarts;
  reconciles += other.reconciles;
  rollovers += other.rollovers;
  add_each(write_lock_counts, other.write_lock_counts);
  write_lock_us += other.write_lock_us;
  add_each(database_errors, other.database_errors);
  add_each(store_errors, other.store_errors);
  add_each(upkeep_errors, other.upkeep_errors);
  if (!other.service.empty()) service = other.service;
  add_usage(usage, other.usage);
  retries += other.retries;
}

std::uint64_t Totals::errors() const {
  std::uint64_t sum = 0;
  for (const ErrorCounts* counts : {&database_errors, &store_errors, &upkeep_errors}) {
    sum = std::accumulate(counts->begin(), counts->end(), sum);
  }
  return sum;
}

}  // namespace cairn::daemon
