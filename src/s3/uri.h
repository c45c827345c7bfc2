// The spelling of things in URLs: percent coding as S3 signs it, s3:// URLs with their options, endpoints.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::s3 {

enum class Slash { keep, encode };

// RFC 3986 as SigV4 wants it: everything but A-Z a-z 0-9 - . _ ~ becomes %XX with capitals; a '/' may stay (paths).
std::string percent_encode(std::string_view text, Slash slash);
// None: a '%' without two hexadecimal digits behind it. A '+' is a plus.
std::optional<std::string> percent_decode(std::string_view text);

// Where an s3:// URL leads.
struct Location {
  std::string bucket;
  std::string prefix;  // empty, or ends with '/': stands before every key
  S3Options options;

  // As a person names it: "s3://bucket/prefix", without the options.
  std::string url() const;
};

// "s3://bucket/prefix?region=eu-central-1&...". Percent codes in the prefix and the options are decoded; options of
// the URL win over `options`. invalid: no such option, or a secret, which has no place in what is printed and logged.
Result<Location> parse_s3_url(std::string_view url, const S3Options& options);

enum class Transport { plain, tls };

// A server: "https://host:port", perhaps with a path that stands before all others.
struct Endpoint {
  Transport transport = Transport::tls;
  std::string host;       // in lower case; "[::1]" keeps its brackets
  std::string port;       // empty: the scheme's own
  std::string base_path;  // empty, or "/path" without a slash at its end

  std::string authority() const { return port.empty() ? host : host + ":" + port; }
  std::string origin() const { return (transport == Transport::tls ? "https://" : "http://") + authority(); }
  bool is_loopback() const;
};

// invalid: not http or https, no host, a user name or password in it. `what` names the setting in messages.
Result<Endpoint> parse_endpoint(std::string_view url, std::string_view what);

// Amazon's own of a region, also in China.
Endpoint amazon_endpoint(std::string_view region);

// A name that may stand before a host, under a certificate for "*.host": without dots, capitals and underscores.
bool fits_a_host_name(std::string_view bucket);

}  // namespace cairn::s3
