// The page hashes of a snapshot, fetched in large pieces of which a few are kept: nothing a page stays in memory.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "segment/reader.h"

namespace cairn::restore {

class SnapshotHashes {
 public:
  // 32,768 hashes are 256 KiB, and cover 128 MiB of a database of 4 KiB pages.
  static constexpr std::uint64_t kChunk = 32 * 1024;
  using Chunk = std::shared_ptr<const std::vector<std::uint64_t>>;

  explicit SnapshotHashes(segment::ObjectReader& reader) : reader_(reader) {}

  // The chunk that holds entry `entry`: its hash is at entry % kChunk. Safe from many threads; they wait for each
  // other's fetch, which is rare.
  Result<Chunk> around(std::uint64_t entry);

 private:
  struct Kept {
    std::uint64_t number = 0;
    std::uint64_t used = 0;
    Chunk chunk;
  };

  segment::ObjectReader& reader_;
  Mutex mutex_;
  std::array<Kept, 4> kept_ GUARDED_BY(mutex_);
  std::uint64_t clock_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cairn::restore
