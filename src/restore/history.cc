#include "restore/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <tuple>

namespace cairn::restore {

using segment::KeyKind;
using segment::ObjectName;

namespace {

// A store that goes in circles would keep us here for ever, and could show an object twice or never.
Error list_out_of_order(const Store& store, std::string_view prefix, std::string_view key) {
  return Error(ErrorKind::io, fmt::format("{}: the list of {} is out of order at {}", store.url(), prefix, key));
}

Error list_ended_early(const Store& store, std::string_view prefix) {
  return Error(ErrorKind::io, fmt::format("{}: the list of {} stopped before its end", store.url(), prefix));
}

// Sequences are dense from 1; names that say otherwise are not ours.
std::optional<ObjectName> segment_name(std::string_view replica, std::string_view key) {
  auto name = segment::parse_key(replica, key);
  if (!name || name->kind != KeyKind::segment || name->first.value == 0 || name->last < name->first) return {};
  return name;
}

void sort_segments(std::vector<StoredObject>& found) {
  std::sort(found.begin(), found.end(), [](const StoredObject& a, const StoredObject& b) {
    return std::tie(a.name.first, a.name.last, a.name.level) < std::tie(b.name.first, b.name.last, b.name.level);
  });
}

}  // namespace

Result<void> list_objects(Store& store, std::string_view prefix, std::string_view start_after,
                          const std::function<bool(const ObjectInfo&)>& each) {
  std::string after(start_after);
  while (true) {
    CAIRN_ASSIGN(ListPage page, store.list(prefix, after));
    for (const ObjectInfo& object : page.objects) {
      if (object.key <= after) return list_out_of_order(store, prefix, object.key);
      after = object.key;
      if (!each(object)) return {};
    }
    if (!page.more) return {};
    if (page.objects.empty()) return list_ended_early(store, prefix);
  }
}

Result<std::vector<StoredObject>> list_snapshots(Store& store, std::string_view replica) {
  std::vector<StoredObject> found;
  CAIRN_TRY(list_objects(store, segment::snapshot_prefix(replica), {}, [&](const ObjectInfo& object) {
    auto name = segment::parse_key(replica, object.key);
    if (name && name->kind == KeyKind::snapshot) found.push_back({std::move(*name), object.size_bytes, {}});
    return true;
  }));
  std::sort(found.begin(), found.end(), [](const StoredObject& a, const StoredObject& b) {
    return std::tie(a.name.last, a.name.time_ms, a.name.key) < std::tie(b.name.last, b.name.time_ms, b.name.key);
  });
  return found;
}

Result<std::vector<StoredObject>> list_unmerged(Store& store, std::string_view replica, Sequence after,
                                                std::optional<Sequence> up_to) {
  std::vector<StoredObject> found;
  const auto add = [&](const ObjectInfo& object) {
    const auto name = segment_name(replica, object.key);
    if (!name) return true;
    const bool passed = up_to && name->first > *up_to;
    if (name->last > after) found.push_back({*name, object.size_bytes, {}});
    return !passed;
  };
  CAIRN_TRY(list_objects(store, segment::segment_prefix(replica), segment::segment_key(replica, after), add));
  return found;
}

// Keys are ordered by level, and then by first sequences. So whatever lies behind the target is passed over, where it
// is more than what has come with the same page of names.
Result<std::vector<StoredObject>> list_merged(Store& store, std::string_view replica, Sequence after,
                                              std::optional<Sequence> up_to) {
  std::vector<StoredObject> found;
  std::string from;
  const std::string prefix = segment::level_prefix(replica);
  while (true) {
    CAIRN_ASSIGN(const ListPage page, store.list(prefix, from));
    std::optional<ObjectName> last;
    for (const ObjectInfo& object : page.objects) {
      if (object.key <= from) return list_out_of_order(store, prefix, object.key);
      from = object.key;
      last = segment_name(replica, object.key);
      if (last && last->last > after) found.push_back({*last, object.size_bytes, {}});
    }
    if (!page.more) break;
    if (page.objects.empty()) return list_ended_early(store, prefix);
    if (last && up_to && last->first > *up_to) from = fmt::format("{}{}/:", prefix, last->level);  // ':' is past '9'
  }
  sort_segments(found);
  return found;
}

Result<std::vector<StoredObject>> list_segments(Store& store, std::string_view replica, Sequence after,
                                                std::optional<Sequence> up_to) {
  CAIRN_ASSIGN(std::vector<StoredObject> found, list_unmerged(store, replica, after, up_to));
  CAIRN_ASSIGN(std::vector<StoredObject> merged, list_merged(store, replica, after));
  std::move(merged.begin(), merged.end(), std::back_inserter(found));
  sort_segments(found);
  return found;
}

Sequence newest_of(const std::vector<StoredObject>& snapshots, const std::vector<StoredObject>& segments) {
  Sequence newest;
  for (const auto* objects : {&snapshots, &segments}) {
    for (const StoredObject& object : *objects) newest = std::max(newest, object.name.last);
  }
  return newest;
}

Result<void> read_stops(Store& store, StoredObject& object) {
  if (object.name.kind != KeyKind::segment || object.name.first == object.name.last) return {};
  CAIRN_ASSIGN(const auto reader, segment::ObjectReader::open(store, object.name.key));
  set_stops(object, *reader);
  return {};
}

void set_stops(StoredObject& object, const segment::ObjectReader& reader) {
  object.stops.clear();
  if (reader.footer().kind != segment::ObjectKind::bundle) return;
  // The blocks up to the point, and all of the footer.
  const std::vector<segment::BlockInfo>& blocks = reader.blocks();
  const std::uint64_t data_end = blocks.back().offset + blocks.back().compressed_bytes;
  const std::uint64_t footer_bytes = reader.object_size_bytes() - data_end;
  for (const segment::RestorePoint& point : reader.footer().points) {
    const segment::BlockInfo& last = blocks[reader.locate(point.frame_end - 1).block];
    object.stops.push_back({point.sequence, last.offset + last.compressed_bytes + footer_bytes});
  }
}

}  // namespace cairn::restore
