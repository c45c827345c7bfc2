// A file that a restore has made and that gets its contents: from the beginning on, by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/os.h"
#include "cairn/error.h"
#include "layer/entry.h"
#include "segment/running_hash.h"

struct statx;

namespace cairn::layer {

class NewFile {
 public:
  // Open for writing, and empty.
  NewFile(FileDescriptor fd, Entry entry) : fd_(std::move(fd)), entry_(std::move(entry)) {}

  // What follows what was written before; bytes in holes must be zeros, and are not written. corrupt: they are not, or
  // it is more than the size of the entry. io.
  Result<void> write(ByteView bytes);

  bool is_whole() const { return at_ == entry_.size_bytes; }
  std::uint64_t content_hash() const { return hash_.value(); }  // of all that was written, holes included
  Result<void> status(struct ::statx& status) const;

  const Entry& entry() const { return entry_; }
  int fd() const { return fd_.get(); }

 private:
  void begin_writing_back();

  FileDescriptor fd_;
  Entry entry_;
  segment::RunningHash hash_;
  std::uint64_t at_ = 0, begun_ = 0;  // so far it is written, and on its way to the disk
  std::size_t hole_ = 0;
};

}  // namespace cairn::layer
