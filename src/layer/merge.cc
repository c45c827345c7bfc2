// The rules are those of OCI's changesets, and one more for upper directories.
//
// Layers are numbered from 0, the full one. For every path on the way from the top to the current one there is a
// *floor*: entries below it count only from that layer on. It rises where a directory is opaque in a layer (to that
// layer), and where something that is no directory stood in a layer (to the one after it): what older layers had below
// is gone.
//
// Of the entries of one path, from the floor of its directory on, the newest wins. A whiteout that wins stands for a
// mark in the upper directory, unless it has none, or a newer version of its directory says that the mark is
// forgotten.
//
// A hard link names a path of its own layer. When that path has been replaced or hidden since, or is outside of what is
// wanted, the link becomes a file with those contents, and further links to them become links to it. To know, hashes
// of hidden paths are kept, of layers that have hard links at all.

#include "layer/merge.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <unordered_set>
#include <utility>

#include "base/errors.h"
#include "layer/merge_source.h"

namespace cairn::layer {
namespace {

bool is_below(std::string_view path, std::string_view directory) {
  return directory.empty() ? !path.empty()
                           : path.size() > directory.size() && path.starts_with(directory) &&
                                 path[directory.size()] == '/';
}

// One layer and the entry that its cursor stands at.
struct Head {
  MergeSource source;
  std::unique_ptr<MergeCursor> cursor;  // once it has begun
  std::optional<MergedEntry> current;

  Result<void> begin() {
    if (cursor) return {};
    CAIRN_ASSIGN(cursor, source.entries());
    return {};
  }
  Result<void> advance() {
    CAIRN_ASSIGN(current, cursor->next());
    return {};
  }
  Result<void> skip_to(std::string_view path) {
    if (cursor && (!current || !in_order(current->indexed.entry.path, path))) return {};
    CAIRN_TRY(begin());
    CAIRN_TRY(cursor->skip_to(path));
    return advance();
  }
};

struct Candidate {
  std::size_t layer = 0;  // the head's number
  MergedEntry merged;

  const Entry& entry() const { return merged.indexed.entry; }
  Entry& entry() { return merged.indexed.entry; }
};

// A path that was processed and may have others below it.
struct Level {
  std::string path;
  bool is_directory = false;
  std::size_t layer = 0;  // whose entry of the path won
  std::size_t floor = 0;
  std::vector<std::pair<std::size_t, std::vector<std::string>>> forgotten;  // by layer

  bool has_forgotten(std::string_view name, std::size_t whiteout_layer) const {
    return std::ranges::any_of(forgotten, [&](const auto& said) {
      return said.first > whiteout_layer && std::ranges::binary_search(said.second, name);
    });
  }
};

class Merge final : public MergedChain {
 public:
  Merge(std::vector<MergeSource> sources, std::optional<std::string> path) : wanted_(std::move(path)) {
    for (MergeSource& source : sources) heads_.push_back({std::move(source), nullptr, std::nullopt});
    levels_.push_back({.path = "", .is_directory = true, .layer = 0, .floor = 0, .forgotten = {}});
    if (!wanted_) return;
    for (std::size_t end = 0; end < wanted_->size(); end = std::min(wanted_->find('/', end + 1), wanted_->size())) {
      way_.push_back(wanted_->substr(0, end));
    }
    way_.push_back(*wanted_);
  }

  Result<std::optional<MergedEntry>> next() override {
    while (!done_) {
      CAIRN_TRY(move());
      const std::optional<std::string> path = lowest();
      if (!path || (wanted_ && is_past(*path))) break;
      const bool emit = way_at_ == way_.size();
      if (!emit && *path != way_[way_at_ - 1]) continue;  // layers need not have an entry for the top
      CAIRN_ASSIGN(std::vector<Candidate> candidates, take(*path));
      CAIRN_ASSIGN(std::optional<MergedEntry> entry, decide(*path, std::move(candidates)));
      if (entry && emit) return entry;
    }
    done_ = true;
    return std::optional<MergedEntry>();
  }

