#include "twin/exchange.h"

#include "twin/text.h"

namespace cairn::twin {
namespace {

constexpr std::int64_t kSkewMs = 7ll * 3600 * 1000;

FaultSubject subject_of(const Request& request) {
  FaultSubject subject;
  subject.operation = request.operation;
  // Upload ids differ from run to run, and are left out.
  subject.about = request.key;
  for (const char* const name : {"partNumber", "prefix", "start-after"}) {
    if (const std::string* const value = request.argument(name)) subject.about += "?" + *value;
  }
  subject.has_body = request.header_or("content-length", "0") != "0";
  subject.has_condition = request.header("if-none-match") != nullptr || request.header("if-match") != nullptr;
  return subject;
}

Response internal_error() {
  return error_answer(500, "InternalError", "We encountered an internal error. Please try again.");
}

// What a fault answers without looking at the request; nothing: it does something else.
std::optional<Response> answer_of(Fault fault) {
  switch (fault) {
    case Fault::error_before: return internal_error();
    case Fault::slow_down:
    case Fault::burst: return error_answer(503, "SlowDown", "Please reduce your request rate.");
    case Fault::slow_down_wait:
      return error_answer(503, "SlowDown", "Please reduce your request rate.").with("retry-after", "1");
    case Fault::too_many: return error_answer(429, "TooManyRequests", "Please reduce your request rate.");
    case Fault::request_timeout:
      return error_answer(400, "RequestTimeout",
                          "Your socket connection to the server was not read from or written to within the timeout "
                          "period. Idle connections will be closed.");
    case Fault::proxy_error: {
      Response response;
      response.status = 502;
      response.code = "(proxy)";
      response.body = Rope::of("<html><head><title>502 Bad Gateway</title></head><body>Bad Gateway<hr></body></html>");
      return response.with("content-type", "text/html");
    }
    case Fault::empty_error: {
      Response response;
      response.status = 503;
      response.code = "(empty)";
      return response;
    }
    default: return std::nullopt;
  }
}

void flip_a_bit(Response& response) {
  if (response.body.size_bytes() == 0 || response.is_error()) return;
  std::string bytes = response.body.text();
  char& victim = bytes[bytes.size() * 2 / 3];
  victim = static_cast<char>(victim ^ 0x10);
  response.body = Rope::of(bytes);
}

// Another bit each time, so that each value of a document has its turn.
void flip_some_bit(Response& response, std::uint64_t salt) {
  if (response.body.size_bytes() == 0 || response.is_error()) return;
  std::string bytes = response.body.text();
  constexpr std::uint64_t kSpread = 0x9E3779B97F4A7C15u;
  const std::uint64_t bit = (salt * kSpread >> 16) % (bytes.size() * 8);
  bytes[bit / 8] = static_cast<char>(static_cast<unsigned char>(bytes[bit / 8]) ^ (1u << (bit % 8)));
  response.body = Rope::of(bytes);
}

void spoil_checksum(Response& response) {
  for (Header& header : response.headers) {
    if (!header.name.starts_with("x-amz-checksum-") || header.name == "x-amz-checksum-type") continue;
    header.value[0] = header.value[0] == 'A' ? 'B' : 'A';
  }
}

// The status line says that all is well, the document says that it is not.
Answer ok_with_error() {
  Response response = internal_error();
  response.status = 200;
  return {std::move(response), Delivery::padded};
}

}  // namespace

Exchange::Exchange(Service& service, FaultDice& dice, Request request)
    : service_(service), request_(std::move(request)) {
  refusal_ = service_.interpret(request_);
  if (refusal_) return;
  fault_ = dice.roll(subject_of(request_));
  salt_ = dice.rolls();
  if (fault_ == Fault::clock_skew) skew_ms_ = kSkewMs;
  refusal_ = service_.admit(request_, skew_ms_);
  // Who may not come in meets no further trouble.
  if (refusal_ && fault_ != Fault::clock_skew) fault_ = std::nullopt;
}

bool Exchange::is_unguarded() const {
  const bool has_condition =
      request_.header("if-none-match") != nullptr || request_.header("if-match") != nullptr;
  return request_.condition_was_checked && has_condition && !refusal_;
}

Answer Exchange::answer() {
  if (refusal_) return {*refusal_};
  if (!fault_) return {service_.handle(request_)};
  if (auto response = answer_of(*fault_)) return {std::move(*response)};
  return applied();
}

Answer Exchange::applied() {
  if (fault_ == Fault::ok_then_error) return ok_with_error();
  Twist twist;
  twist.one_key = fault_ == Fault::one_key;
  twist.stale_list = fault_ == Fault::stale_list;
  twist.conflict = fault_ == Fault::conflict;
  twist.upload_is_gone = fault_ == Fault::expired_upload;
  twist.forget_finished = fault_ == Fault::lost_complete;
  twist.some_stay = fault_ == Fault::some_stay;
  Answer answer{service_.handle(request_, twist)};
  const bool is_good = !answer.response.is_error();
  switch (*fault_) {
    case Fault::error_after:
      if (is_good) answer.response = internal_error();
      break;
    case Fault::ok_then_error_after:
      if (is_good) return ok_with_error();
      break;
    case Fault::reset_after:
    case Fault::lost_complete: answer.delivery = Delivery::reset; break;
    case Fault::slow_complete:
      if (is_good) answer.delivery = Delivery::padded;
      break;
    case Fault::reset_in_answer: answer.delivery = Delivery::reset_midway; break;
    case Fault::truncated: answer.delivery = Delivery::closed_midway; break;
    case Fault::stall: answer.delivery = Delivery::stalled_midway; break;
    case Fault::slow_body: answer.delivery = Delivery::trickling; break;
    case Fault::silent_close: answer.delivery = Delivery::silently_closed; break;
    case Fault::flipped: flip_a_bit(answer.response); break;
    case Fault::flipped_document: flip_some_bit(answer.response, salt_); break;
    case Fault::wrong_checksum: spoil_checksum(answer.response); break;
    default: break;
  }
  return answer;
}

}  // namespace cairn::twin
