// Who sent a request: signature version 4 as a server verifies it. Written from the specification alone, and stricter
// than Amazon: every header that arrives must be among the signed ones, but those that belong to the connection.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "twin/message.h"

namespace cairn::twin {

struct AccessKey {
  std::string id = "twin-access-key";
  std::string secret = "twin-secret-key";
  std::string session_token{};  // empty: a key without one
  bool expired = false;       // of a session token
  bool read_only = false;     // writes are AccessDenied
  bool may_list = true;       // false: so are listings, and what is not there is 403 instead of 404
};

struct SignatureRules {
  std::string region;
  bool any_region = false;  // a scope may name any
  bool redirects = false;   // 301 with the right region instead of 400
  // All headers must be signed; else those that Amazon wants: host, content-md5, content-type, x-amz-*.
  bool all_headers = true;
  // UNSIGNED-PAYLOAD with a body is refused when the connection is not encrypted.
  bool signed_payload_over_http = true;
  std::int64_t now_ms = 0;
};

// The key that signed it. The body is not looked at: check_payload does that when it has come.
std::expected<const AccessKey*, Response> authenticate(Request& request, const std::vector<AccessKey>& keys,
                                                       const SignatureRules& rules);
// The body against x-amz-content-sha256.
Refusal check_payload(const Request& request);

// The steps, to be tested by themselves.
std::string canonical_request(const Request& request, const std::vector<std::string>& signed_headers,
                              std::string_view payload_hash);
std::string signature_of(std::string_view secret, std::string_view date, std::string_view region,
                         std::string_view string_to_sign);

}  // namespace cairn::twin
