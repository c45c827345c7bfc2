// Directories below an upper one, read as an overlay mount reads them: their own whiteouts and opaque marks count.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/os.h"
#include "cairn/error.h"
#include "layer/layers.h"
#include "layer/merge_source.h"

namespace cairn::layer {

class LowerDirectory {
 public:
  // Errors as of Layers. `label`: MergedEntry::layer of its entries.
  static Result<std::unique_ptr<LowerDirectory>> open(const std::string& path, LayerHiddenAttributes hidden,
                                                      std::size_t label);

  const std::string& path() const { return path_; }
  // Its entries; it outlives them. unsupported: files whose contents lie in yet another directory (metacopy, redirect).
  MergeSource source() const;
  // One of its files.
  Result<FileDescriptor> open_file(const std::string& path) const;

 private:
  LowerDirectory(std::string path, std::size_t label, std::unique_ptr<Layers> layers)
      : path_(std::move(path)), label_(label), layers_(std::move(layers)) {}

  const std::string path_;
  const std::size_t label_;
  const std::unique_ptr<Layers> layers_;
};

// What the container saw: a chain on top of directories, the topmost first. `chain` makes the merged upper directory
// anew with each call.
std::unique_ptr<MergedChain> merge_over(const std::vector<std::unique_ptr<LowerDirectory>>& lower,
                                        std::function<std::unique_ptr<MergedChain>()> chain,
                                        std::optional<std::string> path);

}  // namespace cairn::layer
