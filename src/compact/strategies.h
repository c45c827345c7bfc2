// Which neighbours become one object: pure functions of their sizes and levels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cairn/compactor.h"

namespace cairn::compact {

// A merge holds the indexes of all its inputs, and 64 KiB of small ones: more are merged in rounds.
inline constexpr std::size_t kMostInputs = 256;

// A segment of a line.
struct Piece {
  std::uint64_t span = 1;  // sequences
  int level = 0;
  std::uint64_t size_bytes = 0;
};

// Pieces [begin, end) become one object of this level, which is greater than that of each of them.
struct Group {
  std::size_t begin = 0, end = 0;
  int level = 1;
  bool operator==(const Group&) const = default;
};

struct Limits {
  std::uint32_t fan = 16;           // of Strategy::levelled
  std::uint64_t max_bytes = 0;      // of all pieces of a group in sum
  std::size_t max_pieces = kMostInputs;
};

// The merges that a line is due for: groups of two pieces or more, ascending, none overlapping another. Doing them and
// asking again comes to an end.
std::vector<Group> plan_groups(Strategy strategy, std::span<const Piece> line, const Limits& limits);

}  // namespace cairn::compact
