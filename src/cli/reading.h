// What the commands that only read a replica have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cairn/restore.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/remembering_store.h"
#include "cli/system.h"

namespace cairn::cli {

// Where a failure came from while a replica was read. A replica that is not there is asked about once more: when the
// URL is the folder of several, the message names them.
Failure reading_failure(RememberingStore& store, const Error& error);

// --at, --sequence and --request-costs.
struct TargetOptions {
  std::string at, request_costs = "256KiB";
  std::optional<std::uint64_t> sequence;
};
Result<RestoreTarget> restore_target(const TargetOptions& options);

// What was planned around or left out, a sentence each, on standard error.
void warn_of(const std::vector<DamagedObject>& damaged);
std::string damage_warning(const DamagedObject& damaged);
Json damaged_json(const std::vector<DamagedObject>& damaged);

Json planned_json(const std::vector<PlannedObject>& objects);
Json point_json(const RestorePointInfo& point);

}  // namespace cairn::cli
