#include "replicate/segment_output.h"

namespace cairn::replicate {

Result<void> SegmentOutput::FileSink::write(ByteView bytes) {
  CAIRN_TRY(file->write_at(size_bytes, bytes));
  size_bytes += bytes.size();
  return {};
}

Result<std::unique_ptr<SegmentOutput>> SegmentOutput::open(const Shared& shared, Spool& spool,
                                                           const segment::ObjectHead& head) {
  std::unique_ptr<SegmentOutput> output(new SegmentOutput(spool));
  CAIRN_ASSIGN(output->sink_.file, spool.begin());
  CAIRN_ASSIGN(output->writer_,
               segment::SegmentWriter::open(head, output->sink_, shared.executor, shared.options.segment_level,
                                            spool.scratch(shared.options.pages_in_memory)));
  return output;
}

Result<void> SegmentOutput::finish(const segment::RestorePoint& point) {
  CAIRN_TRY(writer_->end_run(point));
  CAIRN_ASSIGN(const segment::Footer footer, writer_->finish());
  sink_.file.reset();
  CAIRN_TRY(spool_.add(footer, sink_.size_bytes));
  finished_ = true;
  return {};
}

SegmentOutput::~SegmentOutput() {
  if (finished_) return;
  writer_.reset();
  sink_.file.reset();
  spool_.give_up();
}

}  // namespace cairn::replicate
