// Saving a state needs its fields, which xxhash.h shows to those who link it statically; they have been the same in all
// of 0.8. The version is saved with them, and a state of another one is refused.
#define XXH_STATIC_LINKING_ONLY

#include "segment/running_hash.h"

#include <xxhash.h>

#include <cstring>

#include "base/bytes.h"
#include "base/check.h"

namespace cairn::segment {

void RunningHash::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

RunningHash::RunningHash() : state_(XXH3_createState()) {
  CAIRN_CHECK(state_ != nullptr);  // out of memory
  XXH3_64bits_reset(state_.get());
}

void RunningHash::add(ByteView bytes) { XXH3_64bits_update(state_.get(), bytes.data(), bytes.size()); }

std::uint64_t RunningHash::value() const { return XXH3_64bits_digest(state_.get()); }

Bytes RunningHash::save() const {
  Bytes saved(sizeof(std::uint32_t) + sizeof(XXH3_state_s));
  store_le(saved.data(), static_cast<std::uint32_t>(XXH_versionNumber()));
  std::memcpy(saved.data() + sizeof(std::uint32_t), state_.get(), sizeof(XXH3_state_s));
  return saved;
}

Result<RunningHash> RunningHash::restore(ByteView saved) {
  if (saved.size() != sizeof(std::uint32_t) + sizeof(XXH3_state_s) ||
      load_le<std::uint32_t>(saved.data()) != XXH_versionNumber()) {
    return Error(ErrorKind::corrupt, "a saved hash is of another version of libxxhash");
  }
  RunningHash hash;
  const unsigned char* const secret = hash.state_->extSecret;  // lies in the library, at another place in each process
  std::memcpy(hash.state_.get(), saved.data() + sizeof(std::uint32_t), sizeof(XXH3_state_s));
  hash.state_->extSecret = secret;
  return hash;
}

}  // namespace cairn::segment
