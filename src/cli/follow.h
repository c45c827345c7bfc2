// Runs replications side by side, with what surrounds them: signals, a child, status and log.
#pragma once

#include <spdlog/logger.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/daemon.h"
#include "cli/output.h"
#include "cli/replication.h"
#include "cli/signals.h"
#include "cli/spending.h"
#include "store/cost.h"

namespace cairn::cli {

struct FollowOptions {
  RunUntil until = RunUntil::stopped;
  std::vector<std::string> child;  // of --exec; empty: none
  std::int64_t timeout_ms = 10'000;      // for a goal, and before the child starts all the same
  std::int64_t stop_limit_ms = 30'000;   // for publishing everything after a stop
  Style style = Style::text;
  std::optional<PriceList> prices;       // none: those of the service, if they are known
  std::int64_t day_ms = kDayMs;          // how often it is logged what the stores were asked for meanwhile
};

// Until every replication has ended, by its goal, an error, the child's end, or SIGINT, SIGTERM or SIGHUP, after which
// everything is published first; a second signal ends the process at once. Failures are reported as they happen.
// Returns the exit status: the child's, unless it is 0 and something failed; that of the first failure; or 0.
int follow(std::vector<std::unique_ptr<Replication>> replications, const FollowOptions& options, Signals& signals,
           spdlog::logger& log);

}  // namespace cairn::cli
