// Where old history goes, so that a manifest stays small however often a container is synced: every sync reads and
// writes it.
//
// Once a manifest holds more than a few hundred syncs, all chains but the newest move into an object of their own below
// `containers/<name>.old/` that never changes, and the manifest names it (HistoryPart). The object is put first, under
// a name that is new, and the manifest's swap makes it count; one whose swap was lost is garbage for a prune. Dropping
// the oldest history only changes which of an object's syncs count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/clock.h"
#include "cairn/error.h"
#include "cairn/store.h"
#include "layer/manifest.h"

namespace cairn::layer {

// Whether a key is one of an object of history.
bool is_history_key(std::string_view key);

// When the manifest holds more than `most` syncs: puts its older chains into the store and names them instead.
Result<void> move_history_out(Store& store, Random& random, Manifest& manifest, std::size_t most);

// Leaves out the newest sync. Where it is the only one here, what was moved out last comes back; without any the
// manifest has no syncs at all.
Result<void> drop_newest(Store& store, Manifest& manifest);

// Leaves out the syncs before `sequence`, a full one.
void drop_before(Manifest& manifest, std::uint64_t sequence);

struct StoredHistory {
  StoredManifest stored;  // as it lies there
  Manifest whole;         // for reading: all syncs in `syncs`, none in `older`
};
// The manifest with all of its history. not_found: there is no such container. corrupt: a part of it is not there, or
// damaged.
Result<StoredHistory> read_history(Store& store, std::string_view name);

}  // namespace cairn::layer
