// Errors are values. Every call that can fail returns Result<T>: the value, or an Error.
//
//   Result<Footer> footer = read_footer(store, key);
//   if (!footer) return footer.error().with("restore app.db");
//
// The kind of an error is named by what the caller does next, never by where it came from. The message is one
// sentence for a person: what happened, to what, and what to do. Log an error or return it, never both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace cairn {

enum class ErrorKind {
  not_found,    // it is really not there (a real 404, ENOENT): nothing to do, or start afresh
  conflict,     // somebody else's is there, or the histories diverge: stop, ask a person
  retry_later,  // the other side is overloaded or away: the same call may succeed later
  maybe_done,   // the request may have been applied although no answer came: look, then decide
  denied,       // not allowed: a person has to change rights or credentials
  corrupt,      // bytes are not what they must be: never used, reported
  invalid,      // the caller asked for something that makes no sense: usage or configuration
  unsupported,  // meaningful, but this side cannot do it: another way, or refuse
  busy,         // somebody holds a lock: try again in a moment
  cancelled,    // the caller asked to stop
  io,           // the operating system failed: full disk, broken disk
};

inline constexpr std::size_t kErrorKinds = static_cast<std::size_t>(ErrorKind::io) + 1;

// The kind as it is printed in messages and JSON: "not_found", "conflict", ...
std::string_view name_of(ErrorKind kind);

class [[nodiscard]] Error {
 public:
  Error(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }

  // How long the other side asks to be left alone before the same call is made again; 0: it did not say.
  std::int64_t retry_after_ms() const { return retry_after_ms_; }

  // Of `corrupt`: the key of the one object that is damaged; empty: it is not known to be one alone.
  const std::string& damaged_object() const { return damaged_object_; }

  // The same error seen from one level further up: "context: message". The rest stays.
  Error with(std::string_view context) const;
  // The same message under another kind, where a level knows better what is to be done.
  Error as(ErrorKind kind) const {
    Error same = *this;
    same.kind_ = kind;
    return same;
  }
  Error about_object(std::string_view key) const {
    Error same = *this;
    same.damaged_object_ = key;
    return same;
  }
  Error after(std::int64_t retry_after_ms) const {
    Error same = *this;
    same.retry_after_ms_ = retry_after_ms;
    return same;
  }

 private:
  ErrorKind kind_;
  std::string message_;
  std::int64_t retry_after_ms_ = 0;
  std::string damaged_object_;
};

// std::expected with [[nodiscard]] on the type: a result that nobody looks at is a compile error in this house.
template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
  Result(Error error) : std::expected<T, Error>(std::unexpect, std::move(error)) {}
};

template <>
class [[nodiscard]] Result<void> : public std::expected<void, Error> {
 public:
  using std::expected<void, Error>::expected;
  Result(Error error) : std::expected<void, Error>(std::unexpect, std::move(error)) {}
};

}  // namespace cairn

// CAIRN_TRY(call);               returns the error of a Result<void> (or of any Result whose value is not needed)
// CAIRN_ASSIGN(auto x, call);    declares x, or returns the error (a lambda that uses them is named before the call)
#define CAIRN_CAT_(a, b) a##b
#define CAIRN_CAT(a, b) CAIRN_CAT_(a, b)
#define CAIRN_TRY(...)                                                                        \
  do {                                                                                        \
    if (auto cairn_result_ = (__VA_ARGS__); !cairn_result_) return cairn_result_.error();     \
  } while (0)
#define CAIRN_ASSIGN(decl, ...) CAIRN_ASSIGN_(CAIRN_CAT(cairn_assign_, __LINE__), decl, __VA_ARGS__)
#define CAIRN_ASSIGN_(tmp, decl, ...)     \
  auto tmp = (__VA_ARGS__);               \
  if (!tmp) return tmp.error();           \
  decl = std::move(*tmp)
