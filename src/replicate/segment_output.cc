#include "replicate/segment_output.h"

namespace cairn::replicate {

Result<void> SegmentOutput::FileSink::write(ByteView bytes) {
  CAIRN_TRY(file->write_at(size_bytes, bytes));
  size_bytes += bytes.size();
  return {};
}

Result<std::unique_ptr<SegmentOutput>> SegmentOutput::open(FileSystem& files, Spool& spool,
                                                           const segment::ObjectHead& head, Executor& executor,
                                                           int level) {
  std::unique_ptr<SegmentOutput> output(new SegmentOutput(files, spool));
  auto file = files.open(spool.partial_path(), OpenMode::write);
  if (!file && file.error().kind() == ErrorKind::not_found) {
    return file.error().as(ErrorKind::io).with(
        "the state directory was removed or renamed while cairn is at work with it: end cairn and start it again");
  }
  if (!file) return file.error();
  output->sink_.file = std::move(*file);
  CAIRN_TRY(output->sink_.file->truncate(0));
  CAIRN_ASSIGN(output->writer_, segment::SegmentWriter::open(head, output->sink_, executor, level));
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
  (void)files_.remove(spool_.partial_path());
}

}  // namespace cairn::replicate
