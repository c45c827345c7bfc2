// Blocks on their way from raw to compressed: handed in in order, compressed in any order, taken out in order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/executor.h"
#include "segment/format.h"

namespace cairn::segment {

struct PackedBlock {
  Bytes bytes;                   // one zstd frame
  std::uint32_t size_bytes = 0;  // before compression
  std::uint64_t digest = 0;      // what `inspect` made of it
  std::shared_ptr<const std::vector<StoredBlock>> elsewhere = nullptr;  // instead of bytes: these, in another object
};

// Compresses on an executor. One thread pushes and one (the same, or another) pops. When the one that pops has to
// wait for a block that nobody has begun, it compresses that block itself: a writer that runs on a thread of its
// own executor cannot wait for work that is queued behind it.
class BlockPipeline {
 public:
  // Looked at beside compressing, on any thread: the block's number (from 0) and its raw bytes.
  using Inspect = std::function<std::uint64_t(std::uint64_t number, ByteView raw)>;

  // The executor must outlive the pipeline; what is still queued on it when the pipeline goes is skipped.
  BlockPipeline(Executor& executor, int level, Inspect inspect = {});
  ~BlockPipeline();
  BlockPipeline(const BlockPipeline&) = delete;
  BlockPipeline& operator=(const BlockPipeline&) = delete;

  void push(Bytes raw);
  void push(std::shared_ptr<const Bytes> raw);  // that somebody else looks at, too
  // Who pushes it pops it next, and compresses it there and then: no thread is woken for it.
  void push_own(Bytes raw);
  // Blocks that need no work, as one that comes out in its turn: they have their numbers.
  void push_elsewhere(std::shared_ptr<const std::vector<StoredBlock>> blocks, std::uint64_t digest);
  // Nobody pushes any more, or nobody wants the rest: wakes the one that waits.
  void close();
  void cancel();

  std::size_t pending() const;  // pushed and not yet popped
  // The oldest block, compressed; nothing when there is none.
  Result<std::optional<PackedBlock>> pop();
  // The same, waiting at most `wait_ms` (0: not at all) for it to be pushed and compressed. Nothing when time is
  // up, or when the pipeline is closed and empty, or cancelled.
  Result<std::optional<PackedBlock>> pop_within(int wait_ms);

 private:
  struct Job;
  struct Shared;
  std::shared_ptr<Job> enqueue(std::shared_ptr<const Bytes> raw);
  Executor& executor_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace cairn::segment
