// After a create-only put that did not succeed: is the object under the key ours?
#pragma once

#include <string_view>

#include "cairn/store.h"

namespace cairn {

enum class Lies { absent, same, other };

// Compares byte for byte, in pieces, so that memory stays flat. A difference is believed when every reading shows one:
// what was garbled on its way must not look like somebody else's.
Result<Lies> what_lies_there(Store& store, std::string_view key, const Source& mine);

}  // namespace cairn
