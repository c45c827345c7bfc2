#include "layer/refill.h"

#include <algorithm>
#include <memory>

#include "layer/merge.h"

namespace cairn::layer {

std::vector<Block> blocks_in(const LayerReader& reader, const IndexedEntry& file) {
  const std::uint64_t size = file.entry.size_bytes;
  if (file.entry.kind != EntryKind::file || size < kBigFileBytes) return {};
  const std::vector<FrameInfo>& frames = reader.frames();
  std::vector<Block> blocks;
  std::uint64_t number = reader.frame_at(file.data_offset);
  for (std::uint64_t offset = 0; offset < size; offset += kFrameTarget, ++number) {
    if (number >= frames.size()) return {};
    const FrameInfo& frame = frames[number];
    if (frame.size_bytes != std::min<std::uint64_t>(kFrameTarget, size - offset)) return {};
    blocks.push_back({frame.hash, frame.offset, frame.compressed_bytes, frame.size_bytes});
  }
  return blocks;
}

bool lie_in(const std::vector<Block>& blocks, const std::vector<FrameInfo>& frames) {
  return std::ranges::all_of(blocks, [&](const Block& block) {
    const auto at = std::ranges::lower_bound(frames, block.offset, {}, &FrameInfo::offset);
    return at != frames.end() && at->offset == block.offset && at->compressed_bytes == block.compressed_bytes &&
           at->size_bytes == block.size_bytes && at->hash == block.hash;
  });
}

Result<void> refill_catalogue(Store& store, const Manifest& manifest, Catalogue& catalogue) {
  CAIRN_ASSIGN(const auto chain, chain_of(manifest, manifest.head().sequence));
  std::vector<std::unique_ptr<LayerReader>> readers;
  std::vector<const LayerReader*> layers;
  for (const SyncRecord& sync : chain) {
    CAIRN_ASSIGN(auto reader, LayerReader::open(store, sync.layer.object));
    layers.push_back(reader.get());
    readers.push_back(std::move(reader));
  }
  CAIRN_ASSIGN(auto refill, CatalogueRefill::begin(catalogue));
  const auto merged = merge_chain(layers);
  for (;;) {
    CAIRN_ASSIGN(const auto next, merged->next());
    if (!next) return {};
    const IndexedEntry& indexed = next->indexed;
    CAIRN_TRY(refill->add(indexed.entry, indexed.content_hash, indexed.contents));
    const std::vector<Block> blocks = blocks_in(*layers[next->layer], indexed);
    if (!blocks.empty()) CAIRN_TRY(refill->add_blocks(indexed.entry.path, layers[next->layer]->key(), blocks));
  }
}

}  // namespace cairn::layer
