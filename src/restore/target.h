// From what a person asks for (the newest state, a time, a sequence) to a sequence and the objects that lie around it.
#pragma once

#include <string_view>
#include <vector>

#include "base/executor.h"
#include "cairn/restore.h"
#include "restore/damage.h"
#include "restore/history.h"
#include "restore/unlisted.h"

namespace cairn::restore {

struct Located {
  Sequence target;
  std::vector<StoredObject> snapshots;  // all
  std::vector<StoredObject> segments;   // at least those from the newest snapshot at or before the target on
};

// Lists the replica and finds the sequence that `target` means. Objects that a restore may leave in their middle have
// their stops read.
//
// A time means the restore point with the highest sequence whose recorded time is at or before it. Recorded times are
// those of the writer's clock and may jump back, so times are no order: with 10:00, 10:30 and then, the clock set
// right, 10:10, the target 10:20 means the third point. What was restored never carries a time after the one asked
// for, and a time at or after the newest point's means the newest state, always.
//
// What is damaged is listed like all else, and not looked into. not_found: nothing there, or nothing at or before the
// time. invalid: both a time and a sequence. corrupt: an object is damaged (the error names it), or one that is known
// to be so may hold the state of that time. `known` gives the keys of what a late listing may lack, for a sequence.
Result<Located> locate(Store& store, std::string_view replica, const RestoreTarget& target, Executor& executor,
                       const Damage& damage = {}, const Known& known = {});

}  // namespace cairn::restore
