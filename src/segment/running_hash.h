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

  // All of the state, and back, on the same machine with the same library. corrupt: it is of another one.
  Bytes save() const;
  static Result<RunningHash> restore(ByteView saved);

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace cairn::segment
