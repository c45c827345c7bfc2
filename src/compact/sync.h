// Bringing the catalogue up to date with a replica.
#pragma once

#include <stop_token>

#include "base/executor.h"
#include "cairn/compactor.h"
#include "compact/catalogue.h"

namespace cairn::compact {

// Whose history lies in a store: what metadata.json claims, or, without that, what its objects say. not_found: none.
Result<Id128> identify(Store& store);

// Lists, reads the footers that are new, and writes down what it finds, a page of the listing at a time: an interrupted
// sync has not been in vain. What is damaged, or of another lineage, is written down as that and reported.
Result<SyncReport> sync(Store& store, Catalogue& catalogue, const KnownReplica& replica, SyncDepth depth,
                        std::int64_t now_ms, Executor& executor, std::stop_token stop = {});

// The level-0 segment behind which an incremental sync lists. A store may list an object later than one that was put
// after it; so what is behind the first hole among young objects is looked at again. Sequence(0): all.
Sequence list_level0_behind(const std::vector<KnownObject>& known);

}  // namespace cairn::compact