 private:
  // On the way to the wanted path only the directories above it are looked at.
  Result<void> move() {
    if (way_at_ < way_.size()) {
      for (Head& head : heads_) CAIRN_TRY(head.skip_to(way_[way_at_]));
      ++way_at_;
      return {};
    }
    for (Head& head : heads_) {
      if (head.cursor) continue;
      CAIRN_TRY(head.begin());
      CAIRN_TRY(head.advance());
    }
    return {};
  }

  // Behind what is wanted, or behind a directory on the way that is not there.
  bool is_past(const std::string& path) const {
    const std::string& last = way_[way_at_ - 1];
    if (way_at_ < way_.size()) return path != last && !last.empty();
    return path != last && !is_below(path, last);
  }

  std::optional<std::string> lowest() const {
    const std::string* lowest = nullptr;
    for (const Head& head : heads_) {
      if (!head.current) continue;
      const std::string& path = head.current->indexed.entry.path;
      if (!lowest || in_order(path, *lowest)) lowest = &path;
    }
    return lowest ? std::optional(*lowest) : std::nullopt;
  }

  // All entries of the path, the newest layer first.
  Result<std::vector<Candidate>> take(const std::string& path) {
    std::vector<Candidate> candidates;
    for (std::size_t layer = heads_.size(); layer-- > 0;) {
      Head& head = heads_[layer];
      while (head.current && head.current->indexed.entry.path == path) {
        candidates.push_back({layer, std::move(*head.current)});
        CAIRN_TRY(head.advance());
      }
    }
    return candidates;
  }

  Result<std::optional<MergedEntry>> decide(const std::string& path, std::vector<Candidate> candidates) {
    while (levels_.size() > 1 && !is_below(path, levels_.back().path)) levels_.pop_back();
    const Level& above = levels_.back();
    const bool is_top = path.empty();
    const bool above_is_parent = is_top || (above.is_directory && above.path == parent_of(path));
    const std::size_t floor = is_top ? 0 : above.floor;
    const bool contradicts = !above.is_directory && std::ranges::any_of(candidates, [&](const Candidate& candidate) {
      return candidate.layer == above.layer;
    });
    if (contradicts) return no_directory(path, candidates.front());
    hide(path, candidates, floor);
    std::erase_if(candidates, [&](const Candidate& candidate) { return candidate.layer < floor; });
    if (candidates.empty()) return std::optional<MergedEntry>();
    if (!above_is_parent) return no_directory(path, candidates.front());
    const auto winner = std::ranges::find_if(
        candidates, [](const Candidate& candidate) { return candidate.entry().kind != EntryKind::opaque; });
    if (winner == candidates.end()) {
      return damaged(fmt::format("{} marks '{}', but no layer has that directory", name_of(candidates.front()), path));
    }
    const bool forgotten = !is_top && above.has_forgotten(layer::name_of(path), winner->layer);
    enter(path, floor, candidates, *winner);
    return outcome(std::move(*winner), forgotten);
  }

  Error no_directory(const std::string& path, const Candidate& candidate) const {
    return damaged(fmt::format("{} has '{}', but no directory for it", name_of(candidate), path));
  }

  // Remembers what will not be there although its layer has it.
  void hide(const std::string& path, const std::vector<Candidate>& candidates, std::size_t floor) {
    bool has_winner = false;
    for (const Candidate& candidate : candidates) {
      const EntryKind kind = candidate.entry().kind;
      const bool is_winner = !has_winner && candidate.layer >= floor && kind != EntryKind::opaque;
      has_winner = has_winner || is_winner;
      const bool may_be_linked = kind != EntryKind::opaque && kind != EntryKind::directory &&
                                 kind != EntryKind::whiteout && kind != EntryKind::hard_link;
      if (!is_winner && may_be_linked && heads_[candidate.layer].source.has_hard_links) {
        hidden_.insert(hash_of(candidate.layer, path));
      }
    }
  }

  // The level of a path: from which layer on entries below it count.
  void enter(const std::string& path, std::size_t floor, std::vector<Candidate>& candidates, const Candidate& winner) {
    Level level{.path = path, .is_directory = false, .layer = winner.layer, .floor = floor, .forgotten = {}};
    level.is_directory = winner.entry().kind == EntryKind::directory;
    for (Candidate& candidate : candidates) {
      Entry& entry = candidate.entry();
      if (entry.kind == EntryKind::opaque) {
        level.floor = std::max(level.floor, candidate.layer);
      } else if (entry.kind != EntryKind::directory) {
        level.floor = std::max(level.floor, candidate.layer + 1);
      } else if (!entry.forgotten.empty()) {
        level.forgotten.emplace_back(candidate.layer, std::move(entry.forgotten));
        entry.forgotten.clear();
      }
    }
    if (path.empty()) levels_.clear();
    levels_.push_back(std::move(level));
  }

