// How the capturer rolls the WAL over when it has grown long, so that a writer can restart it: everything is captured,
// the rest of it backfilled, and a floor taken in place of the pin (docs/sqlite.md, "The holds", rule 4).
#include <algorithm>

#include "replicate/capturer.h"

namespace cairn::replicate {

Result<void> Capturer::roll_over_when_due(const Time& now) {
  if (database_->access() == sqlite::Access::read_only || database_->hold() != sqlite::Hold::pin) return {};
  if (index_.max_frame.value < shared_.options.rollover_frames) return {};
  if (now.mono_us < next_roll_us_) {
    wake_us_ = std::min(wake_us_, next_roll_us_);
    return {};
  }
  next_roll_us_ = now.mono_us + 20'000;
  if (spool_is_full() || !capture_trouble_.empty()) return {};
  CAIRN_ASSIGN(const bool done, roll_over_quietly(now));
  return done ? Result<void>() : roll_over_under_gate(now);
}

// Without the write lock: enough when nobody commits just now.
Result<bool> Capturer::roll_over_quietly(const Time& now) {
  CAIRN_ASSIGN(const bool captured, capture(now));
  (void)captured;
  CAIRN_ASSIGN(const bool ran, database_->checkpoint(sqlite::Checkpoint::passive));
  (void)ran;
  CAIRN_ASSIGN(index_, database_->look());
  if (!state_->is_all_of(index_) || !index_.all_backfilled()) return false;
  CAIRN_ASSIGN(const bool on_floor, take_floor());
  if (!on_floor) return false;
  if (database_->try_checkpoint_lock()) wait_for_restart(now);
  return true;
}

Result<void> Capturer::roll_over_under_gate(const Time& now) {
  // What was committed during the checkpoint, so that little is left to be done while others wait.
  CAIRN_ASSIGN(const bool captured, capture(now));
  (void)captured;
  CAIRN_ASSIGN(const bool gate, database_->try_gate());
  if (!gate) return {};
  const std::int64_t began_us = shared_.stopwatch_us();
  auto exchanged = exchange_hold_under_gate(now);
  database_->release_gate();
  const std::int64_t held_us = shared_.stopwatch_us() - began_us;
  lock_times_.add(held_us);
  shared_.set_status([&](ReplicatorStatus& s) {
    s.write_lock_us_last = held_us;
    s.write_lock_us_p999 = lock_times_.at_most_us(999);
    s.write_lock_us_max = std::max(s.write_lock_us_max, held_us);
    ++s.write_lock_count;
  });
  return exchanged;
}

// Nobody can commit now. The tail is captured, the pin moved to the newest commit, the rest backfilled, and then a
// floor taken in place of the pin. Whatever does not succeed, the pin stays.
Result<void> Capturer::exchange_hold_under_gate(const Time& now) {
  CAIRN_ASSIGN(index_, database_->look());
  // A long tail is not captured while others wait; a writer who leaves us no shorter one is made to wait longer.
  const std::uint32_t tail_limit = 64u << std::min(gate_tries_, 5);
  const WalPosition& position = state_->position();
  if (index_.salts != position.salts || index_.max_frame.value - position.frame.value > tail_limit) {
    ++gate_tries_;
    next_roll_us_ = now.mono_us;
    return {};
  }
  gate_tries_ = 0;
  CAIRN_ASSIGN(const bool captured, capture(now));
  (void)captured;
  if (index_.max_frame > database_->pinned_frame()) {
    CAIRN_ASSIGN(const bool moved, database_->advance(now.mono_us, [this](const wal::IndexHeader& upto) {
      return pass_ ? pass_->view().preserve(upto) : Result<void>();
    }));
    if (!moved) return {};
  }
  CAIRN_ASSIGN(const bool ran, database_->checkpoint(sqlite::Checkpoint::passive));
  (void)ran;
  const bool alone = database_->try_checkpoint_lock();
  CAIRN_ASSIGN(const bool on_floor, take_floor());
  if (on_floor && alone) wait_for_restart(now);
  if (!on_floor && alone) database_->release_checkpoint_lock();
  return {};
}

// Other checkpointers are kept out for a moment, in which a writer that is busy restarts the WAL: then no checkpointer
// can have seen it as it was before.
void Capturer::wait_for_restart(const Time& now) {
  constexpr std::int64_t kWait_us = 3'000;
  restart_wait_until_us_ = now.mono_us + kWait_us;
  wake_us_ = std::min(wake_us_, now.mono_us + 1'000);
  shared_.set_status([](ReplicatorStatus& s) { ++s.rollovers; });
}

}  // namespace cairn::replicate
