// When the past of a replica is thinned: now and then, on the thread of upkeep, by the pruner that was given.
#pragma once

#include <cstdint>

#include "replicate/rest.h"
#include "replicate/shared.h"

namespace cairn::replicate {

class Thinning {
 public:
  explicit Thinning(Shared& shared) : shared_(shared) {}
  // Prunes when that is due. Returns when to look again.
  std::int64_t look(const Time& now);
  // When there is something to thin if nothing more is published.
  std::int64_t due_us();
  void remember(Remembered& known) const;
  const UpkeepTrouble& trouble() const { return trouble_; }

 private:
  void begin(const Time& now);
  bool is_wanted();
  std::int64_t prune(const Time& now);
  std::int64_t note_failure(const Error& error, const Time& now);

  Shared& shared_;
  std::int64_t due_us_ = -1;
  Sequence pruned_at_;  // what had been published then, or when this process began
  UpkeepTrouble trouble_;
};

}  // namespace cairn::replicate
