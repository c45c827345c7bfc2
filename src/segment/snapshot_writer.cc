// Producer and consumer meet in the pipeline: add() pushes raw blocks, drain() pops compressed ones. What the
// producer says at the end (restore point, hashes) is handed over under the mutex.
//
// A snapshot that does not match its own hashes could never be restored, and would be found out only then. So each
// block's pages are hashed again where they are compressed (3% of the time that takes), and the object gets its end
// only when the data, the hashes and the restore point agree on the database hash.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/mutex.h"
#include "segment/block_pipeline.h"
#include "segment/footer.h"
#include "segment/object_end.h"
#include "segment/writer.h"
#include "segment/zstd_block.h"

namespace cairn::segment {
namespace {

// XOR of the hashes of a block's pages.
std::uint64_t hash_of_pages(std::uint32_t page_size, std::uint64_t block, ByteView raw) {
  std::uint64_t page = block * pages_per_block(page_size) + 1;
  std::uint64_t hash = 0;
  for (; !raw.empty(); raw = raw.subspan(page_size), ++page) {
    PageNo number(static_cast<std::uint32_t>(page));
    if (number != lock_byte_page(page_size)) hash ^= page_hash(number, raw.first(page_size));
  }
  return hash;
}

class SnapshotWriterImpl final : public SnapshotWriter {
 public:
  SnapshotWriterImpl(const ObjectHead& head, Executor& executor, int level, std::size_t window_blocks)
      : window_blocks_(window_blocks), block_bytes_(std::size_t{pages_per_block(head.page_size)} * head.page_size),
        footer_(footer_of(head)),
        blocks_(executor, level, [page_size = head.page_size](std::uint64_t block, ByteView raw) {
          return hash_of_pages(page_size, block, raw);
        }) {}

  bool room() const override;
  void add(Bytes block) override;
  void add_elsewhere(std::shared_ptr<const std::vector<StoredBlock>> blocks, std::uint64_t size_bytes,
                     std::uint64_t hash) override;
  void end(const RestorePoint& point, std::span<const std::uint64_t> hashes) override;
  void abandon() override;
  Result<bool> drain(Sink& sink, int wait_ms) override;
  std::uint64_t drained_blocks() const override { return log_.compressed_bytes().size(); }
  const Footer& footer() const override { return footer_; }

 private:
  enum class State { open, ended, complete, abandoned, failed };
  State state() const {
    MutexLock lock(mutex_);
    return state_;
  }
  Result<bool> drain_blocks(Sink& sink, int wait_ms);
  Result<void> write_end(Sink& sink);

  const std::size_t window_blocks_;
  const std::size_t block_bytes_;

  // The producer's.
  std::uint64_t added_bytes_ = 0;

  // The consumer's; end() writes to footer_ before it says so.
  Footer footer_;
  BlockLog log_;
  std::uint64_t data_hash_ = 0;

