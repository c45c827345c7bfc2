// The SHA-256 of bytes that come in pieces, in order, beside everything else: one thread of the executor at a time
// works on it, and whoever waits for a piece that nobody works on does the work itself. So it is never in the way of
// what can use all cores.
#pragma once

#include <cstdint>
#include <memory>

#include "base/executor.h"
#include "layer/sha256.h"

namespace cairn::layer {

class DigestStrand {
 public:
  // Goes on from `begin`. The executor outlives the strand.
  DigestStrand(Executor& executor, Sha256 begin);
  ~DigestStrand();  // what was not hashed yet is let go of
  DigestStrand(const DigestStrand&) = delete;
  DigestStrand& operator=(const DigestStrand&) = delete;

  void add(std::shared_ptr<const Bytes> piece);
  // The state behind the oldest piece whose state was not taken yet; there is one. Waits for it.
  Sha256 take();

 private:
  struct Shared;
  void work_elsewhere();


  Executor& executor_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace cairn::layer
