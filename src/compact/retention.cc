// Three steps: which states can be reached and by how few objects (paths), which of them the policy keeps (Selection),
// and which objects those need. The paths are a tree, the same as in restore/plan.cc but for all targets at once: a
// state's best way in is the cheapest state that an object ending there can be entered from, and those are a list in
// which sequence and cost both ascend. n log n for n restore points.
//
// The cost is the number of objects, of equal ones the wider object wins: so neighbours share what they need, and level
// 0 goes once bundles have its restore points. Restoring may pick another, cheaper cover of what is left.

#include "compact/retention.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>

namespace cairn::compact {
namespace {

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
constexpr std::int64_t kHour_ms = 3600 * 1000, kDay_ms = 24 * kHour_ms;
constexpr std::int64_t kPause_ms = kHour_ms;       // a longer step counts as this
constexpr std::int64_t kJump_ms = 12 * kHour_ms;   // a longer step looks like a clock that was set
constexpr int kJumps = 2;                          // there and back

struct Edge {
  Sequence end;
  std::int64_t time_ms = 0;
  std::size_t object = 0;
};

// A state that can be reached.
struct Node {
  Sequence at;
  std::int64_t time_ms = 0;
  std::uint64_t objects = 0;  // that it takes
  std::size_t by = kNone;     // the last of them
  std::size_t from = kNone;   // the node that it is entered from
  std::optional<Density> why = std::nullopt;
};

bool is_snapshot(const AgedObject& object) { return object.read.footer.kind == segment::ObjectKind::snapshot; }

// By end; of equal ends snapshots first, the newest of them, then the widest segment, squashed before all that holds
// the same range with more states: the first of equal costs wins. For every purpose alike: see prune.cc.
bool comes_first(const Edge& a, const Edge& b, const std::vector<AgedObject>& objects) {
  const AgedObject &x = objects[a.object], &y = objects[b.object];
  const auto order = [](const Edge& edge, const AgedObject& object) {
    return std::tuple(edge.end, !is_snapshot(object), -object.read.object.name.time_ms, object.read.footer.first);
  };
  const auto holds_more = [](const AgedObject& object) {
    return object.read.footer.kind != segment::ObjectKind::squashed;
  };
  const segment::ObjectName &p = x.read.object.name, &q = y.read.object.name;
  return std::tuple_cat(order(a, x), std::tuple(q.last, holds_more(x), p.level, std::string_view(p.key))) <
         std::tuple_cat(order(b, y), std::tuple(p.last, holds_more(y), q.level, std::string_view(q.key)));
}

std::vector<Edge> edges_of(const std::vector<AgedObject>& objects, const std::vector<char>& usable) {
  std::vector<Edge> edges;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (!usable[i]) continue;
    for (const segment::RestorePoint& point : objects[i].read.footer.points) {
      edges.push_back({point.sequence, point.time_ms, i});
    }
  }
  std::sort(edges.begin(), edges.end(), [&](const Edge& a, const Edge& b) {
    return comes_first(a, b, objects);
  });
  return edges;
}

// All states that can be reached, ascending.
std::vector<Node> paths(const std::vector<AgedObject>& objects, const std::vector<Edge>& edges) {
  std::vector<Node> nodes;
  std::vector<std::size_t> frontier;  // indexes into nodes; sequence and cost ascend
  for (std::size_t i = 0; i < edges.size();) {
    Node best{edges[i].end};
    std::int64_t earliest_ms = edges[i].time_ms;  // a snapshot says when it was begun, which is later
    for (; i < edges.size() && edges[i].end == best.at; ++i) {
      earliest_ms = std::min(earliest_ms, edges[i].time_ms);
      const AgedObject& object = objects[edges[i].object];
      Node node{best.at, edges[i].time_ms, 1, edges[i].object};
      if (!is_snapshot(object)) {
        auto from = std::lower_bound(frontier.begin(), frontier.end(), object.read.footer.first.value - 1,
                                     [&](std::size_t state, std::uint64_t at) { return nodes[state].at.value < at; });
        if (from == frontier.end()) continue;
        node.from = *from;
        node.objects += nodes[*from].objects;
      }
      if (best.by == kNone || node.objects < best.objects) best = node;
    }
    if (best.by == kNone) continue;
    best.time_ms = earliest_ms;
    while (!frontier.empty() && nodes[frontier.back()].objects >= best.objects) frontier.pop_back();
    frontier.push_back(nodes.size());
    nodes.push_back(best);
  }
  return nodes;
}

void keep(Node& node, Density why) {
  if (!node.why) node.why = why;
}

bool is_among(const std::vector<Node>& nodes, Sequence at) {
  const auto found =
      std::lower_bound(nodes.begin(), nodes.end(), at, [](const Node& a, Sequence b) { return a.at < b; });
  return found != nodes.end() && found->at == at;
}

void keep_every(std::vector<Node>& nodes, std::int64_t window_ms) {
  std::vector<std::int64_t> times_ms;
  for (const Node& node : nodes) times_ms.push_back(node.time_ms);
  for (std::size_t i = begin_of_window(times_ms, window_ms); i < nodes.size(); ++i) keep(nodes[i], Density::every);
}

// All but what lies inside a squashed segment and is no snapshot.
void keep_unless_squashed(std::vector<Node>& nodes, const std::vector<AgedObject>& objects,
                          const std::vector<char>& old) {
  std::vector<std::pair<Sequence, Sequence>> squashed;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const segment::Footer& footer = objects[i].read.footer;
    if (old[i] && footer.kind == segment::ObjectKind::squashed) squashed.emplace_back(footer.first, footer.last);
  }
  std::sort(squashed.begin(), squashed.end());
  Sequence inside;  // states before this one are inside of one that begins at or before them
  auto next = squashed.begin();
  for (Node& node : nodes) {
    for (; next != squashed.end() && next->first <= node.at; ++next) inside = std::max(inside, next->second);
    if (node.at >= inside || is_snapshot(objects[node.by])) keep(node, Density::every);
  }
}

