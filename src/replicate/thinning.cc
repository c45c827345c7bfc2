// What may go, and in which order, is the pruner's business (src/compact). Here is only when. A process that has
// begun a moment ago does not prune: what is started again and again, and each time runs for minutes, is for `cairn
// prune`.
#include "replicate/thinning.h"

#include <algorithm>
#include <limits>

#include "cairn/compactor.h"
#include "fmt/format.h"
#include "store/around.h"

namespace cairn::replicate {
namespace {

constexpr std::int64_t kNothingToThin_us = 3600ll * 1'000'000;
constexpr std::int64_t kUntilFirm_us = 2'000'000;
constexpr std::int64_t kFirst_ms = 3'600'000;
constexpr std::int64_t kThinAgain_us = 3600ll * 1'000'000;
constexpr std::int64_t kThinSoon_us = 300ll * 1'000'000;  // the store was away, or another prune at work

// A store that says no more when upkeep is to end. A prune may be broken off between any two calls.
class EndingStore final : public StoreAround<EndingStore> {
 public:
  EndingStore(Store& inner, const std::atomic<bool>& ends) : inner_(inner), ends_(ends) {}
  Store& inner() const { return inner_; }
  template <class Call>
  auto around(const StoreCall&, const Call& call) -> decltype(call()) {
    if (ends_) return Error(ErrorKind::cancelled, "upkeep is to end");
    return call();
  }

 private:
  Store& inner_;
  const std::atomic<bool>& ends_;
};

}  // namespace

std::int64_t Thinning::look(const Time& now) {
  if (shared_.options.pruner == nullptr) return now.mono_us + kNothingToThin_us;
  if (shared_.upkeep_ends || !shared_.is_firm()) return now.mono_us + kUntilFirm_us;
  if (due_us_ < 0) begin(now);
  if (now.mono_us < due_us_) return due_us_;
  // Nothing new: what is kept depends on nothing else, so an idle database costs no requests.
  if (!is_wanted()) return now.mono_us + kNothingToThin_us;
  due_us_ = prune(now);
  return due_us_;
}

// Goes on where the one stood that went to rest: each that wakes for a moment would begin its first hour anew.
void Thinning::begin(const Time& now) {
  if (const auto& known = shared_.options.known; known && known->thinning_us >= 0) {
    due_us_ = known->thinning_us;
    pruned_at_ = known->thinned_at;
    return;
  }
  due_us_ = now.mono_us + std::min(kFirst_ms, shared_.options.prune_interval_ms) * 1000;
  MutexLock hold(shared_.mutex);
  pruned_at_ = shared_.published;
}

std::int64_t Thinning::due_us() {
  const bool waits = shared_.options.pruner != nullptr && due_us_ >= 0 && is_wanted();
  return waits ? due_us_ : std::numeric_limits<std::int64_t>::max();
}

void Thinning::remember(Remembered& known) const {
  known.thinning_us = due_us_;
  known.thinned_at = pruned_at_;
}

bool Thinning::is_wanted() {
  MutexLock hold(shared_.mutex);
  return shared_.status.has_snapshot && shared_.published > pruned_at_;
}

std::int64_t Thinning::prune(const Time& now) {
  Sequence published;
  {
    MutexLock hold(shared_.mutex);
    published = shared_.published;
  }
  EndingStore store(shared_.store, shared_.upkeep_ends);
  const auto report = shared_.options.pruner->prune(store, shared_.options.replica);
  if (!report) return note_failure(report.error(), now);
  pruned_at_ = published;
  trouble_ = {};
  shared_.set_status([&](ReplicatorStatus& s) {
    ++s.prunes;
    s.pruned_objects += report->removed_objects;
    s.pruned_bytes += report->removed_bytes;
    s.pruned_points += report->dropped_points;
  });
  return now.mono_us + shared_.options.prune_interval_ms * 1000;
}

// Replication goes on whatever it is.
std::int64_t Thinning::note_failure(const Error& error, const Time& now) {
  switch (error.kind()) {
    case ErrorKind::cancelled: return now.mono_us;
    case ErrorKind::busy:         // another prune does it
    case ErrorKind::retry_later:  // a store that is away is told of by whoever publishes
    case ErrorKind::maybe_done: return now.mono_us + kThinSoon_us;
    default: break;
  }
  trouble_ = {fmt::format("the past is not thinned, and all of it stays: {}. Replication goes on", error.message()),
              error.kind()};
  return now.mono_us + kThinAgain_us;
}

}  // namespace cairn::replicate
