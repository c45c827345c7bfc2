// Small things that every part of this module asks of a replica.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::restore {

// Store and replica as a person names them, for messages.
std::string location(const Store& store, std::string_view replica);

// The lineage that metadata.json names; nothing when there is no such object or it is damaged: it is a summary, and
// what depends on it is only that a foreign object is noticed even when it is the only one used.
Result<std::optional<Id128>> claimed_lineage(Store& store, std::string_view replica);

}  // namespace cairn::restore
