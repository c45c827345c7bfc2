#include "layer/frame_press.h"

#include <utility>

#include "base/check.h"
#include "segment/zstd_block.h"

namespace cairn::layer {

FramePress::FramePress(Executor& executor, int level, const Sha256& begin)
    : level_(level), pipeline_(executor, level), strand_(executor, begin) {}

void FramePress::push(Piece piece, Packing packing) {
  Way way = packing == Packing::leave ? Way::none : Way::pipeline;
  // A sparse file of terabytes is millions of equal frames.
  if (way == Way::pipeline && piece.zeros && piece.raw->size() == kFrameTarget) way = Way::zeros;
  in_flight_bytes_ += piece.raw->size();
  strand_.add(piece.raw);
  if (way == Way::pipeline) pipeline_.push(piece.raw);
  queue_.push_back({std::move(piece), way});
}

Result<Frame> FramePress::pop() {
  CAIRN_CHECK(!queue_.empty());
  Frame frame;
  const Way way = queue_.front().way;
  frame.piece = std::move(queue_.front().piece);
  queue_.pop_front();
  if (way == Way::pipeline) {
    CAIRN_ASSIGN(auto packed, pipeline_.pop());
    CAIRN_CHECK(packed);
    frame.bytes = std::move(packed->bytes);
  } else if (way == Way::zeros) {
    if (!packed_zeros_) {
      CAIRN_ASSIGN(Bytes bytes, segment::BlockCompressor(level_).compress(*frame.piece.raw));
      packed_zeros_ = std::make_shared<const Bytes>(std::move(bytes));
    }
    frame.bytes = *packed_zeros_;
  } else {
    frame.packed = false;
  }
  frame.digest = strand_.take();
  frame.size_bytes = frame.piece.raw->size();
  frame.piece.raw.reset();
  in_flight_bytes_ -= frame.size_bytes;
  return frame;
}

}  // namespace cairn::layer
