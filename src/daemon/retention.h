// How dense the past stays, as people write it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cairn/compactor.h"
#include "cairn/error.h"

namespace cairn::daemon {

// "keep-all=24h,hourly=720,daily=365,weekly=0,monthly=all,grace=1h": the words of `cairn prune`; what is not named is
// as there. "all": every state stays, and there is no policy. invalid: anything else.
Result<std::optional<PrunePolicy>> parse_retention(std::string_view text);
// A number of hours, days, ...: digits, or "all".
Result<std::uint32_t> parse_places(std::string_view text);
// The same in full.
std::string retention_text(const std::optional<PrunePolicy>& policy);

}  // namespace cairn::daemon
