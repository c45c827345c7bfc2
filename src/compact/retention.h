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

enum class Purpose {
  // The policy says which states stay. The newest snapshot and all objects behind it stay in any case.
  thin,
  // What was merged goes: every state stays (but see below), and an object goes when others lead to all of its states,
  // also behind the newest snapshot. Snapshots stay, and so does an object with a state that nothing leads to (a gap is
  // before it), and the segment at the head, by which a writer that comes too late is refused.
  // Of the policy only keep_all_ms and the grace count: states further back than that which a squashed segment (that is
  // old enough) holds as one do not stay, unless they are snapshots. Young and old are by `now_ms` alone.
  replace,
};

// The first restore point of those within `window_ms` of the newest one, by the ages below; all at and behind it are.
// `times_ms` of all points, ascending by sequence. Their number: none is.
std::size_t begin_of_window(const std::vector<std::int64_t>& times_ms, std::int64_t window_ms);

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
Retention decide_retention(const std::vector<AgedObject>& objects, std::int64_t now_ms, const PrunePolicy& policy,
                           Purpose purpose = Purpose::thin);

// The start of the hour, day (both UTC), week (Monday) or month that a time lies in, as a number that ascends.
std::int64_t bucket_of(Density series, std::int64_t time_ms);

}  // namespace cairn::compact
