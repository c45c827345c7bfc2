// Keeping a replica small: which restore points of the past stay, and removing what none of them needs.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn {

class Clock;
class Executor;

// How dense restore points stay, grandfather-father-son: everything for a while, then one an hour, a day, a week, a
// month. A number says how many hours (days, ...) keep one; hours in which nothing was published do not count.
struct PrunePolicy {
  static constexpr std::uint32_t kAll = std::numeric_limits<std::uint32_t>::max();

  std::int64_t keep_all_ms = 24ll * 3600 * 1000;  // within this of the newest restore point, every one stays
  std::uint32_t hourly = 30 * 24;
  std::uint32_t daily = 365;
  std::uint32_t weekly = 0;
  std::uint32_t monthly = kAll;
  std::int64_t grace_ms = 3600 * 1000;  // an object that has been in the store for less is left alone
};

struct PruneOptions {
  PrunePolicy policy;
  bool dry_run = false;  // say what would be done; nothing is written or removed
};

// Why a restore point stays: the first of these that applies. recent: nothing keeps it, but what it needs stays (for
// now: an object is younger than the grace period, or has another point that is kept).
enum class Density { newest, every, hourly, daily, weekly, monthly, recent };
inline constexpr int kDensities = 7;
// Why an object stays: a kept restore point needs it; it is the newest snapshot that is old enough, or lies behind it;
// it is younger than the grace period; its index cannot be read, and cairn verify says more.
enum class Fate { goes, needed, newest, recent, unreadable };

struct PrunedObject {
  std::string key;
  std::uint64_t size_bytes = 0;
  Fate fate = Fate::goes;
  bool is_snapshot = false;
  int level = 0;
  std::uint64_t first_sequence = 0, last_sequence = 0;
};

struct PruneReport {
  std::vector<PrunedObject> objects;             // all that were listed, with what becomes of them
  std::uint64_t kept_points[kDensities] = {};    // by Density
  std::uint64_t dropped_points = 0;              // that can be restored before, and not after
  std::uint64_t removed_objects = 0, removed_bytes = 0;  // 0 after a dry run
};

// Decides, and removes. Replicators, restores and other prunes may be at work meanwhile, on any machine.
//
// invalid: the policy makes no sense. not_found: nothing there. conflict: an object is of another lineage. corrupt:
// what is there contradicts itself or has a hole that no prune has left: nothing is removed. busy: another prune is at
// work. denied: no right to delete; nothing is removed. Any other failure of the store ends it where it is: each kept
// restore point can be restored at every moment, and the same call again goes on.
Result<PruneReport> prune_replica(Store& store, std::string_view replica, const PruneOptions& options, Clock& clock,
                                  Executor& executor);

}  // namespace cairn
