// AWS Signature Version 4, as S3 takes it: paths are neither normalised nor encoded twice. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "s3/credentials.h"
#include "s3/http.h"

namespace cairn::s3 {

using Headers = std::vector<std::pair<std::string, std::string>>;

// What is signed. Every header given is, so what is sent must be just these (and Content-Length, which says nothing
// that the payload's hash does not).
struct ToSign {
  std::string_view method;
  std::string_view target;   // "/path?query", in any spelling: it is canonicalised
  const Headers& headers;    // with Host, x-amz-date, and x-amz-content-sha256
  std::string_view payload;  // the value of x-amz-content-sha256
};

struct SigningScope {
  std::int64_t wall_ms = 0;
  std::string region;
  std::string service = "s3";
};

// "20130524T000000Z", as x-amz-date.
std::string amz_date(std::int64_t wall_ms);

std::string canonical_request(const ToSign& what);
// The value of the Authorization header.
std::string authorization(const ToSign& what, const Credentials& credentials, const SigningScope& scope);

inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

// Adds to a request all that makes it a signed one. `host` is the Host that will be sent; `payload` is the SHA-256 of
// the body in hexadecimal digits, or kUnsignedPayload.
void sign(HttpRequest& request, std::string_view host, std::string_view payload, const Credentials& credentials,
          const SigningScope& scope);

}  // namespace cairn::s3
