// Any bytes as A-Z a-z 0-9 . _ - and %XX, where only such characters may stand.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cairn::layer {

std::string percent_encoded(std::string_view bytes);
// Nothing: not what percent_encoded writes.
std::optional<std::string> percent_decoded(std::string_view text);

}  // namespace cairn::layer
