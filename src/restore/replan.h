// A plan for a state, and what is done when an object of it turns out to be gone or damaged: the plan is made again,
// from a fresh list and without what is damaged (damage.h).
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "cairn/restore.h"
#include "restore/damage.h"
#include "restore/history.h"
#include "restore/unlisted.h"
#include "restore/watched_store.h"

namespace cairn::restore {

struct Planned {
  Sequence target;
  std::vector<StoredObject> cover;  // as of cheapest_cover
};

// Errors as locate, cheapest_cover and only_by_damaged have them. `known`: what the caller put there itself.
Result<Planned> make_plan(Store& store, std::string_view replica, const RestoreTarget& target, const Damage& damage,
                          Executor& executor, const Known& known = {});

// What is learned from attempts that fail.
class Replans {
 public:
  // Whether another attempt may succeed: `error` is about an object that has not been known to be gone or damaged.
  // What has vanished for the first time was pruned meanwhile; what is gone and still listed is as good as damaged, and
  // there are only so many objects.
  bool are_worth_it(const Error& error, WatchedStore& watched, Damage& damage);

 private:
  std::set<std::string> gone_;
  int in_vain_ = 0;
};

// Runs `attempt` on a watched store until it succeeds, or fails for another reason. It does without what is in
// `damage`, to which is added what it finds.
template <class T, class Attempt>
Result<T> with_replans(Store& store, Damage& damage, Attempt attempt) {
  for (Replans replans;;) {
    WatchedStore watched(store);
    Result<T> result = attempt(watched);
    if (result || !replans.are_worth_it(result.error(), watched, damage)) return result;
  }
}

}  // namespace cairn::restore
