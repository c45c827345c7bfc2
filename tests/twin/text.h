// The small spellings of the S3 protocol: percent coding, hexadecimal digits, base64, times, XML.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cairn/store.h"

namespace cairn::twin {

// Nothing: a '%' without two hexadecimal digits after it. '+' stays '+'.
std::optional<std::string> percent_decode(std::string_view text);
// All but letters, digits, "-._~" and the characters of `kept`; digits in upper case.
std::string percent_encode(std::string_view bytes, std::string_view kept = {});

std::string hex(std::string_view bytes);
std::string base64(std::string_view bytes);
// Nothing: not the one canonical spelling of some bytes.
std::optional<std::string> base64_decode(std::string_view text);

std::string lower(std::string_view text);
bool is_utf8(std::string_view bytes);
std::vector<std::string_view> split(std::string_view text, char separator);
// Decimal digits only, nothing else.
std::optional<std::uint64_t> parse_number(std::string_view text);

std::string http_date(std::int64_t wall_ms);                          // "Sat, 21 Nov 2026 06:44:28 GMT"
std::string iso_date(std::int64_t wall_ms);                           // "2026-11-21T06:44:28.000Z"
std::optional<std::int64_t> parse_basic_date(std::string_view text);  // "20261121T064428Z"

// An XML document, built from its start to its end.
class Xml {
 public:
  // With `space`, the root element says that it is of the S3 name space.
  enum class Space { s3, none };
  explicit Xml(std::string root, Space space = Space::s3);

  Xml& open(std::string name);
  Xml& close();
  Xml& element(std::string_view name, std::string_view text);
  Xml& element(std::string_view name, std::uint64_t number) { return element(name, std::to_string(number)); }
  std::string finish();

 private:
  std::string text_;
  std::vector<std::string> open_;
};

inline constexpr std::string_view kXmlDeclaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

}  // namespace cairn::twin
