#include "replicate/claim.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "segment/format.h"
#include "segment/keys.h"

namespace cairn::replicate {
namespace {

std::string to_text(const Claim& claim) {
  nlohmann::ordered_json json;
  json["format"] = segment::kFormatVersion;
  json["db_identifier"] = claim.lineage.hex();
  json["page_size"] = claim.page_size;
  json["latest_snapshot"] = claim.latest_snapshot;
  json["latest_snapshot_time"] = claim.latest_snapshot_time_ms ? format_time(claim.latest_snapshot_time_ms) : "";
  json["latest_wal_sequence"] = claim.latest_sequence.value;
  json["snapshot_count"] = claim.snapshot_count;
  json["begun"] = format_time(claim.begun_ms);
  json["last_modified"] = format_time(claim.last_modified_ms);
  json["writer"] = claim.writer.hex();
  json["host"] = claim.host;
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<Claim> from_text(std::string_view text, const std::string& key) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const Error not_ours(ErrorKind::corrupt,
                       fmt::format("{} is not the metadata of a replica: is something else stored here?", key));
  if (!json.is_object() || !json.contains("format") || !json["format"].is_number_unsigned()) return not_ours;
  if (json["format"].get<std::uint64_t>() > segment::kFormatVersion) {
    return Error(ErrorKind::unsupported, fmt::format("{} was written by a newer Cairn (format {}): update Cairn", key,
                                                     json["format"].get<std::uint64_t>()));
  }
  const auto text_field = [&](const char* name) {
    return json.contains(name) && json[name].is_string() ? json[name].get<std::string>() : std::string();
  };
  const auto number_field = [&](const char* name) -> std::uint64_t {
    return json.contains(name) && json[name].is_number_unsigned() ? json[name].get<std::uint64_t>() : 0;
  };
  auto lineage = Id128::from_hex(text_field("db_identifier"));
  if (!lineage || lineage->is_zero()) return not_ours;
  Claim claim;
  claim.lineage = *lineage;
  if (auto writer = Id128::from_hex(text_field("writer"))) claim.writer = *writer;
  claim.host = text_field("host");
  claim.page_size = static_cast<std::uint32_t>(number_field("page_size"));
  claim.latest_snapshot = text_field("latest_snapshot");
  if (auto time = parse_time(text_field("latest_snapshot_time"))) claim.latest_snapshot_time_ms = *time;
  claim.latest_sequence = Sequence(number_field("latest_wal_sequence"));
  claim.snapshot_count = number_field("snapshot_count");
  if (auto time = parse_time(text_field("begun"))) claim.begun_ms = *time;
  if (auto time = parse_time(text_field("last_modified"))) claim.last_modified_ms = *time;
  return claim;
}

}  // namespace

Result<std::optional<Claim>> read_claim(Store& store, std::string_view replica) {
  const std::string key = segment::metadata_key(replica);
  auto object = store.get(key);
  if (!object && object.error().kind() == ErrorKind::not_found) return std::optional<Claim>();
  if (!object) return object.error();
  CAIRN_ASSIGN(Claim claim, from_text(as_text(object->bytes), key));
  claim.etag = object->info.etag;
  return std::optional(std::move(claim));
}

Result<void> create_claim(Store& store, std::string_view replica, const Claim& claim) {
  const std::string text = to_text(claim);
  auto put = store.put_new(segment::metadata_key(replica), BytesSource(as_bytes(text)));
  if (!put) return put.error();
  return {};
}

Result<void> update_claim(Store& store, std::string_view replica, const Id128& lineage,
                          const std::function<void(Claim&)>& change) {
  CAIRN_ASSIGN(auto claim, read_claim(store, replica));
  if (!claim) return Error(ErrorKind::not_found, segment::metadata_key(replica) + " is gone");
  if (claim->lineage != lineage) {
    return Error(ErrorKind::conflict, segment::metadata_key(replica) + " is of another lineage");
  }
  change(*claim);
  const std::string text = to_text(*claim);
  auto put = store.put_if(segment::metadata_key(replica), BytesSource(as_bytes(text)), claim->etag);
  if (!put) return put.error();
  return {};
}

}  // namespace cairn::replicate
