// One request and its answer, with the fault that befalls it: everything about it but the moving of bytes.
#pragma once

#include <cstdint>
#include <optional>

#include "twin/faults.h"
#include "twin/message.h"
#include "twin/service.h"

namespace cairn::twin {

// How an answer goes out.
enum class Delivery {
  whole,
  padded,          // status and headers, white space for a while, the body: as S3 does while it puts parts together
  trickling,
  reset,           // not at all
  reset_midway,
  closed_midway,
  stalled_midway,
  silently_closed,  // whole, then a close that no header announced
};

struct Answer {
  Response response;
  Delivery delivery = Delivery::whole;
};

class Exchange {
 public:
  // Takes the request whose headers have come.
  Exchange(Service& service, FaultDice& dice, Request request);

  // Not even the body is read.
  bool is_reset_before_body() const { return fault_ == Fault::reset_before; }
  bool is_reset_in_body() const { return fault_ == Fault::reset_in_request; }
  // Already decided: the body is of no use.
  bool is_refused() const { return refusal_.has_value(); }

  Request& request() { return request_; }
  std::optional<Fault> fault() const { return fault_; }
  // How far the server's clock is off, here.
  std::int64_t skew_ms() const { return skew_ms_; }
  // The effect of a conditional write has to wait, where conditions are looked at too early.
  bool is_unguarded() const;
  // When the body is in the request.
  Answer answer();

 private:
  Answer applied();

  Service& service_;
  Request request_;
  Refusal refusal_;
  std::optional<Fault> fault_;
  std::int64_t skew_ms_ = 0;
  std::uint64_t salt_ = 0;  // of what a fault draws
};

}  // namespace cairn::twin
