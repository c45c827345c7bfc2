// `--adopt remote`: the replica's newest state takes the place of the local database, which is kept under another name.
#pragma once

#include <string>

#include "cairn/error.h"
#include "cairn/store.h"
#include "cli/system.h"

namespace cairn::cli {

struct AdoptRemote {
  Store& store;
  const std::string& database;  // its real path
  const std::string& state_directory;
  System& system;
};

// Returns a sentence that says what was restored and where the old database is.
// busy: somebody has the database open, or replicates it. not_found: the replica holds nothing.
Result<std::string> adopt_remote(const AdoptRemote& adopt);

}  // namespace cairn::cli
