// What a replicator has to know of a replica before it adds to it: where its history ends, and the page hashes of a
// state, rebuilt from the indexes in the store alone (no page is fetched).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "cairn/error.h"
#include "cairn/store.h"
#include "restore/unlisted.h"
#include "segment/format.h"

namespace cairn::restore {

struct HeadState {
  Id128 lineage;
  Sequence newest;            // the highest sequence that any object reaches
  std::string key;            // of the object that ends there: the level-0 segment when there is one
  segment::Footer footer;     // of that object: footer.points.back() is the newest state
  bool has_snapshot = false;
  Sequence newest_snapshot;           // when has_snapshot
  std::int64_t newest_snapshot_time_ms = 0;  // whole seconds, from its key
};

// not_found: no snapshot and no segment lies under `replica` (a metadata.json alone is a claim, not a history).
// corrupt: the newest object is damaged, or its lineage is not that of metadata.json. retry_later: what is listed is
// there no more. Costs two or three lists and one or two gets; segments older than the newest snapshot are not listed.
Result<HeadState> read_head(Store& store, std::string_view replica);

// The same for who goes on from there: also when the store lists late. Costs one more request, and one for each segment
// that is not listed yet.
Result<HeadState> find_head(Store& store, std::string_view replica, const Known& known);

// Makes room for `page_count` hashes and returns it: entry i is page i + 1. It need not be zeroed.
using HashTable = std::function<Result<std::span<std::uint64_t>>(std::uint32_t page_size, std::uint32_t page_count)>;

// Fills the table with the page hashes of the state at `sequence` (the lock-byte page: 0) and checks that their XOR is
// the database hash of that state. Returns that restore point. Memory: 12 bytes a page that lies in segments.
// What is damaged, or listed and not there, is done without, as a restore does: each attempt asks `table` again.
// not_found: nothing there, or no restore point `sequence`; corrupt: a gap, or only what is damaged leads there.
Result<segment::RestorePoint> read_page_hashes(Store& store, std::string_view replica, Sequence sequence,
                                               const HashTable& table, const Known& known = {});

}  // namespace cairn::restore
