// When a snapshot is due: an interval after the last one, if anything was published since. How old the last one was
// when the process began is told by clocks, and may be wrong by a jump: then one comes early, or an interval late. From
// there on only time that has really passed counts.
#pragma once

#include <cstdint>

#include "replicate/shared.h"

namespace cairn::replicate {

class SnapshotSchedule {
 public:
  explicit SnapshotSchedule(Shared& shared) : shared_(shared) {}
  // Asks for one that is due; when to call again.
  std::int64_t look(const Time& now);

 private:
  Shared& shared_;
  bool begun_ = false;
  std::int64_t last_us_ = 0;       // when the last one was made, or was asked for
  std::uint64_t last_number_ = 0;
};

}  // namespace cairn::replicate
