// The page hashes of a whole history, played through in order.
#pragma once

#include <string>
#include <vector>

#include "base/files.h"
#include "cairn/store.h"
#include "restore/points.h"

namespace cairn::restore {

// From the first snapshot on (and again from the next one behind what was pruned), the index of each next segment is
// applied to a table of page hashes; after every restore point the XOR of the table must be the database hash claimed
// there, and every later snapshot's index must equal the table. It finds what no object shows by itself: a segment that
// lacks a page, or carries one of another state.
// Squashed segments are used only where nothing finer is there.
//
// The table (8 bytes a page) is a file in `scratch`, mapped; with an empty `scratch` it is in memory when it is
// small (up to 16 MiB), otherwise this look is left out and a note says so.
Result<void> replay_hashes(Store& store, const std::vector<ReadObject>& objects, FileSystem& files,
                           const std::string& scratch, std::vector<std::string>& problems,
                           std::vector<std::string>& notes);

}  // namespace cairn::restore
