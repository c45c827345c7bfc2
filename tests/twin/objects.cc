// Whole objects, and buckets.
#include <pugixml.hpp>

#include <fmt/format.h>

#include "twin/service.h"
#include "twin/text.h"
#include "twin/xml_input.h"

namespace cairn::twin {
namespace {

constexpr std::size_t kMaxDeletes = 1000;

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

Response unsatisfiable(std::string_view range, std::uint64_t size_bytes) {
  return error_answer(416, "InvalidRange", "The requested range is not satisfiable",
                      {{"RangeRequested", std::string(range)}, {"ActualObjectSize", std::to_string(size_bytes)}})
      .with("content-range", fmt::format("bytes */{}", size_bytes));
}

// S3 gives the whole object for a range that it cannot read; here that is a mistake of the client.
std::expected<ByteRange, Response> read_range(std::string_view text, std::uint64_t size_bytes) {
  const std::string_view whole = text;
  const auto bad = [&] {
    return std::unexpected(error_answer(400, "InvalidArgument", "The range is not bytes=FIRST-LAST.",
                                        {{"ArgumentName", "Range"}, {"ArgumentValue", std::string(whole)}}));
  };
  if (!text.starts_with("bytes=")) return bad();
  text.remove_prefix(6);
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) return bad();
  const std::string_view first_text = text.substr(0, dash), last_text = text.substr(dash + 1);
  const auto first = parse_number(first_text), last = parse_number(last_text);
  if ((!first && !first_text.empty()) || (!last && !last_text.empty()) || (!first && !last)) return bad();
  if (!first) {  // the last so many bytes
    if (*last == 0 || size_bytes == 0) return std::unexpected(unsatisfiable(whole, size_bytes));
    const std::uint64_t length = std::min(*last, size_bytes);
    return ByteRange{size_bytes - length, length};
  }
  if (last && *last < *first) return bad();
  if (*first >= size_bytes) return std::unexpected(unsatisfiable(whole, size_bytes));
  const std::uint64_t end = last && *last < size_bytes ? *last + 1 : size_bytes;
  return ByteRange{*first, end - *first};
}

Refusal check_read_condition(const Request& request, const StoredObject& object) {
  if (const std::string* const etag = request.header("if-match")) {
    if (*etag != "*" && unquoted(*etag) != object.etag) {
      return error_answer(412, "PreconditionFailed",
                          "At least one of the pre-conditions you specified did not hold",
                          {{"Condition", "If-Match"}});
    }
  }
  if (const std::string* const etag = request.header("if-none-match")) {
    if (*etag == "*" || unquoted(*etag) == object.etag) {
      Response unchanged;
      unchanged.status = 304;
      return unchanged.with("etag", in_quotes(object.etag));
    }
  }
  return std::nullopt;
}

// 3 to 63 of lower-case letters, digits, '-' and '.'; a letter or digit at both ends.
bool is_bucket_name(std::string_view name) {
  const auto is_inner = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (name.size() < 3 || name.size() > 63 || !is_inner(name.front()) || !is_inner(name.back())) return false;
  return name.find("..") == std::string_view::npos &&
         std::all_of(name.begin(), name.end(), [&](char c) { return is_inner(c) || c == '-' || c == '.'; });
}

}  // namespace

Response Service::put_object(const Request& request, const Twist& twist, const BodyFacts& facts) {
  if (twist.conflict) {
    return error_answer(409, "ConditionalRequestConflict",
                        "The conditional request cannot succeed due to a conflicting operation against this "
                        "resource.");
  }
  if (Refusal refusal = check_write_condition(request)) return *refusal;
  auto attributes = read_attributes(request);
  if (!attributes) return std::move(attributes.error());
  Change change;
  change.kind = Change::Kind::put_object;
  change.bucket = request.bucket;
  change.key = request.key;
  change.etag = has_md5_etags(*attributes) ? facts.etag : random_hex();
  change.time_ms = time_of_write_ms();
  change.attributes = std::move(*attributes);
  change.checksum = facts.checksum;
  change.body = request.body;
  if (Refusal refusal = commit(change)) return *refusal;
  Response response;
  response.with("etag", in_quotes(change.etag)).with(encryption_headers(change.attributes));
  if (change.checksum) response.with(headers_of(*change.checksum));
  return response;
}

