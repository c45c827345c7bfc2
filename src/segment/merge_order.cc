// Pages ascend within a run, so the runs are merged as sorted lists: a heap with one page number of each run, the
// smallest page on top, of equal ones that of the newest run.
//
// A page that a run wrote is part of the last state if no later run ends with a database too short for it. If the
// database grew over it again, the page was written again by the run that did so (check_states insists on that), and
// that newer version decides: so it is enough to look at the newest one.

#include "segment/merge_order.h"

#include <algorithm>
#include <limits>

namespace cairn::segment {
namespace {

class AllFrames final : public MergeOrder {
 public:
  explicit AllFrames(std::span<const MergeRun> runs) : runs_(runs) {}

  std::optional<MergeFrame> next() override {
    while (run_ < runs_.size() && at_ == runs_[run_].end - runs_[run_].begin) {
      ++run_;
      at_ = 0;
    }
    if (run_ == runs_.size()) return std::nullopt;
    return MergeFrame{run_, runs_[run_].begin + at_++};
  }

 private:
  const std::span<const MergeRun> runs_;
  std::uint32_t run_ = 0;
  std::uint64_t at_ = 0;
};

class NewestFrames final : public MergeOrder {
 public:
  NewestFrames(std::span<ObjectReader* const> inputs, std::span<const MergeRun> runs)
      : inputs_(inputs), runs_(runs), cursors_(runs.size()) {
    std::uint32_t limit = std::numeric_limits<std::uint32_t>::max();
    heap_.reserve(runs.size());
    for (std::uint32_t run = static_cast<std::uint32_t>(runs.size()); run-- > 0;) {
      limit = std::min(limit, runs[run].point.page_count);
      cursors_[run] = {runs[run].begin, limit};
      heap_.push_back({page(run), run});
    }
    std::make_heap(heap_.begin(), heap_.end(), is_after);
  }

  std::optional<MergeFrame> next() override {
    while (!heap_.empty()) {
      const Head newest = heap_.front();
      const MergeFrame frame{newest.run, cursors_[newest.run].entry};
      while (!heap_.empty() && heap_.front().page == newest.page) advance_top();
      if (newest.page <= cursors_[newest.run].limit) return frame;
    }
    return std::nullopt;
  }

 private:
  struct Cursor {
    std::uint64_t entry = 0;
    std::uint32_t limit = 0;  // the shortest that the database is from here on
  };
  struct Head {
    std::uint32_t page = 0;
    std::uint32_t run = 0;
  };
  static bool is_after(const Head& a, const Head& b) { return a.page != b.page ? a.page > b.page : a.run < b.run; }

  std::uint32_t page(std::uint32_t run) const {
    return inputs_[runs_[run].input]->segment_index().pages[cursors_[run].entry].value;
  }

  void advance_top() {
    std::pop_heap(heap_.begin(), heap_.end(), is_after);
    Head& head = heap_.back();
    if (++cursors_[head.run].entry == runs_[head.run].end) {
      heap_.pop_back();
      return;
    }
    head.page = page(head.run);
    std::push_heap(heap_.begin(), heap_.end(), is_after);
  }

  const std::span<ObjectReader* const> inputs_;
  const std::span<const MergeRun> runs_;
  std::vector<Cursor> cursors_;
  std::vector<Head> heap_;
};

}  // namespace

std::vector<MergeRun> runs_of(std::span<ObjectReader* const> inputs) {
  std::vector<MergeRun> runs;
  for (std::uint32_t input = 0; input < inputs.size(); ++input) {
    std::uint64_t begin = 0;
    for (const RestorePoint& point : inputs[input]->footer().points) {
      runs.push_back({input, begin, point.frame_end, point});
      begin = point.frame_end;
    }
  }
  return runs;
}

std::unique_ptr<MergeOrder> all_frames(std::span<const MergeRun> runs) { return std::make_unique<AllFrames>(runs); }

std::unique_ptr<MergeOrder> newest_frames(std::span<ObjectReader* const> inputs, std::span<const MergeRun> runs) {
  return std::make_unique<NewestFrames>(inputs, runs);
}

}  // namespace cairn::segment
