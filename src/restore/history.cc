#include "restore/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <tuple>

namespace cairn::restore {

using segment::KeyKind;
using segment::ObjectName;

Result<void> list_objects(Store& store, std::string_view prefix, std::string_view start_after,
                          const std::function<bool(const ObjectInfo&)>& each) {
  std::string after(start_after);
  while (true) {
    CAIRN_ASSIGN(ListPage page, store.list(prefix, after));
    for (const ObjectInfo& object : page.objects) {
      // A store that goes in circles would keep us here for ever, and could show an object twice or never.
      if (object.key <= after) {
        return Error(ErrorKind::io, fmt::format("{}: the list of {} is out of order at {}", store.url(), prefix,
                                                object.key));
      }
      after = object.key;
      if (!each(object)) return {};
    }
    if (!page.more) return {};
    if (page.objects.empty()) {
      return Error(ErrorKind::io, fmt::format("{}: the list of {} stopped before its end", store.url(), prefix));
    }
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

Result<std::vector<StoredObject>> list_segments(Store& store, std::string_view replica, Sequence after,
                                                std::optional<Sequence> up_to) {
  std::vector<StoredObject> found;
  bool may_stop = up_to.has_value();
  auto add = [&](const ObjectInfo& object) {
    auto name = segment::parse_key(replica, object.key);
    // Sequences are dense from 1; names that say otherwise are not ours.
    if (!name || name->kind != KeyKind::segment || name->first.value == 0 || name->last < name->first) return true;
    const bool passed = may_stop && name->first > *up_to;
    if (name->last > after) found.push_back({std::move(*name), object.size_bytes, {}});
    return !passed;
  };
  CAIRN_TRY(list_objects(store, segment::segment_prefix(replica), segment::segment_key(replica, after), add));
  may_stop = false;  // keys of merged segments are ordered by level first
  CAIRN_TRY(list_objects(store, segment::level_prefix(replica), {}, add));
  std::sort(found.begin(), found.end(), [](const StoredObject& a, const StoredObject& b) {
    return std::tie(a.name.first, a.name.last, a.name.level) < std::tie(b.name.first, b.name.last, b.name.level);
  });
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
