// The catalogue of a container made anew from what the store has of it.
#pragma once

#include "cairn/store.h"
#include "layer/catalogue.h"
#include "layer/manifest.h"
#include "layer/object.h"

namespace cairn::layer {

// From the indexes of the head's chain; in a transaction of the caller's.
Result<void> refill_catalogue(Store& store, const Manifest& manifest, Catalogue& catalogue);

// Whether each of them is a frame there, as it is.
bool lie_in(const std::vector<Block>& blocks, const std::vector<FrameInfo>& frames);
// Where the blocks of a big file lie in the object that `reader` reads. Empty: it is none, or it is cut differently.
std::vector<Block> blocks_in(const LayerReader& reader, const IndexedEntry& file);

}  // namespace cairn::layer
