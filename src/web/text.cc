#include "web/text.h"

#include <algorithm>
#include <charconv>

#include "base/utf8.h"

namespace cairn::web {

namespace {

std::size_t length_of_first(std::string_view bytes) {
  for (std::size_t length = 1; length <= std::min<std::size_t>(bytes.size(), 4); ++length) {
    if (is_utf8(bytes.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

std::string readable(std::string_view bytes) {
  if (is_utf8(bytes)) return std::string(bytes);
  std::string text;
  while (!bytes.empty()) {
    const std::size_t length = length_of_first(bytes);
    text += length == 0 ? std::string_view("\xEF\xBF\xBD") : bytes.substr(0, length);
    bytes.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return text;
}

std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const char* const digits = text.data() + i + 1;
    const bool is_coded = text[i] == '%' && i + 2 < text.size() &&
                          std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2;
    decoded += is_coded ? static_cast<char>(byte) : text[i];
    if (is_coded) i += 2;
  }
  return decoded;
}

}  // namespace cairn::web
