// A database that is missing comes back from its replica before anything else happens to it: before a program starts
// that would make an empty one.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>

#include "cli/exit_status.h"
#include "cli/replication.h"
#include "cli/system.h"

namespace cairn::cli {

enum class Missing {
  no,           // there is a file, also one that has appeared meanwhile; it was not touched
  nothing_yet,  // no file and no replica: there is nothing to restore
  restored,     // it is the newest state of the replica
};

// One try. What an earlier run has captured and not published goes into the store first, so that it is part of that
// state. A file of no bytes is not missing: when there is a replica that is refused, because somebody may have it open.
// The failure says what to do; then nothing has changed, and no program may start on it.
std::optional<Failure> restore_if_missing(const ReplicationOptions& options, System& system,
                                          const Replication::Say& say, std::stop_token stop, Missing& missing);

// True: the store is away, or slow; the same may succeed later.
bool is_worth_another_try(const Failure& failure);

// The same again and again while the store is away, at most so long (none: for ever), or until `stop`.
std::optional<Failure> restore_with_patience(const ReplicationOptions& options, System& system,
                                             const Replication::Say& say, std::stop_token stop,
                                             std::optional<std::int64_t> limit_ms, Missing& missing);

}  // namespace cairn::cli