Response Service::get_object(const Request& request) {
  const StoredObject* const object = find_object(request.bucket, request.key);
  if (object == nullptr) return no_such_key(request);
  if (Refusal refusal = check_customer_key(request, object->attributes)) return *refusal;
  if (Refusal refusal = check_read_condition(request, *object)) return *refusal;
  Response response;
  ByteRange range{0, object->body.size_bytes()};
  if (const std::string* const text = request.header("range")) {
    auto read = read_range(*text, object->body.size_bytes());
    if (!read) return std::move(read.error());
    range = *read;
    response.status = 206;
    response.with("content-range", fmt::format("bytes {}-{}/{}", range.offset, range.offset + range.length - 1,
                                               object->body.size_bytes()));
  }
  response.body = object->body.slice(range.offset, range.length);
  response.with("etag", in_quotes(object->etag))
      .with("last-modified", http_date(object->modified_ms))
      .with("accept-ranges", "bytes")
      .with(object->attributes.headers);
  if (object->checksum && request.header_or("x-amz-checksum-mode") == "ENABLED" && response.status == 200) {
    response.with(headers_of(*object->checksum));
  }
  return response;
}

Response Service::delete_object(const Request& request) {
  if (undeletable_.contains(request.key)) return error_answer(403, "AccessDenied", "Access Denied");
  if (Refusal refusal = check_write_condition(request)) return *refusal;
  Response response;
  response.status = 204;
  if (find_object(request.bucket, request.key) == nullptr) return response;
  Change change;
  change.kind = Change::Kind::remove_object;
  change.bucket = request.bucket;
  change.key = request.key;
  if (Refusal refusal = commit(change)) return *refusal;
  return response;
}

Response Service::delete_objects(const Request& request, const Twist& twist) {
  if (!dialect_.delete_objects) return not_implemented("deleting many objects");
  const bool has_md5 = request.header("content-md5") != nullptr;
  const bool has_checksum = request.header("x-amz-sdk-checksum-algorithm") != nullptr;
  if (!has_md5 && (dialect_.delete_objects_needs_md5 || !has_checksum)) {
    return error_answer(400, "InvalidRequest",
                        "Missing required header for this request: Content-MD5 OR x-amz-checksum-*");
  }
  const auto document = read_xml(request, "Delete");
  if (!document) return document.error();
  const bool is_quiet = std::string_view(document->root().child_value("Quiet")) == "true";
  Xml xml("DeleteResult");
  const auto failed = [&](const std::string& key, std::string_view code, std::string_view message) {
    xml.open("Error").element("Key", key).element("Code", code).element("Message", message).close();
  };
  std::size_t count = 0;
  for (const pugi::xml_node object : document->root().children("Object")) {
    Change change;
    change.kind = Change::Kind::remove_object;
    change.bucket = request.bucket;
    change.key = object.child_value("Key");
    if (change.key.empty() || ++count > kMaxDeletes) return malformed_xml();
    if (twist.some_stay && count % 2 == 1) {
      failed(change.key, "InternalError", "We encountered an internal error. Please try again.");
      continue;
    }
    if (undeletable_.contains(change.key)) {
      failed(change.key, "AccessDenied", "Access Denied");
      continue;
    }
    if (find_object(change.bucket, change.key) != nullptr && commit(change)) {
      failed(change.key, "InternalError", "The journal cannot be written");
      continue;
    }
    if (!is_quiet) xml.open("Deleted").element("Key", change.key).close();
  }
  return count == 0 ? malformed_xml() : xml_answer(xml.finish());
}

Response Service::create_bucket(const Request& request) {
  if (!is_bucket_name(request.bucket)) {
    return error_answer(400, "InvalidBucketName", "The specified bucket is not valid.",
                        {{"BucketName", request.bucket}});
  }
  std::string location;
  if (request.body.size_bytes() > 0) {
    const auto document = read_xml(request, "CreateBucketConfiguration");
    if (!document) return document.error();
    location = document->root().child_value("LocationConstraint");
  }
  // us-east-1 is where buckets are that name no place; it must not be named.
  if (location != (options_.region == "us-east-1" ? "" : options_.region)) {
    return error_answer(400, location == "us-east-1" ? "InvalidLocationConstraint"
                                                     : "IllegalLocationConstraintException",
                        fmt::format("The {} location constraint is incompatible for the region specific endpoint "
                                    "this request was sent to.",
                                    location.empty() ? "unspecified" : location));
  }
  if (state_.buckets.contains(request.bucket)) {
    return error_answer(409, "BucketAlreadyOwnedByYou",
                        "Your previous request to create the named bucket succeeded and you already own it.",
                        {{"BucketName", request.bucket}});
  }
  Change change;
  change.kind = Change::Kind::make_bucket;
  change.bucket = request.bucket;
  if (Refusal refusal = commit(change)) return *refusal;
  return Response().with("location", "/" + request.bucket);
}

}  // namespace cairn::twin
