#include "restore/head.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/executor.h"
#include "restore/chain.h"
#include "restore/history.h"
#include "restore/replan.h"
#include "restore/replica.h"
#include "restore/unlisted.h"

namespace cairn::restore {
namespace {

constexpr std::uint64_t kHashesAtOnce = 64 * 1024;

// Of the objects that end at the newest sequence: the segment with the lowest level, whose footer is the smallest.
const StoredObject& ending_at(const std::vector<StoredObject>& snapshots, const std::vector<StoredObject>& segments,
                              Sequence newest) {
  const StoredObject* best = nullptr;
  for (const StoredObject& object : segments) {
    if (object.name.last == newest && (best == nullptr || object.name.level < best->name.level)) best = &object;
  }
  return best != nullptr ? *best : snapshots.back();
}

Error foreign_to_claim(const std::string& key, const Id128& theirs, const Id128& claimed) {
  return Error(ErrorKind::conflict, fmt::format("{} belongs to another history (lineage {}) than metadata.json says "
                                                "({})", key, theirs.hex(), claimed.hex()));
}

Result<void> fill_from_snapshot(const ChainLink& link, std::span<std::uint64_t> hashes) {
  const std::uint64_t count = std::min<std::uint64_t>(hashes.size(), link.footer().page_count());
  for (std::uint64_t first = 0; first < count; first += kHashesAtOnce) {
    const std::uint64_t wanted = std::min(kHashesAtOnce, count - first);
    CAIRN_ASSIGN(const segment::PageIndex index, link.reader->index(first, wanted));
    if (index.hashes.size() < wanted) {
      return segment::damaged_object(link.object.name.key, "its page index is shorter than it says");
    }
    std::copy_n(index.hashes.begin(), wanted, hashes.begin() + static_cast<std::ptrdiff_t>(first));
  }
  return {};
}

// Newer links overwrite older ones. A page that vanished and came back is in the newer link; were it not, the XOR
// would show it.
Result<void> fill_from_segment(const ChainLink& link, std::span<std::uint64_t> hashes) {
  CAIRN_ASSIGN(const segment::PageIndex index, link.reader->index());
  const std::uint64_t begin = link.frames_begin(link.first_point), end = link.frames_end(link.end_point - 1);
  if (begin > end || end > index.pages.size() || index.hashes.size() != index.pages.size()) {
    return segment::damaged_object(link.object.name.key, "its page index is shorter than it says");
  }
  for (std::uint64_t frame = begin; frame < end; ++frame) {
    const std::uint32_t page = index.pages[frame].value;
    if (page >= 1 && page <= hashes.size()) hashes[page - 1] = index.hashes[frame];
  }
  return {};
}

Result<segment::RestorePoint> read_hashes_of(const Chain& chain, const HashTable& table) {
  CAIRN_ASSIGN(const std::span<std::uint64_t> hashes, table(chain.page_size, chain.point.page_count));
  std::fill(hashes.begin(), hashes.end(), 0);
  for (std::size_t i = 0; i < chain.links.size(); ++i) {
    const ChainLink& link = chain.links[i];
    if (link.restates) std::fill(hashes.begin(), hashes.end(), 0);
    CAIRN_TRY(i == 0 ? fill_from_snapshot(link, hashes) : fill_from_segment(link, hashes));
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t hash : hashes) sum ^= hash;
  if (sum == chain.point.hash_after) return chain.point;
  return Error(ErrorKind::corrupt, fmt::format("the page hashes of sequence {} do not add up to its database hash",
                                               chain.point.sequence.value));
}

struct ListedHead {
  std::vector<StoredObject> snapshots, segments;
};

Result<ListedHead> list_head(Store& store, std::string_view replica) {
  ListedHead listed;
  CAIRN_ASSIGN(listed.snapshots, list_snapshots(store, replica));
  const Sequence after = listed.snapshots.empty() ? Sequence(0) : listed.snapshots.back().name.last;
  // The segment that ends exactly at the snapshot is wanted too: one earlier.
  const Sequence from(after.value == 0 ? 0 : after.value - 1);
  CAIRN_ASSIGN(listed.segments, list_segments(store, replica, from));
  return listed;
}

Result<HeadState> head_of(Store& store, std::string_view replica, const ListedHead& listed) {
  const auto& [snapshots, segments] = listed;
  if (snapshots.empty() && segments.empty()) {
    return Error(ErrorKind::not_found, "there is no snapshot and no segment").with(location(store, replica));
  }
  HeadState head;
  head.newest = newest_of(snapshots, segments);
  head.key = ending_at(snapshots, segments, head.newest).name.key;
  auto reader = segment::ObjectReader::open(store, head.key);
  // Merged meanwhile, or listed for some time after it was: no sign that nothing is there.
  if (!reader && reader.error().kind() == ErrorKind::not_found) return reader.error().as(ErrorKind::retry_later);
  if (!reader) return reader.error();
  head.footer = (*reader)->footer();
  head.lineage = head.footer.lineage;
  CAIRN_TRY(with_claimed_lineage(store, replica, [&](const std::optional<Id128>& claimed) -> Result<void> {
    if (claimed && *claimed != head.lineage) return foreign_to_claim(head.key, head.lineage, *claimed);
    return {};
  }));
  if (!snapshots.empty()) {
    head.has_snapshot = true;
    head.newest_snapshot = snapshots.back().name.last;
    head.newest_snapshot_time_ms = snapshots.back().name.time_ms;
  }
  return head;
}

}  // namespace

Result<HeadState> read_head(Store& store, std::string_view replica) {
  CAIRN_ASSIGN(const ListedHead listed, list_head(store, replica));
  return head_of(store, replica, listed);
}

Result<HeadState> find_head(Store& store, std::string_view replica, const Known& known) {
  CAIRN_ASSIGN(ListedHead listed, list_head(store, replica));
  CAIRN_TRY(add_what_follows(store, replica, known, listed.snapshots, listed.segments));
  return head_of(store, replica, listed);
}

Result<segment::RestorePoint> read_page_hashes(Store& store, std::string_view replica, Sequence sequence,
                                               const HashTable& table, const Known& known) {
  InlineExecutor executor;
  RestoreTarget target;
  target.sequence = sequence.value;
  Damage damage;
  const auto attempt = [&](WatchedStore& watched) -> Result<segment::RestorePoint> {
    CAIRN_ASSIGN(const Planned planned, make_plan(watched, replica, target, damage, executor, known));
    CAIRN_ASSIGN(const Chain chain, with_claimed_lineage(store, replica, [&](const std::optional<Id128>& claimed) {
      return open_chain(watched, planned.cover, sequence, claimed, Wanted::indexes, executor);
    }));
    return read_hashes_of(chain, table);
  };
  auto point = with_replans<segment::RestorePoint>(store, damage, attempt);
  if (!point) return point.error().with(location(store, replica));
  return point;
}

}  // namespace cairn::restore
