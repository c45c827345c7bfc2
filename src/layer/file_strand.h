// The contents of a new file, written beside everything else: one thread of the executor at a time works on it, and
// whoever waits for a piece that nobody works on does the work itself. A file of a few pages is written at once: that
// takes no longer than to hand it on.
#pragma once

#include <cstdint>
#include <memory>

#include "base/executor.h"
#include "layer/new_file.h"

namespace cairn::layer {

// Bytes that stay as they are as long as somebody has this.
using SharedBytes = std::shared_ptr<const ByteView>;

// Of one thread.
class FileStrand {
 public:
  FileStrand(Executor& executor, NewFile file);  // the executor outlives the strand
  ~FileStrand();  // waits for what is being written; the rest is let go of, and the file closed
  FileStrand(FileStrand&&) = default;
  FileStrand& operator=(FileStrand&&) = delete;

  // `bytes`, a part of what `owner` holds, follow what was added before. A few pieces wait at most: more make the
  // caller work, or wait. False: something could not be written, and nothing will be; finish() says what.
  bool add(SharedBytes owner, ByteView bytes);

  // All that was added is written, or could not be: then what NewFile::write says. The file stays the strand's.
  Result<const NewFile*> finish();

 private:
  struct Shared;
  Executor* executor_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace cairn::layer