// `others`: states that lie between the nodes and are none of them. One of another time parts what lies on both sides
// of it, since it tells of a clock that was set there and back.
void keep_series(std::vector<Node>& nodes, const std::vector<Node>& others, Density series, std::uint32_t count) {
  const auto parts = [&](Sequence first, Sequence last, std::int64_t bucket) {
    auto at = std::upper_bound(others.begin(), others.end(), first, [](Sequence a, const Node& b) { return a < b.at; });
    for (; at != others.end() && at->at < last; ++at) {
      if (bucket_of(series, at->time_ms) != bucket) return true;
    }
    return false;
  };
  std::uint64_t places = count, jumps = 0;
  std::int64_t earliest = std::numeric_limits<std::int64_t>::max();
  for (std::size_t end = nodes.size(); count > 0 && end > 0;) {
    const std::int64_t bucket = bucket_of(series, nodes[end - 1].time_ms);
    std::size_t begin = end - 1, best = end - 1;
    for (; begin > 0 && bucket_of(series, nodes[begin - 1].time_ms) == bucket; --begin) {
      if (parts(nodes[begin - 1].at, nodes[begin].at, bucket)) break;
      if (nodes[begin - 1].objects < nodes[best].objects) best = begin - 1;
    }
    if (bucket < earliest) {
      if (places == 0) return;
      --places;
      earliest = bucket;
    }
    keep(nodes[best], series);
    if (begin > 0) {
      const std::int64_t step_ms = nodes[begin].time_ms - nodes[begin - 1].time_ms;
      if ((step_ms < 0 || step_ms > kJump_ms) && jumps++ < kJumps) ++places;
    }
    end = begin;
  }
}

// The newest snapshot among the usable objects.
std::optional<Sequence> newest_snapshot(const std::vector<AgedObject>& objects, const std::vector<char>& usable) {
  std::optional<Sequence> newest;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (!usable[i] || !is_snapshot(objects[i])) continue;
    newest = std::max(newest.value_or(Sequence(0)), objects[i].read.footer.last);
  }
  return newest;
}

std::int64_t youngest_of(const std::vector<AgedObject>& objects) {
  std::int64_t youngest_ms = std::numeric_limits<std::int64_t>::min();
  for (const AgedObject& object : objects) youngest_ms = std::max(youngest_ms, object.modified_ms);
  return youngest_ms;
}

