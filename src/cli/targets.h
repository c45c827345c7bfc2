// Which database goes to which replica.
#pragma once

#include <string>
#include <vector>

#include "cairn/error.h"

namespace cairn::cli {

struct Target {
  std::string database;
  std::string url;
};

// Without `to`: <DB>-cairn. One database: `to` itself. Several: <to>/<file name>.
// invalid: two would share a replica, or one is named twice; the message says which.
Result<std::vector<Target>> choose_targets(const std::vector<std::string>& databases, const std::string& to);

}  // namespace cairn::cli
