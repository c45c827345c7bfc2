// What is told of one replicator in JSON: alike on the control socket (docs/control.md) and in the lines that
// `cairn replicate --json` prints.
#pragma once

#include <nlohmann/json.hpp>

#include "cairn/replicator.h"

namespace cairn::daemon {

// null when it is not known.
nlohmann::ordered_json time_json(std::int64_t wall_ms);

// How far it is, and what is in its way.
nlohmann::ordered_json replicator_json(const ReplicatorStatus& status);

}  // namespace cairn::daemon
