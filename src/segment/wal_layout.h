// How a segment's bytes are laid out as a SQLite WAL file. Only what our own objects need: one byte order, salts that
// follow from the lineage. Reading WAL files that SQLite wrote is the wal module's work; the two do not know each
// other, so these few lines exist twice, and the golden objects keep them honest.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "segment/format.h"

namespace cairn::segment {

inline constexpr std::uint32_t kWalHeaderBytes = 32;
inline constexpr std::uint32_t kWalFrameHeaderBytes = 24;

using WalHeaderBytes = std::array<std::byte, kWalHeaderBytes>;
using WalFrameHeaderBytes = std::array<std::byte, kWalFrameHeaderBytes>;

// Lays down one WAL file front to back. Its state is SQLite's running checksum, which goes through every frame:
// frames can only be written in order. Equal constructor arguments and equal frames give equal bytes, so a reader
// checks a segment by laying it down again.
class WalLayout {
 public:
  WalLayout(const Id128& lineage, Sequence first, std::uint32_t page_size);

  const WalHeaderBytes& header() const { return header_; }

  // The header of the next frame. commit_page_count: of the last frame of a run the pages of the database after it,
  // else 0.
  WalFrameHeaderBytes next_frame(PageNo page, std::uint32_t commit_page_count, ByteView page_bytes);

 private:
  void add_to_checksum(ByteView bytes);

  WalHeaderBytes header_{};
  std::uint32_t sum_first_ = 0;
  std::uint32_t sum_second_ = 0;
};

}  // namespace cairn::segment
