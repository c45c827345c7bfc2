// The configuration file of `cairn replicate --config` and `cairn config check`.
#pragma once

#include <string>

#include "cairn/error.h"
#include "daemon/config.h"
#include "daemon/database_finder.h"

namespace cairn::cli {

// /etc/cairn/cairn.toml for root, else $XDG_CONFIG_HOME/cairn/cairn.toml or ~/.config/cairn/cairn.toml. invalid: there
// is no home either.
Result<std::string> default_config_path();

struct LoadedConfig {
  daemon::Config config;
  daemon::FoundDatabases found;  // what it means now
};

// Reads it, and finds nothing wrong with it: each store can be opened, no two databases share a replica. invalid: the
// first thing that is wrong, with file and line, and what to do.
Result<LoadedConfig> load_config(const std::string& path);

}  // namespace cairn::cli
