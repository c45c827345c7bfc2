// The configuration file of `cairn replicate --config` and `cairn config check`.
#pragma once

#include <string>
#include <vector>

#include "cairn/error.h"
#include "daemon/config.h"
#include "daemon/database_finder.h"
#include "daemon/registered.h"

namespace cairn::cli {

// /etc/cairn/cairn.toml for root, else $XDG_CONFIG_HOME/cairn/cairn.toml or ~/.config/cairn/cairn.toml. invalid: there
// is no home either.
Result<std::string> default_config_path();

struct LoadedConfig {
  daemon::Config config;
  daemon::FoundDatabases found;  // what it means now
  std::string text;              // of the file
  std::string registered_file;   // of the databases that were registered while it ran; "": they are left out
  std::vector<daemon::Registration> registered;
};

// Reads it, and finds nothing wrong with it: each store can be opened, no two databases share a replica. invalid: the
// first thing that is wrong, with file and line, and what to do.
Result<LoadedConfig> load_config(const std::string& path);

// The same with what was registered while it ran. `before`: find_databases().
Result<LoadedConfig> load_with_registered(const std::string& path, const daemon::FoundDatabases& before = {});
// What `loaded` becomes with these registered, and nothing read again but the environment. Writes nothing. A clash of
// one of them is no error but in found.clashes.
Result<LoadedConfig> with_registered(const LoadedConfig& loaded, std::vector<daemon::Registration> registered);
Result<void> write_registered(const LoadedConfig& loaded);

}  // namespace cairn::cli
