#include "layer/stored.h"

#include <fmt/format.h>

#include <algorithm>

namespace cairn::layer {

namespace {

constexpr std::size_t kDigestDigits = 64;

// What stands behind every key of a folder: '0' is the byte after '/'.
std::string end_of_folder(std::string_view key) { return std::string(key.substr(0, key.find('/'))) + '0'; }

}  // namespace

std::string_view digest_of_key(std::string_view key) {
  const std::string_view digest = key.substr(0, std::min(kDigestDigits, key.size()));
  const bool is_hex = std::all_of(digest.begin(), digest.end(),
                                  [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (digest.size() != kDigestDigits || !is_hex) return "";
  return key == layer_key(digest) || key == meta_key(digest) ? digest : "";
}

Result<std::vector<ObjectInfo>> list_all(Store& store, std::string_view prefix) {
  std::vector<ObjectInfo> all;
  std::string after;
  while (true) {
    CAIRN_ASSIGN(ListPage page, store.list(prefix, after));
    const bool more = page.more && !page.objects.empty();
    if (more) after = page.objects.back().key;
    std::move(page.objects.begin(), page.objects.end(), std::back_inserter(all));
    if (!more) return all;
  }
}

Result<std::map<std::string, std::vector<ObjectInfo>>> list_layer_objects(Store& store) {
  std::map<std::string, std::vector<ObjectInfo>> found;
  std::string after;
  while (true) {
    CAIRN_ASSIGN(const ListPage page, store.list("", after));
    for (const ObjectInfo& object : page.objects) {
      const std::string_view digest = digest_of_key(object.key);
      if (!digest.empty()) found[std::string(digest)].push_back(object);
    }
    if (!page.more || page.objects.empty()) return found;
    const std::string& last = page.objects.back().key;
    after = last.find('/') == std::string::npos ? last : end_of_folder(last);
  }
}

Result<std::vector<StoredHistory>> read_all_histories(Store& store) {
  CAIRN_ASSIGN(const std::vector<std::string> names, stored_container_names(store));
  return read_histories(store, names);
}

Result<std::vector<StoredHistory>> read_histories(Store& store, std::span<const std::string> names) {
  std::vector<StoredHistory> histories;
  for (const std::string& name : names) {
    Result<StoredHistory> history = read_history(store, name);
    if (history) {
      histories.push_back(std::move(*history));
    } else if (history.error().kind() != ErrorKind::not_found) {
      return history.error();
    }
  }
  return histories;
}

LayerSnapshot snapshot_of(const SyncRecord& record) {
  LayerSnapshot snapshot;
  snapshot.digest = record.layer.digest;
  snapshot.size_bytes = record.layer.size_bytes;
  snapshot.compressed_size_bytes = record.layer.compressed_size_bytes;
  snapshot.created_at_ms = record.time_ms;
  snapshot.file_count = record.layer.file_count;
  snapshot.sequence = record.sequence;
  snapshot.is_full = record.kind == SyncKind::full;
  snapshot.torn_files = record.torn_files;
  snapshot.skipped_sockets = record.skipped_sockets;
  return snapshot;
}

}  // namespace cairn::layer

namespace cairn {

Result<std::vector<std::string>> stored_container_names(Store& store) {
  CAIRN_ASSIGN(const std::vector<ObjectInfo> objects, layer::list_all(store, layer::kManifestPrefix));
  std::vector<std::string> names;
  for (const ObjectInfo& object : objects) {
    // Not a folder below, or what somebody else has put there.
    std::optional<std::string> name = layer::name_of_manifest_key(object.key);
    if (name) names.push_back(std::move(*name));
  }
  return names;
}

Result<std::vector<StoredContainer>> list_stored_containers(Store& store) {
  CAIRN_ASSIGN(const std::vector<layer::StoredHistory> histories, layer::read_all_histories(store));
  std::vector<StoredContainer> containers;
  for (const layer::StoredHistory& stored : histories) {
    const layer::Manifest& manifest = stored.whole;
    StoredContainer container;
    container.name = manifest.name;
    container.lineage = manifest.lineage.hex();
    container.syncs = manifest.syncs.size();
    container.newest_sequence = manifest.head().sequence;
    container.newest_time_ms = manifest.head().time_ms;
    std::map<std::string_view, std::uint64_t> sizes;  // a layer that several syncs share lies there once
    for (const layer::SyncRecord& sync : manifest.syncs) {
      sizes[sync.layer.digest] = sync.layer.compressed_size_bytes;
    }
    for (const auto& [digest, size_bytes] : sizes) container.size_bytes += size_bytes;
    containers.push_back(std::move(container));
  }
  return containers;
}

Result<std::vector<LayerSnapshot>> layer_history(Store& store, std::string_view name) {
  CAIRN_ASSIGN(const layer::StoredHistory stored, layer::read_history(store, name));
  std::vector<LayerSnapshot> history;
  for (const layer::SyncRecord& sync : stored.whole.syncs) history.push_back(layer::snapshot_of(sync));
  return history;
}

}  // namespace cairn
