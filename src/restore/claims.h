// Every object of a replica says something about states: the hash before it, and hash and size at each of its restore
// points. Verifying means that no two of these claims contradict each other, and that none is missing in between.
#pragma once

#include <string>
#include <vector>

#include "restore/points.h"
#include "restore/pruned.h"

namespace cairn::restore {

// Contradictions become problems, one a sequence.
void compare_claims(const std::vector<ReadObject>& objects, std::vector<std::string>& problems);

// Sequences between the first snapshot and the newest state that no undamaged object covers. `listed` are all objects
// by name, `good` those that passed. What `pruned` names was removed on purpose: a note, no problem.
void find_gaps(const std::vector<StoredObject>& listed, const std::vector<ReadObject>& good, const Pruned& pruned,
               std::vector<std::string>& problems, std::vector<std::string>& notes);

}  // namespace cairn::restore
