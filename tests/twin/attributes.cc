#include "twin/attributes.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/bytes.h"
#include "twin/digests.h"
#include "twin/text.h"

namespace cairn::twin {
namespace {

constexpr std::size_t kMaxMetadataBytes = 2048;
constexpr std::string_view kCustomer = "x-amz-server-side-encryption-customer-";

Response invalid_argument(std::string_view name, std::string_view value, std::string_view why) {
  return error_answer(400, "InvalidArgument", why,
                      {{"ArgumentName", std::string(name)}, {"ArgumentValue", std::string(value)}});
}

bool makes_objects(Operation operation) {
  return operation == Operation::put_object || operation == Operation::create_upload;
}

// Where a header has a meaning; those that are not here have one everywhere, or are not known at all.
bool has_a_meaning(std::string_view name, Operation op) {
  const bool writes_whole = op == Operation::put_object || op == Operation::complete_upload;
  const bool reads = op == Operation::get_object || op == Operation::head_object;
  const bool has_bytes = op == Operation::put_object || op == Operation::upload_part;
  if (name == "if-match") return writes_whole || reads || op == Operation::delete_object;
  if (name == "if-none-match") return writes_whole || reads;
  if (name == "range") return reads;
  if (name.starts_with("x-amz-meta-") || name == "x-amz-storage-class" || name == "x-amz-tagging" ||
      name == "x-amz-server-side-encryption" || name == "x-amz-server-side-encryption-aws-kms-key-id") {
    return makes_objects(op);
  }
  if (name == "x-amz-checksum-mode") return reads;
  if (name == "x-amz-checksum-algorithm") return op == Operation::create_upload;
  if (name == "x-amz-checksum-type") return op == Operation::create_upload || op == Operation::complete_upload;
  if (name == "x-amz-sdk-checksum-algorithm") return has_bytes || op == Operation::delete_objects;
  if (name.starts_with("x-amz-checksum-")) {
    return has_bytes || op == Operation::delete_objects || op == Operation::complete_upload;
  }
  if (name.starts_with("x-amz-copy-source")) return op == Operation::copy_part;
  if (name == "x-amz-mp-object-size") return op == Operation::complete_upload;
  if (name.starts_with(kCustomer)) {
    return makes_objects(op) || has_bytes || reads || op == Operation::copy_part || op == Operation::list_parts ||
           op == Operation::complete_upload;
  }
  static const std::set<std::string_view> kEverywhere{"x-amz-date", "x-amz-content-sha256", "x-amz-security-token",
                                                      "x-amz-request-payer", "x-amz-expected-bucket-owner"};
  return kEverywhere.contains(name);
}

Refusal check_tags(const std::string& text) {
  const std::vector<std::string_view> tags = split(text, '&');
  if (tags.size() > 10) return error_answer(400, "BadRequest", "Object tags cannot be greater than 10");
  std::set<std::string> names;
  for (const std::string_view tag : tags) {
    const std::size_t equals = tag.find('=');
    const auto name = percent_decode(tag.substr(0, equals));
    const auto value = percent_decode(equals == std::string_view::npos ? "" : tag.substr(equals + 1));
    if (!name || !value || name->empty() || name->size() > 128 || value->size() > 256 ||
        !names.insert(*name).second) {
      return invalid_argument("x-amz-tagging", text,
                              "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query "
                              "parameters without tag name duplicates.");
    }
  }
  return std::nullopt;
}

struct CustomerKey {
  bool given = false;
  std::string md5;  // base64
};

std::expected<CustomerKey, Response> read_customer_key(const Request& request, const std::string& prefix) {
  const std::string* const algorithm = request.header(prefix + "algorithm");
  const std::string* const key = request.header(prefix + "key");
  const std::string* const key_md5 = request.header(prefix + "key-md5");
  if (algorithm == nullptr && key == nullptr && key_md5 == nullptr) return CustomerKey{};
  if (algorithm == nullptr || *algorithm != "AES256" || key == nullptr || key_md5 == nullptr) {
    return std::unexpected(
        error_answer(400, "InvalidArgument",
                     "Requests specifying Server Side Encryption with Customer provided keys must provide an "
                     "algorithm, a secret key and its MD5."));
  }
  const auto bytes = base64_decode(*key);
  if (!bytes || bytes->size() != 32) {
    return std::unexpected(error_answer(400, "InvalidArgument", "The secret key was invalid for the algorithm."));
  }
  if (base64(md5(as_bytes(*bytes))) != *key_md5) {
    return std::unexpected(error_answer(
        400, "InvalidArgument", "The calculated MD5 hash of the key did not match the hash that was provided."));
  }
  return CustomerKey{true, *key_md5};
}

Refusal check_encryption(const Request& request, const Attributes& attributes) {
  const std::string kind = request.header_or("x-amz-server-side-encryption");
  const bool names_key = request.header("x-amz-server-side-encryption-aws-kms-key-id") != nullptr;
  if (!kind.empty() && kind != "AES256" && kind != "aws:kms") {
    return invalid_argument("x-amz-server-side-encryption", kind, "The encryption method specified is not supported");
  }
  if (names_key && kind != "aws:kms") {
    return error_answer(400, "InvalidArgument",
                        "Server Side Encryption with AWS KMS managed key requires HTTP header "
                        "x-amz-server-side-encryption : aws:kms");
  }
  if (!kind.empty() && !attributes.customer_key_md5.empty()) {
    return error_answer(400, "InvalidArgument",
                        "Server Side Encryption with Customer provided key is incompatible with the encryption "
                        "method specified");
  }
  return std::nullopt;
}

Refusal check_values(const Request& request) {
  static const std::set<std::string_view> kClasses{"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA",
                                                   "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"};
  const std::string storage_class = request.header_or("x-amz-storage-class", "STANDARD");
  if (!kClasses.contains(storage_class)) {
    return error_answer(400, "InvalidStorageClass", "The storage class you specified is not valid");
  }
  if (const std::string* const tags = request.header("x-amz-tagging")) {
    if (Refusal refusal = check_tags(*tags)) return refusal;
  }
  std::size_t metadata_bytes = 0;
  for (const Header& header : request.headers) {
    if (header.name.starts_with("x-amz-meta-")) metadata_bytes += header.name.size() - 11 + header.value.size();
  }
  if (metadata_bytes > kMaxMetadataBytes) {
    return error_answer(400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size");
  }
  return std::nullopt;
}

}  // namespace

Refusal check_headers(const Request& request) {
  static const std::set<std::string_view> kContent{"content-type", "content-md5", "content-length",
                                                   "content-encoding"};
  for (const Header& header : request.headers) {
    const std::string_view name = header.name;
    const bool judged = name.starts_with("x-amz-") || name.starts_with("if-") || name.starts_with("content-") ||
                        name == "range" || name == "transfer-encoding" || name == "expires";
    if (!judged || kContent.contains(name) || has_a_meaning(name, request.operation)) continue;
    return not_implemented(fmt::format("the header '{}' with {}", name, name_of(request.operation)));
  }
  if (request.header_or("content-encoding").find("aws-chunked") != std::string::npos) {
    return not_implemented("content-encoding: aws-chunked");
  }
  return std::nullopt;
}

std::expected<Attributes, Response> read_attributes(const Request& request) {
  if (Refusal refusal = check_values(request)) return std::unexpected(std::move(*refusal));
  Attributes attributes;
  auto customer = read_customer_key(request, std::string(kCustomer));
  if (!customer) return std::unexpected(std::move(customer.error()));
  if (customer->given) {
    attributes.customer_key_md5 = customer->md5;
    attributes.headers.push_back({std::string(kCustomer) + "algorithm", "AES256"});
    attributes.headers.push_back({std::string(kCustomer) + "key-md5", customer->md5});
  }
  if (Refusal refusal = check_encryption(request, attributes)) return std::unexpected(std::move(*refusal));
  attributes.headers.push_back({"content-type", request.header_or("content-type", "binary/octet-stream")});
  for (const Header& header : request.headers) {
    const bool is_default = header.name == "x-amz-storage-class" && header.value == "STANDARD";
    if (header.name.starts_with("x-amz-meta-") || header.name == "content-encoding" ||
        (header.name == "x-amz-storage-class" && !is_default) || header.name == "x-amz-server-side-encryption" ||
        header.name == "x-amz-server-side-encryption-aws-kms-key-id") {
      attributes.headers.push_back(header);
    }
    if (header.name == "x-amz-tagging") {
      attributes.headers.push_back({"x-amz-tagging-count", std::to_string(split(header.value, '&').size())});
    }
  }
  return attributes;
}

Refusal check_customer_key(const Request& request, const Attributes& attributes, KeyOf whose) {
  const std::string prefix(kCustomer);
  const std::string of_source = "x-amz-copy-source-" + prefix.substr(std::string_view("x-amz-").size());
  const auto given = read_customer_key(request, whose == KeyOf::source ? of_source : prefix);
  if (!given) return given.error();
  if (given->md5 == attributes.customer_key_md5) return std::nullopt;
  if (attributes.customer_key_md5.empty()) {
    return error_answer(400, "InvalidRequest",
                        "The encryption parameters are not applicable to this object.");
  }
  if (!given->given) {
    return error_answer(400, "InvalidRequest",
                        "The object was stored using a form of Server Side Encryption. The correct parameters must "
                        "be provided to retrieve the object.");
  }
  return error_answer(403, "AccessDenied", "Access Denied");
}

bool has_md5_etags(const Attributes& attributes) {
  return attributes.customer_key_md5.empty() &&
         std::none_of(attributes.headers.begin(), attributes.headers.end(), [](const Header& header) {
           return header.name == "x-amz-server-side-encryption" && header.value == "aws:kms";
         });
}

std::vector<Header> encryption_headers(const Attributes& attributes) {
  std::vector<Header> some;
  for (const Header& header : attributes.headers) {
    if (header.name.starts_with("x-amz-server-side-encryption")) some.push_back(header);
  }
  return some;
}

}  // namespace cairn::twin
