#include "layer/restore_plan.h"

#include <algorithm>

namespace cairn::layer {
namespace {

// As many bytes as a request costs time: what lies between two wanted frames and is smaller is fetched along.
constexpr std::uint64_t kMaxGapBytes = 256 * 1024;
// With many layers a run of each may be in memory at once.
constexpr std::uint64_t kRunsBytes = 32u << 20;
constexpr std::uint64_t kMinRunBytes = 512 * 1024;

class Planner {
 public:
  explicit Planner(const std::vector<const LayerReader*>& layers)
      : layers_(layers),
        run_bytes_(std::clamp(kRunsBytes / std::max<std::uint64_t>(layers.size(), 1), kMinRunBytes, kMaxRunBytes)),
        places_(layers.size()) {}

  void add(const MergedEntry& merged) {
    ++plan_.entries;
    if (merged.indexed.entry.size_bytes == 0) return;
    plan_.size_bytes += merged.indexed.entry.size_bytes;
    plan_.disk_bytes += merged.indexed.entry.size_bytes;
    for (const Hole& hole : merged.indexed.entry.holes) plan_.disk_bytes -= hole.length;
    const FrameRange range = frames_of(*layers_[merged.layer], merged.indexed);
    for (std::uint64_t frame = range.first; frame <= range.last; ++frame) use(merged.layer, frame);
  }

  RestorePlan finish() {
    for (const FrameRun& run : plan_.runs) plan_.fetch_bytes += run.compressed_bytes;
    return std::move(plan_);
  }

 private:
  struct Place {
    std::optional<std::uint64_t> frame;  // the current one
    std::size_t run = 0;                 // the last one of this layer
  };

  void use(std::size_t layer, std::uint64_t frame) {
    Place& place = places_[layer];
    if (place.frame == frame) return;
    if (!place.frame || !extend(plan_.runs[place.run], frame)) {
      place.run = plan_.runs.size();
      plan_.runs.push_back({layer, frame, 1, layers_[layer]->frames()[frame].compressed_bytes, 0});
    }
    ++plan_.runs[place.run].uses;
    place.frame = frame;
    plan_.uses.push_back({static_cast<std::uint32_t>(layer), static_cast<std::uint32_t>(frame),
                          static_cast<std::uint32_t>(place.run)});
  }

  bool extend(FrameRun& run, std::uint64_t frame) const {
    const auto& frames = layers_[run.layer]->frames();
    const std::uint64_t end = run.first + run.count;
    if (frame < end) return false;  // a link that became a file goes back to contents that have passed
    const std::uint64_t gap = frames[frame].offset - frames[end - 1].offset - frames[end - 1].compressed_bytes;
    const std::uint64_t bytes = frames[frame].offset + frames[frame].compressed_bytes - frames[run.first].offset;
    if (gap > kMaxGapBytes || bytes > run_bytes_) return false;
    run.count = frame + 1 - run.first;
    run.compressed_bytes = bytes;
    return true;
  }

  const std::vector<const LayerReader*>& layers_;
  const std::uint64_t run_bytes_;
  std::vector<Place> places_;
  RestorePlan plan_;
};

}  // namespace

FrameRange frames_of(const LayerReader& layer, const IndexedEntry& entry) {
  return {layer.frame_at(entry.data_offset), layer.frame_at(entry.data_offset + entry.entry.size_bytes - 1)};
}

Result<RestorePlan> plan_restore(const std::vector<const LayerReader*>& layers, const std::optional<std::string>& path,
                                 const std::stop_token& stop) {
  Planner planner(layers);
  const auto chain = merge_chain(layers, path);
  for (;;) {
    if (stop.stop_requested()) return Error(ErrorKind::cancelled, "stopped on request");
    CAIRN_ASSIGN(const std::optional<MergedEntry> entry, chain->next());
    if (!entry) return planner.finish();
    planner.add(*entry);
  }
}

}  // namespace cairn::layer
