// What runs for long. Driving a Replicator with threads: one for each of its steps, woken by the file system.
//
//   auto done = run_replicator(*replicator, clock, stop.get_token(), options);
//   replicator->close(StopMode::tidy);
//
// And syncing a container's directory whenever it has changed:
//
//   auto done = watch_layer(*manager, "web_1", "/var/lib/containers/web_1/upper", clock, stop.get_token(), {});
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "cairn/error.h"
#include "cairn/layer.h"
#include "cairn/replicator.h"

namespace cairn {

class Clock;

enum class RunUntil {
  stopped,   // the stop token asks for it
  settled,   // everything committed when it began is published, and a snapshot is there
  snapshot,  // the same, and a snapshot was published by this run
};

// yes: capture begins when the database appears; until then a missing (or empty) file is no error.
enum class WaitForDatabase { yes, no };

struct RunOptions {
  RunUntil until = RunUntil::stopped;
  WaitForDatabase wait_for_database = WaitForDatabase::no;
  // With RunUntil::settled and snapshot: how long the database or the store may be in trouble, without any progress,
  // before it is given up.
  std::int64_t trouble_limit_ms = 10'000;
  // After a stop: how long to go on publishing while nothing moves.
  std::int64_t final_limit_ms = 30'000;
  // Called on the caller's thread when something in the status changed that people care about. May be empty.
  std::function<void(const ReplicatorStatus&)> on_change;
  // One sentence about the surroundings, at most a few in a run: that changes cannot be watched, for instance. Called
  // on another thread. May be empty.
  std::function<void(std::string_view)> on_notice;
};

// Runs the three steps, each on a thread of its own, until a step fails (its error), the goal of `options.until` is
// reached, or `stop` asks to end: then what is committed is captured and everything captured is published first.
// Errors: those of the steps; with a goal, the kind of the trouble that lasted; after a stop, retry_later or the kind
// of the store's trouble when something could not be published (the message says what, and that the spool keeps it).
// No step runs any more when it returns. The Replicator stays open.
Result<void> run_replicator(Replicator& replicator, Clock& clock, std::stop_token stop, const RunOptions& options);

struct LayerWatchOptions {
  // At the latest so long after the last sync began the directory is looked at; and while changes go on, it is
  // published once in that time.
  std::int64_t interval_ms = 30'000;
  // After a change it is synced once it has been quiet for so long.
  std::int64_t quiet_ms = 2'000;
  LayerSyncOptions sync;
  // All of these are called on the caller's thread, and may be empty.
  std::function<void(const LayerSnapshot&)> on_sync;     // something was published
  std::function<void(const Error&)> on_trouble;          // the first failure of several; it is tried again
  std::function<void()> on_recovered;                    // the first success after it
  std::function<void(std::string_view)> on_notice;       // changes cannot be watched, so only the interval is left
};

// With what the manager is configured with: LayerOptions::sync_interval_ms.
inline LayerWatchOptions watch_options_of(const LayerManager& manager) {
  LayerWatchOptions options;
  options.interval_ms = manager.options().sync_interval_ms;
  return options;
}

// Registers the container and syncs its directory until `stop` asks to end: then once more. Errors: conflict, corrupt,
// invalid, unsupported, not_found and cancelled of a sync end it; others are tried again after growing waits. After a
// stop: what the last sync could not publish.
Result<void> watch_layer(LayerManager& manager, const std::string& name, const std::string& directory, Clock& clock,
                         std::stop_token stop, const LayerWatchOptions& options);

}  // namespace cairn
