// Pieces of a tar on their way to frames of an object: handed in in order, compressed and hashed by all cores, taken
// out in order. What is in flight is bounded by the caller (in_flight_bytes).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "base/executor.h"
#include "layer/archive.h"
#include "layer/digest_strand.h"
#include "segment/block_pipeline.h"

namespace cairn::layer {

struct Frame {
  Piece piece;         // without its raw bytes
  std::uint64_t size_bytes = 0;
  bool packed = true;  // false: it was not to be compressed
  Bytes bytes;         // one zstd frame
  Sha256 digest;       // of the tar up to the end of this piece
};

class FramePress {
 public:
  // The executor outlives it.
  FramePress(Executor& executor, int level, const Sha256& begin);

  enum class Packing { compress, leave };  // leave: it lies in the store already, only its digest is wanted
  void push(Piece piece, Packing packing);
  std::uint64_t in_flight_bytes() const { return in_flight_bytes_; }
  bool is_empty() const { return queue_.empty(); }
  // The oldest one; there is one. Waits for it, and works on it rather than to wait.
  Result<Frame> pop();

 private:
  enum class Way { pipeline, zeros, none };
  struct Waiting {
    Piece piece;
    Way way = Way::pipeline;
  };

  const int level_;
  segment::BlockPipeline pipeline_;
  DigestStrand strand_;
  std::deque<Waiting> queue_;
  std::uint64_t in_flight_bytes_ = 0;
  std::shared_ptr<const Bytes> packed_zeros_;  // a whole block of zeros, as a frame
};

}  // namespace cairn::layer
