// A store that fails, as a plan and a seed say: what a network and a tired disk do to every caller, in tests.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "base/clock.h"
#include "cairn/store.h"
#include "store/operation.h"

namespace cairn {

// How many of a thousand calls fail in which way. At most one of them happens to a call.
struct FaultRates {
  int before = 0;  // no effect; retry_later
  int after = 0;   // the effect is there, the answer was lost; maybe_done (retry_later where nothing changes)
  int lost = 0;    // no effect, and the caller cannot know; maybe_done (retry_later where nothing changes)
  int denied = 0;  // no effect; denied
};

// May be changed at any time at which no call is under way.
struct FaultPlan {
  std::array<FaultRates, kOperationCount> rates;
  std::int64_t retry_after_ms = 0;  // what a store that is overloaded asks for
  // Of a thousand gets that succeed, how many give bytes that are cut short, or have one bit flipped.
  int truncated = 0;
  int flipped = 0;
  // Listings do not show objects that were made less than that many calls ago.
  std::uint64_t hidden_calls = 0;
  // At most so many keys on a page of a listing, whatever was asked for; 0: as asked for.
  int page_limit = 0;

  std::uint64_t injected = 0;  // how many faults have happened

  FaultRates& of(Operation operation) { return rates[static_cast<std::size_t>(operation)]; }
  void set_all(const FaultRates& same) { rates.fill(same); }
};

// All three must outlive the store; `plan` and `random` are touched by its calls only, one at a time.
std::unique_ptr<Store> make_faulty_store(Store& inner, FaultPlan& plan, SeededRandom& random);

}  // namespace cairn
