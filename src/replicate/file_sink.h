// An object that is written to a file from its beginning to its end. What comes in small pieces is written in large
// ones: of a segment of one commit all of it at once.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/files.h"
#include "segment/writer.h"

namespace cairn::replicate {

class FileSink final : public segment::Sink {
 public:
  void begin(std::unique_ptr<File> file) { file_ = std::move(file); }
  Result<void> write(ByteView bytes) override {
    if (waiting_.size() + bytes.size() > kMostWaiting) CAIRN_TRY(flush());
    if (bytes.size() > kMostWaiting) return write_through(bytes);
    waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
    return {};
  }
  // All of it is in the file, which is closed. How large it is.
  Result<std::uint64_t> finish() {
    CAIRN_TRY(flush());
    file_.reset();
    return written_bytes_;
  }
  void give_up() { file_.reset(); }

 private:
  static constexpr std::size_t kMostWaiting = 64u << 10;

  Result<void> flush() {
    if (waiting_.empty()) return {};
    CAIRN_TRY(write_through(waiting_));
    waiting_.clear();
    return {};
  }
  Result<void> write_through(ByteView bytes) {
    CAIRN_TRY(file_->write_at(written_bytes_, bytes));
    written_bytes_ += bytes.size();
    return {};
  }

  std::unique_ptr<File> file_;
  std::uint64_t written_bytes_ = 0;
  Bytes waiting_;
};

}  // namespace cairn::replicate
