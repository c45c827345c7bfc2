// Writing our objects, in one pass, with memory that does not grow with the data: nothing a page of a snapshot, 12
// bytes a page of a segment, which go to a scratch file where there is one and they are many.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/executor.h"
#include "base/scratch_list.h"
#include "segment/format.h"

namespace cairn::segment {

// Where an object's bytes go, in order.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual Result<void> write(ByteView bytes) = 0;
};

// What the writer has to be told of an object; everything else follows from the pages.
struct ObjectHead {
  ObjectKind kind = ObjectKind::segment;
  std::uint32_t page_size = 0;
  Id128 lineage;
  Id128 writer;
  Sequence first, last;
  std::int64_t first_time_ms = 0;
  std::int64_t last_time_ms = 0;
  std::uint64_t hash_before = 0;
};

// What an object is written with again that ends with this footer.
ObjectHead head_of(const Footer& footer);

// A segment: frames of a SQLite WAL. Deterministic: same head, pages and points give the same bytes, whatever the
// executor.
//
//   auto writer = SegmentWriter::open(head, sink, executor);
//   writer->add_page(PageNo(1), page, page_hash(PageNo(1), page));   ascending within a run
//   writer->end_run(point);                                          frame_end is filled in by the writer
//   Result<Footer> footer = writer->finish();
//
// Compresses on `executor`, a few blocks at a time; writes to `sink` from the calling thread only. After an error
// the object is worthless and only the destructor may be called. One thread.
class SegmentWriter {
 public:
  static Result<std::unique_ptr<SegmentWriter>> open(const ObjectHead& head, Sink& sink, Executor& executor,
                                                     int level = 1, ScratchSpace scratch = {});
  virtual ~SegmentWriter() = default;
  virtual Result<void> add_page(PageNo page, ByteView bytes, std::uint64_t hash) = 0;
  virtual Result<void> end_run(const RestorePoint& point) = 0;  // at least one page since the last run
  virtual Result<Footer> finish() = 0;
  // At any time: what was added, in that order. io: the scratch file cannot be read.
  virtual Result<void> each_page_hash(const std::function<void(PageNo page, std::uint64_t hash)>& take) const = 0;
};

// A snapshot, split in two halves so that reading the database and storing the object need not wait for each
// other: one thread calls add() while room(), another calls drain(). Blocks are compressed on `executor` in
// between; at most `window_blocks` of them are in memory.
class SnapshotWriter {
 public:
  static Result<std::unique_ptr<SnapshotWriter>> open(const ObjectHead& head, Executor& executor, int level = 3,
                                                      int window_blocks = 0 /* 4 * width + 4 */);
  virtual ~SnapshotWriter() = default;

  // Producer: whole pages in order from page 1; exactly one block's worth a call (pages_per_block), fewer only in
  // the last call. CHECKs room().
  virtual bool room() const = 0;
  virtual void add(Bytes block) = 0;
  // Producer: the next blocks, one or more, are the same in an object whose end says this of them. The sink is given
  // nothing of them: their bytes get there by other means. `size_bytes`: decompressed; `hash`: the XOR of their pages'
  // hashes, which the producer has seen. CHECKs room().
  virtual void add_elsewhere(std::shared_ptr<const std::vector<StoredBlock>> blocks, std::uint64_t size_bytes,
                             std::uint64_t hash) = 0;
  // Producer: no more blocks follow. `hashes` (one a page, 0 for the lock-byte page) must stay as they are until
  // the writer is done: they are written from there.
  virtual void end(const RestorePoint& point, std::span<const std::uint64_t> hashes) = 0;
  // Producer: gives up; drain() returns `cancelled`.
  virtual void abandon() = 0;

  // Consumer: writes what is ready to `sink`, in order, a window at most. Waits up to `wait_ms` for something to become
  // ready (0: not at all). True when the whole object has been written; then footer() is set.
  virtual Result<bool> drain(Sink& sink, int wait_ms) = 0;
  virtual std::uint64_t drained_blocks() const = 0;  // Consumer: those from elsewhere, too
  virtual const Footer& footer() const = 0;
};

}  // namespace cairn::segment
