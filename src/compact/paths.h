// What a restore takes, by what is known of a replica.
#pragma once

#include <vector>

#include "cairn/compactor.h"
#include "restore/points.h"

namespace cairn::compact {

// The cheapest objects to `target`, as a restore would choose them, without a request. Errors as cheapest_cover.
Result<RestorePath> path_to(const std::vector<restore::ReadObject>& objects, const RestoreTarget& target);

}  // namespace cairn::compact
