// The claim on a replica (restore/metadata.h), as a writer sees it: created once, create-only; changed by
// compare-and-swap.
#pragma once

#include <functional>
#include <optional>
#include <string_view>

#include "cairn/store.h"
#include "restore/metadata.h"

namespace cairn::replicate {

using Claim = restore::Metadata;

// Nothing: there is no claim. corrupt: it is not one. unsupported: of a newer format.
Result<std::optional<Claim>> read_claim(Store& store, std::string_view replica);
// conflict: somebody else was first.
Result<void> create_claim(Store& store, std::string_view replica, const Claim& claim);
// Reads it, lets `change` change it, and replaces it by compare-and-swap. conflict: it has changed meanwhile, or what
// was read is not of `lineage`: JSON has no checksum, and bytes garbled on their way must not be written back.
Result<void> update_claim(Store& store, std::string_view replica, const Id128& lineage,
                          const std::function<void(Claim&)>& change);

}  // namespace cairn::replicate
