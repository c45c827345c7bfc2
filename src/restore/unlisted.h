// A store may list an object some time after it can be read. What is asked for by its key is never late: so where it
// matters, what should follow a listing is asked for by its key.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/store.h"
#include "restore/history.h"

namespace cairn::restore {

// What a writer knows of a replica without listing it.
struct Known {
  Sequence published;         // in the store; 0: nothing
  std::string bundle;         // the key of what has taken the place of that segment's object; "": nothing has
  Sequence intent;            // the segment whose put may have been begun after that one
  std::int64_t begun_ms = 0;  // names the first snapshot; 0: not known
};

// What a listing said, made as long as it is: adds the newest snapshot that the claim or `known` names when none is
// listed, what holds `known.published` when nothing listed reaches it, and every level-0 segment behind the newest.
// Costs one head when nothing is missing.
Result<void> add_what_follows(Store& store, std::string_view replica, const Known& known,
                              std::vector<StoredObject>& snapshots, std::vector<StoredObject>& segments);

// How far a replica reaches by a listing, or by metadata.json when that says more: it does so past everything that was
// removed for something merged. Adds what the claim gives the keys of. Costs a get.
Result<Sequence> find_published(Store& store, std::string_view replica, std::vector<StoredObject>& snapshots,
                                std::vector<StoredObject>& segments);

// The same, and corrupt when what holds the newest states is not there, or not listed yet, and nothing gives its key.
Result<void> expect_all_published(Store& store, std::string_view replica, std::vector<StoredObject>& snapshots,
                                  std::vector<StoredObject>& segments);

// Of a listing that does not lead to `target`: adds what does, as far as it can be named. Costs nothing when it leads
// there.
Result<void> add_what_is_missing(Store& store, std::string_view replica, const Known& known, Sequence target,
                                 std::vector<StoredObject>& snapshots, std::vector<StoredObject>& segments);

}  // namespace cairn::restore
