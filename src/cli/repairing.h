// cairn verify --repair: what it does, and how it says so.
#pragma once

#include <string>

#include "cli/commands.h"

namespace cairn::cli {

struct RepairingOptions {
  std::string url, scratch, database, state_root;
  bool dry_run = false, json = false;
};

int repair(const RepairingOptions& options, const Tools& tools);

}  // namespace cairn::cli
