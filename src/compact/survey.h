// A replica as a prune sees it: every object, its index, and how old the store says that it is.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "cairn/store.h"
#include "compact/retention.h"
#include "restore/pruned.h"

namespace cairn::compact {

struct Survey {
  std::vector<AgedObject> objects;                // by key
  std::vector<restore::StoredObject> unreadable;  // damaged: neither relied on nor removed
  restore::Pruned pruned;                         // what earlier prunes gave up
};

// Indexes that were read once, by key. Objects are immutable, but one may be removed and another put in its place: so
// what is known is of the object with that etag and size.
struct KnownFooter {
  std::string etag;
  std::uint64_t size_bytes = 0;
  segment::Footer footer;
};
using KnownFooters = std::map<std::string, KnownFooter, std::less<>>;

enum class Holes { refuse, leave };

// Lists everything, reads the indexes that `known` has not, and compares what they say.
// not_found: no snapshot. conflict: an object of another lineage. corrupt: two objects contradict each other, or
// (Holes::refuse) there is a hole that no prune has left: whoever removed that may have removed what is relied on here;
// or a damaged object without which others that are whole lead to no state.
Result<Survey> survey(Store& store, std::string_view replica, KnownFooters& known, Holes holes, Executor& executor);

}  // namespace cairn::compact
