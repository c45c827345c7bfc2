// Small things that every part of this module asks of a replica.
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/ids.h"
#include "cairn/error.h"
#include "cairn/store.h"

namespace cairn::restore {

// Store and replica as a person names them, for messages.
std::string location(const Store& store, std::string_view replica);

// The lineage that metadata.json names; nothing when there is no such object or it is damaged: it is a summary, and
// what depends on it is only that a foreign object is noticed even when it is the only one used.
Result<std::optional<Id128>> claimed_lineage(Store& store, std::string_view replica);

// What `look` makes of the claimed lineage. A conflict with it is believed only if the next reading claims the same:
// JSON has no checksum, and a bit that was garbled on its way must not look like another history.
template <std::invocable<const std::optional<Id128>&> Look>
std::invoke_result_t<Look&, const std::optional<Id128>&> with_claimed_lineage(Store& store, std::string_view replica,
                                                                              Look look) {
  CAIRN_ASSIGN(std::optional<Id128> claimed, claimed_lineage(store, replica));
  while (true) {
    auto result = look(claimed);
    if (result || result.error().kind() != ErrorKind::conflict) return result;
    CAIRN_ASSIGN(const std::optional<Id128> again, claimed_lineage(store, replica));
    if (again == claimed) return result;
    claimed = again;
  }
}

}  // namespace cairn::restore
