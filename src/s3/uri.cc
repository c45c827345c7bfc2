#include "s3/uri.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <functional>
#include <utility>

#include "base/errors.h"
#include "base/utf8.h"

namespace cairn::s3 {

namespace {

constexpr std::string_view kScheme = "s3://";
constexpr int kMaxConnections = 256;

bool is_unreserved(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Header values and URLs are made of it: no line breaks, no other control characters.
bool is_printable(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Result<void> set_text(std::string& to, std::string_view name, std::string_view value) {
  if (!is_printable(value)) return invalid(fmt::format("the option '{}' has a control character in it", name));
  to = value;
  return {};
}

Result<void> set_flag(bool& to, std::string_view name, std::string_view value) {
  const std::string word = ascii_lower(value);
  if (word.empty() || word == "1" || word == "true" || word == "yes" || word == "on") {
    to = true;
  } else if (word == "0" || word == "false" || word == "no" || word == "off") {
    to = false;
  } else {
    return invalid(fmt::format("{}={}: it is true or false", name, value));
  }
  return {};
}

Result<void> set_connections(S3Options& options, std::string_view value) {
  int count = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), count);
  if (error != std::errc() || end != value.data() + value.size() || count < 1 || count > kMaxConnections) {
    return invalid(fmt::format("connections={}: it is a number from 1 to {}", value, kMaxConnections));
  }
  options.connections = count;
  return {};
}

Result<void> set_addressing(S3Options& options, std::string_view value) {
  const std::string word = ascii_lower(value);
  if (word == "path") {
    options.addressing = S3Options::Addressing::path;
  } else if (word == "virtual" || word == "virtual_host" || word == "virtual-host") {
    options.addressing = S3Options::Addressing::virtual_host;
  } else if (word == "auto" || word == "automatic") {
    options.addressing = S3Options::Addressing::automatic;
  } else {
    return invalid(fmt::format("addressing={}: it is path, virtual_host or automatic", value));
  }
  return {};
}

bool is_secret(std::string_view name) {
  static constexpr std::array kWords{"secret", "token", "password", "customer_key", "access_key"};
  return std::any_of(kWords.begin(), kWords.end(),
                     [&](std::string_view word) { return name.find(word) != std::string_view::npos; });
}

Result<void> set_option(S3Options& options, const std::string& name, const std::string& value) {
  struct Text {
    std::string_view name;
    std::string S3Options::* field;
  };
  static constexpr std::array kTexts{
      Text{"endpoint", &S3Options::endpoint},
      Text{"region", &S3Options::region},
      Text{"profile", &S3Options::profile},
      Text{"ca_bundle", &S3Options::ca_bundle},
      Text{"storage_class", &S3Options::storage_class},
      Text{"encryption", &S3Options::encryption},
      Text{"kms_key_id", &S3Options::kms_key_id},
      Text{"tags", &S3Options::tags},
  };
  for (const Text& text : kTexts) {
    if (name == text.name) return set_text(options.*text.field, name, value);
  }
  if (name == "addressing") return set_addressing(options, value);
  if (name == "connections") return set_connections(options, value);
  if (name == "requester_pays") return set_flag(options.requester_pays, name, value);
  if (name == "create_bucket") return set_flag(options.create_bucket, name, value);
  if (name == "accept_single_writer") return set_flag(options.accept_single_writer, name, value);
  if (is_secret(name)) {
    return invalid(
        fmt::format("the option '{}' does not belong into a URL, which is printed and logged: give secrets in "
                    "the environment or in the shared credentials file",
                    name));
  }
  return invalid(
      fmt::format("the option '{}' is not known: there are endpoint, region, profile, addressing, ca_bundle, "
                  "storage_class, encryption, kms_key_id, tags, requester_pays, create_bucket, "
                  "accept_single_writer and connections",
                  name));
}

// Calls `each` for every "name=value" of a query, decoded; '-' and '_' are the same in names.
Result<void> parse_query(std::string_view query,
                         const std::function<Result<void>(const std::string&, const std::string&)>& each) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    std::optional<std::string> name = percent_decode(pair.substr(0, equals));
    std::optional<std::string> value =
        percent_decode(equals == std::string_view::npos ? std::string_view() : pair.substr(equals + 1));
    if (!name || !value) return invalid("a '%' in the options has no two hexadecimal digits behind it: write it %25");
    std::replace(name->begin(), name->end(), '-', '_');
    CAIRN_TRY(each(ascii_lower(*name), *value));
  }
  return {};
}

Result<void> check_bucket(std::string_view bucket) {
  const auto allowed = [](char c) { return is_unreserved(c) && c != '~'; };
  if (bucket.find('@') != std::string_view::npos) {
    return invalid(
        "keys do not belong into a URL, which is printed and logged: give them in the environment or in the "
        "shared credentials file");
  }
  if (bucket.empty()) return invalid("it names no bucket: write s3://bucket/prefix");
  if (bucket.size() < 3 || bucket.size() > 255 || !std::all_of(bucket.begin(), bucket.end(), allowed)) {
    return invalid(
        fmt::format("'{}' cannot be a bucket: names have at least 3 letters, digits, dots and hyphens", bucket));
  }
  return {};
}

