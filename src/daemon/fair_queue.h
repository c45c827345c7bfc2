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
    const auto at = lanes_.try_emplace(lane).first;
    if (at->second.waiting.empty()) turns_.push_back(at);
    at->second.waiting.push_back(std::move(item));
  }

  // The oldest of the lane whose turn it is; none: nothing waits, or only in lanes that hold all they may. done() for
  // each that was taken.
  std::optional<Item> take() {
    const auto next = find_next();
    if (next == turns_.end()) return std::nullopt;
    const Place at = *next;
    turns_.erase(next);
    Lane& lane = at->second;
    Item item = std::move(lane.waiting.front());
    lane.waiting.pop_front();
    ++lane.under_way;
    if (!lane.waiting.empty()) turns_.push_back(at);
    return item;
  }
  bool has_next() const { return find_next() != turns_.end(); }
  void done(const std::string& name) {
    const auto lane = lanes_.find(name);
    const bool is_still = --lane->second.under_way == 0 && lane->second.waiting.empty();
    if (is_still && lanes_.size() > kMostStill) lanes_.erase(lane);
  }

 private:
  struct Lane {
    std::deque<Item> waiting;
    std::size_t under_way = 0;
  };
  using Lanes = std::map<std::string, Lane>;
  using Place = typename Lanes::iterator;
  static constexpr std::size_t kMostStill = 64;  // that stay although nothing is in them: they are needed again soon

  auto find_next() const {
    return std::find_if(turns_.begin(), turns_.end(), [this](Place at) { return at->second.under_way < most_; });
  }

  const std::size_t most_;
  Lanes lanes_;
  std::deque<Place> turns_;  // of lanes in which something waits
};

}  // namespace cairn::daemon
