// Which segments can be merged with which: a pure function of what is known of a replica.
#pragma once

#include <cstddef>
#include <vector>

#include "base/ids.h"
#include "restore/points.h"

namespace cairn::compact {

// Segments (indexes into the objects, ascending by sequence), each of which begins where the one before ends: the same
// state, by its hash, and the same page size. Any run of neighbours of it may become one object.
using Line = std::vector<std::size_t>;

// The lines of a replica, ascending: few objects each, so what was merged stands for its sources. Between two lines
// something is missing, or the page size changes, or two objects contradict each other; what lies within the range of
// another line is in none. Segments that end before the first snapshot are of no use and are left out.
//
// No line loses a restore point that is at or behind `keep_from`: a squashed segment stands for its sources only where
// none of them has such a point inside it. Sequence(0): none is lost.
std::vector<Line> find_lines(const std::vector<restore::ReadObject>& objects, Sequence keep_from);

}  // namespace cairn::compact