  Result<std::optional<MergedEntry>> outcome(Candidate winner, bool forgotten) {
    const Entry& entry = winner.entry();
    if (entry.kind == EntryKind::whiteout && (forgotten || entry.mark == Mark::none)) {
      return std::optional<MergedEntry>();
    }
    if (entry.kind == EntryKind::hard_link) CAIRN_TRY(settle_link(winner));
    return std::optional(std::move(winner.merged));
  }

  Result<void> settle_link(Candidate& link) {
    Entry& entry = link.entry();
    const bool outside = wanted_ && entry.link_target != *wanted_ && !is_below(entry.link_target, *wanted_);
    if (!outside && !hidden_.contains(hash_of(link.layer, entry.link_target))) return {};
    const auto [known, is_new] = settled_.try_emplace({link.layer, entry.link_target}, entry.path);
    if (!is_new) {
      entry.link_target = known->second;
      return {};
    }
    CAIRN_ASSIGN(const auto cursor, heads_[link.layer].source.entries());
    CAIRN_TRY(cursor->skip_to(entry.link_target));
    CAIRN_ASSIGN(std::optional<MergedEntry> target, cursor->next());
    const EntryKind kind = target ? target->indexed.entry.kind : EntryKind::opaque;
    const bool is_sound = target && target->indexed.entry.path == entry.link_target && kind != EntryKind::directory &&
                          kind != EntryKind::hard_link && kind != EntryKind::whiteout && kind != EntryKind::opaque;
    if (!is_sound) {
      return damaged(fmt::format("{} has '{}' as a link to '{}', which it does not have", name_of(link), entry.path,
                                 entry.link_target));
    }
    target->indexed.entry.path = std::move(entry.path);
    link.merged = std::move(*target);
    return {};
  }

  const std::string& name_of(const Candidate& candidate) const { return heads_[candidate.layer].source.name; }

  static std::uint64_t hash_of(std::size_t layer, std::string_view path) {
    return XXH3_64bits_withSeed(path.data(), path.size(), layer);
  }

  std::vector<Head> heads_;
  const std::optional<std::string> wanted_;
  std::vector<std::string> way_;  // the directories above what is wanted, and that itself
  std::size_t way_at_ = 0;
  std::vector<Level> levels_;     // of the current path, the top first
  std::unordered_set<std::uint64_t> hidden_;
  std::map<std::pair<std::size_t, std::string>, std::string> settled_;
  bool done_ = false;
};

// The entries of one layer.
class LayerCursor final : public MergeCursor {
 public:
  LayerCursor(const LayerReader& reader, std::size_t layer) : cursor_(reader.entries()), layer_(layer) {}

  Result<std::optional<MergedEntry>> next() override {
    CAIRN_ASSIGN(std::optional<IndexedEntry> entry, cursor_->next());
    if (!entry) return std::optional<MergedEntry>();
    return MergedEntry{std::move(*entry), layer_};
  }
  Result<void> skip_to(std::string_view path) override { return cursor_->skip_to(path); }

 private:
  const std::unique_ptr<EntryCursor> cursor_;
  const std::size_t layer_;
};

}  // namespace

std::unique_ptr<MergedChain> merge_sources(std::vector<MergeSource> sources, std::optional<std::string> path) {
  return std::make_unique<Merge>(std::move(sources), std::move(path));
}

std::unique_ptr<MergedChain> merge_chain(std::vector<const LayerReader*> layers, std::optional<std::string> path) {
  std::vector<MergeSource> sources;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    sources.push_back({layers[i]->key(), layers[i]->hard_link_count() > 0,
                       [reader = layers[i], i]() -> Result<std::unique_ptr<MergeCursor>> {
                         return std::make_unique<LayerCursor>(*reader, i);
                       }});
  }
  return merge_sources(std::move(sources), std::move(path));
}

}  // namespace cairn::layer
