// Text: whether bytes that somebody else has chosen (keys, names of files) are any, and small letters.
#pragma once

#include <string>
#include <string_view>

namespace cairn {

// A to Z become a to z; the rest stays.
std::string ascii_lower(std::string_view text);

// RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace cairn
