// The restore points of a replica, from the footers of its objects.
#pragma once

#include <vector>

#include "base/executor.h"
#include "cairn/restore.h"
#include "restore/history.h"
#include "segment/format.h"

namespace cairn::restore {

struct ReadObject {
  StoredObject object;
  segment::Footer footer;
};

// The points that can be restored, ascending, each once: those that a snapshot holds, and those that segments reach
// from a snapshot without a gap. A point that is both is named by its snapshot.
std::vector<RestorePointInfo> reachable_points(const std::vector<ReadObject>& objects);

}  // namespace cairn::restore
