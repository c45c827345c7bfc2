// What stays of a replica and what goes: a pure function of its objects and a policy.
#pragma once

#include <cstdint>
#include <vector>

#include "cairn/compactor.h"
#include "restore/points.h"

namespace cairn::compact {

struct AgedObject {
  restore::ReadObject read;
  std::int64_t modified_ms = 0;  // by the store's clock
};

struct KeptPoint {
  Sequence sequence;
  Density why = Density::newest;
};

struct Retention {
  std::vector<Fate> fates;          // of the objects, in their order
  std::vector<KeptPoint> kept;      // ascending
  std::vector<Sequence> dropped;    // ascending: restore points that cannot be restored when all that goes is gone
  std::uint64_t recent = 0;         // restore points beside the kept ones that still can
  Sequence base;                    // of the newest snapshot that is old enough: all behind it stays
};

// Times of restore points are those of the writer's clock, and order nothing. Three rules make jumps of it harmless:
//
//   - The age of a restore point is the sum of the steps from it to the newest one. A step back counts nothing, and one
//     of more than an hour (a pause, or a jump) counts as an hour; the first two such steps, seen from the newest,
//     count nothing. `now` is no part of it: a replica that rests keeps what it has.
//   - A series (hourly, ...) looks at runs: neighbours in one hour by their recorded time. Each run keeps one point. A
//     run takes one of the series' places when its hour is earlier than all hours of newer runs: what lies beside a
//     jump never takes a place from something older. Up to two places more are given for steps that look like jumps.
//   - An object is young or old by the store's clock alone, counted back from the youngest object or `now_ms`,
//     whichever is earlier.
//
// Of a run the point stays that takes the fewest objects, the newest of those: a snapshot, or where a squashed segment
// ends. Only objects that are old enough are relied on: so two who decide at the same time agree on what is needed.
Retention decide_retention(const std::vector<AgedObject>& objects, std::int64_t now_ms, const PrunePolicy& policy);

// The start of the hour, day (both UTC), week (Monday) or month that a time lies in, as a number that ascends.
std::int64_t bucket_of(Density series, std::int64_t time_ms);

}  // namespace cairn::compact
