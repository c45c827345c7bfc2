// A plan as the bytes of a tar, piece by piece: each piece becomes one zstd frame.
//
// Entries with little or no contents share pieces of about kFrameTarget; a piece ends with an entry. The header of a
// big file (kBigFileBytes or more) is a piece of its own, and so is each block of kFrameTarget bytes of its contents;
// what fills its last tar block up begins the next piece. So the same tree gives the same pieces, and equal blocks of a
// file are equal frames in every layer.
//
// A small file is read until it stands still, at most kReadAttempts times, before anything of it is given out. A big
// one is given out while it is read: when it turns out to have changed, the caller says whether it is read again
// (read_again; or start, from a position before it, once) or kept as torn (keep).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "cairn/error.h"
#include "layer/catalogue.h"
#include "layer/object.h"
#include "layer/plan.h"
#include "layer/tree.h"
#include "segment/running_hash.h"

namespace cairn::layer {

inline constexpr int kReadAttempts = 4;  // one, and three again

// A place between two pieces, and all that is needed in order to go on from there.
struct ArchivePosition {
  std::optional<std::string> done_key;  // of the last row that is in the tar, with all of its contents
  std::uint64_t tar_bytes = 0;
  std::uint64_t content_bytes = 0;      // of files: for progress
  std::uint64_t torn_files = 0;
  bool ended = false;                   // the end of the archive is in
  // Behind the header of a big file, the row behind done_key.
  struct Inside {
    Bytes header;
    Stamp stamp;
    std::uint64_t next_block = 0;
    Bytes hash;  // of the contents so far: segment::RunningHash
  };
  std::optional<Inside> inside;
};

struct FinishedEntry {
  Bytes header;
  std::uint64_t content_hash = 0;
  Contents contents = Contents::whole;
};

struct Piece {
  std::shared_ptr<const Bytes> raw;
  std::uint64_t hash = 0;               // of it
  ArchivePosition after;
  std::vector<FinishedEntry> finished;  // entries that are complete with this piece
  bool begins_file = false;             // it ends with the header of a big file
  // Of a block of a big file:
  std::optional<PlanRow> file;
  std::uint64_t block = 0;              // its number
  bool zeros = false;                   // it lies in a hole
  bool unsteady = false;                // the last one of its file, which has changed while it was read
};

// Blocks that nobody looks at any more, to be filled again: memory fresh from the system costs as much as reading into
// it.
class BlockBuffers {
 public:
  // With what was in it, if it was used before. It comes back when the last pointer to it goes, on any thread, also
  // after this object has gone.
  std::shared_ptr<Bytes> take();

 private:
  struct Free {
    Mutex mutex;
    std::vector<Bytes> buffers GUARDED_BY(mutex);
  };
  std::shared_ptr<Free> free_ = std::make_shared<Free>();
};

class ArchiveReader {
 public:
  using Notice = std::function<void(const std::string&)>;
  // Tree and plan outlive the reader. What it reads is recorded in the plan.
  ArchiveReader(Tree& tree, Plan& plan, Notice on_notice)
      : tree_(tree), plan_(plan), on_notice_(std::move(on_notice)) {}

  // First, and whenever what was given out behind a position is not used. False: the position is inside a file that is
  // not the same any more.
  Result<bool> start(const ArchivePosition& from);
  // Nothing: everything was given out.
  Result<std::optional<Piece>> next();

  // After a piece that is unsteady, one of the three.
  void read_again();                // what was given of the file, its header included, is not used
  bool may_start_before_it();       // and start() comes next; false: that was so once already
  Result<void> keep(Piece& piece);  // as torn

 private:
  struct BigFile {
    PlanRow row;
    std::unique_ptr<OpenEntry> open;
    Bytes header;
    segment::RunningHash hash;
    std::uint64_t next_block = 0;
    int attempt = 1;
    bool cut_short = false;  // it was shorter than its header says
    ArchivePosition before;
  };
  Result<std::optional<PlanRow>> next_row();
  Result<std::optional<Piece>> next_batch();
  Result<void> add_entry(const PlanRow& row, std::unique_ptr<OpenEntry> open, Piece& piece, Bytes& raw);
  Result<void> left_out(const PlanRow& row);
  Result<Piece> begin_big(PlanRow row, std::unique_ptr<OpenEntry> open, std::shared_ptr<Bytes> raw);
  Result<Piece> next_block();
  Result<void> finish_big(Piece& piece, Contents contents);
  Piece seal(Piece piece, std::shared_ptr<const Bytes> raw);
  void say_torn(const OpenEntry& open);

  Tree& tree_;
  Plan& plan_;
  const Notice on_notice_;
  std::unique_ptr<PlanRows> rows_;
  ArchivePosition at_;
  std::optional<BigFile> big_;
  std::optional<PlanRow> again_;  // the row that comes next, instead of one of rows_
  int attempt_ = 1;               // of that row
  std::map<std::string, int> next_attempts_;  // of rows that are met again, by their keys
  std::shared_ptr<const Bytes> zeros_;
  BlockBuffers buffers_;
};

}  // namespace cairn::layer
