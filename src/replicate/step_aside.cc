// When a checkpoint of an application waits for our pin although that is not in its way, it is let by.
#include <algorithm>
#include <utility>

#include "replicate/capturer.h"

namespace cairn::replicate {
namespace {

constexpr std::int64_t kLookAgain_us = 5'000;
// SQLite's own busy handler looks again after 1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50 and then every 100 ms (main.c,
// sqliteDefaultBusyCallback). A checkpoint that waited for the pin before this one has seen by then that it may go on;
// one that has read the marks sorts the frames before it shows that. Then it has to look once while we stand aside, and
// once when we are back.
constexpr std::int64_t kStandsStill_us = 40'000, kSortsFrame_us = 1;
constexpr std::int64_t kFirstAside_us = 30'000, kAside_us = 110'000;

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
    aside_us_ = kFirstAside_us;
    return false;
  }
  if (now.mono_us < aside_due_us_) {
    wake_us_ = std::min(wake_us_, aside_due_us_);
    return false;
  }
  CAIRN_ASSIGN(const bool is_aside, database_->step_aside());
  if (is_aside) aside_until_us_ = now.mono_us + std::exchange(aside_us_, kAside_us);
  wake_us_ = std::min(wake_us_, is_aside ? aside_until_us_ : now.mono_us + kLookAgain_us);
  return is_aside;
}

// Nothing else would wake us: whoever waits commits nothing.
void Capturer::look_soon_if_pin_may_be_in_the_way(const Time& now) {
  if (!database_->pin_came_beside_checkpointer()) return;
  aside_due_us_ = now.mono_us + kStandsStill_us + kSortsFrame_us * index_.max_frame.value;
  wake_us_ = std::min(wake_us_, aside_due_us_);
}

}  // namespace cairn::replicate
