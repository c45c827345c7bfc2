#include "cli/exit_status.h"

namespace cairn::cli {

int exit_status(ErrorKind kind, Origin origin) {
  const bool of_store = origin == Origin::store;
  switch (kind) {
    case ErrorKind::not_found: return kNothingThere;
    case ErrorKind::conflict:
    case ErrorKind::busy: return kRefused;
    case ErrorKind::retry_later:
    case ErrorKind::maybe_done: return kStore;
    case ErrorKind::denied:
    case ErrorKind::io: return of_store ? kStore : kFailed;
    case ErrorKind::corrupt: return kDamaged;
    case ErrorKind::invalid: return kUsage;
    // A database or an option that cannot be served is configuration; an object of a newer format is not.
    case ErrorKind::unsupported: return of_store ? kFailed : kUsage;
    case ErrorKind::cancelled: return kFailed;
  }
  return kFailed;
}

}  // namespace cairn::cli
