// When a database's restore points were made, as far as this process has made them: counts in slots of time, at most
// kMostSlots of them, which grow twice as wide whenever there would be more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "cairn/replicator.h"

namespace cairn::daemon {

struct TimeSlot {
  std::int64_t begin_ms = 0;  // a multiple of the slots' width
  std::uint32_t published = 0, snapshots = 0, merged = 0;  // restore points; whole copies; objects made of several
};

struct TimeSlots {
  std::int64_t width_ms = 10'000;
  std::vector<TimeSlot> slots;  // ascending; those in which nothing happened are not there
};

class TimeLine {
 public:
  static constexpr std::size_t kMostSlots = 96;

  // Another Replicator begins to count at zero.
  void begin() { seen_ = {}; }
  // What has been counted since the last note happened in the slot of `now_ms`. A clock that goes back changes the last
  // slot.
  void note(const ReplicatorStatus& status, std::int64_t now_ms);
  // As it is now; does not change any more. Null: nothing has happened.
  std::shared_ptr<const TimeSlots> slots() const { return slots_; }

 private:
  struct Seen {
    std::uint64_t published = 0, snapshots = 0, merged = 0;
  };
  Seen seen_;
  std::shared_ptr<const TimeSlots> slots_;
};

}  // namespace cairn::daemon
