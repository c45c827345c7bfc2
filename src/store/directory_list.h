// Listing a directory as a store lists its keys.
#pragma once

#include <string>
#include <string_view>

#include "cairn/store.h"

namespace cairn {

// As Store::list. Passes over everything that cannot be an object: reserved names, names that are no part of a key,
// sockets and the like. Symbolic links are followed. denied, io: some folder cannot be read, so the answer would have
// holes; or, for publishing, cannot be synced, so what was shown might be lost.
Result<ListPage> list_directory(const std::string& root, std::string_view prefix, std::string_view start_after,
                                int limit, StoreUse use);

}  // namespace cairn
