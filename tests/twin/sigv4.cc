// The specification in five lines. A canonical request is made of method, path, query, the signed headers and the hash
// of the body; the string to sign names the algorithm, the time, the scope (day/region/s3/aws4_request) and the hash of
// the canonical request; the signing key is a chain of HMACs from the secret over the parts of the scope; the signature
// is the HMAC of that string. S3's own rules: the path is encoded once and never normalised, so that "a/../c" is
// itself; and x-amz-content-sha256 is a header that must be there.
#include "twin/sigv4.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/bytes.h"
#include "twin/digests.h"
#include "twin/text.h"

namespace cairn::twin {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::int64_t kMaxSkewMs = 15 * 60 * 1000;

struct Claim {
  std::string access_key, date, region;
  std::vector<std::string> signed_headers;
  std::string signature;
};

Response malformed(std::string_view why, std::string_view region = {}) {
  std::vector<std::pair<std::string, std::string>> more;
  if (!region.empty()) more.emplace_back("Region", region);
  return error_answer(400, "AuthorizationHeaderMalformed",
                      fmt::format("The authorization header is malformed; {}", why), more);
}

std::expected<Claim, Response> parse_claim(std::string_view header) {
  if (!header.starts_with(kAlgorithm) || header.substr(kAlgorithm.size(), 1) != " ") {
    return std::unexpected(error_answer(400, "InvalidArgument", "Unsupported Authorization Type"));
  }
  header.remove_prefix(kAlgorithm.size() + 1);
  std::map<std::string, std::string, std::less<>> parts;
  for (std::string_view part : split(header, ',')) {
    while (part.starts_with(' ')) part.remove_prefix(1);
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) return std::unexpected(malformed("a part of it has no '='."));
    if (!parts.emplace(part.substr(0, equals), part.substr(equals + 1)).second) {
      return std::unexpected(malformed("a part of it stands twice."));
    }
  }
  if (parts.size() != 3 || !parts.contains("Credential") || !parts.contains("SignedHeaders") ||
      !parts.contains("Signature")) {
    return std::unexpected(malformed("it must have Credential, SignedHeaders and Signature."));
  }
  Claim claim;
  // The key comes first and may hold slashes; the scope is the last four parts.
  const std::vector<std::string_view> scope = split(parts["Credential"], '/');
  if (scope.size() < 5) return std::unexpected(malformed("the Credential is not KEY/DATE/REGION/s3/aws4_request."));
  const std::size_t n = scope.size();
  if (scope[n - 1] != "aws4_request") return std::unexpected(malformed("the scope must end in aws4_request."));
  if (scope[n - 2] != "s3") {
    return std::unexpected(malformed(fmt::format("incorrect service \"{}\". This endpoint belongs to \"s3\".",
                                                 scope[n - 2])));
  }
  claim.region = scope[n - 3];
  claim.date = scope[n - 4];
  claim.access_key = parts["Credential"].substr(0, static_cast<std::size_t>(scope[n - 4].data() - 1 -
                                                                            parts["Credential"].data()));
  for (const std::string_view name : split(parts["SignedHeaders"], ';')) claim.signed_headers.emplace_back(name);
  claim.signature = parts["Signature"];
  return claim;
}

// What proxies and HTTP libraries add or change on their way.
bool belongs_to_the_connection(std::string_view name) {
  static const std::set<std::string_view> kNames{"authorization", "connection", "content-length", "expect",
                                                 "keep-alive", "proxy-authorization", "proxy-connection", "te",
                                                 "trailer", "transfer-encoding", "upgrade"};
  return kNames.contains(name);
}

bool must_be_signed(std::string_view name, bool all_headers) {
  if (belongs_to_the_connection(name)) return false;
  return all_headers || name == "host" || name == "content-type" || name == "content-md5" ||
         name.starts_with("x-amz-");
}

Response does_not_match(const Claim& claim, std::string_view why, std::string_view string_to_sign = {},
                        std::string_view canonical = {}) {
  std::vector<std::pair<std::string, std::string>> more{{"AWSAccessKeyId", claim.access_key},
                                                        {"SignatureProvided", claim.signature}};
  if (!string_to_sign.empty()) more.emplace_back("StringToSign", string_to_sign);
  if (!canonical.empty()) more.emplace_back("CanonicalRequest", canonical);
  return error_answer(403, "SignatureDoesNotMatch",
                      fmt::format("The request signature we calculated does not match the signature you provided. "
                                  "Check your key and signing method.{}",
                                  why),
                      more);
}

