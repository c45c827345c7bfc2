// A segment being written into the spool's partial file.
#pragma once

#include <memory>

#include "base/executor.h"
#include "base/files.h"
#include "replicate/spool.h"
#include "segment/writer.h"

namespace cairn::replicate {

class SegmentOutput {
 public:
  // Not finished: what was written of it is removed, for it may be what fills the disk.
  ~SegmentOutput();
  static Result<std::unique_ptr<SegmentOutput>> open(FileSystem& files, Spool& spool, const segment::ObjectHead& head,
                                                     Executor& executor, int level);
  Result<void> add_page(PageNo page, ByteView bytes, std::uint64_t hash) {
    return writer_->add_page(page, bytes, hash);
  }
  // Ends the segment and hands it to the spool.
  Result<void> finish(const segment::RestorePoint& point);

 private:
  struct FileSink final : segment::Sink {
    Result<void> write(ByteView bytes) override;
    std::unique_ptr<File> file;
    std::uint64_t size_bytes = 0;
  };

  SegmentOutput(FileSystem& files, Spool& spool) : files_(files), spool_(spool) {}
  FileSystem& files_;
  Spool& spool_;
  bool finished_ = false;
  FileSink sink_;
  std::unique_ptr<segment::SegmentWriter> writer_;
};

}  // namespace cairn::replicate
