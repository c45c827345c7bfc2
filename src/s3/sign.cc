// The specification: "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)" of the S3
// API reference. A request is spelled in one canonical way, hashed, and the hash is signed with a key that is derived
// from the secret for one day, region and service.
#include "s3/sign.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "s3/checksum.h"
#include "s3/uri.h"

namespace cairn::s3 {

namespace {

// Without spaces at both ends, and one where there are several.
std::string squeezed(std::string_view value) {
  std::string out;
  out.reserve(value.size());
  for (const char c : value) {
    const bool space = c == ' ' || c == '\t';
    if (!space) {
      out.push_back(c);
    } else if (!out.empty() && out.back() != ' ') {
      out.push_back(' ');
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// What cannot be decoded is taken as it is.
std::string recoded(std::string_view text, Slash slash) {
  return percent_encode(percent_decode(text).value_or(std::string(text)), slash);
}

std::string canonical_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> pairs;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    pairs.emplace_back(recoded(pair.substr(0, equals), Slash::encode),
                       recoded(pair.substr(std::min(equals + 1, pair.size())), Slash::encode));
  }
  std::sort(pairs.begin(), pairs.end());
  std::string out;
  for (const auto& [name, value] : pairs) out += (out.empty() ? "" : "&") + name + "=" + value;
  return out;
}

// By name, in small letters; values of one name joined in the order they are sent. `host`: one more, if it is not among
// them.
Headers canonical_headers(const Headers& headers, std::string_view host = {}) {
  Headers all;
  all.reserve(headers.size() + 1);
  for (const auto& [name, value] : headers) all.emplace_back(ascii_lower(name), squeezed(value));
  if (!host.empty()) all.emplace_back("host", host);
  std::ranges::stable_sort(all, {}, &Headers::value_type::first);
  Headers out;
  out.reserve(all.size());
  for (auto& [name, value] : all) {
    if (out.empty() || out.back().first != name) out.emplace_back(std::move(name), std::move(value));
    else out.back().second += "," + value;
  }
  return out;
}

std::string signed_headers(const Headers& canonical) {
  std::string out;
  for (const auto& [name, value] : canonical) {
    if (!out.empty()) out += ";";
    out += name;
  }
  return out;
}

std::string scope_of(const SigningScope& scope, std::string_view date) {
  return fmt::format("{}/{}/{}/aws4_request", date.substr(0, 8), scope.region, scope.service);
}

// It is the same for a day, and takes four of the five sums of a signature: each thread remembers its last one.
Sha256Digest signing_key(const std::string& secret, const SigningScope& scope, const std::string& date) {
  struct Known {
    std::string secret, scope;
    Sha256Digest key;
  };
  thread_local std::optional<Known> known;
  std::string wanted = scope_of(scope, date);
  if (known && known->secret == secret && known->scope == wanted) return known->key;
  Sha256Digest key = hmac_sha256(as_bytes("AWS4" + secret), date.substr(0, 8));
  for (const std::string_view step :
       {std::string_view(scope.region), std::string_view(scope.service), std::string_view("aws4_request")}) {
    key = hmac_sha256(key, step);
  }
  known = Known{secret, std::move(wanted), key};
  return key;
}

std::string canonical_request(const ToSign& what, const Headers& canonical, std::string_view names) {
  const std::size_t question = what.target.find('?');
  std::string out = fmt::format(
      "{}\n{}\n{}\n", what.method, recoded(what.target.substr(0, question), Slash::keep),
      question == std::string_view::npos ? std::string() : canonical_query(what.target.substr(question + 1)));
  for (const auto& [name, value] : canonical) out.append(name).append(":").append(value).append("\n");
  return out.append("\n").append(names).append("\n").append(what.payload);
}

// `date` as x-amz-date says it.
std::string authorization(const ToSign& what, const Headers& canonical, const Credentials& credentials,
                          const SigningScope& scope, const std::string& date) {
  const std::string names = signed_headers(canonical);
  const std::string place = scope_of(scope, date);
  const std::string to_sign = fmt::format("AWS4-HMAC-SHA256\n{}\n{}\n{}", date, place,
                                          hex(sha256(as_bytes(canonical_request(what, canonical, names)))));
  const Sha256Digest key = signing_key(credentials.secret_access_key, scope, date);
  return fmt::format("AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={}", credentials.access_key_id,
                     place, names, hex(hmac_sha256(key, to_sign)));
}

}  // namespace

std::string amz_date(std::int64_t wall_ms) {
  std::string text = format_compact_time(wall_ms);  // "20130524_000000"
  text[8] = 'T';
  return text + "Z";
}

std::string canonical_request(const ToSign& what) {
  const Headers canonical = canonical_headers(what.headers);
  return canonical_request(what, canonical, signed_headers(canonical));
}

std::string authorization(const ToSign& what, const Credentials& credentials, const SigningScope& scope) {
  return authorization(what, canonical_headers(what.headers), credentials, scope, amz_date(scope.wall_ms));
}

void sign(HttpRequest& request, std::string_view host, std::string_view payload, const Credentials& credentials,
          const SigningScope& scope) {
  const std::string date = amz_date(scope.wall_ms);
  request.headers.emplace_back("x-amz-date", date);
  request.headers.emplace_back("x-amz-content-sha256", payload);
  if (!credentials.session_token.empty()) {
    request.headers.emplace_back("x-amz-security-token", credentials.session_token);
  }
  std::string signature = authorization({request.method, request.target, request.headers, payload},
                                        canonical_headers(request.headers, host), credentials, scope, date);
  request.headers.emplace_back("Authorization", std::move(signature));
}

}  // namespace cairn::s3
