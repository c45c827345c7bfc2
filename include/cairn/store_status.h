// What a store tells of itself, for people and for metrics: what was asked of it, in the way that providers bill it,
// and how it is.
#pragma once

#include <cstdint>
#include <string>

namespace cairn {

// Requests that were answered (a provider bills no answer that did not come, and none of 5xx), by the kinds that have
// different prices, and the bytes of their bodies. Repeated requests count each time.
struct StoreUsage {
  std::uint64_t writes = 0;   // put, part, copy, and what begins and completes uploads
  std::uint64_t lists = 0;    // of objects, parts and uploads
  std::uint64_t reads = 0;    // get and head
  std::uint64_t deletes = 0;  // delete and abort
  std::uint64_t unanswered = 0;  // no answer, or one of 5xx: not billed
  std::uint64_t sent_bytes = 0, received_bytes = 0;

  bool is_zero() const { return writes + lists + reads + deletes + unanswered == 0; }
};

enum class BreakerState {
  closed,     // all is well
  open,       // it kept failing: left alone for a while
  half_open,  // one call goes through, to see whether it is back
};
constexpr const char* name_of(BreakerState state) {
  return state == BreakerState::closed ? "closed" : state == BreakerState::open ? "open" : "half_open";
}

struct StoreStatus {
  StoreUsage usage;     // all zero where requests cost nothing: a directory, memory
  std::string service;  // the host that answers, "s3.eu-central-1.amazonaws.com"; empty: none
  BreakerState breaker = BreakerState::closed;
  std::uint64_t retries = 0;  // calls that were made once more after a failure
};

}  // namespace cairn
