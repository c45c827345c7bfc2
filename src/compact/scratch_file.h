// A file for one object on its way from a store back into it.
#pragma once

#include <memory>
#include <string>

#include "base/files.h"
#include "segment/writer.h"

namespace cairn::compact {

// An empty file in `directory`, which is made when absent. It has no name any more: whatever happens, nothing is left
// of it.
Result<std::unique_ptr<File>> open_scratch_file(FileSystem& files, const std::string& directory);

// Appends to a file.
class FileSink final : public segment::Sink {
 public:
  explicit FileSink(File& file) : file_(file) {}
  Result<void> write(ByteView bytes) override {
    CAIRN_TRY(file_.write_at(size_bytes_, bytes));
    size_bytes_ += bytes.size();
    return {};
  }

 private:
  File& file_;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace cairn::compact
