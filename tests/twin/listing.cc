// The three listings, each by pages.
#include <fmt/format.h>

#include "twin/service.h"
#include "twin/text.h"

namespace cairn::twin {
namespace {

constexpr std::size_t kNewestHidden = 3;  // how many objects a stale listing does not show

Response invalid_parameter(std::string_view name, std::string_view value, std::string_view message) {
  return error_answer(400, "InvalidArgument", message,
                      {{"ArgumentName", std::string(name)}, {"ArgumentValue", std::string(value)}});
}

std::string argument_or(const Request& request, std::string_view name) {
  const std::string* const value = request.argument(name);
  return value != nullptr ? *value : "";
}

// The page size asked for, at most the server's own.
std::expected<std::uint64_t, Response> read_limit(const Request& request, std::string_view name,
                                                  std::uint64_t most) {
  const std::string* const text = request.argument(name);
  if (text == nullptr) return most;
  const auto value = parse_number(*text);
  if (!value || *value > 0x7FFFFFFF) {
    return std::unexpected(invalid_parameter(name, *text, "Provided value not an integer or within integer range"));
  }
  return std::min(*value, most);
}

// How keys are written in the answer.
class KeyText {
 public:
  static std::expected<KeyText, Response> of(const Request& request, bool plus_for_space) {
    const std::string* const kind = request.argument("encoding-type");
    if (kind != nullptr && *kind != "url") {
      return std::unexpected(invalid_parameter("encoding-type", *kind, "Invalid Encoding Method specified in Request"));
    }
    return KeyText(kind != nullptr, plus_for_space);
  }

  bool is_url() const { return is_url_; }
  std::string operator()(std::string_view key) const {
    if (!is_url_) return std::string(key);
    std::string text = percent_encode(key, "/");
    if (!plus_for_space_) return text;
    for (std::size_t at = text.find("%20"); at != std::string::npos; at = text.find("%20", at)) {
      text.replace(at, 3, "+");
    }
    return text;
  }