std::vector<char> old_enough(const std::vector<AgedObject>& objects, std::int64_t now_ms, std::int64_t grace_ms) {
  std::vector<char> old;
  for (const AgedObject& object : objects) old.push_back(object.modified_ms + grace_ms <= now_ms);
  return old;
}

template <class IsKept>
void mark_needed(const std::vector<Node>& nodes, std::vector<Fate>& fates, IsKept is_kept) {
  std::vector<char> seen(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (!is_kept(nodes[i])) continue;
    for (std::size_t at = i; at != kNone && !seen[at]; at = nodes[at].from) {
      seen[at] = 1;
      if (fates[nodes[at].by] == Fate::goes) fates[nodes[at].by] = Fate::needed;
    }
  }
}

// Of all states that can be reached: which can still be when everything that goes is gone.
void tell_what_is_left(const std::vector<AgedObject>& objects, Retention& result) {
  std::vector<char> staying;
  for (const Fate fate : result.fates) staying.push_back(fate != Fate::goes);
  const std::vector<Node> before = paths(objects, edges_of(objects, std::vector<char>(objects.size(), 1)));
  const std::vector<Node> after = paths(objects, edges_of(objects, staying));
  auto left = after.begin();
  for (const Node& node : before) {
    while (left != after.end() && left->at < node.at) ++left;
    if (left == after.end() || left->at != node.at) result.dropped.push_back(node.at);
  }
  result.recent = after.size() - result.kept.size();
}

// The first segment of a writer that took the history over stays, whatever becomes of its state: it lies under the key
// that the writer before it would put next, and who was away for long enough must find that key taken.
void keep_fences(const std::vector<AgedObject>& objects, std::vector<Fate>& fates) {
  std::map<Id128, Sequence> begins;          // of each writer, its oldest object of any kind
  std::map<Id128, std::size_t> first_of;     // its oldest segment of level 0
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const segment::Footer& footer = objects[i].read.footer;
    const auto [begin, is_new] = begins.emplace(footer.writer, footer.first);
    if (!is_new) begin->second = std::min(begin->second, footer.first);
    if (footer.kind != segment::ObjectKind::segment) continue;
    const auto [first, is_first] = first_of.emplace(footer.writer, i);
    if (!is_first && footer.first < objects[first->second].read.footer.first) first->second = i;
  }
  for (const auto& [writer, i] : first_of) {
    const Sequence at = objects[i].read.footer.first;
    const bool took_over = std::any_of(begins.begin(), begins.end(), [&](const auto& other) {
      return other.first != writer && other.second < at;
    });
    if (took_over && fates[i] == Fate::goes) fates[i] = Fate::needed;
  }
}

// Once the nodes are known that are kept.
void finish(const std::vector<AgedObject>& objects, const std::vector<Node>& nodes, Retention& result) {
  mark_needed(nodes, result.fates, [](const Node& node) { return node.why.has_value(); });
  keep_fences(objects, result.fates);
  for (const Node& node : nodes) {
    if (node.why) result.kept.push_back({node.at, *node.why});
  }
  tell_what_is_left(objects, result);
}

Retention thin(const std::vector<AgedObject>& objects, std::int64_t now_ms, const PrunePolicy& policy) {
  const std::vector<char> old = old_enough(objects, std::min(now_ms, youngest_of(objects)), policy.grace_ms);
  const std::optional<Sequence> base = newest_snapshot(objects, old);
  Retention result;
  result.base = base.value_or(Sequence(0));
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const bool stays = !base || objects[i].read.footer.last >= *base;
    result.fates.push_back(!old[i] ? Fate::recent : stays ? Fate::newest : Fate::goes);
  }
  std::vector<Node> nodes = paths(objects, edges_of(objects, old));
  const std::vector<Node> all = paths(objects, edges_of(objects, std::vector<char>(objects.size(), 1)));
  // No rule is for these yet, and what they need may look old, when a clock was set back.
  mark_needed(all, result.fates, [&](const Node& node) { return !is_among(nodes, node.at); });
  if (!nodes.empty()) keep(nodes.back(), Density::newest);
  keep_every(nodes, policy.keep_all_ms);
  const auto keep_one_each = [&](Density series, std::uint32_t count) { keep_series(nodes, all, series, count); };
  keep_one_each(Density::hourly, policy.hourly);
  keep_one_each(Density::daily, policy.daily);
  keep_one_each(Density::weekly, policy.weekly);
  keep_one_each(Density::monthly, policy.monthly);
  for (Node& node : nodes) {
    if (node.at >= result.base) keep(node, Density::newest);
  }
  finish(objects, nodes, result);
  return result;
}

