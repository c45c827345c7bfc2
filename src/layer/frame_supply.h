// The frames of a restore, in the order of its plan: fetched ahead on the threads of transfers, decoded ahead on all
// cores, within a bound of memory.
#pragma once

#include <memory>
#include <stop_token>
#include <vector>

#include "base/executor.h"
#include "cairn/error.h"
#include "layer/file_strand.h"
#include "layer/restore_plan.h"

namespace cairn::layer {

// One thread asks. What nobody has begun it does itself when it needs it, so it may run on a thread of the executors.
class FrameSupply {
 public:
  // Everything passed in outlives the supply.
  FrameSupply(const std::vector<const LayerReader*>& layers, const RestorePlan& plan, Executor& decode,
              Executor& transfers, std::stop_token stop);
  ~FrameSupply();  // waits for what is under way
  FrameSupply(const FrameSupply&) = delete;
  FrameSupply& operator=(const FrameSupply&) = delete;

  // The bytes of a frame, to be asked for in the order of the plan. Whoever has them may keep them, also beyond the
  // supply; as long as somebody does they count within the bound.
  Result<SharedBytes> frame(std::size_t layer, std::uint64_t frame);
  // Whether it is the one that was asked for last, of this layer.
  bool is_current(std::size_t layer, std::uint64_t frame) const {
    return current_[layer].bytes && current_[layer].frame == frame;
  }

 private:
  struct Shared;
  struct Current {
    std::uint64_t frame = 0;
    SharedBytes bytes;
  };
  std::shared_ptr<Shared> shared_;
  std::vector<Current> current_;  // by layer
  std::uint64_t asked_ = 0;       // uses taken
};

}  // namespace cairn::layer
