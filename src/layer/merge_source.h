// What a merge is made of: lists of entries in the order of paths, whatever they come from.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cairn/error.h"
#include "layer/merge.h"

namespace cairn::layer {

// As EntryCursor (object.h): opaque entries stand behind their directory.
class MergeCursor {
 public:
  virtual ~MergeCursor() = default;
  virtual Result<std::optional<MergedEntry>> next() = 0;
  virtual Result<void> skip_to(std::string_view path) = 0;
};

struct MergeSource {
  std::string name;  // for messages
  bool has_hard_links = true;
  std::function<Result<std::unique_ptr<MergeCursor>>()> entries;  // from the beginning; several may be at work at once
};

// The bottom one first. MergedEntry::layer is passed on as the sources have it.
std::unique_ptr<MergedChain> merge_sources(std::vector<MergeSource> sources, std::optional<std::string> path);

}  // namespace cairn::layer
