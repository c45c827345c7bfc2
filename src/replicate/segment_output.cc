#include "replicate/segment_output.h"

namespace cairn::replicate {

Result<std::unique_ptr<SegmentOutput>> SegmentOutput::open(const Shared& shared, Spool& spool,
                                                           const segment::ObjectHead& head) {
  std::unique_ptr<SegmentOutput> output(new SegmentOutput(spool));
  output->sink_.begin_unless_small([&spool] { return spool.begin(); });
  CAIRN_ASSIGN(output->writer_,
               segment::SegmentWriter::open(head, output->sink_, shared.executor, shared.options.segment_level,
                                            spool.scratch(shared.options.pages_in_memory)));
  return output;
}

Result<void> SegmentOutput::finish(const segment::RestorePoint& point) {
  CAIRN_TRY(writer_->end_run(point));
  CAIRN_ASSIGN(const segment::Footer footer, writer_->finish());
  CAIRN_ASSIGN(const WrittenFile written, sink_.finish());
  CAIRN_TRY(spool_.add(footer, written));
  finished_ = true;
  return {};
}

SegmentOutput::~SegmentOutput() {
  if (finished_) return;
  writer_.reset();
  sink_.give_up();
  spool_.give_up();
}

}  // namespace cairn::replicate
