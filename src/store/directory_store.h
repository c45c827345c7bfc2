// A store in a directory: an object is a file, its key the path below the root, on any file system.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "cairn/store.h"

namespace cairn {

// A relative `path` means the current directory at this moment. Nothing is read or made yet.
Result<std::unique_ptr<Store>> make_directory_store(std::string_view path, StoreUse use = StoreUse::publishing);

}  // namespace cairn