  mutable Mutex mutex_;
  State state_ GUARDED_BY(mutex_) = State::open;
  std::span<const std::uint64_t> hashes_;  // set before state_ becomes ended
  BlockPipeline blocks_;
};

// After a failure there is always room: the producer runs on to its end, or to where it notices, and never waits
// for a consumer that is gone.
bool SnapshotWriterImpl::room() const {
  State now = state();
  return blocks_.pending() < window_blocks_ || now == State::abandoned || now == State::failed;
}

void SnapshotWriterImpl::add(Bytes block) {
  CAIRN_CHECK(room());
  CAIRN_CHECK(state() != State::ended);
  CAIRN_CHECK(!block.empty() && block.size() <= block_bytes_ && block.size() % footer_.page_size == 0);
  CAIRN_CHECK(added_bytes_ % block_bytes_ == 0);  // only the last block may be short
  added_bytes_ += block.size();
  blocks_.push(std::move(block));
}

void SnapshotWriterImpl::add_elsewhere(std::shared_ptr<const std::vector<StoredBlock>> blocks,
                                       std::uint64_t size_bytes, std::uint64_t hash) {
  CAIRN_CHECK(room());
  CAIRN_CHECK(state() != State::ended);
  CAIRN_CHECK(!blocks->empty() && size_bytes % footer_.page_size == 0);
  CAIRN_CHECK(added_bytes_ % block_bytes_ == 0);
  CAIRN_CHECK((size_bytes + block_bytes_ - 1) / block_bytes_ == blocks->size());
  added_bytes_ += size_bytes;
  blocks_.push_elsewhere(std::move(blocks), hash);
}

void SnapshotWriterImpl::end(const RestorePoint& point, std::span<const std::uint64_t> hashes) {
  CAIRN_CHECK(added_bytes_ == std::uint64_t{point.page_count} * footer_.page_size);
  CAIRN_CHECK(hashes.size() == point.page_count);
  MutexLock lock(mutex_);
  CAIRN_CHECK(state_ != State::ended && state_ != State::complete);
  if (state_ != State::open) return;
  footer_.points = {point};
  footer_.points.back().frame_end = 0;
  footer_.index_count = point.page_count;
  footer_.data_size_bytes = added_bytes_;
  hashes_ = hashes;
  state_ = State::ended;
  blocks_.close();
}

void SnapshotWriterImpl::abandon() {
  MutexLock lock(mutex_);
  if (state_ == State::complete) return;
  state_ = State::abandoned;
  blocks_.cancel();
}

Result<bool> SnapshotWriterImpl::drain(Sink& sink, int wait_ms) {
  Result<bool> result = drain_blocks(sink, wait_ms);
  if (!result) {
    MutexLock lock(mutex_);
    if (state_ != State::abandoned) state_ = State::failed;
    blocks_.cancel();
  }
  return result;
}

// No more than a window at a time: a producer that keeps up would fill whatever the sink puts it into without end.
Result<bool> SnapshotWriterImpl::drain_blocks(Sink& sink, int wait_ms) {
  for (std::size_t count = 0; count < window_blocks_; ++count) {
    CAIRN_ASSIGN(std::optional<PackedBlock> block, blocks_.pop_within(count == 0 ? wait_ms : 0));
    if (!block) break;
    data_hash_ ^= block->digest;
    CAIRN_TRY(log_.write(sink, *block));
  }
  switch (state()) {
    case State::open: return false;
    case State::complete: return true;
    case State::abandoned: return Error(ErrorKind::cancelled, "the snapshot was given up");
    case State::failed: return Error(ErrorKind::invalid, "the snapshot has failed before");
    case State::ended: break;
  }
  if (blocks_.pending() > 0) return false;
  CAIRN_TRY(write_end(sink));
  MutexLock lock(mutex_);
  if (state_ == State::ended) state_ = State::complete;
  return true;
}

Result<void> SnapshotWriterImpl::write_end(Sink& sink) {
  auto copy_hashes = [this](std::uint64_t first, std::span<std::uint64_t> into) -> Result<void> {
    std::copy_n(hashes_.begin() + static_cast<std::ptrdiff_t>(first), into.size(), into.begin());
    return {};
  };
  auto accept = [this](std::uint64_t xor_of_hashes) -> Result<void> {
    if (xor_of_hashes == footer_.hash_after() && data_hash_ == footer_.hash_after()) return {};
    return Error(ErrorKind::corrupt,
                 fmt::format("the snapshot is not what it claims to be (database hash {:016x}, page hashes {:016x}, "
                             "data {:016x}): take it again", footer_.hash_after(), xor_of_hashes, data_hash_));
  };
  return write_object_end(sink, footer_, pages_per_block(footer_.page_size), {}, copy_hashes, log_, accept);
}

}  // namespace

Result<std::unique_ptr<SnapshotWriter>> SnapshotWriter::open(const ObjectHead& head, Executor& executor, int level,
                                                             int window_blocks) {
  auto invalid = [](std::string message) { return Error(ErrorKind::invalid, std::move(message)); };
  if (head.kind != ObjectKind::snapshot) return invalid("a segment is not written as a snapshot");
  if (!is_valid_page_size(head.page_size)) return invalid(fmt::format("page size {} cannot be", head.page_size));
  if (!is_valid_level(level)) return invalid(fmt::format("zstd has no compression level {}", level));
  if (window_blocks <= 0) window_blocks = 4 * executor.width() + 4;
  return std::make_unique<SnapshotWriterImpl>(head, executor, level, static_cast<std::size_t>(window_blocks));
}

}  // namespace cairn::segment
