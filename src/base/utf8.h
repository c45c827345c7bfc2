// Whether bytes that somebody else has chosen (keys, names of files) are text.
#pragma once

#include <string_view>

namespace cairn {

// RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace cairn
