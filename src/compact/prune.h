// Removing what is not needed: the walk of prune_replica (prune.cc tells why it is safe), for either purpose.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "base/executor.h"
#include "cairn/compactor.h"
#include "compact/retention.h"
#include "compact/survey.h"

namespace cairn::compact {

struct Removal {
  PruneReport report;
  // Purpose::replace: what could go as well if it were old enough.
  std::uint64_t waiting_objects = 0, waiting_bytes = 0;
};

// `known` are indexes that need not be read, and get those that were. Errors as prune_replica; for Purpose::replace a
// hole is none: what lies behind it stays.
Result<Removal> remove_unneeded(Store& store, std::string_view replica, const PruneOptions& options, Purpose purpose,
                                KnownFooters& known, Clock& clock, Executor& executor);

}  // namespace cairn::compact
