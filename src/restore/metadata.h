// <replica>/metadata.json: the claim of a lineage on a replica, and a summary for people. Created create-only before
// anything else; never the source of truth: keys and footers are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::restore {

inline constexpr int kMetadataFormat = 1;

struct Metadata {
  int format = kMetadataFormat;
  Id128 lineage;                       // "db_identifier"
  std::uint32_t page_size = 0;
  std::string latest_snapshot;         // a key; "" when there is none yet
  std::int64_t latest_snapshot_time_ms = 0;
  std::uint64_t latest_wal_sequence = 0;
  std::uint64_t snapshot_count = 0;
  std::int64_t begun_ms = 0;           // when it was claimed
  std::int64_t last_modified_ms = 0;
  Id128 writer;                        // the replicator that changed it last, and where that runs
  std::string host;
  std::string etag;                    // of the object read: for put_if; not part of the bytes
  bool operator==(const Metadata&) const = default;
};

// As it is stored: JSON, one field a line.
std::string metadata_json(const Metadata& metadata);
// corrupt: not such JSON, or no lineage in it. unsupported: a newer format.
Result<Metadata> parse_metadata(std::string_view json);
// not_found: there is none.
Result<Metadata> read_metadata(Store& store, std::string_view replica);

// Sees to it that `latest_wal_sequence` is at least `removed` (then it becomes `published`). Before a level-0 segment
// is removed: a restore that is listed neither that nor what took its place is told of it here, and asks for no key
// that is free for another reason than that history ends there. Costs a get, and mostly no more. A claim that is gone
// or damaged, or in a store that replaces nothing, is left so. retry_later: others were writing it all the time.
Result<void> claim_before_removing(Store& store, std::string_view replica, Sequence removed, Sequence published);

}  // namespace cairn::restore
