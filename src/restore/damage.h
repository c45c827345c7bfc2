// Planning around objects that turn out to be damaged, or that are listed and not there. What they hold may lie in
// others as well: on other levels, or behind an older snapshot. What is asked for stays what it was: their names and
// what is known of them say which state that is, only no way may lead through them.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "restore/history.h"

namespace cairn::restore {

// By key, what is wrong.
using Damage = std::map<std::string, std::string, std::less<>>;

// Those without damage.
std::vector<StoredObject> whole(const std::vector<StoredObject>& objects, const Damage& damage);
// The others, which are in `objects` no more.
std::vector<StoredObject> take_damaged(std::vector<StoredObject>& objects, const Damage& damage);

// The newest state at or before `target` that could be reached if all were whole. Of a damaged object nothing but its
// name is believed: it may have any state in its range.
std::optional<Sequence> newest_hoped_for(const std::vector<StoredObject>& snapshots,
                                         const std::vector<StoredObject>& segments, const Damage& damage,
                                         Sequence target);
// Whether it is `target` itself.
bool might_be_reached(const std::vector<StoredObject>& snapshots, const std::vector<StoredObject>& segments,
                      const Damage& damage, Sequence target);

// Why `target`, which might have been reached, cannot be.
Error only_by_damaged(const std::vector<StoredObject>& snapshots, const std::vector<StoredObject>& segments,
                      const Damage& damage, Sequence target);

}  // namespace cairn::restore
