// Conditions of writes. Of two that race, engines tell the later one different things: that its condition failed (412),
// that somebody was in its way (409), or that something went wrong (500). It raced when what it lost to was written
// after it had arrived.
#include <fmt/format.h>

#include "twin/service.h"

namespace cairn::twin {

Response Service::condition_failed(const Request& request) {
  const StoredObject* const object = find_object(request.bucket, request.key);
  const bool raced = object != nullptr && object->written_at > request.arrived_at;
  if (raced && dialect_.race_loser_status == 409) {
    return error_answer(409, "ConditionalRequestConflict",
                        "The conditional request cannot succeed due to a conflicting operation against this "
                        "resource.");
  }
  if (raced && dialect_.race_loser_status == 500) {
    return error_answer(500, "InternalError", "We encountered an internal error. Please try again.");
  }
  return error_answer(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold",
                      {{"Condition", request.header("if-match") != nullptr ? "If-Match" : "If-None-Match"}});
}

Refusal Service::check_create_only(const Request& request, Conditions policy) {
  const std::string* const value = request.header("if-none-match");
  if (value == nullptr || policy == Conditions::ignored) return std::nullopt;
  if (policy == Conditions::refused || *value != "*") return not_implemented("If-None-Match: " + *value);
  if (find_object(request.bucket, request.key) == nullptr) return std::nullopt;
  return condition_failed(request);
}

Refusal Service::check_if_match(const Request& request, Conditions policy) {
  const std::string* const value = request.header("if-match");
  if (value == nullptr || policy == Conditions::ignored) return std::nullopt;
  if (policy == Conditions::refused || value->find_first_of(",*") != std::string::npos) {
    return not_implemented("If-Match: " + *value);
  }
  const StoredObject* const object = find_object(request.bucket, request.key);
  if (object == nullptr) return no_such_key(request);
  // An engine that does not take the quotes off compares them too.
  const std::string_view etag = dialect_.quoted_if_match ? unquoted(*value) : std::string_view(*value);
  if (etag == object->etag) return std::nullopt;
  return condition_failed(request);
}

Refusal Service::check_write_condition(const Request& request) {
  if (request.condition_was_checked) return std::nullopt;
  Conditions create_only = Conditions::honoured, if_match = Conditions::honoured;
  switch (request.operation) {
    case Operation::put_object:
      create_only = dialect_.put_create_only;
      if_match = dialect_.put_if_match;
      break;
    case Operation::complete_upload: create_only = if_match = dialect_.complete; break;
    case Operation::delete_object: if_match = dialect_.remove; break;
    default: return std::nullopt;
  }
  if (Refusal refusal = check_create_only(request, create_only)) return refusal;
  return check_if_match(request, if_match);
}

}  // namespace cairn::twin
