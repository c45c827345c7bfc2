// Lengths of time and sizes as people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "cairn/error.h"

namespace cairn {

// Milliseconds of "250ms", "1s", "1.5s", "2m", "1h", "30d", or "0". invalid: anything else, and more than ten years.
Result<std::int64_t> parse_duration_ms(std::string_view text);

// Bytes of "4096B", "100MiB", "1.5 GiB", or, in thousands, "64kB", "10MB". invalid: anything else, and more than a PiB.
Result<std::uint64_t> parse_size_bytes(std::string_view text);

// Lengths of time of which each is a multiple of the one before: "30s,5m,1h". "none": an empty list. "auto": nothing,
// whoever uses them decides. invalid: anything else.
Result<std::optional<std::vector<std::int64_t>>> parse_windows(std::string_view text);
Result<void> check_windows(std::span<const std::int64_t> windows_ms);

}  // namespace cairn
