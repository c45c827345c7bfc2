// Objects that are made of parts.
#include <set>

#include <pugixml.hpp>

#include <fmt/format.h>

#include "base/bytes.h"
#include "twin/service.h"
#include "twin/text.h"
#include "twin/xml_input.h"

namespace cairn::twin {

// A part as CompleteMultipartUpload names it.
struct WantedPart {
  int number = 0;
  std::string etag;
  std::optional<Algorithm> algorithm;
  std::string checksum;  // as it stands there
};

namespace {

constexpr std::uint64_t kMaxPartNumber = 10000;

Response invalid_part() {
  return error_answer(400, "InvalidPart",
                      "One or more of the specified parts could not be found. The part may not have been uploaded, "
                      "or the specified entity tag may not match the part's entity tag.");
}

std::expected<int, Response> read_part_number(const Request& request, int most) {
  const std::string* const text = request.argument("partNumber");
  const auto number = text == nullptr ? std::nullopt : parse_number(*text);
  if (number && *number >= 1 && *number <= static_cast<std::uint64_t>(most)) return static_cast<int>(*number);
  return std::unexpected(error_answer(400, "InvalidArgument",
                                      fmt::format("Part number must be an integer between 1 and {}, inclusive", most),
                                      {{"ArgumentName", "partNumber"},
                                       {"ArgumentValue", text != nullptr ? *text : ""}}));
}

std::expected<std::vector<WantedPart>, Response> read_wanted_parts(const Request& request) {
  const auto document = read_xml(request, "CompleteMultipartUpload");
  if (!document) return std::unexpected(document.error());
  std::vector<WantedPart> wanted;
  for (const pugi::xml_node node : document->root().children()) {
    const auto number = parse_number(node.child_value("PartNumber"));
    WantedPart part;
    part.etag = unquoted(node.child_value("ETag"));
    if (std::string_view(node.name()) != "Part" || !number || *number < 1 || *number > kMaxPartNumber ||
        part.etag.empty()) {
      return std::unexpected(malformed_xml());
    }
    part.number = static_cast<int>(*number);
    for (const Algorithm algorithm : kAlgorithms) {
      const pugi::xml_node value = node.child(std::string(element_of(algorithm)).c_str());
      if (!value) continue;
      part.algorithm = algorithm;
      part.checksum = value.child_value();
    }
    wanted.push_back(std::move(part));
  }
  if (wanted.empty() || wanted.size() > kMaxPartNumber) return std::unexpected(malformed_xml());
  return wanted;
}

// The bytes of the source that x-amz-copy-source-range names, or all of them.
std::expected<Rope, Response> read_copied(const Request& request, const Rope& source) {
  const std::string* const range = request.header("x-amz-copy-source-range");
  if (range == nullptr) return source;
  const std::string_view text = *range;
  const std::size_t dash = std::min(text.find('-'), text.size());
  constexpr std::uint64_t kNone = ~0ull;
  const std::uint64_t first =
      text.starts_with("bytes=") ? parse_number(text.substr(6, dash - 6)).value_or(kNone) : kNone;
  const std::uint64_t last = parse_number(text.substr(std::min(dash + 1, text.size()))).value_or(kNone);
  if (first == kNone || last == kNone || first > last) {
    return std::unexpected(error_answer(400, "InvalidArgument",
                                        "The x-amz-copy-source-range value must be of the form bytes=first-last "
                                        "where first and last are the zero-based offsets of the first and last "
                                        "bytes to copy"));
  }
  if (last >= source.size_bytes()) {
    return std::unexpected(error_answer(
        400, "InvalidArgument",
        fmt::format("Range specified is not valid for source object of size: {}", source.size_bytes())));
  }
  return source.slice(first, last - first + 1);
}

// Parts of a checksum other than the upload's cannot be put together.
Refusal check_algorithm(const Upload& upload, const std::optional<Checksum>& checksum) {
  if (!checksum) return std::nullopt;
  const Algorithm expected = upload.algorithm.value_or(Algorithm::crc64nvme);
  if (checksum->algorithm == expected) return std::nullopt;
  return error_answer(400, "InvalidRequest",
                      fmt::format("Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum "
                                  "Type: {}",
                                  lower(name_of(expected)), lower(name_of(checksum->algorithm))));
}

// Of the bytes, or of the parts' checksums. That of the bytes comes from the parts' too where they have one: a large
// object is not read again while everybody waits.
std::optional<Checksum> whole_checksum(const Upload& upload, const std::vector<WantedPart>& wanted) {
  const auto all_have_one = [&] {
    return std::all_of(wanted.begin(), wanted.end(),
                       [&](const WantedPart& part) { return upload.parts.at(part.number).checksum.has_value(); });
  };
  if (!upload.algorithm && !all_have_one()) return std::nullopt;
  const Algorithm algorithm = upload.algorithm.value_or(Algorithm::crc64nvme);
  RunningChecksum running(algorithm);
  std::string combined = checksum(algorithm, {});
  for (const WantedPart& part : wanted) {
    const StoredPart& stored = upload.parts.at(part.number);
    if (upload.type == ChecksumType::composite) {
      if (!stored.checksum) return std::nullopt;
      running.add(as_bytes(stored.checksum->value));
      continue;
    }
    RunningChecksum of_part(algorithm);
    if (!stored.checksum) {
      for (const ByteView piece : stored.body.views()) of_part.add(piece);
    }
    combined = combine_crcs(algorithm, combined, stored.checksum ? stored.checksum->value : of_part.finish(),
                            stored.body.size_bytes());
  }
  const bool is_composite = upload.type == ChecksumType::composite;
  return Checksum{algorithm, is_composite ? running.finish() : combined, upload.type, wanted.size()};
}

std::string raw_of_hex(std::string_view digits) {
  std::string percent;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) percent += fmt::format("%{}", digits.substr(i, 2));
  return percent_decode(percent).value_or("");
}

// MD5 of the parts' MD5s, and how many there are.
std::string etag_of_parts(const std::vector<WantedPart>& wanted) {
  std::string all;
  for (const WantedPart& part : wanted) all += raw_of_hex(part.etag);
  return fmt::format("{}-{}", hex(md5(as_bytes(all))), wanted.size());
}

Response complete_result(const Request& request, const std::string& etag, const std::optional<Checksum>& checksum) {
  Xml xml("CompleteMultipartUploadResult");
  xml.element("Location", "/" + request.bucket + "/" + percent_encode(request.key, "/"))
      .element("Bucket", request.bucket)
      .element("Key", request.key)
      .element("ETag", in_quotes(etag));
  if (checksum) {
    xml.element(element_of(checksum->algorithm), checksum->text())
        .element("ChecksumType", checksum->type == ChecksumType::composite ? "COMPOSITE" : "FULL_OBJECT");
  }
  return xml_answer(xml.finish());
}

std::optional<ChecksumType> read_type(const Request& request, Algorithm algorithm) {
  const std::string text =
      request.header_or("x-amz-checksum-type", algorithm == Algorithm::crc64nvme ? "FULL_OBJECT" : "COMPOSITE");
  if (text == "FULL_OBJECT" && is_crc(algorithm)) return ChecksumType::full_object;
  if (text == "COMPOSITE" && algorithm != Algorithm::crc64nvme) return ChecksumType::composite;
  return std::nullopt;
}

}  // namespace

