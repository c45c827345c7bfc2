// States are nodes, segments are edges from the state before them to their last one; a node is a state as it is, so two
// objects that say different things of one sequence never join. Edges are taken by where they end: all that ends where
// one begins has been looked at before it. Of the ways to a node the one that begins first is taken, then the one of
// the fewest objects. No distance is guessed, and no edge stands for "the next sequence": so an object of one sequence,
// an overlap or a gap is nothing special.

#include "compact/lines.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <tuple>

namespace cairn::compact {
namespace {

constexpr std::size_t kNoEdge = std::numeric_limits<std::size_t>::max();

using Place = std::tuple<Sequence, std::uint64_t, std::uint32_t>;  // state, its hash, page size

struct Way {
  Sequence begin;
  std::size_t objects = 0;
  std::size_t by = kNoEdge;  // its last object
};

bool begins_anew(const restore::ReadObject& object) { return object.footer.kind == segment::ObjectKind::snapshot; }

Place node_before(const segment::Footer& footer) {
  return {Sequence(footer.first.value - 1), footer.hash_before, footer.page_size};
}
Place node_after(const segment::Footer& footer) { return {footer.last, footer.hash_after(), footer.page_size}; }

// The restore points that must not be lost, as far as segments have them.
class Points {
 public:
  Points(const std::vector<restore::ReadObject>& objects, Sequence keep_from) : keep_from_(keep_from) {
    for (const restore::ReadObject& object : objects) {
      if (begins_anew(object)) continue;
      for (const segment::RestorePoint& point : object.footer.points) {
        if (point.sequence >= keep_from) all_.push_back(point.sequence);
      }
    }
    std::sort(all_.begin(), all_.end());
    all_.erase(std::unique(all_.begin(), all_.end()), all_.end());
  }

  // Each of an object's points is one of these or need not stay.
  bool has_all(const segment::Footer& footer) const {
    const auto begin = std::lower_bound(all_.begin(), all_.end(), footer.first);
    const auto end = std::upper_bound(begin, all_.end(), footer.last);
    const auto own = std::count_if(footer.points.begin(), footer.points.end(), [&](const auto& point) {
      return point.sequence >= keep_from_;
    });
    return own == end - begin;
  }

 private:
  const Sequence keep_from_;
  std::vector<Sequence> all_;
};

Sequence first_snapshot(const std::vector<restore::ReadObject>& objects) {
  Sequence first(std::numeric_limits<std::uint64_t>::max());
  for (const restore::ReadObject& object : objects) {
    if (begins_anew(object)) first = std::min(first, object.footer.last);
  }
  return first;
}

std::vector<std::size_t> edges_between(const std::vector<restore::ReadObject>& objects, Sequence keep_from) {
  const Points points(objects, keep_from);
  const Sequence oldest = first_snapshot(objects);
  std::vector<std::size_t> edges;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const segment::Footer& footer = objects[i].footer;
    if (!begins_anew(objects[i]) && footer.last > oldest && points.has_all(footer)) edges.push_back(i);
  }
  std::sort(edges.begin(), edges.end(), [&](std::size_t a, std::size_t b) {
    const segment::ObjectName &x = objects[a].object.name, &y = objects[b].object.name;
    return std::tie(x.last, x.first, y.level, x.key) < std::tie(y.last, y.first, x.level, y.key);
  });
  return edges;
}

bool is_better(const Way& a, const Way& b) {
  return std::tie(a.begin, a.objects) < std::tie(b.begin, b.objects);
}

}  // namespace

std::vector<Line> find_lines(const std::vector<restore::ReadObject>& objects, Sequence keep_from) {
  std::map<Place, Way> ways;
  std::set<Place> left;  // a line goes on from there
  for (const std::size_t edge : edges_between(objects, keep_from)) {
    const segment::Footer& footer = objects[edge].footer;
    const Place from = node_before(footer);
    const Way& before = ways.try_emplace(from, Way{std::get<Sequence>(from), 0, kNoEdge}).first->second;
    const Way way{before.begin, before.objects + 1, edge};
    const auto [known, fresh] = ways.try_emplace(node_after(footer), way);
    if (!fresh && is_better(way, known->second)) known->second = way;
    left.insert(from);
  }
  std::vector<std::pair<Place, Way>> ends;
  for (const auto& [node, way] : ways) {
    if (way.by != kNoEdge && !left.contains(node)) ends.emplace_back(node, way);
  }
  std::sort(ends.begin(), ends.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.second.begin, std::get<Sequence>(b.first)) <
           std::tuple(b.second.begin, std::get<Sequence>(a.first));
  });
  std::vector<Line> lines;
  std::optional<Sequence> reached;
  for (const auto& [node, way] : ends) {
    if (reached && std::get<Sequence>(node) <= *reached) continue;
    reached = std::get<Sequence>(node);
    Line line;
    for (Way at = way; at.by != kNoEdge; at = ways.at(node_before(objects[at.by].footer))) line.push_back(at.by);
    std::reverse(line.begin(), line.end());
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace cairn::compact
