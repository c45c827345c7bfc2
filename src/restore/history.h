// What the keys of a replica say, without reading an object: which snapshots and segments there are.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "cairn/error.h"
#include "cairn/store.h"
#include "segment/keys.h"
#include "segment/reader.h"

namespace cairn::restore {

// A restore point inside an object, and how many bytes of the object reach it.
struct Stop {
  Sequence at;
  std::uint64_t size_bytes = 0;
};

struct StoredObject {
  segment::ObjectName name;
  std::uint64_t size_bytes = 0;
  // Where inside it a restore may end, beside its last sequence: the restore points of a bundle, ascending, as far as
  // its footer has been read. A squashed segment has none.
  std::vector<Stop> stops;
};

// Calls `each` with every object under `prefix` whose key is greater than `start_after`, in order, page by page,
// until it returns false.
Result<void> list_objects(Store& store, std::string_view prefix, std::string_view start_after,
                          const std::function<bool(const ObjectInfo&)>& each);

// All snapshots, ascending by sequence, then time.
Result<std::vector<StoredObject>> list_snapshots(Store& store, std::string_view replica);

// The segments of all levels that reach past `after`, ascending by first and last sequence. With `up_to`, level-0
// segments are listed only as far as the page of names that passes it: enough to know whether there is more.
Result<std::vector<StoredObject>> list_segments(Store& store, std::string_view replica, Sequence after,
                                                std::optional<Sequence> up_to = std::nullopt);

// Only one of both kinds of them. Of each level, merged segments are listed only as far as the page of names
// that passes `up_to`.
Result<std::vector<StoredObject>> list_merged(Store& store, std::string_view replica, Sequence after,
                                              std::optional<Sequence> up_to = std::nullopt);
Result<std::vector<StoredObject>> list_unmerged(Store& store, std::string_view replica, Sequence after,
                                                std::optional<Sequence> up_to = std::nullopt);

// The highest sequence that any of them reaches.
Sequence newest_of(const std::vector<StoredObject>& snapshots, const std::vector<StoredObject>& segments);

// Opens the footer of an object that may end a restore in its middle and fills in `stops`. Reads nothing for level 0.
Result<void> read_stops(Store& store, StoredObject& object);
// The same of one that is open.
void set_stops(StoredObject& object, const segment::ObjectReader& reader);

}  // namespace cairn::restore