Response Service::create_upload(const Request& request) {
  auto attributes = read_attributes(request);
  if (!attributes) return std::move(attributes.error());
  Change change;
  change.kind = Change::Kind::begin_upload;
  const std::string* const name = request.header("x-amz-checksum-algorithm");
  if (name != nullptr && dialect_.checksums) {
    const auto algorithm = algorithm_named(*name);
    const auto type = algorithm ? read_type(request, *algorithm) : std::nullopt;
    if (!type) {
      return error_answer(400, "InvalidRequest",
                          "The checksum algorithm and type of the upload do not go together.");
    }
    if (dialect_.crc64nvme || *algorithm != Algorithm::crc64nvme) {
      change.algorithm = algorithm;
      change.type = *type;
    }
  }
  change.bucket = request.bucket;
  change.key = request.key;
  // With characters that must be encoded wherever the id is used.
  change.upload_id = base64(raw_of_hex(random_hex()) + "\xFB\xFF") + "/+.~";
  change.time_ms = time_of_write_ms();
  change.attributes = std::move(*attributes);
  if (Refusal refusal = commit(change)) return *refusal;
  Xml xml("InitiateMultipartUploadResult");
  xml.element("Bucket", request.bucket).element("Key", request.key).element("UploadId", change.upload_id);
  Response response = xml_answer(xml.finish());
  response.with(encryption_headers(change.attributes));
  if (change.algorithm) {
    response.with("x-amz-checksum-algorithm", std::string(name_of(*change.algorithm)));
    response.with("x-amz-checksum-type", change.type == ChecksumType::composite ? "COMPOSITE" : "FULL_OBJECT");
  }
  return response;
}

