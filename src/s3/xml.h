// The documents that S3 answers with, and those that it is sent. What comes from the network is checked: `corrupt`
// says that it is not what was asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::s3 {

struct ErrorDocument {
  std::string code;        // "NoSuchKey"
  std::string message;     // for people, by the server
  std::string region;      // where the bucket really is
  std::string request_id;  // what the provider's support asks for
};
// None: it is not an error document. An answer of 200 may be one.
std::optional<ErrorDocument> parse_error(ByteView document);

// Keys and markers are decoded already; etags have no quotes.
struct ObjectsPage {
  std::vector<ObjectInfo> objects;
  bool truncated = false;
  std::string next_token;
};
Result<ObjectsPage> parse_objects(ByteView document);

struct PartsPage {
  std::vector<PartInfo> parts;
  bool truncated = false;
  std::string next_marker;
};
Result<PartsPage> parse_parts(ByteView document);

struct UploadsPage {
  std::vector<UploadInfo> uploads;
  bool truncated = false;
  std::string next_key, next_id;
};
Result<UploadsPage> parse_uploads(ByteView document);

// What an answer to a batch of deletions says was not deleted.
struct NotDeleted {
  std::string key;
  ErrorDocument error;
};
Result<std::vector<NotDeleted>> parse_not_deleted(ByteView document);

Result<std::string> parse_upload_id(ByteView document);       // of a new upload
Result<std::string> parse_etag_of_copy(ByteView document);    // of a copied part
Result<std::string> parse_etag_of_object(ByteView document);  // of a completed upload

std::string complete_document(std::span<const PartInfo> parts);
// Answered with what went wrong only.
std::string delete_document(std::span<const std::string> keys);
std::string bucket_document(std::string_view region);

// Etags travel in quotes, and are kept without.
std::string without_quotes(std::string_view etag);

// "Wed, 21 Oct 2015 07:28:00 GMT", as in Date and Last-Modified.
std::optional<std::int64_t> parse_http_date(std::string_view text);

}  // namespace cairn::s3
