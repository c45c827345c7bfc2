#include "restore/snapshot_hashes.h"

#include <algorithm>

namespace cairn::restore {

Result<SnapshotHashes::Chunk> SnapshotHashes::around(std::uint64_t entry) {
  const std::uint64_t number = entry / kChunk;
  MutexLock lock(mutex_);
  for (Kept& kept : kept_) {
    if (!kept.chunk || kept.number != number) continue;
    kept.used = ++clock_;
    return kept.chunk;
  }
  const std::uint64_t first = number * kChunk;
  const std::uint64_t all = reader_.footer().index_count;
  const std::uint64_t count = std::min(kChunk, all - std::min(first, all));
  CAIRN_ASSIGN(segment::PageIndex index, reader_.index(first, count));
  auto oldest = std::min_element(kept_.begin(), kept_.end(),
                                 [](const Kept& a, const Kept& b) { return a.used < b.used; });
  *oldest = {number, ++clock_, std::make_shared<const std::vector<std::uint64_t>>(std::move(index.hashes))};
  return oldest->chunk;
}

}  // namespace cairn::restore
