// Lines of small files that an earlier process may have left torn or garbled: a checksum, a blank, a text, a newline.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cairn::replicate {

std::string checked_line(std::string_view text);
// The text of the next line, if it is whole; `lines` moves on behind it.
std::optional<std::string_view> take_checked_line(std::string_view& lines);

}  // namespace cairn::replicate
