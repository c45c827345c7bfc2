// A segment being written: into the spool's partial file, unless it is small.
#pragma once

#include <functional>
#include <memory>

#include "base/files.h"
#include "replicate/file_sink.h"
#include "replicate/shared.h"
#include "replicate/spool.h"
#include "segment/writer.h"

namespace cairn::replicate {

class SegmentOutput {
 public:
  // Not finished: what was written of it is removed, for it may be what fills the disk.
  ~SegmentOutput();
  static Result<std::unique_ptr<SegmentOutput>> open(const Shared& shared, Spool& spool,
                                                     const segment::ObjectHead& head);
  Result<void> add_page(PageNo page, ByteView bytes, std::uint64_t hash) {
    return writer_->add_page(page, bytes, hash);
  }
  // Ends the segment and hands it to the spool.
  Result<void> finish(const segment::RestorePoint& point);
  // After that: what pages it has, and their hashes. io: there were many, and the disk has lost them.
  Result<void> each_page_hash(const std::function<void(PageNo page, std::uint64_t hash)>& take) const {
    return writer_->each_page_hash(take);
  }

 private:
  explicit SegmentOutput(Spool& spool) : spool_(spool) {}
  Spool& spool_;
  bool finished_ = false;
  FileSink sink_;
  std::unique_ptr<segment::SegmentWriter> writer_;
};

}  // namespace cairn::replicate
