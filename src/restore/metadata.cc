#include "restore/metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/bytes.h"
#include "base/clock.h"
#include "segment/keys.h"

namespace cairn::restore {
namespace {

using Json = nlohmann::ordered_json;

// Far more than Cairn writes: what is larger is not ours, and is not read into memory.
constexpr std::uint64_t kMaxMetadataBytes = 64 * 1024;
constexpr int kMetadataReadings = 4;
constexpr int kClaimAttempts = 4;

Error damaged_metadata(std::string_view what) {
  return Error(ErrorKind::corrupt,
               fmt::format("it is not the metadata of a replica: {}. Is something else stored here?", what));
}

// A field that is absent or of another type counts as unknown: the summary is for people, and nothing depends on it.
std::uint64_t number_or_zero(const Json& json, const char* name) {
  auto field = json.find(name);
  return field != json.end() && field->is_number_unsigned() ? field->get<std::uint64_t>() : 0;
}
std::string text_or_empty(const Json& json, const char* name) {
  auto field = json.find(name);
  return field != json.end() && field->is_string() ? field->get<std::string>() : std::string();
}
std::int64_t time_or_zero(const Json& json, const char* name) {
  auto time = parse_time(text_or_empty(json, name));
  return time ? *time : 0;
}

}  // namespace

std::string metadata_json(const Metadata& metadata) {
  Json json;
  json["format"] = metadata.format;
  json["db_identifier"] = metadata.lineage.hex();
  json["page_size"] = metadata.page_size;
  const bool has_snapshot = !metadata.latest_snapshot.empty();
  json["latest_snapshot"] = has_snapshot ? Json(metadata.latest_snapshot) : Json(nullptr);
  json["latest_snapshot_time"] = has_snapshot ? Json(format_time(metadata.latest_snapshot_time_ms)) : Json(nullptr);
  json["latest_wal_sequence"] = metadata.latest_wal_sequence;
  json["snapshot_count"] = metadata.snapshot_count;
  json["begun"] = format_time(metadata.begun_ms);
  json["last_modified"] = format_time(metadata.last_modified_ms);
  json["writer"] = metadata.writer.hex();
  json["host"] = metadata.host;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<Metadata> parse_metadata(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return damaged_metadata("not a JSON object");
  const std::uint64_t format = number_or_zero(json, "format");
  if (format == 0) return damaged_metadata("no format number");
  if (format > kMetadataFormat) {
    return Error(ErrorKind::unsupported, fmt::format("it was written by a newer Cairn (format {}); this one reads up "
                                                     "to {}: update Cairn", format, kMetadataFormat));
  }
  auto lineage = Id128::from_hex(text_or_empty(json, "db_identifier"));
  if (!lineage || lineage->is_zero()) return damaged_metadata("no db_identifier");
  Metadata metadata;
  metadata.format = static_cast<int>(format);
  metadata.lineage = *lineage;
  metadata.page_size = static_cast<std::uint32_t>(number_or_zero(json, "page_size"));
  metadata.latest_snapshot = text_or_empty(json, "latest_snapshot");
  metadata.latest_snapshot_time_ms = time_or_zero(json, "latest_snapshot_time");
  metadata.latest_wal_sequence = number_or_zero(json, "latest_wal_sequence");
  metadata.snapshot_count = number_or_zero(json, "snapshot_count");
  metadata.begun_ms = time_or_zero(json, "begun");
  metadata.last_modified_ms = time_or_zero(json, "last_modified");
  if (auto writer = Id128::from_hex(text_or_empty(json, "writer"))) metadata.writer = *writer;
  metadata.host = text_or_empty(json, "host");
  return metadata;
}

Result<Metadata> read_metadata(Store& store, std::string_view replica) {
  const std::string key = segment::metadata_key(replica);
  for (int reading = 1;; ++reading) {
    CAIRN_ASSIGN(Object object, store.get(key, 0, kMaxMetadataBytes));
    if (object.info.size_bytes > kMaxMetadataBytes) return damaged_metadata("too large").with(key);
    auto metadata = parse_metadata(as_text(object.bytes));
    // It may have been garbled on its way.
    if (!metadata && metadata.error().kind() == ErrorKind::corrupt && reading < kMetadataReadings) continue;
    if (!metadata) return metadata.error().with(key);
    metadata->etag = object.info.etag;
    return metadata;
  }
}

Result<void> claim_before_removing(Store& store, std::string_view replica, Sequence removed, Sequence published) {
  for (int attempt = 1;; ++attempt) {
    auto claim = read_metadata(store, replica);
    if (!claim) {
      const ErrorKind kind = claim.error().kind();
      const bool tells_nobody = kind == ErrorKind::not_found || kind == ErrorKind::corrupt;
      return tells_nobody ? Result<void>() : claim.error();
    }
    if (claim->latest_wal_sequence >= removed.value) return {};
    claim->latest_wal_sequence = std::max(removed, published).value;
    const std::string json = metadata_json(*claim);
    const auto put = store.put_if(segment::metadata_key(replica), BytesSource(as_bytes(json)), claim->etag);
    if (put || put.error().kind() == ErrorKind::unsupported) return {};
    // Who wrote it in between may well have said the same.
    const bool was_replaced = put.error().kind() == ErrorKind::conflict || put.error().kind() == ErrorKind::not_found;
    if (!was_replaced) return put.error();
    if (attempt == kClaimAttempts) return put.error().as(ErrorKind::retry_later);
  }
}

}  // namespace cairn::restore
