#include "s3/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "s3/errors.h"
#include "s3/xml.h"

namespace cairn::s3 {

namespace {

// The number at the front of `text`, which loses it.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

bool take(std::string_view& text, std::string_view what) {
  if (!text.starts_with(what)) return false;
  text.remove_prefix(what.size());
  return true;
}

}  // namespace

std::string header_or_empty(const HttpResponse& response, std::string_view lower_case_name) {
  const std::string* value = response.header(lower_case_name);
  return value == nullptr ? std::string() : *value;
}

std::string etag_of(const HttpResponse& response) { return without_quotes(header_or_empty(response, "etag")); }

std::optional<std::uint64_t> content_length(const HttpResponse& response) {
  const std::string value = header_or_empty(response, "content-length");
  std::string_view text = value;
  const auto number = take_number(text);
  return text.empty() ? number : std::nullopt;
}

std::optional<ContentRange> content_range(const HttpResponse& response) {
  const std::string value = header_or_empty(response, "content-range");
  std::string_view text = value;
  if (!take(text, "bytes ")) return std::nullopt;
  const auto first = take_number(text);
  if (!first || !take(text, "-")) return std::nullopt;
  const auto last = take_number(text);
  if (!last || !take(text, "/")) return std::nullopt;
  const auto total = take_number(text);
  if (!total || !text.empty() || *first > *last || *last >= *total) return std::nullopt;
  return ContentRange{*first, *last, *total};
}

Result<ObjectInfo> info_of(const HttpResponse& response, std::string_view key,
                           std::optional<std::uint64_t> size_bytes) {
  ObjectInfo info;
  info.key = key;
  info.etag = etag_of(response);
  if (info.etag.empty() || !size_bytes) {
    return Error(ErrorKind::corrupt, fmt::format("{}: the store's answer says no {} of the object", key,
                                                 info.etag.empty() ? "ETag" : "size"));
  }
  info.size_bytes = *size_bytes;
  info.modified_ms = parse_http_date(header_or_empty(response, "last-modified")).value_or(0);
  return info;
}

bool refuses_checksum(const HttpResponse& response) {
  static constexpr std::array<std::string_view, 6> kCodes{"InvalidRequest",    "InvalidArgument", "NotImplemented",
                                                          "UnsupportedHeader", "MissingDigest",   "InvalidDigest"};
  if (response.status != 400 && response.status != 501) return false;
  const Refusal refusal = refusal_of(response);
  return std::find(kCodes.begin(), kCodes.end(), refusal.document.code) != kCodes.end();
}

std::string range_value(std::uint64_t first, std::uint64_t last) { return fmt::format("bytes={}-{}", first, last); }

}  // namespace cairn::s3
