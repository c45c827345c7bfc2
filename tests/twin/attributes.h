// What a request says beside bytes and conditions: metadata, storage class, encryption, tags.
#pragma once

#include <expected>
#include <string>
#include <vector>

#include "twin/message.h"

namespace cairn::twin {

// What an object keeps of it.
struct Attributes {
  std::vector<Header> headers;   // given back by get and head: content-type, x-amz-meta-*, storage class, encryption
  std::string customer_key_md5;  // SSE-C
};

// Headers that no operation knows, or not this one, are refused by name: S3 ignores many of them, and a client that
// sends one for nothing has a mistake.
Refusal check_headers(const Request& request);

std::expected<Attributes, Response> read_attributes(const Request& request);
// The same customer's key as when the object (or upload) was made; or the source of a copy.
enum class KeyOf { object, source };
Refusal check_customer_key(const Request& request, const Attributes& attributes, KeyOf whose = KeyOf::object);
// Not so of what is encrypted with keys of KMS or of the customer.
bool has_md5_etags(const Attributes& attributes);
// What answers to writes say of the encryption.
std::vector<Header> encryption_headers(const Attributes& attributes);

}  // namespace cairn::twin
