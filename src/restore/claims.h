// Every object of a replica says something about states: the hash before it, and hash and size at each of its restore
// points. Verifying means that no two of these claims contradict each other, and that none is missing in between.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "restore/points.h"
#include "restore/pruned.h"

namespace cairn::restore {

// Contradictions become problems, one a sequence.
void compare_claims(const std::vector<ReadObject>& objects, std::vector<std::string>& problems);

struct Gaps {
  Sequence first_snapshot;
  std::vector<std::pair<Sequence, Sequence>> missing;  // first and last of each range, ascending
  std::uint64_t pruned = 0;                            // sequences that were removed on purpose
  std::uint64_t too_old = 0;                           // segments that end before the first snapshot
};

// Sequences between the first snapshot and `newest` that no undamaged segment covers. `listed` are all objects by name,
// `good` those that passed.
Gaps find_gaps(const std::vector<StoredObject>& listed, const std::vector<ReadObject>& good, const Pruned& pruned,
               Sequence newest);
// In words: what is missing is a problem each, the rest a note.
void tell_gaps(const Gaps& gaps, std::vector<std::string>& problems, std::vector<std::string>& notes);

}  // namespace cairn::restore
