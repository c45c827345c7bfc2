#include "layer/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "layer/percent.h"
#include "store/key.h"

namespace cairn::layer {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kManifestFormat = 1;
// Of a manifest that names older history: a reader that does not know of it would take the layers there for garbage.
constexpr std::uint64_t kFormatWithOlder = 2;
constexpr std::string_view kManifestSuffix = ".json";
constexpr std::size_t kSha256Digits = 64;
// Far more than a manifest ever is: history moves out of it.
constexpr std::uint64_t kMaxManifestBytes = 64u << 20;

Error damaged_manifest(std::string_view what) {
  return Error(ErrorKind::corrupt, fmt::format("it is not what Cairn writes there: {}", what));
}

bool is_digest(std::string_view text) {
  return text.size() == kSha256Digits &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// Reads the fields of one JSON object. What is absent, or of another type, or makes no sense, is remembered as a fault.
class Fields {
 public:
  explicit Fields(const Json& json) : json_(json) {
    if (!json.is_object()) fault("not an object");
  }

  std::uint64_t number(const char* name) {
    const Json* field = find(name);
    if (field && field->is_number_unsigned()) return field->get<std::uint64_t>();
    fault(name);
    return 0;
  }
  std::string text(const char* name) {
    const Json* field = find(name);
    if (field && field->is_string()) return field->get<std::string>();
    fault(name);
    return {};
  }
  std::int64_t moment(const char* name) {
    const auto time = parse_time(text(name));
    if (!time) fault(name);
    return time ? *time : 0;
  }
  Id128 id(const char* name) {
    const auto id = Id128::from_hex(text(name));
    if (!id || id->is_zero()) fault(name);
    return id ? *id : Id128{};
  }
  const Json* list(const char* name) {
    const Json* field = find(name);
    if (field && field->is_array()) return field;
    fault(name);
    return nullptr;
  }
  void fault(const char* name) {
    if (!fault_) fault_ = name;
  }
  Result<void> outcome() const {
    if (fault_) return damaged_manifest(fmt::format("'{}' is missing or wrong", fault_));
    return {};
  }

 private:
  const Json* find(const char* name) const {
    const auto field = json_.is_object() ? json_.find(name) : json_.end();
    return field == json_.end() ? nullptr : &*field;
  }

  const Json& json_;
  const char* fault_ = nullptr;
};

// The document, when its format is one that this Cairn knows.
Result<Json> parse_document(ByteView bytes, std::uint64_t newest) {
  Json json = Json::parse(as_text(bytes), nullptr, false);
  if (json.is_discarded() || !json.is_object()) return damaged_manifest("no JSON object");
  Fields fields(json);
  const std::uint64_t format = fields.number("format");
  CAIRN_TRY(fields.outcome());
  if (format == 0) return damaged_manifest("'format' is 0");
  if (format > newest) {
    return Error(ErrorKind::unsupported, fmt::format("it was written by a newer Cairn (format {}); this one reads up "
                                                     "to {}: update Cairn", format, newest));
  }
  return json;
}

void write_layer(const LayerMeta& layer, Json& json) {
  json["digest"] = layer.digest;
  json["size_bytes"] = layer.size_bytes;
  json["compressed_size_bytes"] = layer.compressed_size_bytes;
  json["created_at"] = format_time(layer.created_at_ms);
  json["file_count"] = layer.file_count;
  json["object"] = layer.object;
}

LayerMeta read_layer(Fields& fields) {
  LayerMeta layer;
  layer.digest = fields.text("digest");
  layer.size_bytes = fields.number("size_bytes");
  layer.compressed_size_bytes = fields.number("compressed_size_bytes");
  layer.created_at_ms = fields.moment("created_at");
  layer.file_count = fields.number("file_count");
  layer.object = fields.text("object");
  if (!is_digest(layer.digest)) fields.fault("digest");
  if (!is_key(layer.object)) fields.fault("object");
  return layer;
}

std::string_view name_of_kind(SyncKind kind) { return kind == SyncKind::full ? "full" : "increment"; }

Json sync_json(const SyncRecord& sync) {
  Json json;
  json["sequence"] = sync.sequence;
  json["time"] = format_time(sync.time_ms);
  json["kind"] = name_of_kind(sync.kind);
  write_layer(sync.layer, json);
  json["torn_files"] = sync.torn_files;
  json["skipped_sockets"] = sync.skipped_sockets;
  return json;
}

Result<SyncRecord> parse_sync(const Json& json) {
  Fields fields(json);
  SyncRecord sync;
  sync.sequence = fields.number("sequence");
  sync.time_ms = fields.moment("time");
  const std::string kind = fields.text("kind");
  if (kind != "full" && kind != "increment") fields.fault("kind");
  sync.kind = kind == "full" ? SyncKind::full : SyncKind::increment;
  sync.layer = read_layer(fields);
  sync.torn_files = fields.number("torn_files");
  sync.skipped_sockets = fields.number("skipped_sockets");
  CAIRN_TRY(fields.outcome());
  return sync;
}

Json part_json(const HistoryPart& part) {
  Json json;
  json["object"] = part.object;
  json["first"] = part.first;
  json["last"] = part.last;
  return json;
}

Result<HistoryPart> parse_part(const Json& json) {
  Fields fields(json);
  HistoryPart part;
  part.object = fields.text("object");
  part.first = fields.number("first");
  part.last = fields.number("last");
  if (!is_key(part.object)) fields.fault("object");
  if (part.first == 0 || part.first > part.last) fields.fault("first");
  CAIRN_TRY(fields.outcome());
  return part;
}

Result<void> check_history(const std::vector<SyncRecord>& syncs) {
  if (syncs.empty()) return damaged_manifest("it names no sync");
  if (syncs.front().sequence == 0) return damaged_manifest("a sync has the sequence 0");
  if (syncs.front().kind != SyncKind::full) return damaged_manifest("its first sync is not a full one");
  for (std::size_t i = 1; i < syncs.size(); ++i) {
    if (syncs[i].sequence != syncs[i - 1].sequence + 1) {
      return damaged_manifest(fmt::format("sync {} comes after sync {}", syncs[i].sequence, syncs[i - 1].sequence));
    }
  }
  return {};
}

// Without a gap, up to the first sync of the manifest itself.
Result<void> check_older(const Manifest& manifest) {
  for (std::size_t i = 0; i < manifest.older.size(); ++i) {
    const bool is_last = i + 1 == manifest.older.size();
    const std::uint64_t next = is_last ? manifest.syncs.front().sequence : manifest.older[i + 1].first;
    if (manifest.older[i].last + 1 == next) continue;
    return damaged_manifest(fmt::format("sync {} comes after sync {}", next, manifest.older[i].last));
  }
  return {};
}

Result<std::vector<SyncRecord>> parse_syncs(const Json& list) {
  std::vector<SyncRecord> syncs;
  syncs.reserve(list.size());
  for (const Json& sync : list) {
    CAIRN_ASSIGN(SyncRecord record, parse_sync(sync));
    syncs.push_back(std::move(record));
  }
  CAIRN_TRY(check_history(syncs));
  return syncs;
}

// One item a line, so that people and line tools can read it.
template <class Items, class JsonOf>
void write_lines(std::string& text, const Items& items, const JsonOf& json_of) {
  std::string_view before = "\n    ";
  for (const auto& item : items) {
    text.append(before).append(json_of(item).dump());
    before = ",\n    ";
  }
  text.append("\n  ]");
}

std::string json_text(const std::string& text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

Bytes bytes_of(std::string_view text) {
  const ByteView view = as_bytes(text);
  return Bytes(view.begin(), view.end());
}

// Whether what lies there now is what we wanted to put: a lost answer, or a repetition that met our own first try. The
// manifest has its writer's id in it, so nobody else's is the same. `etag`: what was to be replaced.
Result<std::string> look(Store& store, const std::string& key, const Bytes& ours, std::string_view etag,
                         const Error& failure) {
  auto there = store.get(key, 0, ours.size() + 1);
  if (there && there->bytes == ours) return std::move(there->info.etag);
  const bool is_absent = !there && there.error().kind() == ErrorKind::not_found;
  if (!there && !is_absent) return there.error().with(failure.message());
  const bool is_as_before = is_absent ? etag.empty() : there->info.etag == etag;
  if (is_as_before && failure.kind() == ErrorKind::maybe_done) return failure.as(ErrorKind::retry_later);
  return Error(ErrorKind::conflict, fmt::format("{} was changed by somebody else meanwhile: is another machine syncing "
                                                "this container?", key));
}

}  // namespace

std::string layer_key(std::string_view digest) { return std::string(digest).append(".tar.zst"); }
std::string temporary_layer_key(std::string_view token) {
  return std::string(kTemporaryPrefix).append(token).append(".tar.zst");
}
std::string meta_key(std::string_view digest) { return std::string(digest).append(".meta.json"); }

std::string manifest_key(std::string_view name) {
  return std::string(kManifestPrefix).append(percent_encoded(name)).append(kManifestSuffix);
}

std::optional<std::string> name_of_manifest_key(std::string_view key) {
  if (!key.starts_with(kManifestPrefix) || !key.ends_with(kManifestSuffix)) return std::nullopt;
  if (key.size() <= kManifestPrefix.size() + kManifestSuffix.size()) return std::nullopt;
  key.remove_prefix(kManifestPrefix.size());
  key.remove_suffix(kManifestSuffix.size());
  return percent_decoded(key);
}

Result<void> check_container_name(std::string_view name) {
  if (name.empty()) return Error(ErrorKind::invalid, "a container needs a name");
  if (!is_utf8(name)) return Error(ErrorKind::invalid, "the name of a container must be UTF-8");
  if (auto checked = check_key(manifest_key(name)); !checked) {
    return checked.error().with(fmt::format("'{}' cannot be the name of a container", name));
  }
  return {};
}

Bytes write_meta(const LayerMeta& meta) {
  Json json;
  json["format"] = kManifestFormat;
  write_layer(meta, json);
  return bytes_of(json.dump(2) + "\n");
}

Result<LayerMeta> parse_meta(ByteView bytes) {
  CAIRN_ASSIGN(const Json json, parse_document(bytes, kManifestFormat));
  Fields fields(json);
  LayerMeta meta = read_layer(fields);
  CAIRN_TRY(fields.outcome());
  return meta;
}

Bytes write_manifest(const Manifest& manifest) {
  std::string text = fmt::format("{{\n  \"format\": {},\n  \"name\": {},\n  \"lineage\": \"{}\",\n"
                                 "  \"writer\": \"{}\"",
                                 manifest.older.empty() ? kManifestFormat : kFormatWithOlder, json_text(manifest.name),
                                 manifest.lineage.hex(), manifest.writer.hex());
  if (!manifest.older.empty()) write_lines(text.append(",\n  \"older\": ["), manifest.older, part_json);
  write_lines(text.append(",\n  \"syncs\": ["), manifest.syncs, sync_json);
  return bytes_of(text.append("\n}\n"));
}

Result<Manifest> parse_manifest(ByteView bytes) {
  CAIRN_ASSIGN(const Json json, parse_document(bytes, kFormatWithOlder));
  Fields fields(json);
  Manifest manifest;
  manifest.name = fields.text("name");
  manifest.lineage = fields.id("lineage");
  manifest.writer = fields.id("writer");
  const Json* syncs = fields.list("syncs");
  const Json* older = fields.number("format") == kFormatWithOlder ? fields.list("older") : nullptr;
  CAIRN_TRY(fields.outcome());
  CAIRN_ASSIGN(manifest.syncs, parse_syncs(*syncs));
  for (std::size_t i = 0; older != nullptr && i < older->size(); ++i) {
    CAIRN_ASSIGN(HistoryPart part, parse_part((*older)[i]));
    manifest.older.push_back(std::move(part));
  }
  CAIRN_TRY(check_older(manifest));
  return manifest;
}

Bytes write_history(const Manifest& history) {
  std::string text = fmt::format("{{\n  \"format\": {},\n  \"name\": {},\n  \"lineage\": \"{}\",\n"
                                 "  \"syncs\": [",
                                 kManifestFormat, json_text(history.name), history.lineage.hex());
  write_lines(text, history.syncs, sync_json);
  return bytes_of(text.append("\n}\n"));
}

Result<Manifest> parse_history(ByteView bytes) {
  CAIRN_ASSIGN(const Json json, parse_document(bytes, kManifestFormat));
  Fields fields(json);
  Manifest history;
  history.name = fields.text("name");
  history.lineage = fields.id("lineage");
  const Json* syncs = fields.list("syncs");
  CAIRN_TRY(fields.outcome());
  CAIRN_ASSIGN(history.syncs, parse_syncs(*syncs));
  return history;
}

Result<StoredManifest> read_manifest(Store& store, std::string_view name) {
  const std::string key = manifest_key(name);
  auto object = store.get(key, 0, kMaxManifestBytes);
  if (!object) {
    if (object.error().kind() != ErrorKind::not_found) return object.error();
    return Error(ErrorKind::not_found, fmt::format("{} has no container '{}'", store.url(), name));
  }
  if (object->info.size_bytes > kMaxManifestBytes) return damaged_manifest("it is too large").with(key);
  auto manifest = parse_manifest(object->bytes);
  if (!manifest) return manifest.error().with(key);
  if (manifest->name != name) return damaged_manifest("it is of another container").with(key);
  return StoredManifest{std::move(*manifest), std::move(object->info.etag)};
}

Result<std::string> publish_manifest(Store& store, const Manifest& manifest, std::string_view etag) {
  CAIRN_TRY(check_container_name(manifest.name));
  const std::string key = manifest_key(manifest.name);
  const Bytes bytes = write_manifest(manifest);
  if (bytes.size() > kMaxManifestBytes) {
    return Error(ErrorKind::unsupported, fmt::format("the history of '{}' is too long for its manifest: prune it, "
                                                     "keeping less", manifest.name));
  }
  const BytesSource source(bytes);
  auto put = etag.empty() ? store.put_new(key, source) : store.put_if(key, source, etag);
  if (put) return put;
  const ErrorKind kind = put.error().kind();
  if (kind != ErrorKind::conflict && kind != ErrorKind::maybe_done) return put.error();
  return look(store, key, bytes, etag, put.error());
}

Result<std::vector<SyncRecord>> chain_of(const Manifest& manifest, std::uint64_t sequence) {
  const auto& syncs = manifest.syncs;
  const auto wanted = std::ranges::find(syncs, sequence, &SyncRecord::sequence);
  if (wanted == syncs.end()) {
    return Error(ErrorKind::not_found,
                 syncs.empty() ? fmt::format("container '{}' has no syncs", manifest.name)
                               : fmt::format("container '{}' has no sync {}: it has {} to {}", manifest.name, sequence,
                                             syncs.front().sequence, syncs.back().sequence));
  }
  auto first = wanted;
  while (first->kind != SyncKind::full && first != syncs.begin()) --first;
  std::vector<SyncRecord> chain(first, wanted + 1);
  if (chain.front().kind != SyncKind::full) return damaged_manifest("its first sync is not a full one");
  for (std::size_t i = 0; i < chain.size(); ++i) {
    if (chain[i].sequence != chain.front().sequence + i) {
      return damaged_manifest(fmt::format("between sync {} and sync {} something is missing", chain[i - 1].sequence,
                                 chain[i].sequence));
    }
  }
  return chain;
}

}  // namespace cairn::layer
