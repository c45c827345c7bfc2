#include "restore/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/parallel.h"

namespace cairn::restore {
namespace {

using segment::Footer;
using segment::ObjectKind;
using segment::RestorePoint;

// The state that the links so far end in.
struct State {
  Sequence sequence;
  std::uint64_t hash = 0;
  std::uint32_t page_size = 0;
  std::string_view key;
};

Error foreign(const std::string& key, const Id128& theirs, const Id128& ours) {
  return Error(ErrorKind::conflict,
               fmt::format("{} belongs to another history (lineage {}) than this replica ({}): two databases were "
                           "published to one place; move the foreign object away", key, theirs.hex(), ours.hex()));
}

Error broken(const std::string& key, const State& before) {
  return Error(ErrorKind::corrupt,
               fmt::format("{} does not continue {}: the database hashes at sequence {} differ, so one of the two is "
                           "not what was published", key, before.key, before.sequence.value));
}

// Which runs of a segment carry `state` on, up to the target. Runs that the state already contains are skipped.
Result<void> choose_runs(ChainLink& link, const State& state, Sequence target) {
  const std::vector<RestorePoint>& points = link.footer().points;
  while (link.first_point < points.size() && points[link.first_point].sequence <= state.sequence) ++link.first_point;
  link.end_point = link.first_point;
  while (link.end_point < points.size() && points[link.end_point].sequence <= target) ++link.end_point;
  if (link.first_point < link.end_point) return {};
  return Error(ErrorKind::corrupt, fmt::format("{} holds nothing between sequences {} and {} although its name says so",
                                               link.object.name.key, state.sequence.value, target.value))
      .about_object(link.object.name.key);
}

// The database hash that the link claims for the state before its first used run; nothing when that state lies inside
// one of its runs.
std::optional<std::uint64_t> claimed_before(const ChainLink& link, const State& state) {
  if (link.first_point > 0) {
    const RestorePoint& point = link.footer().points[link.first_point - 1];
    if (point.sequence == state.sequence) return point.hash_after;
    return std::nullopt;
  }
  if (link.footer().first.value == state.sequence.value + 1) return link.footer().hash_before;
  return std::nullopt;
}

Result<void> join(ChainLink& link, State& state, Sequence target) {
  const Footer& footer = link.footer();
  if (footer.kind == ObjectKind::snapshot || footer.first.value > state.sequence.value + 1) {
    return Error(ErrorKind::corrupt, fmt::format("{} does not follow sequence {}", link.object.name.key,
                                                 state.sequence.value));
  }
  CAIRN_TRY(choose_runs(link, state, target));
  const auto before = claimed_before(link, state);
  if (before && *before != state.hash) return broken(link.object.name.key, state);
  link.restates = footer.page_size != state.page_size;
  const RestorePoint& end = footer.points[link.end_point - 1];
  state = {end.sequence, end.hash_after, footer.page_size, link.object.name.key};
  return {};
}

Result<void> check(Chain& chain, Sequence target, const std::optional<Id128>& claimed) {
  ChainLink& snapshot = chain.links.front();
  if (snapshot.footer().kind != ObjectKind::snapshot) {
    return Error(ErrorKind::corrupt, fmt::format("{} is not a snapshot", snapshot.object.name.key));
  }
  chain.lineage = claimed ? *claimed : snapshot.footer().lineage;
  for (const ChainLink& link : chain.links) {
    if (link.footer().lineage != chain.lineage) {
      return foreign(link.object.name.key, link.footer().lineage, chain.lineage);
    }
  }
  const RestorePoint& begin = snapshot.footer().points.back();
  snapshot.end_point = snapshot.footer().points.size();
  State state{begin.sequence, begin.hash_after, snapshot.footer().page_size, snapshot.object.name.key};
  for (std::size_t i = 1; i < chain.links.size(); ++i) CAIRN_TRY(join(chain.links[i], state, target));
  const ChainLink& last = chain.links.back();
  chain.page_size = state.page_size;
  chain.point = last.footer().points[last.end_point - 1];
  if (state.sequence == target) return {};
  return Error(ErrorKind::corrupt, fmt::format("{} ends at sequence {} although its name says {}", state.key,
                                               state.sequence.value, target.value));
}

struct FirstRead {
  segment::KeepEnd keep = segment::KeepEnd::no;
  std::uint64_t size_bytes = segment::kFirstReadBytes;
};

// An object that the first read fetches whole needs no second one: as many as a bounded memory holds, the smallest
// first. Of a larger segment all of the footer is to be in the first read; it grows with what is in the object.
std::vector<FirstRead> first_reads(const std::vector<StoredObject>& cover, Wanted wanted) {
  constexpr std::uint64_t kKeptBytes = 16ull << 20, kWholeBytes = 1ull << 20, kFooterShare = 16;
  const std::uint64_t whole_bytes = wanted == Wanted::pages ? kWholeBytes : segment::kFirstReadBytes;
  std::vector<std::size_t> smallest_first(cover.size());
  std::iota(smallest_first.begin(), smallest_first.end(), std::size_t{0});
  std::stable_sort(smallest_first.begin(), smallest_first.end(),
                   [&](std::size_t a, std::size_t b) { return cover[a].size_bytes < cover[b].size_bytes; });
  std::vector<FirstRead> reads(cover.size());
  std::uint64_t kept = 0;
  for (const std::size_t i : smallest_first) {
    const std::uint64_t size = cover[i].size_bytes;
    if (size <= whole_bytes && kept + size <= kKeptBytes) {
      kept += size;
      reads[i] = {segment::KeepEnd::yes, std::max(size, segment::kFirstReadBytes)};
    } else if (cover[i].name.kind == segment::KeyKind::segment) {
      reads[i].size_bytes = std::clamp(size / kFooterShare, segment::kFirstReadBytes, kWholeBytes);
    }
  }
  return reads;
}

}  // namespace

Result<Chain> open_chain(Store& store, const std::vector<StoredObject>& cover, Sequence target,
                         const std::optional<Id128>& claimed, Wanted wanted, Executor& executor) {
  Chain chain;
  chain.links.resize(cover.size());
  const std::vector<FirstRead> reads = first_reads(cover, wanted);
  CAIRN_TRY(parallel_for(executor, cover.size(), [&](std::uint64_t i) -> Result<void> {
    CAIRN_ASSIGN(chain.links[i].reader, segment::ObjectReader::open(store, cover[i].name.key, reads[i].keep,
                                                                       reads[i].size_bytes));
    chain.links[i].object = cover[i];
    return {};
  }));
  CAIRN_TRY(check(chain, target, claimed));
  return chain;
}

}  // namespace cairn::restore
