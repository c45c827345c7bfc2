#include "cairn/error.h"

namespace cairn {

std::string_view name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::not_found:
      return "not_found";
    case ErrorKind::conflict:
      return "conflict";
    case ErrorKind::retry_later:
      return "retry_later";
    case ErrorKind::maybe_done:
      return "maybe_done";
    case ErrorKind::denied:
      return "denied";
    case ErrorKind::corrupt:
      return "corrupt";
    case ErrorKind::invalid:
      return "invalid";
    case ErrorKind::unsupported:
      return "unsupported";
    case ErrorKind::busy:
      return "busy";
    case ErrorKind::cancelled:
      return "cancelled";
    case ErrorKind::io:
      return "io";
  }
  return "unknown";
}

Error Error::with(std::string_view context) const {
  std::string text;
  text.reserve(context.size() + 2 + message_.size());
  text.append(context).append(": ").append(message_);
  Error same = *this;
  same.message_ = std::move(text);
  return same;
}

}  // namespace cairn
