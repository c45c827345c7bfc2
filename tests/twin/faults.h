// What can go wrong between a client and an object store, drawn from a seed.
//
// Whether a request suffers is decided by (seed, operation, what it is about, how often that came before) alone:
// threads that overtake each other change nothing, so a seed replays.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/mutex.h"
#include "twin/operation.h"

namespace cairn::twin {

enum class Fault {
  // No effect, and an answer that says so.
  error_before,       // 500 InternalError
  slow_down,          // 503 SlowDown
  slow_down_wait,     // the same with Retry-After
  too_many,           // 429
  request_timeout,    // 400 RequestTimeout
  proxy_error,        // 502 and a page of HTML, from something in between
  empty_error,        // 503 without a body
  burst,              // 503 SlowDown for this request and the next ones
  clock_skew,         // RequestTimeTooSkewed, by a server whose clock is hours ahead
  conflict,           // 409 ConditionalRequestConflict; on a complete the upload is gone
  expired_upload,     // the upload is gone: NoSuchUpload
  // No effect, and no answer.
  reset_before,       // the connection is reset when the headers have come
  reset_in_request,   // ... in the middle of the body
  // The effect is there, the client is not told.
  error_after,        // 500 InternalError
  reset_after,        // the connection is reset instead of an answer
  lost_complete,      // the same on a complete; afterwards NoSuchUpload, whatever the dialect
  ok_then_error_after,  // 200, white space, <Error>
  // The answer is damaged or late.
  ok_then_error,      // 200, white space, <Error>; no effect
  slow_complete,      // 200, white space, the result
  reset_in_answer,    // half of the body, then a reset
  truncated,          // half of the body, then a tidy close
  slow_body,          // the body comes in small pieces
  stall,              // half of the body, then nothing until the client gives up
  flipped,            // one bit of an object's body
  flipped_document,   // one bit of the document that an answer is
  wrong_checksum,     // a checksum that is not the object's is echoed
  silent_close,       // the kept-alive connection is closed after the answer, which did not say so
  some_stay,          // of a batch of deletions every other one fails, and is named
  // Listings.
  one_key,            // one key a page
  stale_list,         // without the newest objects; S3 has been consistent since 2020
};
inline constexpr std::size_t kFaultCount = 30;

std::string_view name_of(Fault fault);
std::optional<Fault> fault_named(std::string_view name);
// All that S3 itself may do to a client that is correct. Not: stall (takes the client's whole patience), stale_list
// (other stores), clock_skew (nobody's clock jumps at random), flipped_document (nobody can tell it from a true one).
std::vector<Fault> ordinary_faults();
// All of them.
std::vector<Fault> every_fault();
// Which operations a fault can befall; of some only those requests that have a body, or a condition.
Operations befallen_by(Fault fault);

// What of a request decides which faults can befall it.
struct FaultSubject {
  Operation operation = Operation::unknown;
  std::string about;            // the key, part, prefix
  bool has_body = false;
  bool has_condition = false;
};

struct FaultPlan {
  std::uint64_t seed = 1;
  int per_mille = 0;  // of the requests that one of the faults can befall
  std::vector<Fault> faults = ordinary_faults();
  Operations operations = Operations::all();
  int burst_length = 4;  // requests, of any operation, after the one that began it
};

class FaultDice {
 public:
  void set_plan(const FaultPlan& plan) EXCLUDES(mutex_);
  // Besides the plan: of the coming requests of this operation, the first `skip` pass, the next `count` fail.
  void fail_next(Operation operation, Fault fault, int count, int skip) EXCLUDES(mutex_);
  std::optional<Fault> roll(const FaultSubject& subject) EXCLUDES(mutex_);
  // So many requests have been asked about.
  std::uint64_t rolls() EXCLUDES(mutex_);

 private:
  struct Ordered {
    Fault fault;
    int skip;
    int count;
  };
  std::optional<Fault> ordered(Operation operation) REQUIRES(mutex_);

  Mutex mutex_;
  FaultPlan plan_ GUARDED_BY(mutex_);
  std::map<std::pair<Operation, std::string>, std::uint64_t> seen_ GUARDED_BY(mutex_);
  ByOperation<std::deque<Ordered>> orders_ GUARDED_BY(mutex_);
  int burst_left_ GUARDED_BY(mutex_) = 0;
  std::uint64_t rolls_ GUARDED_BY(mutex_) = 0;
};

}  // namespace cairn::twin