// Headers and list of signed headers fit each other.
Refusal check_coverage(const Request& request, const Claim& claim, bool all_headers) {
  if (!std::is_sorted(claim.signed_headers.begin(), claim.signed_headers.end()) ||
      std::adjacent_find(claim.signed_headers.begin(), claim.signed_headers.end()) != claim.signed_headers.end()) {
    return malformed("SignedHeaders must be sorted, each name once.");
  }
  for (const std::string& name : claim.signed_headers) {
    if (name != lower(name)) return malformed("SignedHeaders must be in lower case.");
    if (request.header(name) == nullptr) {
      return does_not_match(claim, fmt::format(" The signed header '{}' was not sent.", name));
    }
  }
  const std::set<std::string> signed_ones(claim.signed_headers.begin(), claim.signed_headers.end());
  for (const Header& header : request.headers) {
    if (!must_be_signed(header.name, all_headers) || signed_ones.contains(header.name)) continue;
    return error_answer(403, "AccessDenied", "There were headers present in the request which were not signed",
                        {{"HeadersNotSigned", header.name}});
  }
  return std::nullopt;
}

Refusal check_time(const Request& request, const Claim& claim, std::int64_t now_ms) {
  const std::string* const text = request.header("x-amz-date");
  const auto time_ms = text == nullptr ? std::nullopt : parse_basic_date(*text);
  if (!time_ms) {
    return error_answer(403, "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header");
  }
  if (claim.date != text->substr(0, 8)) {
    return malformed(fmt::format("Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
                                 claim.date, text->substr(0, 8)));
  }
  if (*time_ms < now_ms - kMaxSkewMs || *time_ms > now_ms + kMaxSkewMs) {
    return error_answer(403, "RequestTimeTooSkewed",
                        "The difference between the request time and the current time is too large.",
                        {{"RequestTime", *text},
                         {"ServerTime", iso_date(now_ms)},
                         {"MaxAllowedSkewMilliseconds", std::to_string(kMaxSkewMs)}});
  }
  return std::nullopt;
}

Refusal check_region(const Claim& claim, const SignatureRules& rules) {
  if (rules.any_region || claim.region == rules.region) return std::nullopt;
  if (!rules.redirects) {
    return malformed(fmt::format("the region '{}' is wrong; expecting '{}'", claim.region, rules.region),
                     rules.region)
        .with("x-amz-bucket-region", rules.region);
  }
  return error_answer(301, "PermanentRedirect",
                      "The bucket you are attempting to access must be addressed using the specified endpoint. "
                      "Please send all future requests to this endpoint.")
      .with("x-amz-bucket-region", rules.region);
}

Refusal check_token(const Request& request, const AccessKey& key) {
  const std::string* const token = request.header("x-amz-security-token");
  if (key.session_token.empty()) {
    if (token == nullptr) return std::nullopt;
    return error_answer(400, "InvalidToken", "The provided token is malformed or otherwise invalid.");
  }
  if (token == nullptr) {
    return error_answer(403, "InvalidAccessKeyId",
                        "The AWS Access Key Id you provided does not exist in our records.");
  }
  if (*token != key.session_token) {
    return error_answer(400, "InvalidToken", "The provided token is malformed or otherwise invalid.");
  }
  if (key.expired) return error_answer(400, "ExpiredToken", "The provided token has expired.");
  return std::nullopt;
}

