// Whether what a restore is about to write fits on the disk: asked before anything is touched, since a disk that is
// full of half a restore is in everybody's way.
#pragma once

#include <cstdint>
#include <string>

#include "cairn/error.h"

namespace cairn::layer {

// What this user may still write where `target` is to be made. As much as can be said where the file system compresses,
// so that nobody knows.
Result<std::uint64_t> free_bytes_for(const std::string& target);

// io: it does not fit.
Result<void> check_room(const std::string& target, std::uint64_t needed_bytes, std::uint64_t free_bytes);

}  // namespace cairn::layer
