// Did you mean?
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn {

// The known word that is spelt most like `word`; "" when none is at all like it.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace cairn