Result<std::string> prefix_of(std::string_view path) {
  std::optional<std::string> prefix = percent_decode(path);
  if (!prefix) return invalid("a '%' in the prefix has no two hexadecimal digits behind it: write it %25");
  while (!prefix->empty() && prefix->back() == '/') prefix->pop_back();
  if (!prefix->empty() && (prefix->front() == '/' || prefix->find("//") != std::string::npos)) {
    return invalid("its prefix has an empty component: write one '/' between names");
  }
  if (prefix->find('\0') != std::string::npos) return invalid("its prefix has a NUL byte");
  if (!prefix->empty()) prefix->push_back('/');
  return *prefix;
}

}  // namespace

std::string percent_encode(std::string_view text, Slash slash) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (const char c : text) {
    if (is_unreserved(c) || (c == '/' && slash == Slash::keep)) {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.push_back('%');
      out.push_back(kDigits[byte >> 4]);
      out.push_back(kDigits[byte & 15]);
    }
  }
  return out;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = digit_of(text[i + 1]), low = digit_of(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

std::string Location::url() const {
  std::string text = std::string(kScheme) + bucket;
  if (!prefix.empty()) text.append("/").append(prefix, 0, prefix.size() - 1);
  return text;
}

Result<Location> parse_s3_url(std::string_view url, const S3Options& options) {
  const std::string_view rest = ascii_lower(url.substr(0, kScheme.size())) == kScheme ? url.substr(kScheme.size()) : "";
  const std::size_t question = rest.find('?');
  const std::string_view path = rest.substr(0, question);
  const std::string_view bucket = path.substr(0, path.find('/'));
  // Messages show the URL without its options: somebody may have put a secret there.
  const std::string shown = fmt::format("{}{}", kScheme, bucket.find('@') == std::string_view::npos ? path : "...");
  const auto said = [&](const Error& error) { return error.with(shown); };

  Location location;
  location.options = options;
  if (auto good = check_bucket(bucket); !good) return said(good.error());
  location.bucket = bucket;
  auto prefix = prefix_of(path.substr(std::min(path.size(), bucket.size() + 1)));
  if (!prefix) return said(prefix.error());
  location.prefix = *std::move(prefix);
  if (question != std::string_view::npos) {
    auto set = parse_query(rest.substr(question + 1), [&](const std::string& name, const std::string& value) {
      return set_option(location.options, name, value);
    });
    if (!set) return said(set.error());
  }
  return location;
}

bool Endpoint::is_loopback() const {
  return host == "localhost" || host == "[::1]" || host.ends_with(".localhost") ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos);
}

Result<Endpoint> parse_endpoint(std::string_view url, std::string_view what) {
  Endpoint endpoint;
  const std::size_t colons = url.find("://");
  const std::string scheme = ascii_lower(url.substr(0, colons == std::string_view::npos ? 0 : colons));
  if (scheme != "http" && scheme != "https") {
    return invalid(fmt::format("{} is to begin with https:// or http://, as in https://s3.example.com:9000", what));
  }
  endpoint.transport = scheme == "https" ? Transport::tls : Transport::plain;
  std::string_view rest = url.substr(colons + 3);
  const std::string_view authority = rest.substr(0, rest.find('/'));
  rest.remove_prefix(authority.size());
  if (authority.find('@') != std::string_view::npos) {
    return invalid(
        fmt::format("{} has a user or a password in it: give keys in the environment or in the shared "
                    "credentials file",
                    what));
  }
  const std::size_t bracket = authority.rfind(']');
  const std::size_t colon = authority.find(':', bracket == std::string_view::npos ? 0 : bracket);
  endpoint.host = ascii_lower(authority.substr(0, colon));
  if (colon != std::string_view::npos) endpoint.port = authority.substr(colon + 1);
  while (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  endpoint.base_path = rest;
  const bool good_port =
      endpoint.port.size() <= 5 && endpoint.port.find_first_not_of("0123456789") == std::string::npos;
  const bool good_host =
      !endpoint.host.empty() &&
      endpoint.host.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-_[]:") == std::string::npos;
  if (!good_host || !good_port || rest.find_first_of("?# ") != std::string_view::npos || !is_printable(rest)) {
    return invalid(fmt::format("{}: '{}' names no server: write it like https://s3.example.com:9000", what, url));
  }
  // What a client leaves out of Host must be left out of the signature too.
  if (endpoint.port == (endpoint.transport == Transport::tls ? "443" : "80")) endpoint.port.clear();
  return endpoint;
}

Endpoint amazon_endpoint(std::string_view region) {
  Endpoint endpoint;
  endpoint.host = fmt::format("s3.{}.amazonaws.com{}", region, region.starts_with("cn-") ? ".cn" : "");
  return endpoint;
}

bool fits_a_host_name(std::string_view bucket) {
  return bucket.size() <= 63 &&
         bucket.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos &&
         bucket.front() != '-' && bucket.back() != '-';
}

}  // namespace cairn::s3
