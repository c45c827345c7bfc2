// Milliseconds, for tests of what depends on age.
#pragma once

#include <cstdint>

namespace cairn::compact {

inline constexpr std::int64_t kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;

}  // namespace cairn::compact
