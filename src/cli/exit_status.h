// What `cairn` tells its caller. docs/operations.md lists the same.
#pragma once

#include "cairn/error.h"

namespace cairn::cli {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;       // another failure
inline constexpr int kUsage = 2;        // usage or configuration
inline constexpr int kNothingThere = 3;
inline constexpr int kRefused = 4;      // another writer, or histories that diverge, or a file that is in the way
inline constexpr int kDamaged = 5;      // corrupt or incomplete
inline constexpr int kStore = 6;        // unreachable, or access denied

// Where an error arose: what the kinds `denied`, `io` and `unsupported` mean to a caller depends on it.
enum class Origin { local, store };

int exit_status(ErrorKind kind, Origin origin);

// An error on its way to the user.
struct Failure {
  Error error;
  Origin origin = Origin::local;
};

}  // namespace cairn::cli
