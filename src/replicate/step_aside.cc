// When a checkpoint of an application waits for our pin although that is not in its way, it is let by.
#include <algorithm>
#include <utility>

#include "replicate/capturer.h"

namespace cairn::replicate {
namespace {

constexpr std::int64_t kLookAgain_us = 5'000;
// A checkpoint that goes on shows that within microseconds of reading the marks.
constexpr std::int64_t kStandsStill_us = 10'000;
// SQLite's own busy handler looks again after 1, 2, 5, 10, 15, 20, 25 ms in the beginning, and after 100 ms in the end
// (main.c, sqliteDefaultBusyCallback). It has to look once while we stand aside, and once when we are back.
constexpr std::int64_t kFirstAside_us = 20'000, kAside_us = 110'000;

}  // namespace

// True: it stands aside, and so the hold is to stay what it is.
Result<bool> Capturer::stands_aside(const Time& now) {
  if (database_->is_aside()) {
    if (now.mono_us < aside_until_us_) {
      wake_us_ = std::min(wake_us_, aside_until_us_);
      return true;
    }
    CAIRN_ASSIGN(const bool is_back, move_pin(now));
    aside_due_us_ = now.mono_us + kAside_us;
    wake_us_ = std::min(wake_us_, now.mono_us + kLookAgain_us);
    return !is_back;
  }
  if (!database_->pin_may_be_waited_for_in_vain(index_)) {
    aside_due_us_ = -1;
    return false;
  }
  const bool is_first = aside_due_us_ < 0;
  if (is_first) aside_due_us_ = now.mono_us + kStandsStill_us;
  if (is_first) aside_us_ = kFirstAside_us;
  if (now.mono_us < aside_due_us_) {
    wake_us_ = std::min(wake_us_, aside_due_us_);
    return false;
  }
  CAIRN_ASSIGN(const bool is_aside, database_->step_aside());
  aside_until_us_ = now.mono_us + std::exchange(aside_us_, kAside_us);
  wake_us_ = std::min(wake_us_, is_aside ? aside_until_us_ : now.mono_us + kLookAgain_us);
  return is_aside;
}

}  // namespace cairn::replicate
