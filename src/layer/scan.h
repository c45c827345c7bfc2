// Finding out what has changed: the upper directory is walked in the order of names' bytes beside the catalogue. What
// has to be written becomes the plan (plan.h). docs/layers.md has the rules.
//
// Nothing has changed: no file is read, and nothing is written.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string_view>

#include "base/clock.h"
#include "base/executor.h"
#include "cairn/error.h"
#include "layer/catalogue.h"
#include "layer/manifest.h"
#include "layer/tree.h"

namespace cairn::layer {

enum class ScanGoal {
  look,       // only whether there is a change; ends at the first one. A plan that is there stays.
  increment,  // the plan is what differs from the catalogue
  full,       // the plan is everything
};

struct ScanOptions {
  ScanGoal goal = ScanGoal::increment;
  std::function<void(std::string_view)> on_notice;  // mount points, ...; may be empty
  std::stop_token stop;
  Executor* ahead = nullptr;  // reads directories ahead there, if there is one
};

struct ScanResult {
  bool changed = false;                 // full: always
  std::uint64_t entries = 0;            // names seen, the root among them, sockets not
  std::uint64_t planned = 0;            // entries to be written
  std::uint64_t planned_bytes = 0;      // of their contents
  std::uint64_t skipped_sockets = 0;
  bool hides_known = false;  // what is mounted hides names that the store has: a full layer would be without them
  std::uint64_t hashed_files = 0, hashed_bytes = 0;  // read in order to know
};

// Fills the plan, in one transaction of its own; a plan of an earlier scan is gone then, unless nothing has changed.
// Errors as of Tree and Catalogue; cancelled.
Result<ScanResult> scan(Tree& tree, Catalogue& catalogue, Clock& clock, const ScanOptions& options);

}  // namespace cairn::layer
