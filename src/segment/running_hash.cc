#include "segment/running_hash.h"

#include <xxhash.h>

#include "base/check.h"

namespace cairn::segment {

void RunningHash::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

RunningHash::RunningHash() : state_(XXH3_createState()) {
  CAIRN_CHECK(state_ != nullptr);  // out of memory
  XXH3_64bits_reset(state_.get());
}

void RunningHash::add(ByteView bytes) { XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()); }

std::uint64_t RunningHash::value() const { return XXH3_64bits_digest(state_.get()); }

}  // namespace cairn::segment
