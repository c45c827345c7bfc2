#pragma once

#include <cstdint>
#include <memory>

#include "cairn/store.h"

struct XXH3_state_s;

namespace cairn::segment {

// XXH3 (64 bits) of bytes that come in pieces.
class RunningHash {
 public:
  RunningHash();
  void add(ByteView bytes);
  std::uint64_t value() const;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace cairn::segment
