// From the plan to the last part: reads the tree, makes frames of it by all cores and parts of the frames, and sends
// them. Memory stays flat: what is in flight is bounded, and a part lies on disk.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>

#include "base/executor.h"
#include "layer/archive.h"
#include "layer/catalogue.h"
#include "layer/frame_press.h"
#include "layer/object_writer.h"
#include "layer/part_journal.h"

namespace cairn::layer {

class Archiver {
 public:
  struct Needs {
    Tree& tree;
    Plan& plan;
    Catalogue& catalogue;
    State& state;
    Spool& spool;
    PartJournal& parts;
    Executor& executor;
    std::int64_t container = 0;
    PendingSync& pending;
    int compression_level = 3;
    Store& store;            // is asked for the ends of older layers only
    StoreCapabilities can;   // of it
    std::function<void(std::uint64_t done_bytes)> progress;  // may be empty
    ArchiveReader::Notice on_notice;                         // may be empty
    std::stop_token stop;
  };
  explicit Archiver(Needs needs);

  // From the place behind part `last`, or from one before it that still holds: parts behind that are forgotten. Ends
  // when the last part is noted.
  Result<void> run(int last);

 private:
  Result<void> begin(int last, State::Where where);
  Result<bool> push_next();
  Result<void> push(Piece piece);
  Result<void> settle_one();
  Result<void> read_again_or_keep(Piece piece);
  Result<void> start_before_file();
  Result<std::optional<OlderBlock>> older_of(const Piece& piece);
  Result<bool> is_there(const Catalogue::Blocks& older);
  void restart_press(const Sha256& digest);

  Needs n_;
  ArchiveReader reader_;
  const bool may_copy_;
  const ObjectWriter::Limits limits_;
  std::unique_ptr<ObjectWriter> writer_;
  std::unique_ptr<FramePress> press_;
  std::deque<std::optional<OlderBlock>> olders_;  // of what is in the press
  std::uint64_t most_in_flight_bytes_ = 0;

  std::optional<Catalogue::Blocks> older_file_;  // of the big file that is being read
  std::map<std::string, std::vector<FrameInfo>> older_frames_;  // of the layers asked about so far
  // How many of the newest pieces, up to the last one, follow each other in an older layer.
  std::uint64_t chain_ = 0;
  std::uint64_t chain_end_ = 0;
  std::string chain_key_;
};

}  // namespace cairn::layer
