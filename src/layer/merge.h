// What a chain of layers comes to: of each path the newest entry, and nothing that a newer layer hides. The cursors of
// all layers go side by side in the order of paths, so memory does not grow with the number of entries.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cairn/error.h"
#include "layer/object.h"

namespace cairn::layer {

struct MergedEntry {
  // As its layer has it, but: never opaque (its directory's mark says it), `forgotten` is empty, and a hard link names
  // a path that came before it, or has become a file of its own when there is no such path any more.
  IndexedEntry indexed;
  // Where its contents lie: of the chain, from 0. Behind the last one come lower directories, the topmost first.
  std::size_t layer = 0;
};

// Whiteouts come as entries when the upper directory has a mark there; names that are just gone do not come.
class MergedChain {
 public:
  virtual ~MergedChain() = default;
  virtual Result<std::optional<MergedEntry>> next() = 0;  // nothing: the end. corrupt
};

// `layers`: the full one first; they outlive the chain. `path`: only that path and what is below it (links to what is
// outside become files).
std::unique_ptr<MergedChain> merge_chain(std::vector<const LayerReader*> layers,
                                         std::optional<std::string> path = std::nullopt);

}  // namespace cairn::layer
