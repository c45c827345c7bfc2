// Runs of pages, each ascending, the later ones newer, merged: every page once, ascending, as the newest run has it. A
// run that does not ascend was not read as it was written: that is an error.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <queue>
#include <span>
#include <vector>

#include "base/ids.h"
#include "cairn/error.h"

namespace cairn::replicate {

// Holds a piece of each run: of many runs small ones, 256 KiB in all.
template <class Entry>  // has a `page`
class RunMerge {
 public:
  // Reads the run's entries from `first` on; there are as many.
  using Read = std::function<Result<void>(std::uint64_t first, std::span<Entry> into)>;
  // What there is of one page: which run has it, counted from 0, and where in it.
  using Take = std::function<Result<void>(const Entry& entry, std::size_t run, std::uint64_t index)>;

  explicit RunMerge(Error disorder) : disorder_(std::move(disorder)) {}

  // Pages past `last` are left out, as if the run ended there.
  void add(std::uint64_t count, PageNo last, Read read) {
    runs_.push_back({.count = count, .last = last, .entered = {}, .read = std::move(read), .piece = {}});
  }

  Result<void> each(const Take& take) {
    const std::size_t fitting = kBytes / sizeof(Entry) / std::max<std::size_t>(1, runs_.size());
    piece_ = std::clamp<std::size_t>(fitting, 32, 8192);
    for (std::size_t run = 0; run < runs_.size(); ++run) CAIRN_TRY(enter(run));
    PageNo last;  // 0: none yet
    while (!heads_.empty()) {
      const Head head = heads_.top();
      heads_.pop();
      Run& run = runs_[head.run];
      if (head.page != last) CAIRN_TRY(take(run.piece[run.next - run.piece_begin], head.run, run.next));
      last = head.page;
      ++run.next;
      CAIRN_TRY(enter(head.run));
    }
    return {};
  }

 private:
  static constexpr std::size_t kBytes = 256 << 10;
  struct Run {
    std::uint64_t count = 0;
    PageNo last;
    PageNo entered;  // the last one that did; 0: none yet
    Read read;
    std::vector<Entry> piece;
    std::uint64_t piece_begin = 0, next = 0;
  };
  struct Head {
    PageNo page;
    std::size_t run = 0;
    // Whether it comes later: of one page the newest run is first.
    bool operator<(const Head& other) const { return page != other.page ? page > other.page : run < other.run; }
  };

  // The next entry of a run takes part.
  Result<void> enter(std::size_t number) {
    Run& run = runs_[number];
    if (run.next == run.count) return {};
    if (run.next == run.piece_begin + run.piece.size()) {
      run.piece.resize(std::min<std::uint64_t>(piece_, run.count - run.next));
      CAIRN_TRY(run.read(run.next, run.piece));
      run.piece_begin = run.next;
    }
    const PageNo page = run.piece[run.next - run.piece_begin].page;
    if (page <= run.entered) return disorder_;
    run.entered = page;
    if (page <= run.last) heads_.push({page, number});
    return {};
  }

  Error disorder_;
  std::vector<Run> runs_;
  std::priority_queue<Head> heads_;
  std::size_t piece_ = 0;
};

}  // namespace cairn::replicate
