// <replica>/pruned/<number:020>.json: which restore points were given up, so that a hole that a prune left is told from
// a loss. Records are created create-only, before anything is removed. Each repeats those that its prune had read; what
// all of them say together holds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::restore {

struct Pruned {
  std::uint64_t number = 0;  // of the record; 0: never pruned
  std::vector<std::pair<Sequence, Sequence>> ranges;  // first and last, ascending, not touching
  std::vector<std::uint64_t> read;                    // numbers of the records that say so

  bool covers(Sequence first, Sequence last) const;  // all of them
  void add(const Pruned& other);                     // its ranges too
};

std::string pruned_json(const Pruned& pruned);
// corrupt: not such JSON. unsupported: a newer format.
Result<Pruned> parse_pruned(std::string_view json);

// What all records say that can be read, and the number of the newest; 0 when there is none.
Result<Pruned> read_pruned(Store& store, std::string_view replica);
// The numbers of all records, ascending.
Result<std::vector<std::uint64_t>> list_pruned(Store& store, std::string_view replica);

}  // namespace cairn::restore
