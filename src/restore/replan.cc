#include "restore/replan.h"

#include <fmt/format.h>

#include "restore/plan.h"
#include "restore/pruned.h"
#include "restore/target.h"

namespace cairn::restore {
namespace {

constexpr int kReplans = 3;

}  // namespace

Result<Planned> make_plan(Store& store, std::string_view replica, const RestoreTarget& target, const Damage& damage,
                          Executor& executor, const Known& known) {
  CAIRN_ASSIGN(const Located located, locate(store, replica, target, executor, damage, known));
  const auto& [_, snapshots, segments] = located;
  const Prices prices{.request = target.request_costs_bytes, .byte = 1};
  auto cover = cheapest_cover(whole(snapshots, damage), whole(segments, damage), located.target, prices);
  if (cover) return Planned{located.target, std::move(*cover)};
  if (!damage.empty() && might_be_reached(snapshots, segments, damage, located.target)) {
    return only_by_damaged(snapshots, segments, damage, located.target);
  }
  if (cover.error().kind() != ErrorKind::corrupt) return cover.error();
  CAIRN_ASSIGN(const Pruned pruned, read_pruned(store, replica));
  if (!pruned.covers(located.target, located.target)) return cover.error();
  return Error(ErrorKind::not_found, fmt::format("sequence {} was pruned: 'cairn history' lists the states that there "
                                                 "are", located.target.value));
}

bool Replans::are_worth_it(const Error& error, WatchedStore& watched, Damage& damage) {
  const std::size_t gone_before = gone_.size(), damaged_before = damage.size();
  if (error.kind() == ErrorKind::corrupt && !error.damaged_object().empty()) {
    damage.emplace(error.damaged_object(), error.message());
  }
  if (error.kind() == ErrorKind::not_found && watched.vanished()) {
    const std::set<std::string> vanished = watched.take_vanished();
    gone_.insert(vanished.begin(), vanished.end());
    if (gone_.size() > gone_before || in_vain_++ < kReplans) return true;
    for (const std::string& key : vanished) {
      damage.emplace(key, key + " is listed, but is not there: it is lost, or the store lists it late");
    }
  }
  return damage.size() > damaged_before;
}

}  // namespace cairn::restore
