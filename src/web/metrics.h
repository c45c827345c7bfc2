// What a daemon keeps replicated, as Prometheus reads it (text format 0.0.4). docs/operations.md has every name.
#pragma once

#include <string>

#include "daemon/fleet.h"

namespace cairn::web {

// With more databases than `most_databases`, none has series of its own, and the sums are all there is: a scrape stays
// small. Bytes of a path that are not UTF-8 become U+FFFD, which Prometheus would refuse.
std::string metrics_text(const daemon::FleetView& view, const std::string& version, int most_databases);

}  // namespace cairn::web