Response Service::upload_part(const Request& request, const BodyFacts& facts) {
  const Upload* const upload = find_upload(request);
  if (upload == nullptr) return no_such_upload(request);
  auto number = read_part_number(request, dialect_.max_part_number);
  if (!number) return std::move(number.error());
  if (Refusal refusal = check_customer_key(request, upload->attributes)) return *refusal;
  if (Refusal refusal = check_algorithm(*upload, facts.checksum)) return *refusal;
  Change change;
  change.kind = Change::Kind::put_part;
  change.bucket = request.bucket;
  change.upload_id = *request.argument("uploadId");
  change.number = *number;
  change.etag = has_md5_etags(upload->attributes) ? facts.etag : random_hex();
  change.time_ms = time_of_write_ms();
  change.checksum = facts.checksum;
  change.body = request.body;
  if (Refusal refusal = commit(change)) return *refusal;
  Response response;
  response.with("etag", in_quotes(change.etag)).with(encryption_headers(upload->attributes));
  if (change.checksum) response.with(headers_of(*change.checksum));
  return response;
}

Response Service::copy_part(const Request& request) {
  if (!dialect_.copy_part) return not_implemented("x-amz-copy-source");
  const Upload* const upload = find_upload(request);
  if (upload == nullptr) return no_such_upload(request);
  auto number = read_part_number(request, dialect_.max_part_number);
  if (!number) return std::move(number.error());
  const std::string source_text = request.header_or("x-amz-copy-source");
  const auto source = percent_decode(source_text.starts_with('/') ? source_text.substr(1) : source_text);
  const std::size_t slash = source ? source->find('/') : std::string::npos;
  if (slash == std::string::npos || source_text.find_first_of("+ ") != std::string::npos) {
    return error_answer(400, "InvalidArgument", "Copy Source must mention the source bucket and key: "
                                                "/sourcebucket/sourcekey");
  }
  const std::string bucket = source->substr(0, slash), key = source->substr(slash + 1);
  if (!state_.buckets.contains(bucket)) {
    return error_answer(404, "NoSuchBucket", "The specified bucket does not exist", {{"BucketName", bucket}});
  }
  const StoredObject* const object = find_object(bucket, key);
  if (object == nullptr) return error_answer(404, "NoSuchKey", "The specified key does not exist.", {{"Key", key}});
  if (Refusal refusal = check_customer_key(request, upload->attributes)) return *refusal;
  if (Refusal refusal = check_customer_key(request, object->attributes, KeyOf::source)) return *refusal;
  const std::string* const etag = request.header("x-amz-copy-source-if-match");
  if (etag != nullptr && unquoted(*etag) != object->etag) {
    return error_answer(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold",
                        {{"Condition", "x-amz-copy-source-If-Match"}});
  }
  auto copied = read_copied(request, object->body);
  if (!copied) return std::move(copied.error());
  Change change;
  change.kind = Change::Kind::put_part;
  change.bucket = request.bucket;
  change.upload_id = *request.argument("uploadId");
  change.number = *number;
  change.time_ms = time_of_write_ms();
  change.body = Rope::of(copied->text());
  const std::vector<ByteView> views = change.body.views();
  const ByteView bytes = views.empty() ? ByteView() : views.front();
  change.etag = dialect_.md5_etags && has_md5_etags(upload->attributes) ? hex(md5(bytes)) : random_hex();
  if (upload->algorithm) change.checksum = Checksum{*upload->algorithm, checksum(*upload->algorithm, bytes)};
  if (Refusal refusal = commit(change)) return *refusal;
  Xml xml("CopyPartResult");
  xml.element("LastModified", iso_date(change.time_ms)).element("ETag", in_quotes(change.etag));
  if (change.checksum) xml.element(element_of(change.checksum->algorithm), change.checksum->text());
  return xml_answer(xml.finish());
}

