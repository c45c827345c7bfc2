// The only place that spells the keys of a replica's objects.
//
//   <replica>/metadata.json
//   <replica>/snapshots/<YYYYMMDD_HHMMSS>-<sequence:020>.sqlite.zst
//   <replica>/wal/<sequence:020>.wal.zst                               level 0
//   <replica>/levels/<n>/<first:020>-<last:020>.wal.zst                merged (n >= 1)
//   <replica>/pruned/<number:020>.json                                 what was removed on purpose
//   <replica>/damaged/<its key, '_' for '/'>.<number>.damaged          what a repair found damaged and put aside
//
// `replica` is the path of a replica inside its store, "" for the store's root. Names that do not match are
// ignored by readers: a bucket may hold other things.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"

namespace cairn::segment {

enum class KeyKind { snapshot, segment };

struct ObjectName {
  KeyKind kind = KeyKind::segment;
  int level = 0;             // segments only
  Sequence first, last;      // of a snapshot: first == last == the sequence whose state it holds
  std::int64_t time_ms = 0;  // snapshots only: whole seconds
  std::string key;
};

std::string metadata_key(std::string_view replica);
std::string snapshot_key(std::string_view replica, std::int64_t time_ms, Sequence sequence);
std::string segment_key(std::string_view replica, Sequence sequence);
std::string segment_name(Sequence sequence);  // the last part of it
std::string merged_key(std::string_view replica, int level, Sequence first, Sequence last);

// The record of the `number`th prune, and the number that such a key says.
std::string pruned_key(std::string_view replica, std::uint64_t number);
std::optional<std::uint64_t> parse_pruned_key(std::string_view replica, std::string_view key);

// Where the damaged object `key` is kept; it looks like no object. The number tells apart those of one key.
std::string damaged_key(std::string_view replica, std::string_view key, int number);

// The prefixes under which to list, each ending in '/'; of all of a replica at the store's root: "".
std::string replica_prefix(std::string_view replica);
std::string snapshot_prefix(std::string_view replica);
std::string segment_prefix(std::string_view replica);
std::string level_prefix(std::string_view replica);  // all levels >= 1
std::string pruned_prefix(std::string_view replica);

// What a key says, or nothing when it is not the key of an object of this replica.
std::optional<ObjectName> parse_key(std::string_view replica, std::string_view key);

// The same without knowing the replica: whatever stands before the object's own name is taken for its path.
std::optional<ObjectName> parse_any_key(std::string_view key);

}  // namespace cairn::segment