 private:
  KeyText(bool is_url, bool plus_for_space) : is_url_(is_url), plus_for_space_(plus_for_space) {}
  bool is_url_;
  bool plus_for_space_;
};

// A token is the last entry of the page before; what it looks like is nobody's business.
constexpr std::string_view kTokenMark = "1+/=";

std::string token_of(std::string_view last) { return base64(std::string(kTokenMark) + std::string(last)); }
std::optional<std::string> last_of(std::string_view token) {
  const auto text = base64_decode(token);
  if (!text || !text->starts_with(kTokenMark)) return std::nullopt;
  return text->substr(kTokenMark.size());
}

void write_object(Xml& xml, const KeyText& text, const std::string& key, const StoredObject& object) {
  std::string storage_class = "STANDARD";
  for (const Header& header : object.attributes.headers) {
    if (header.name == "x-amz-storage-class") storage_class = header.value;
  }
  xml.open("Contents")
      .element("Key", text(key))
      .element("LastModified", iso_date(object.modified_ms))
      .element("ETag", in_quotes(object.etag));
  if (object.checksum) xml.element("ChecksumAlgorithm", name_of(object.checksum->algorithm));
  xml.element("Size", object.body.size_bytes()).element("StorageClass", storage_class).close();
}

// From which write on objects are too new for a stale listing; none are for a true one.
std::uint64_t first_hidden_write(const Bucket& bucket, bool is_stale) {
  if (!is_stale) return ~0ull;
  std::vector<std::uint64_t> writes;
  for (const auto& [key, object] : bucket.objects) writes.push_back(object.written_at);
  std::sort(writes.rbegin(), writes.rend());
  return writes.empty() ? ~0ull : writes[std::min(kNewestHidden, writes.size()) - 1];
}

// What stands on one page: objects, and prefixes that stand for all objects that begin with them.
struct Found {
  struct Entry {
    std::string name;
    const StoredObject* object;  // null: a common prefix
  };
  std::vector<Entry> entries;
  bool more = false;
};

struct Wanted {
  std::string prefix, delimiter, after;
  std::uint64_t limit = 0;
  std::uint64_t hidden_from = 0;
};

Found find_objects(const Bucket& bucket, const Wanted& wanted) {
  Found found;
  for (auto at = bucket.objects.lower_bound(wanted.prefix); at != bucket.objects.end(); ++at) {
    const std::string& key = at->first;
    if (!key.starts_with(wanted.prefix)) break;
    if (key <= wanted.after || at->second.written_at >= wanted.hidden_from) continue;
    const std::size_t cut =
        wanted.delimiter.empty() ? std::string::npos : key.find(wanted.delimiter, wanted.prefix.size());
    const bool is_common = cut != std::string::npos;
    const std::string name = is_common ? key.substr(0, cut + wanted.delimiter.size()) : key;
    if (is_common && (wanted.after.starts_with(name) ||
                      (!found.entries.empty() && found.entries.back().name == name))) {
      continue;
    }
    if (found.entries.size() == wanted.limit) {
      found.more = wanted.limit > 0;
      break;
    }
    found.entries.push_back({name, is_common ? nullptr : &at->second});
  }
  return found;
}

}  // namespace

Response Service::list_objects(const Request& request, const Twist& twist) {
  if (argument_or(request, "list-type") != "2") return not_implemented("listing objects, version 1");
  auto limit = read_limit(request, "max-keys", options_.max_page);
  if (!limit) return std::move(limit.error());
  auto text = KeyText::of(request, dialect_.plus_for_space);
  if (!text) return std::move(text.error());
  const std::string start_after = argument_or(request, "start-after");
  Wanted wanted{argument_or(request, "prefix"), argument_or(request, "delimiter"), "", *limit, 0};
  if (twist.one_key) wanted.limit = std::min<std::uint64_t>(wanted.limit, 1);
  wanted.hidden_from = first_hidden_write(bucket_of(request), twist.stale_list);
  if (dialect_.start_after) wanted.after = start_after;
  const std::string* const token = request.argument("continuation-token");
  if (token != nullptr) {
    const auto last = last_of(*token);
    if (!last) {
      return invalid_parameter("continuation-token", *token, "The continuation token provided is incorrect");
    }
    wanted.after = *last;
  }
  const Found found = find_objects(bucket_of(request), wanted);

  Xml xml("ListBucketResult");
  xml.element("Name", request.bucket).element("Prefix", (*text)(wanted.prefix));
  if (!start_after.empty()) xml.element("StartAfter", (*text)(start_after));
  if (token != nullptr) xml.element("ContinuationToken", *token);
  if (found.more) xml.element("NextContinuationToken", token_of(found.entries.back().name));
  xml.element("KeyCount", found.entries.size()).element("MaxKeys", *limit);
  if (!wanted.delimiter.empty()) xml.element("Delimiter", (*text)(wanted.delimiter));
  if (text->is_url()) xml.element("EncodingType", "url");
  xml.element("IsTruncated", found.more ? "true" : "false");
  for (const Found::Entry& entry : found.entries) {
    if (entry.object != nullptr) write_object(xml, *text, entry.name, *entry.object);
  }
  for (const Found::Entry& entry : found.entries) {
    if (entry.object == nullptr) xml.open("CommonPrefixes").element("Prefix", (*text)(entry.name)).close();
  }
  return xml_answer(xml.finish());
}

std::set<std::string> Service::newest_keys_of(const std::string& bucket) {
  const MutexLock lock(mutex_);
  const std::uint64_t hidden_from = first_hidden_write(state_.buckets[bucket], true);
  std::set<std::string> keys;
  for (const auto& [key, object] : state_.buckets[bucket].objects) {
    if (object.written_at >= hidden_from) keys.insert(key);
  }
  return keys;
}

Response Service::list_parts(const Request& request, const Twist& twist) {
  const Upload* const upload = find_upload(request);
  if (upload == nullptr) return no_such_upload(request);
  // Needed where the upload has a checksum algorithm; and right wherever it is given.
  if (upload->algorithm || request.header("x-amz-server-side-encryption-customer-key") != nullptr) {
    if (Refusal refusal = check_customer_key(request, upload->attributes)) return *refusal;
  }
  auto limit = read_limit(request, "max-parts", options_.max_page);
  if (!limit) return std::move(limit.error());
  if (twist.one_key) *limit = std::min<std::uint64_t>(*limit, 1);
  auto text = KeyText::of(request, dialect_.plus_for_space);
  if (!text) return std::move(text.error());
  const std::string marker_text = argument_or(request, "part-number-marker");
  const auto marker = marker_text.empty() ? std::optional<std::uint64_t>(0) : parse_number(marker_text);
  if (!marker) return invalid_parameter("part-number-marker", marker_text, "Provided value not an integer");

  std::vector<std::pair<int, const StoredPart*>> page;
  bool more = false;
  for (const auto& [number, part] : upload->parts) {
    if (static_cast<std::uint64_t>(number) <= *marker) continue;
    if (page.size() == *limit) {
      more = true;
      break;
    }
    page.emplace_back(number, &part);
  }
  Xml xml("ListPartsResult");
  xml.element("Bucket", request.bucket)
      .element("Key", (*text)(request.key))
      .element("UploadId", argument_or(request, "uploadId"))
      .element("PartNumberMarker", *marker);
  if (!page.empty()) xml.element("NextPartNumberMarker", static_cast<std::uint64_t>(page.back().first));
  xml.element("MaxParts", *limit).element("IsTruncated", more ? "true" : "false");
  if (text->is_url()) xml.element("EncodingType", "url");
  for (const auto& [number, part] : page) {
    xml.open("Part")
        .element("PartNumber", static_cast<std::uint64_t>(number))
        .element("LastModified", iso_date(part->modified_ms))
        .element("ETag", in_quotes(part->etag))
        .element("Size", part->body.size_bytes());
    if (part->checksum) xml.element(element_of(part->checksum->algorithm), part->checksum->text());
    xml.close();
  }
  return xml_answer(xml.finish());
}

Response Service::list_uploads(const Request& request, const Twist& twist) {
  auto limit = read_limit(request, "max-uploads", options_.max_page);
  if (!limit) return std::move(limit.error());
  if (twist.one_key) *limit = std::min<std::uint64_t>(*limit, 1);
  auto text = KeyText::of(request, dialect_.plus_for_space);
  if (!text) return std::move(text.error());
  const std::string prefix = argument_or(request, "prefix");
  const std::string key_marker = argument_or(request, "key-marker");
  const std::string id_marker = argument_or(request, "upload-id-marker");

  std::map<std::pair<std::string, std::string>, const Upload*> sorted;
  for (const auto& [id, upload] : bucket_of(request).uploads) {
    if (!upload.key.starts_with(prefix) || upload.key < key_marker) continue;
    // Without an upload id the marker is all of its key's uploads.
    if (upload.key == key_marker && (id_marker.empty() || id <= id_marker)) continue;
    sorted[{upload.key, id}] = &upload;
  }
  Xml xml("ListMultipartUploadsResult");
  xml.element("Bucket", request.bucket)
      .element("KeyMarker", (*text)(key_marker))
      .element("UploadIdMarker", id_marker)
      .element("Prefix", (*text)(prefix))
      .element("MaxUploads", *limit);
  if (text->is_url()) xml.element("EncodingType", "url");
  std::uint64_t count = 0;
  std::string last_key, last_id;
  for (const auto& [name, upload] : sorted) {
    if (count++ == *limit) break;
    std::tie(last_key, last_id) = name;
    xml.open("Upload")
        .element("Key", (*text)(upload->key))
        .element("UploadId", name.second)
        .element("Initiated", iso_date(upload->begun_ms))
        .element("StorageClass", "STANDARD")
        .close();
  }
  const bool more = sorted.size() > *limit && *limit > 0;
  if (more) xml.element("NextKeyMarker", (*text)(last_key)).element("NextUploadIdMarker", last_id);
  xml.element("IsTruncated", more ? "true" : "false");
  return xml_answer(xml.finish());
}

}  // namespace cairn::twin
