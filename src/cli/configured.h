// Runs everything that a configuration names, side by side: databases and layers, as they come and go.
#pragma once

#include <spdlog/logger.h>

#include <string>

#include "cli/config_file.h"
#include "cli/output.h"
#include "cli/signals.h"

namespace cairn::cli {

// Until SIGINT or SIGTERM, after which everything is published first; a second one ends the process at once. SIGHUP
// reads `path` again: what has changed is begun anew, and a file that is not good changes nothing. What fails is told,
// and tried again after growing waits, while the rest goes on.
// Returns 0, or the exit status of one that was failing at the end.
int run_configured(LoadedConfig loaded, const std::string& path, Style style, Signals& signals, spdlog::logger& log);

}  // namespace cairn::cli