bool is_sha256_hex(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// What x-amz-content-sha256 may say.
Refusal check_payload_kind(const Request& request, bool signed_over_http) {
  const std::string* const hash = request.header("x-amz-content-sha256");
  if (hash == nullptr) {
    return error_answer(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
  }
  if (hash->starts_with("STREAMING-")) return not_implemented("x-amz-content-sha256: " + *hash);
  if (*hash == "UNSIGNED-PAYLOAD") {
    const bool has_body = request.header_or("content-length", "0") != "0";
    if (!signed_over_http || request.is_tls || !has_body) return std::nullopt;
    return error_answer(400, "InvalidRequest", "A body that comes without TLS must be signed.");
  }
  if (is_sha256_hex(*hash)) return std::nullopt;
  return error_answer(400, "InvalidArgument",
                      "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, or a valid sha256 value.",
                      {{"ArgumentName", "x-amz-content-sha256"}, {"ArgumentValue", *hash}});
}

// Without white space at its ends, and with single spaces inside.
std::string trimmed(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c != ' ') {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += c;
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

std::string canonical_request(const Request& request, const std::vector<std::string>& signed_headers,
                              std::string_view payload_hash) {
  std::vector<std::pair<std::string, std::string>> query;
  for (const auto& [name, value] : request.query) query.emplace_back(percent_encode(name), percent_encode(value));
  std::sort(query.begin(), query.end());
  std::string query_text;
  for (const auto& [name, value] : query) {
    query_text += fmt::format("{}{}={}", query_text.empty() ? "" : "&", name, value);
  }
  std::string header_text, names;
  for (const std::string& name : signed_headers) {
    std::string values;
    bool first = true;
    for (const Header& header : request.headers) {
      if (header.name != name) continue;
      values += (first ? "" : ",") + trimmed(header.value);
      first = false;
    }
    header_text += name + ":" + values + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, percent_encode(request.path, "/"), query_text,
                     header_text, names, payload_hash);
}

std::string signature_of(std::string_view secret, std::string_view date, std::string_view region,
                         std::string_view string_to_sign) {
  const std::string day_key = hmac_sha256("AWS4" + std::string(secret), date);
  const std::string service_key = hmac_sha256(hmac_sha256(day_key, region), "s3");
  return hex(hmac_sha256(hmac_sha256(service_key, "aws4_request"), string_to_sign));
}

std::expected<const AccessKey*, Response> authenticate(Request& request, const std::vector<AccessKey>& keys,
                                                       const SignatureRules& rules) {
  const std::string* const header = request.header("authorization");
  if (header == nullptr) return std::unexpected(error_answer(403, "AccessDenied", "Access Denied"));
  auto claim = parse_claim(*header);
  if (!claim) return std::unexpected(std::move(claim.error()));
  const auto key = std::find_if(keys.begin(), keys.end(),
                                [&](const AccessKey& each) { return each.id == claim->access_key; });
  if (key == keys.end()) {
    return std::unexpected(error_answer(403, "InvalidAccessKeyId",
                                        "The AWS Access Key Id you provided does not exist in our records.",
                                        {{"AWSAccessKeyId", claim->access_key}}));
  }
  if (Refusal r = check_region(*claim, rules)) return std::unexpected(std::move(*r));
  if (Refusal r = check_time(request, *claim, rules.now_ms)) return std::unexpected(std::move(*r));
  if (Refusal r = check_payload_kind(request, rules.signed_payload_over_http)) return std::unexpected(std::move(*r));
  if (Refusal r = check_coverage(request, *claim, rules.all_headers)) return std::unexpected(std::move(*r));

  request.payload_hash = request.header_or("x-amz-content-sha256");
  const std::string canonical = canonical_request(request, claim->signed_headers, request.payload_hash);
  const std::string to_sign =
      fmt::format("{}\n{}\n{}/{}/s3/aws4_request\n{}", kAlgorithm, request.header_or("x-amz-date"), claim->date,
                  claim->region, hex(sha256(as_bytes(canonical))));
  const std::string expected = signature_of(key->secret, claim->date, claim->region, to_sign);
  if (!equal_in_constant_time(expected, claim->signature)) {
    return std::unexpected(does_not_match(*claim, "", to_sign, canonical));
  }
  if (Refusal r = check_token(request, *key)) return std::unexpected(std::move(*r));
  return &*key;
}

Refusal check_payload(const Request& request) {
  if (request.payload_hash == "UNSIGNED-PAYLOAD") return std::nullopt;
  const std::string found = hex(sha256(request.body_view()));
  if (found == request.payload_hash) return std::nullopt;
  return error_answer(400, "XAmzContentSHA256Mismatch",
                      "The provided 'x-amz-content-sha256' header does not match what was computed.",
                      {{"ClientComputedContentSHA256", request.payload_hash}, {"S3ComputedContentSHA256", found}});
}

}  // namespace cairn::twin
