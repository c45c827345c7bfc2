// <replica>/metadata.json: who began a replica, and a summary for people. Created create-only, so of two that begin one
// replica at once one wins. Never the source of truth about segments: keys and footers are.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::replicate {

struct Claim {
  Id128 lineage;
  Id128 writer;
  std::string host;  // of the writer, for people
  std::uint32_t page_size = 0;
  std::string latest_snapshot;  // key
  std::int64_t latest_snapshot_time_ms = 0;
  Sequence latest_sequence;
  std::uint64_t snapshot_count = 0;
  std::int64_t begun_ms = 0;  // names the first snapshot: of two that begin, only one can put it
  std::int64_t last_modified_ms = 0;
  std::string etag;  // of the object it was read from
};

// Nothing: there is no claim. corrupt: it is not one, or of a newer format.
Result<std::optional<Claim>> read_claim(Store& store, std::string_view replica);
// conflict: somebody else was first.
Result<void> create_claim(Store& store, std::string_view replica, const Claim& claim);
// Reads it, lets `change` change it, and replaces it by compare-and-swap. conflict: it has changed meanwhile, or what was
// read is not of `lineage`: JSON has no checksum, and bytes garbled on their way must not be written back.
Result<void> update_claim(Store& store, std::string_view replica, const Id128& lineage,
                          const std::function<void(Claim&)>& change);

}  // namespace cairn::replicate
