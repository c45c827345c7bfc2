// Work that waits for a worker: lanes take turns, and one lane holds at most so many workers at once. So what is slow
// in one lane (a store that does not answer) does not keep the others waiting.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace cairn::daemon {

template <class Item>
class FairQueue {
 public:
  explicit FairQueue(std::size_t most_of_a_lane) : most_(most_of_a_lane) {}

  void push(const std::string& lane, Item item) {
    Lane& at = lanes_[lane];
    if (at.waiting.empty()) turns_.push_back(lane);
    at.waiting.push_back(std::move(item));
  }

  // The oldest of the lane whose turn it is; none: nothing waits, or only in lanes that hold all they may. done() for
  // each that was taken.
  std::optional<Item> take() {
    const auto next = std::find_if(turns_.begin(), turns_.end(),
                                   [this](const std::string& lane) { return lanes_[lane].under_way < most_; });
    if (next == turns_.end()) return std::nullopt;
    const std::string name = *next;
    turns_.erase(next);
    Lane& lane = lanes_[name];
    Item item = std::move(lane.waiting.front());
    lane.waiting.pop_front();
    ++lane.under_way;
    if (!lane.waiting.empty()) turns_.push_back(name);
    return item;
  }
  bool is_empty() const { return turns_.empty(); }
  void done(const std::string& name) {
    const auto lane = lanes_.find(name);
    if (--lane->second.under_way == 0 && lane->second.waiting.empty()) lanes_.erase(lane);
  }

 private:
  struct Lane {
    std::deque<Item> waiting;
    std::size_t under_way = 0;
  };
  const std::size_t most_;
  std::map<std::string, Lane> lanes_;
  std::deque<std::string> turns_;  // of lanes in which something waits
};

}  // namespace cairn::daemon
