// The two refusals that are made most, in short.
#pragma once

#include <string>
#include <utility>

#include "cairn/error.h"

namespace cairn {

inline Error damaged(std::string message) { return Error(ErrorKind::corrupt, std::move(message)); }
inline Error invalid(std::string message) { return Error(ErrorKind::invalid, std::move(message)); }

}  // namespace cairn
