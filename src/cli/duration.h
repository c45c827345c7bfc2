// Lengths of time as people write them.
#pragma once

#include <cstdint>
#include <string_view>

#include "cairn/error.h"

namespace cairn::cli {

// Milliseconds of "250ms", "1s", "1.5s", "2m", "1h", "30d", or "0". invalid: anything else, and more than ten years.
Result<std::int64_t> parse_duration_ms(std::string_view text);

}  // namespace cairn::cli
