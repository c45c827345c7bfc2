// Publishing a snapshot now: `cairn snapshot`, and what a repair that is given the database ends with.
#pragma once

#include <string>

#include "cli/commands.h"

namespace cairn::cli {

struct SnapshotOptions {
  std::string database, to, timeout = "10s", state_root;
  bool no_wal_switch = false, whole = false, json = false;
};

// The exit status; what went wrong has been said.
int publish_snapshot(const SnapshotOptions& options, const Tools& tools);

}  // namespace cairn::cli
