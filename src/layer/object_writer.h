// Frames become an object: its parts, its index, and ranges that the store copies out of older layers.
//
// Parts are cut at the same size, wherever in a frame that is; what is left of the frame is the `carry` of the
// checkpoint, which begins the next part. A run of blocks that lie one after the other in an older layer becomes a
// copied part, once it is as long as the store's smallest part. A part of our own in front of it must be that long,
// too: runs wait for that, and blocks are sent again which could have been copied.
//
// While a big file is being written everything can be taken back to its beginning (go_back), unless a part with bytes
// of it has been cut. Then another writer can start from the checkpoint before it, which the journal keeps for that.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "layer/frame_press.h"
#include "layer/part_journal.h"
#include "layer/plan.h"
#include "layer/spool.h"

namespace cairn::layer {

// Where a block lies in an older layer.
struct OlderBlock {
  std::string object_key;
  Block block;
};

class ObjectWriter {
 public:
  struct Limits {
    std::uint64_t part_bytes = 0;
    std::uint64_t least_part_bytes = 0;  // parts before copies are at least that long
    std::uint64_t least_copy_bytes = 0;  // and copies that
    int last_copy_part = 0;              // no copies behind that part: the others have to suffice for the rest
  };
  // All outlive it.
  ObjectWriter(PartJournal& parts, Spool& spool, Plan& plan, const Limits& limits)
      : parts_(parts), spool_(spool), plan_(plan), limits_(limits) {}

  // Once, first. corrupt: the checkpoint cannot be read.
  Result<void> start(const Checkpoint& from);

  // A run is under way that is long enough to be copied: frames that go on with it need no bytes.
  bool is_copying() const { return run_ && run_->confirmed; }
  Result<void> add(Frame frame, const std::optional<OlderBlock>& older);
  // The index and the last part. Fills in what `pending` has to say of the object.
  Result<void> finish(PendingSync& pending);

  // Whether the big file that is being written can be taken back, and doing so. The digest is the one to go on with.
  bool can_go_back() const { return mark_ && mark_->parts_cut == parts_cut_; }
  Result<Sha256> go_back();
  // The last part before it. Nothing: none is being written, or it began before this writer did.
  std::optional<int> file_began_behind() const { return began_behind_; }

 private:
  struct Run {
    Run() {}  // spelled out for clang: it makes no optional of a nested struct whose members have initialisers
    std::string source_key;
    std::uint64_t source_offset = 0, length = 0;
    bool confirmed = false;        // it is long enough
    std::vector<Frame> held;       // until then, with their bytes
    std::vector<std::uint32_t> source_bytes;  // of the held ones, in the older layer
  };
  struct Mark {  // a big file begins here
    int parts_cut = 0;
    std::optional<SpoolPart::Mark> part;
    ArchivePosition position;
    Sha256 digest;
    std::uint64_t object_bytes = 0;
  };
  struct IndexedFrame {
    std::uint32_t compressed_bytes = 0, size_bytes = 0;
    std::uint64_t hash = 0;
    std::vector<FinishedEntry> finished;
  };
  Result<void> add_own(const Frame& frame);
  Result<void> add_to_run(Frame frame, const OlderBlock& older);
  Result<void> end_run();
  bool may_begin_run() const;
  Result<void> settled(const Frame& frame, std::uint32_t compressed_bytes);
  void set_mark();
  void index(const IndexedFrame& frame);
  void keep_marked();
  Result<void> record_blocks();
  Result<void> append(ByteView bytes);
  JournaledPart close_part();
  Result<Checkpoint> checkpoint_behind(int part, ByteView carry);

  PartJournal& parts_;
  Spool& spool_;
  Plan& plan_;
  const Limits limits_;

  // As of the newest frame that is settled.
  ArchivePosition position_;
  Sha256 digest_;
  IndexBuilder index_;
  bool index_written_ = false;
  std::uint64_t object_bytes_ = 0;
  // Of the big file that is being written.
  std::optional<int> began_behind_;
  std::optional<Mark> mark_;
  std::vector<IndexedFrame> marked_;  // since the mark, and not yet in the index
  std::optional<PlanRow> file_;
  std::uint64_t first_block_ = 0;
  std::vector<Block> blocks_;         // from that one on, not yet in the plan

  std::optional<Run> run_;
  std::unique_ptr<SpoolPart> part_;
  int parts_cut_ = 0;
};

}  // namespace cairn::layer
