// Bytes that somebody else has chosen, as text for readers that take UTF-8 alone.
#pragma once

#include <string>
#include <string_view>

namespace cairn::web {

// What is no UTF-8 becomes U+FFFD.
std::string readable(std::string_view bytes);

// Of the target of a request: %41 is A, + stays; a % that no two digits follow stays as well.
std::string percent_decoded(std::string_view text);

}  // namespace cairn::web