Refusal Service::check_parts(const Upload& upload, const std::vector<WantedPart>& wanted) {
  for (std::size_t i = 1; i < wanted.size(); ++i) {
    if (wanted[i].number <= wanted[i - 1].number) {
      return error_answer(400, "InvalidPartOrder",
                          "The list of parts was not in ascending order. Parts must be ordered by part number.");
    }
  }
  const std::uint64_t last_size_bytes =
      upload.parts.contains(wanted.back().number) ? upload.parts.at(wanted.back().number).body.size_bytes() : 0;
  std::set<std::uint64_t> sizes;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const WantedPart& part = wanted[i];
    const auto stored = upload.parts.find(part.number);
    if (stored == upload.parts.end() || stored->second.etag != part.etag) return invalid_part();
    const auto& known = stored->second.checksum;
    if (part.algorithm && (!known || known->algorithm != *part.algorithm || known->text() != part.checksum)) {
      return invalid_part();
    }
    if (upload.algorithm && upload.type == ChecksumType::composite && !part.algorithm) {
      return error_answer(400, "InvalidRequest",
                          fmt::format("The upload was created using a {} checksum. The complete request must include "
                                      "the checksum for each part. It was missing for part {} in the request.",
                                      lower(name_of(*upload.algorithm)), part.number));
    }
    if (upload.algorithm && part.number != static_cast<int>(i) + 1) {
      return error_answer(500, "InternalError", "Parts with checksums must be numbered from 1 without gaps.");
    }
    if (i + 1 == wanted.size()) break;
    const std::uint64_t size_bytes = stored->second.body.size_bytes();
    sizes.insert(size_bytes);
    if (size_bytes < options_.min_part_bytes) {
      return error_answer(400, "EntityTooSmall",
                          "Your proposed upload is smaller than the minimum allowed object size.",
                          {{"ProposedSize", std::to_string(size_bytes)},
                           {"MinSizeAllowed", std::to_string(options_.min_part_bytes)},
                           {"PartNumber", std::to_string(part.number)}});
    }
  }
  if (dialect_.equal_parts && (sizes.size() > 1 || (!sizes.empty() && last_size_bytes > *sizes.begin()))) {
    return error_answer(400, "InvalidPart", "All non-trailing parts must have the same length.");
  }
  return std::nullopt;
}

Response Service::complete_upload(const Request& request, const Twist& twist) {
  const std::string* const id = request.argument("uploadId");
  const Upload* const upload = find_upload(request);
  const auto& finished = bucket_of(request).finished;
  const auto before = finished.find(*id);
  if (upload == nullptr && (before == finished.end() || !dialect_.complete_again)) return no_such_upload(request);
  auto wanted = read_wanted_parts(request);
  if (!wanted) return std::move(wanted.error());
  if (Refusal refusal = check_write_condition(request)) return *refusal;
  if (upload == nullptr) return complete_result(request, before->second.etag, std::nullopt);
  const bool needs_key = upload->algorithm || request.header("x-amz-server-side-encryption-customer-key") != nullptr;
  if (needs_key) {
    if (Refusal refusal = check_customer_key(request, upload->attributes)) return *refusal;
  }
  if (Refusal refusal = check_parts(*upload, *wanted)) return *refusal;
  auto claim = object_claim(request, dialect_);
  if (!claim) return std::move(claim.error());

  Change change;
  change.kind = Change::Kind::finish_upload;
  change.bucket = request.bucket;
  change.upload_id = *id;
  change.time_ms = time_of_write_ms();
  change.etag = dialect_.md5_etags && has_md5_etags(upload->attributes) ? etag_of_parts(*wanted) : random_hex();
  change.checksum = whole_checksum(*upload, *wanted);
  if (*claim && change.checksum && (*claim)->algorithm == change.checksum->algorithm &&
      change.checksum->type == ChecksumType::full_object && (*claim)->value != change.checksum->value) {
    return bad_digest((*claim)->algorithm);
  }
  std::uint64_t size_bytes = 0;
  for (const WantedPart& part : *wanted) {
    change.numbers.push_back(part.number);
    size_bytes += upload->parts.at(part.number).body.size_bytes();
  }
  if (request.header_or("x-amz-mp-object-size", std::to_string(size_bytes)) != std::to_string(size_bytes)) {
    return error_answer(400, "InvalidRequest", "The provided 'x-amz-mp-object-size' header does not match.");
  }
  if (twist.conflict) {
    forget_upload(request);
    return error_answer(409, "ConditionalRequestConflict",
                        "The conditional request cannot succeed due to a conflicting operation against this "
                        "resource.");
  }
  if (Refusal refusal = commit(change)) return *refusal;
  if (twist.forget_finished) forget_upload(request);
  return complete_result(request, change.etag, change.checksum);
}

Response Service::abort_upload(const Request& request) {
  if (find_upload(request) == nullptr) return no_such_upload(request);
  Change change;
  change.kind = Change::Kind::drop_upload;
  change.bucket = request.bucket;
  change.upload_id = *request.argument("uploadId");
  if (Refusal refusal = commit(change)) return *refusal;
  Response response;
  response.status = 204;
  return response;
}

}  // namespace cairn::twin
