// When a snapshot is due: an interval after the last one, if anything was published since. How old the last one was
// when the process began is told by clocks, and may be wrong by a jump: then one comes early, or an interval late. From
// there on only time that has really passed counts.
#pragma once

#include <cstdint>
#include <limits>

#include "replicate/shared.h"

namespace cairn::replicate {

inline constexpr std::int64_t kNeverDue_us = std::numeric_limits<std::int64_t>::max();

class SnapshotSchedule {
 public:
  explicit SnapshotSchedule(Shared& shared) : shared_(shared) {}
  // Asks for one that is due; when to call again.
  std::int64_t look(const Time& now);
  // When one is due if nothing more is published; kNeverDue_us: never.
  std::int64_t due_us(const Time& now) const;
  std::int64_t last_us() const { return last_us_; }

 private:
  Shared& shared_;
  bool begun_ = false;
  std::int64_t last_us_ = 0;       // when the last one was made, or was asked for
  std::uint64_t last_number_ = 0;
};

}  // namespace cairn::replicate
