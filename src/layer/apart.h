// What must not lie in one another: a container's directory, the store of it, and what is local to Cairn.
#pragma once

#include <string>

#include "cairn/error.h"

namespace cairn::layer {

// What a directory holds goes when it is overwritten. conflict: `kept`, a file or a directory, is among that, or holds
// the target.
Result<void> check_apart(const std::string& target, const std::string& kept);

}  // namespace cairn::layer
