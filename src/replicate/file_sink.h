// An object that is written to a file from its beginning to its end. What comes in small pieces is written in large
// ones; a small object, as a segment of one commit is, may be left in memory. Nothing is synced; so before the file is
// believed, whether it is still what was written is told by a hash: a disk that fails, or is full after all, may lose
// pages of the cache, and says so once, to whoever asks first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "base/files.h"
#include "segment/running_hash.h"
#include "segment/writer.h"

namespace cairn::replicate {

struct WrittenFile {
  std::uint64_t size_bytes = 0, hash = 0;
  std::shared_ptr<const Bytes> bytes;  // all of it, and there is no file; null: it is in the file
};

inline Result<std::uint64_t> hash_of_file(const Source& file) {
  segment::RunningHash hash;
  Bytes piece(std::min<std::uint64_t>(file.size_bytes(), 1u << 20));
  for (std::uint64_t at = 0; at < file.size_bytes(); at += piece.size()) {
    const auto part = std::span(piece).first(std::min<std::uint64_t>(piece.size(), file.size_bytes() - at));
    CAIRN_TRY(file.read_at(at, part));
    hash.add(part);
  }
  return hash.value();
}

class FileSink final : public segment::Sink {
 public:
  using Open = std::function<Result<std::unique_ptr<File>>()>;
  void begin(std::unique_ptr<File> file) { file_ = std::move(file); }
  // The file is opened when there is more than stays in memory: else finish() gives the bytes.
  void begin_unless_small(Open open) { open_ = std::move(open); }
  Result<void> write(ByteView bytes) override {
    if (waiting_.size() + bytes.size() > kMostWaiting) CAIRN_TRY(flush());
    if (bytes.size() > kMostWaiting) return write_through(bytes);
    waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
    return {};
  }
  // All of it is in the file, which is closed; or in memory.
  Result<WrittenFile> finish() {
    if (!file_ && open_) {
      hash_.add(waiting_);
      waiting_.shrink_to_fit();
      return WrittenFile{waiting_.size(), hash_.value(), std::make_shared<const Bytes>(std::move(waiting_))};
    }
    CAIRN_TRY(flush());
    file_.reset();
    return WrittenFile{written_bytes_, hash_.value(), nullptr};
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
    if (!file_ && open_) {
      CAIRN_ASSIGN(file_, open_());
    }
    CAIRN_TRY(file_->write_at(written_bytes_, bytes));
    hash_.add(bytes);
    written_bytes_ += bytes.size();
    return {};
  }

  std::unique_ptr<File> file_;
  Open open_;
  std::uint64_t written_bytes_ = 0;
  segment::RunningHash hash_;
  Bytes waiting_;
};

}  // namespace cairn::replicate
