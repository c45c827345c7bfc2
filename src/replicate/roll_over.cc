// How the capturer rolls the WAL over when it has grown long, so that a writer can restart it: everything is captured,
// the rest of it backfilled, and a floor taken in place of the pin (docs/sqlite.md, "The holds", rule 4).
#include <algorithm>
#include <limits>
#include <utility>

#include "replicate/capturer.h"
#include "replicate/write_lock_counts.h"

namespace cairn::replicate {
namespace {
constexpr std::int64_t kLongestBetween_us = 1'000'000;
constexpr std::int64_t kTrouble_us = 1'000'000;    // as long as the disk is full or failing
constexpr std::int64_t kGatePatience_us = 10'000;  // an application's RESTART that waits for our pin waits for that too
constexpr std::uint32_t kShortTail = 64;           // frames
constexpr std::uint32_t kLongBackfill = 4 * kShortTail;
constexpr std::uint32_t kLongTail = 64 * kShortTail;
constexpr std::uint32_t kLittleLeft = kShortTail / 4;
constexpr int kQuietTries = 6;
constexpr std::int64_t kOther_us = 1'000;  // that is how long another's checkpoint is left alone
constexpr std::int64_t kLeftToOthers_us = 10'000'000;
constexpr std::int64_t kAskForFull_us = 100'000;
constexpr std::uint32_t kLeftToOthers = 8;

bool is_recent(const std::optional<std::int64_t>& at_us, std::int64_t for_us, const Time& now) {
  return at_us && now.mono_us - *at_us < for_us;
}
}  // namespace

// An application that checkpoints for itself, before the WAL has grown long, may do so by FULL, RESTART or TRUNCATE.
// While a checkpoint of ours is at work SQLite does not let these wait, but answers SQLITE_BUSY. So where one is seen
// the WAL may grow longer, and it is seldom that we are in its way.
void Capturer::note_checkpoint_of_others(const Time& now) {
  const FrameNo before = index_.salts == seen_backfilled_of_ ? seen_backfilled_ : FrameNo(0);
  const bool is_long = index_.max_frame.value >= shared_.options.rollover_frames;
  if (index_.backfilled > before && !is_long) others_checkpointed_us_ = now.mono_us;
  seen_backfilled_ = index_.backfilled;
  seen_backfilled_of_ = index_.salts;
  if (!is_long) grown_long_us_.reset();
  else if (!grown_long_us_) grown_long_us_ = now.mono_us;
}

// Nobody commits, and the pin is not the newest: one of those may be waiting for it. Who is seen nowhere has a moment
// to show itself.
void Capturer::note_full_checkpoint(const Time& now) {
  if (!grown_long_us_ || !is_recent(others_checkpointed_us_, kLeftToOthers_us, now)) return;
  if (now.mono_us < asked_for_full_us_ + kAskForFull_us) return;
  asked_for_full_us_ = now.mono_us;
  if (database_->checkpointer_keeps_writers_waiting()) full_checkpoint_us_ = now.mono_us;
}

bool Capturer::is_left_to_others(const Time& now) const {
  const std::uint64_t wal_bytes = std::uint64_t{index_.max_frame.value} * index_.page_size;
  if (index_.max_frame.value >= kLeftToOthers * shared_.options.rollover_frames) return false;
  if (wal_bytes >= shared_.options.truncate_wal_bytes / 2) return false;
  if (is_recent(full_checkpoint_us_, kLeftToOthers_us, now)) return true;
  return is_recent(others_checkpointed_us_, kLeftToOthers_us, now) &&
         is_recent(grown_long_us_, 2 * kAskForFull_us, now);
}

Result<void> Capturer::roll_over_when_due(const Time& now) {
  const bool possible = database_->access() == sqlite::Access::read_write && database_->hold() == sqlite::Hold::pin &&
                        !database_->is_aside();
  const bool long_enough = index_.max_frame.value >= shared_.options.rollover_frames && !is_left_to_others(now);
  if (!possible || !long_enough || spool_is_full() || !capture_trouble_.empty() || state_->can_catch_up()) {
    stop_seeking_gate();
    return {};
  }
  if (now.mono_us < next_roll_us_) {
    wake_us_ = std::min(wake_us_, next_roll_us_);
    return {};
  }
  CAIRN_TRY(expect_in_place(now));
  next_roll_us_ = now.mono_us + between_us_;  // should it fail
  if (seeks_gate_) {
    CAIRN_TRY(roll_over_under_gate(now));
  } else {
    const FrameNo before = index_.backfilled;
    CAIRN_ASSIGN(const bool done, roll_over_quietly(now));
    // What is committed while a long tail is backfilled and synced is a shorter one, until that takes as long as a
    // commit. With a short one the lock is held for less than a millisecond, and a writer who meets it sleeps once.
    const std::uint32_t left = frames_to_backfill(), left_before = std::exchange(quiet_left_, left);
    const bool shrinks = quiet_tries_ == 0 || left <= left_before / 2;
    const bool is_short = left <= kLittleLeft || (left <= kShortTail && !shrinks);
    const bool little_left = is_short && frames_out_of_reach() <= kLongBackfill;
    seeks_gate_ = !done && (little_left || ++quiet_tries_ >= kQuietTries);
    if (done || seeks_gate_) quiet_tries_ = 0;
    const bool in_vain = index_.backfilled == before;  // somebody else is checkpointing
    if (quiet_tries_ > 0) next_roll_us_ = now.mono_us + (in_vain ? kOther_us : 0);
    if (seeks_gate_ && frames_out_of_reach() > kLongBackfill) back_off(now);
  }
  if (seeks_gate_) next_roll_us_ = now.mono_us;
  wake_us_ = std::min(wake_us_, next_roll_us_);
  return {};
}

// What is committed so far need not stay in the WAL. False: there is no room for it.
Result<bool> Capturer::read_ahead(const Time& now) {
  if (auto room = state_->make_room(); !room) return unless_full(room.error(), now);
  return read_tail(now);
}

// The same while others wait: it is little, and stays in memory.
Result<bool> Capturer::read_tail(const Time& now) { return unless_full(capture(Ends::no, now), now); }

Result<bool> Capturer::unless_full(Result<bool> captured, const Time& now) {
  if (captured || captured.error().kind() != ErrorKind::io) return captured ? Result<bool>(true) : captured;
  capture_trouble_ = captured.error().message();
  next_capture_us_ = now.mono_us + kTrouble_us;
  return false;
}

// Committed and not captured yet, at the last look; many when the WAL is another one.
std::uint32_t Capturer::frames_behind() const {
  const WalPosition& position = state_->position();
  if (index_.salts != position.salts) return std::numeric_limits<std::uint32_t>::max();
  return index_.max_frame.value - position.frame.value;
}

// Committed since a checkpoint of ours could reach it: if a reader is in the way, what is older stays as it is.
std::uint32_t Capturer::frames_to_backfill() const {
  const std::uint32_t newest = index_.max_frame.value;
  return newest >= tried_.value ? newest - tried_.value : newest;
}

// A checkpoint of ours could not get to them: an older reader is in the way.
std::uint32_t Capturer::frames_out_of_reach() const {
  return tried_ > index_.backfilled ? tried_.value - index_.backfilled.value : 0;
}

// Whoever is in the way may be so for long.
void Capturer::back_off(const Time& now) {
  stop_seeking_gate();
  between_us_ = std::min(2 * between_us_, kLongestBetween_us);
  next_roll_us_ = now.mono_us + between_us_;
}

// While nobody waits: what is committed goes to the database file, and survives a power loss there.
Result<void> Capturer::backfill(const Time& now) {
  if (index_.max_frame > database_->pinned_frame()) CAIRN_TRY(move_pin(now));
  const FrameNo reach = database_->pinned_frame();
  CAIRN_ASSIGN(const bool ran, database_->checkpoint(sqlite::Checkpoint::passive));
  CAIRN_ASSIGN(index_, database_->look());
  tried_ = ran ? reach : index_.backfilled;  // not: another's is at work, and may not get as far
  if (index_.all_backfilled() || index_.backfilled == synced_) return {};
  CAIRN_TRY(database_->sync_database());
  synced_ = index_.backfilled;
  CAIRN_ASSIGN(index_, database_->look());  // what was committed meanwhile is left for the next
  return {};
}

// Without the write lock: enough when nobody commits just now.
Result<bool> Capturer::roll_over_quietly(const Time& now) {
  CAIRN_ASSIGN(const bool read, read_ahead(now));
  if (!read) return false;
  CAIRN_TRY(backfill(now));
  if (!state_->is_all_of(index_) || !index_.all_backfilled()) return false;
  CAIRN_ASSIGN(const bool on_floor, take_floor());
  if (!on_floor) return false;
  if (database_->try_checkpoint_lock()) wait_for_restart(now);
  return true;
}

// A busy writer has the write lock nearly all the time, and what time it has left it checkpoints. So its checkpoints
// are kept out, and the moment between two commits is found by asking again and again.
Result<void> Capturer::roll_over_under_gate(const Time& now) {
  if (gate_until_us_ < 0) gate_until_us_ = now.mono_us + kGatePatience_us;
  if (now.mono_us > gate_until_us_) {
    stop_seeking_gate();
    return {};
  }
  // What was committed meanwhile, so that little is left to be done while others wait; much of it without any lock.
  if (frames_behind() > kShortTail) {
    if (frames_behind() > kLongTail) database_->release_checkpoint_lock();
    CAIRN_ASSIGN(const bool read, read_ahead(now));
    if (!read) return {};
  }
  if (frames_to_backfill() > kLongBackfill) {
    database_->release_checkpoint_lock();
    CAIRN_TRY(backfill(now));
  }
  if (!database_->try_checkpoint_lock()) return {};
  CAIRN_ASSIGN(const bool gate, database_->try_gate());
  if (!gate) return {};
  const std::int64_t began_us = shared_.stopwatch_us();
  auto exchanged = exchange_hold_under_gate(now);
  if (!database_) return exchanged;  // let go of, and with it every lock
  database_->release_gate();
  if (restart_wait_until_us_ < 0 && gate_tries_ == 0) back_off(now);
  const std::int64_t held_us = shared_.stopwatch_us() - began_us;
  lock_times_.add(held_us);
  shared_.set_status([&](ReplicatorStatus& s) {
    s.write_lock_us_last = held_us;
    s.write_lock_us_p999 = lock_times_.at_most_us(999);
    s.write_lock_us_max = std::max(s.write_lock_us_max, held_us);
    ++s.write_lock_count;
    s.write_lock_us_total += held_us;
    ++s.write_lock_counts[write_lock_place(held_us)];
  });
  return exchanged;
}

// Nobody can commit now. The tail is captured, the pin moved to the newest commit, the rest backfilled, and then a
// floor taken in place of the pin. Whatever does not succeed, the pin stays.
Result<void> Capturer::exchange_hold_under_gate(const Time& now) {
  CAIRN_ASSIGN(index_, database_->look());
  // A long tail is neither captured nor backfilled while others wait; a writer who leaves us no shorter one is made to
  // wait longer: less than it took to write its own last transaction.
  const int tries = std::min(gate_tries_, 20);
  if (frames_behind() > kShortTail << tries || frames_to_backfill() > kLongBackfill << tries) {
    ++gate_tries_;
    return {};
  }
  gate_tries_ = 0;
  // Should the reader be gone this moment, it would all be backfilled and synced while others wait.
  if (frames_out_of_reach() > kLongBackfill) return {};
  CAIRN_ASSIGN(const bool read, read_tail(now));
  if (!read) return {};
  if (index_.max_frame > database_->pinned_frame()) {
    CAIRN_ASSIGN(const bool moved, advance(now));
    if (!moved) return {};
  }
  database_->release_checkpoint_lock();  // for our own, on another connection
  CAIRN_ASSIGN(const bool ran, database_->checkpoint(sqlite::Checkpoint::passive));
  (void)ran;
  const bool alone = database_->try_checkpoint_lock();
  CAIRN_ASSIGN(const bool on_floor, take_floor());
  if (on_floor && alone) wait_for_restart(now);
  return {};
}

void Capturer::stop_seeking_gate() {
  if (!seeks_gate_) return;
  if (restart_wait_until_us_ < 0) database_->release_checkpoint_lock();
  seeks_gate_ = false;
  gate_until_us_ = -1;
}

// Other checkpointers are kept out for a moment, in which a writer that is busy restarts the WAL: then no checkpointer
// can have seen it as it was before.
void Capturer::wait_for_restart(const Time& now) {
  constexpr std::int64_t kWait_us = 3'000;
  restart_wait_until_us_ = now.mono_us + kWait_us;
  seeks_gate_ = false;
  gate_until_us_ = -1;
  between_us_ = kBetween_us;
  wake_us_ = std::min(wake_us_, now.mono_us + 1'000);
  shared_.set_status([](ReplicatorStatus& s) { ++s.rollovers; });
}

// Then nothing is done that takes long: the checkpoint lock is in hand.
bool Capturer::still_waits_for_restart(const Time& now) {
  if (restart_wait_until_us_ < 0) return false;
  wake_us_ = std::min(wake_us_, now.mono_us + 1'000);
  return true;
}

void Capturer::let_others_checkpoint() {
  if (!database_) return;
  stop_seeking_gate();
  database_->release_checkpoint_lock();
  restart_wait_until_us_ = -1;
}

}  // namespace cairn::replicate
