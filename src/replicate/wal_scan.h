// Reading committed frames out of a live WAL, each verified against salts and running checksum.
//
// Safe only under a hold: a pin or a floor keeps the frames up to `upto` in the file.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "replicate/local_state.h"
#include "replicate/written_pages.h"
#include "sqlite/database.h"
#include "wal/wal.h"

namespace cairn::replicate {

enum class ScanOutcome {
  nothing,    // no commit behind the position
  commits,    // frames behind the position, of the same WAL
  restarted,  // the WAL was restarted: frames from its start
  hole,       // what lies behind the position is not what follows it: reconcile
};

struct Scan {
  ScanOutcome outcome = ScanOutcome::nothing;
  WrittenPages pages;             // by them; those past page_count are left out
  FrameNo first;                  // of the frames
  std::uint32_t page_size = 0;
  std::uint32_t page_count = 0;   // of the database after the last commit
  std::uint32_t least_page_count = 0;  // after any of the commits: a checkpoint may cut the database file to this
  std::uint32_t commit_count = 0;
  WalPosition end;
  Bytes kept;            // all frames as they were checked, if they are few; empty: to be read again
};

// All frames behind `from` up to `upto.max_frame`, which is always a commit. io: also where they are many and there is
// no room in `scratch` to sort them.
Result<Scan> scan_wal(sqlite::Database& database, const WalPosition& from, const wal::IndexHeader& upto,
                      const ScratchSpace& scratch);

// The bytes of one frame's page.
Result<void> read_frame_page(sqlite::Database& database, FrameNo frame, std::uint32_t page_size,
                             std::span<std::byte> into);

// Whether the WAL still ends a frame at `position`: frame there, same salts, same running checksum.
Result<bool> wal_continues(sqlite::Database& database, const WalPosition& position, std::uint32_t page_size);

}  // namespace cairn::replicate
