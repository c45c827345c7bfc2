#include "compact/strategies.h"

#include <algorithm>

namespace cairn::compact {
namespace {

// A run of pieces that is one, or is to become one.
struct Item {
  Group group;  // level: as it is
  std::uint64_t size_bytes = 0;
  std::size_t pieces() const { return group.end - group.begin; }
};

Item joined(std::span<const Item> items) {
  Item item{{items.front().group.begin, items.back().group.end, 0}, 0};
  for (const Item& each : items) {
    item.group.level = std::max(item.group.level, each.group.level + 1);
    item.size_bytes += each.size_bytes;
  }
  return item;
}

// How many of the first items, at most `most`, fit into one object.
std::size_t fitting(std::span<const Item> items, std::size_t most, const Limits& limits) {
  std::uint64_t size_bytes = 0;
  std::size_t pieces = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    size_bytes += items[i].size_bytes;
    pieces += items[i].pieces();
    if (i == most || size_bytes > limits.max_bytes || pieces > limits.max_pieces) return i;
  }
  return items.size();
}

std::vector<Item> items_of(std::span<const Piece> line) {
  std::vector<Item> items;
  for (std::size_t i = 0; i < line.size(); ++i) items.push_back({{i, i + 1, line[i].level}, line[i].size_bytes});
  return items;
}

// All of `items` in as few objects as they fit into.
void join_all(std::span<const Item> items, const Limits& limits, std::vector<Item>& into) {
  while (!items.empty()) {
    const std::size_t count = std::max<std::size_t>(1, fitting(items, items.size(), limits));
    into.push_back(count == 1 ? items.front() : joined(items.first(count)));
    items = items.subspan(count);
  }
}

// From the oldest on: what is left falls into a piece that is large enough (a third of what is left, or more) to stay
// as it is, or into as many as make up half of it. So of eight equal ones the first four, the next two, one and one;
// and one more behind them changes nothing.
std::vector<Item> logarithmic(std::span<const Piece> line, const Limits& limits) {
  const std::vector<Item> items = items_of(line);
  std::uint64_t left = 0;
  for (const Piece& piece : line) left += piece.span;
  std::vector<Item> result;
  for (std::size_t begin = 0; begin < items.size();) {
    std::size_t end = begin + 1;
    std::uint64_t span = line[begin].span;
    if (span * 3 < left) {
      while (end < items.size() && span * 2 < left) span += line[end++].span;
    }
    join_all(std::span(items).subspan(begin, end - begin), limits, result);
    left -= span;
    begin = end;
  }
  return result;
}

// An item counts as of the highest level that it or a newer one has: so what others have left among larger objects
// grows with them. Then levels descend from the oldest to the newest, and `fan` neighbours of one make one of the next.
bool raise_level(std::vector<Item>& items, const Limits& limits) {
  std::vector<int> heights(items.size());
  int height = 0;
  for (std::size_t i = items.size(); i-- > 0;) heights[i] = height = std::max(height, items[i].group.level);
  std::vector<Item> result;
  for (std::size_t begin = 0; begin < items.size();) {
    const auto end = static_cast<std::size_t>(
        std::find_if(heights.begin() + static_cast<std::ptrdiff_t>(begin), heights.end(),
                     [&](int other) { return other != heights[begin]; }) - heights.begin());
    while (begin < end) {
      const std::span<const Item> run = std::span<const Item>(items).subspan(begin, end - begin);
      const std::size_t count = run.size() < limits.fan ? 0 : fitting(run, limits.fan, limits);
      result.push_back(count < 2 ? run.front() : joined(run.first(count)));
      begin += std::max<std::size_t>(1, count);
    }
  }
  const bool changed = result.size() < items.size();
  items = std::move(result);
  return changed;
}

std::vector<Item> levelled(std::span<const Piece> line, const Limits& limits) {
  std::vector<Item> items = items_of(line);
  while (raise_level(items, limits)) {
  }
  return items;
}

}  // namespace

std::vector<Group> plan_groups(Strategy strategy, std::span<const Piece> line, const Limits& limits) {
  std::vector<Item> items;
  switch (strategy) {
    case Strategy::identity: join_all(items_of(line), limits, items); break;
    case Strategy::logarithmic: items = logarithmic(line, limits); break;
    case Strategy::levelled: items = levelled(line, limits); break;
  }
  std::vector<Group> groups;
  for (const Item& item : items) {
    if (item.pieces() > 1) groups.push_back(item.group);
  }
  return groups;
}

}  // namespace cairn::compact