// Of those that end at the newest sequence, the segment of the lowest level.
std::size_t head_of(const std::vector<AgedObject>& objects) {
  std::size_t head = kNone;
  const auto order = [&](std::size_t i) {
    const AgedObject& object = objects[i];
    return std::tuple(object.read.footer.last, !is_snapshot(object), -object.read.object.name.level);
  };
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (head == kNone || order(i) > order(head)) head = i;
  }
  return head;
}

// Whether all of its states can be reached by what is old enough.
bool is_replaceable(const AgedObject& object, const std::vector<Node>& nodes) {
  return std::all_of(object.read.footer.points.begin(), object.read.footer.points.end(), [&](const auto& point) {
    return is_among(nodes, point.sequence);
  });
}

Retention replace(const std::vector<AgedObject>& objects, std::int64_t now_ms, const PrunePolicy& policy) {
  const std::vector<char> old = old_enough(objects, now_ms, policy.grace_ms);
  Retention result;
  result.base = newest_snapshot(objects, old).value_or(Sequence(0));
  std::vector<Node> nodes = paths(objects, edges_of(objects, old));
  const std::size_t head = head_of(objects);
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const bool goes = old[i] && !is_snapshot(objects[i]) && is_replaceable(objects[i], nodes);
    result.fates.push_back(!old[i] ? Fate::recent : i == head ? Fate::newest : goes ? Fate::goes : Fate::needed);
  }
  if (!nodes.empty()) keep(nodes.back(), Density::newest);
  keep_every(nodes, policy.keep_all_ms);
  keep_unless_squashed(nodes, objects, old);
  finish(objects, nodes, result);
  return result;
}

}  // namespace

std::size_t begin_of_window(const std::vector<std::int64_t>& times_ms, std::int64_t window_ms) {
  std::size_t begin = times_ms.size();
  std::int64_t age_ms = 0;
  for (int jumps = 0; window_ms > 0 && begin > 0; --begin) {
    if (begin < times_ms.size()) {
      const std::int64_t step_ms = times_ms[begin] - times_ms[begin - 1];
      const bool counts_nothing = step_ms > kPause_ms && jumps++ < kJumps;
      if (!counts_nothing) age_ms += std::clamp<std::int64_t>(step_ms, 0, kPause_ms);
    }
    if (age_ms > window_ms) break;
  }
  return begin;
}

std::int64_t bucket_of(Density series, std::int64_t time_ms) {
  const auto floored = [](std::int64_t a, std::int64_t b) { return a / b - (a % b < 0); };
  if (series == Density::hourly) return floored(time_ms, kHour_ms);
  const std::int64_t day = floored(time_ms, kDay_ms);
  if (series == Density::daily) return day;
  if (series == Density::weekly) return floored(day + 3, 7);  // 1970 began on a Thursday
  // Years that begin in March, so that the leap day is the last; 146097 days are 400 years.
  const std::int64_t since = day + 719'468, era = floored(since, 146'097), of_era = since - era * 146'097;
  const std::int64_t year = (of_era - of_era / 1460 + of_era / 36'524 - of_era / 146'096) / 365;
  const std::int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
  return (era * 400 + year) * 12 + (5 * of_year + 2) / 153;
}

Retention decide_retention(const std::vector<AgedObject>& objects, std::int64_t now_ms, const PrunePolicy& policy,
                           Purpose purpose) {
  return purpose == Purpose::thin ? thin(objects, now_ms, policy) : replace(objects, now_ms, policy);
}

}  // namespace cairn::compact
