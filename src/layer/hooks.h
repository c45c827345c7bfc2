// Where a test may end a sync: named points between any two steps of the journal. Compiled always, and empty outside of
// tests.
#pragma once

#include <functional>
#include <string_view>

#include "cairn/error.h"

namespace cairn::layer {

class Hook {
 public:
  using Function = std::function<Result<void>(std::string_view point)>;
  Hook() = default;
  // An error of the function ends the sync at once, as a crash would: nothing is tidied up.
  explicit Hook(Function function) : function_(std::move(function)) {}

  bool has_fired() const { return has_fired_; }

 private:
  friend Result<void> pass(const Hook& hook, std::string_view point);
  Function function_;
  mutable bool has_fired_ = false;
};

inline Result<void> pass(const Hook& hook, std::string_view point) {
  if (!hook.function_) return {};
  Result<void> passed = hook.function_(point);
  if (!passed) hook.has_fired_ = true;
  return passed;
}

inline Error stopped() { return Error(ErrorKind::cancelled, "stopped: the next sync goes on from here"); }

}  // namespace cairn::layer
