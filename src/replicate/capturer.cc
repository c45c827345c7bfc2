// One step: look at the WAL-index, move the hold, read a slice of a pass or capture what was committed, roll the WAL
// over when it has grown long. Everything of the database that is not captured yet is protected by the hold that
// `database_` has; the rules for moving it are in docs/sqlite.md, "The holds".
#include "replicate/capturer.h"

#include <algorithm>

#include "base/check.h"

namespace cairn::replicate {
namespace {

constexpr std::int64_t kSecond_us = 1'000'000;
constexpr std::int64_t kRest_us = 2 * kSecond_us;
constexpr std::int64_t kAgain_us = 5'000;
constexpr std::int64_t kLook_us = 20'000;
constexpr std::int64_t kAskAgain_us = 100'000;  // whether somebody checkpoints, which is read from all locks there are
constexpr std::int64_t kPinStays_us = 50'000;  // at most, beside a writer that commits on
constexpr std::int64_t kRunsOfAnOutage = 20;  // a segment holds this part of the time that the store has been away
constexpr std::int64_t kSync_us = 2'000'000;

std::string hold_name(sqlite::Hold hold) {
  return hold == sqlite::Hold::pin ? "pin" : hold == sqlite::Hold::floor ? "floor" : "none";
}

}  // namespace

Result<Step> Capturer::step(const Time& now) {
  requests_ = shared_.capture_requests;
  if (!begun_) begun_ = (shared_.set_begun(now), true);
  is_presumed_ = is_presumed_ && !shared_.is_firm();
  if (is_presumed_ && is_told_to_leave()) (void)leave_presumption();
  if (!state_ && !take_base()) {
    auto presumed = presume_when_due(now);
    if (!presumed) return trouble(presumed.error(), now);
    if (!*presumed) return Step{std::max(waiting_since_us_ + kStorePatience_us, now.mono_us + kAgain_us)};
  }
  if (now.mono_us < retry_at_us_) return Step{retry_at_us_};
  wake_us_ = now.mono_us + kRest_us;
  if (auto walked = walk(now); !walked) return trouble(walked.error(), now);
  report(now);
  return Step{wake_us_};
}

// What publish_step has found out, once it has attached.
bool Capturer::take_base() {
  std::optional<Base> base;
  {
    MutexLock hold(shared_.mutex);
    base.swap(shared_.base);
  }
  if (!base) return false;
  take(*base);
  return true;
}

void Capturer::take(Base& base) {
  start_ = base.start;
  previous_host_ = base.previous_host;
  begun_ms_ = base.begun_ms;
  state_ = std::make_unique<CapturedState>(shared_, base);
}

Result<void> Capturer::walk(const Time& now) {
  settled_ = false;
  if (state_->spool().is_durable()) sync_due_us_ = -1;  // what it was due for has been published
  if (!database_) {
    CAIRN_TRY(open_database(now));
    // Without a start that succeeded there is nothing to follow from.
    if (auto started = decide_start(now); !started) {
      let_go(sqlite::CloseMode::abandon);
      return started.error();
    }
  }
  const auto index = database_->look();
  const bool commits_come = index && (begun_us_ >= 0 || !state_->is_all_of(*index));
  is_seen_in_place_ = false;
  if (!commits_come || !may_only_pin(now)) CAIRN_TRY(expect_in_place(now));
  if (is_written_under_floor()) {
    let_go(sqlite::CloseMode::abandon);
    if (start_ == Start::go_on) start_ = Start::adopt;
    compares_for_times_ = true;
    return Error(ErrorKind::busy, shared_.options.database + " was written to, and not by SQLite: comparing anew");
  }
  CAIRN_ASSIGN(index_, index);
  note_checkpoint_of_others(now);
  if (state_->is_behind() || !state_->is_all_of(index_)) note_waiting(now);
  if (auto kept = keep_hold(now); !kept) {
    if (pass_ && kept.error().kind() == ErrorKind::io) give_up_pass();  // its scratch file may be what fills the disk
    return kept.error();
  }
  if (still_waits_for_restart(now) || database_->is_aside()) return {};  // nothing that takes long
  // Pages of the first snapshot that wait for a store: better to read them when it is there.
  const bool too_many = pass_ && is_presumed_ && pass_->view().scratch_bytes() > shared_.options.spool_limit_bytes;
  if (too_many && leave_presumption()) {
    return Error(ErrorKind::busy, "waiting for the store to begin the first snapshot");
  }
  if (pass_ && !seeks_gate_) CAIRN_TRY(continue_pass(now));  // a slice takes long with the checkpoint lock in hand
  CAIRN_TRY(catch_up(now));
  CAIRN_TRY(capture_when_due(now));
  settled_ = !state_->is_behind() && state_->is_all_of(index_);  // before a rollover reads on
  CAIRN_TRY(start_requested_snapshot(now));
  CAIRN_TRY(roll_over_when_due(now));
  return make_spool_durable_when_due(now);
}

// Not before a hold moves: an application may be waiting for that, and a disk may take long. What a power loss takes of
// the spool in between, the database itself still has, and the next start finds it by comparing.
Result<void> Capturer::make_spool_durable_when_due(const Time& now) {
  if (state_->spool().is_durable()) {
    spool_trouble_.clear();
    return {};
  }
  if (sync_due_us_ < 0) sync_due_us_ = now.mono_us + kSync_us;
  if (seeks_gate_ || restart_wait_until_us_ >= 0) return {};  // that is over in a moment
  if (now.mono_us < sync_due_us_) {
    wake_us_ = std::min(wake_us_, sync_due_us_);
    return {};
  }
  sync_due_us_ = now.mono_us + kSync_us;  // should it fail
  auto durable = state_->spool().make_durable();
  if (durable) durable = shared_.local->write_down();
  if (!durable && durable.error().kind() != ErrorKind::io) return durable;
  spool_trouble_ = durable ? std::string() : durable.error().message();
  if (!durable) shared_.set_status([](ReplicatorStatus& s) { ++s.database_errors[std::size_t(ErrorKind::io)]; });
  return {};
}

Result<Step> Capturer::trouble(const Error& error, const Time& now) {
  const ErrorKind kind = error.kind();
  const bool passes = kind == ErrorKind::busy || kind == ErrorKind::io || kind == ErrorKind::retry_later;
  if (is_presumed_ && !passes && !followed_once_) {
    // Refusing is for when the store has been asked.
    let_go(sqlite::CloseMode::abandon);
    retry_at_us_ = now.mono_us + kSecond_us;
    return Step{retry_at_us_};
  }
  if (kind == ErrorKind::conflict || (!passes && !followed_once_)) return error;
  let_others_checkpoint();
  shared_.write_front();  // what is in the way may last
  // A hold that was lost half-way is not repaired but begun anew: reopening compares every page.
  const bool lost = database_ && (database_->hold() == sqlite::Hold::none || database_->index_is_cut());
  if (lost || kind == ErrorKind::corrupt) let_go(sqlite::CloseMode::abandon);
  const bool held = database_ && database_->hold() != sqlite::Hold::none;
  retry_at_us_ = now.mono_us + (kind == ErrorKind::busy || held ? 5'000 : kSecond_us);
  if (trouble_since_us_ < 0) trouble_since_us_ = now.mono_us;
  note_waiting(now);
  MutexLock hold(shared_.mutex);
  shared_.capture_settled = false;
  // A lock that is in the way for a moment is nothing to tell anybody.
  if (kind == ErrorKind::busy && now.mono_us - trouble_since_us_ < kSecond_us) return Step{retry_at_us_};
  shared_.status.database_trouble = error.message();
  shared_.status.database_trouble_kind = kind;
  ++shared_.status.database_errors[static_cast<std::size_t>(kind)];
  return Step{retry_at_us_};
}

// Opening and identity.

Result<void> Capturer::open_database(const Time& now) {
  if (!is_presumed_) shared_.set_status([](ReplicatorStatus& s) { s.phase = Phase::opening; });
  // Nothing about the database is changed before the store has been asked.
  const bool may_switch = shared_.options.wal_switch == AllowWalSwitch::yes && !is_presumed_;
  const auto wal_switch = may_switch ? sqlite::WalSwitch::allow : sqlite::WalSwitch::refuse;
  CAIRN_ASSIGN(auto database, sqlite::Database::open(shared_.options.database, wal_switch));
  CAIRN_TRY(database->take_hold());
  database_ = std::move(database);
  floor_file_ns_ = database_->modified_ns();
  next_capture_us_ = next_roll_us_ = now.mono_us;
  restart_wait_until_us_ = -1;
  return {};
}

Result<void> Capturer::decide_start(const Time& now) {
  if (start_ == Start::go_on) {
    CAIRN_ASSIGN(const bool goes_on, state_->resume(*database_, now));
    if (goes_on) {
      followed_once_ = true;
      return {};
    }
  }
  const PassGoal goal = start_ == Start::begin        ? PassGoal::begin
                        : start_ == Start::must_equal ? PassGoal::compare
                                                      : PassGoal::reconcile;
  if (goal == PassGoal::reconcile) shared_.set_status([](ReplicatorStatus& s) { ++s.reconciles; });
  return start_pass(goal, now);
}

void Capturer::let_go(sqlite::CloseMode mode) {
  drop_pass();
  if (state_) state_->forget_waiting();
  if (database_) database_->close(mode);
  database_.reset();
  restart_wait_until_us_ = gate_until_us_ = -1;
  in_place_until_us_ = 0;
  seeks_gate_ = false;
  capture_trouble_.clear();
  begun_us_ = -1;
}

void Capturer::end() {
  let_others_checkpoint();
  shared_.write_front();  // else the next start compares
}

void Capturer::close(StopMode mode) {
  if (mode == StopMode::tidy) end();
  // The last who closes removes the WAL by its name.
  const bool is_tidy = mode == StopMode::tidy && database_ && database_->is_in_place();
  let_go(is_tidy ? sqlite::CloseMode::tidy : sqlite::CloseMode::abandon);
}

// The hold.

Result<void> Capturer::keep_hold(const Time& now) {
  CAIRN_CHECK(database_->hold() != sqlite::Hold::none);
  CAIRN_ASSIGN(const bool aside, stands_aside(now));
  if (aside) return {};
  const bool backfilled = index_.all_backfilled();
  if (database_->hold() == sqlite::Hold::pin) {
    if (state_->is_all_of(index_) && backfilled) {
      CAIRN_ASSIGN(const bool on_floor, take_floor());
      if (!on_floor) wake_us_ = std::min(wake_us_, now.mono_us + kAskAgain_us);  // somebody has just that lock
    } else if (index_.max_frame > database_->pinned_frame()) {
      bool newest = false;
      if (!pin_may_stay(now)) {
        note_full_checkpoint(now);
        CAIRN_ASSIGN(newest, move_pin(now));
      }
      if (!newest) wake_us_ = std::min(wake_us_, now.mono_us + kAgain_us);
    }
    if (database_->hold() == sqlite::Hold::pin) look_soon_beside_checkpointer(now);
    return {};
  }
  if (!state_->is_all_of(index_) || !backfilled) {
    CAIRN_ASSIGN(const bool pinned, advance(now));
    if (!pinned) wake_us_ = std::min(wake_us_, now.mono_us + kAgain_us);
    if (restart_wait_until_us_ >= 0 && (pinned || now.mono_us >= restart_wait_until_us_)) {
      database_->release_checkpoint_lock();
      restart_wait_until_us_ = -1;
    }
    return {};
  }
  return settle_on_floor(index_, now);
}

// Nobody waits for it: whoever waits for a pin has the write lock, and then nothing is committed from one look to the
// next. (A pin that moves with each look lets an application whose WAL has grown long checkpoint in small pieces, of
// which each syncs the WAL, and copies once more the pages that change all the time.)
bool Capturer::pin_may_stay(const Time& now) {
  const bool commits_go_on = index_.salts == seen_salts_ && index_.max_frame > seen_frame_;
  seen_salts_ = index_.salts;
  seen_frame_ = index_.max_frame;
  return commits_go_on && now.mono_us < pin_moved_us_ + kPinStays_us;
}

// A RESTART or TRUNCATE that has synced the database goes on to wait for the pin to go, with the write lock. When that
// is, nothing tells: it shows in shared memory only, and a sync may take seconds in which nothing else happens.
void Capturer::look_soon_beside_checkpointer(const Time& now) {
  if (!index_.is_backfill_begun()) {
    beside_checkpointer_since_us_ = now.mono_us;
    return;
  }
  const std::int64_t ask_us = asked_for_checkpointer_us_ + kAskAgain_us;
  if (now.mono_us >= ask_us) {
    asked_for_checkpointer_us_ = now.mono_us;
    is_beside_checkpointer_ = database_->checkpointer_at_work();
    if (!is_beside_checkpointer_) return;  // it has died, or there was none
  }
  // Less often beside one that takes very long: it may be stopped for good.
  const std::int64_t look_us = std::clamp((now.mono_us - beside_checkpointer_since_us_) / 256, kLook_us, kAskAgain_us);
  wake_us_ = std::min(wake_us_, is_beside_checkpointer_ ? now.mono_us + look_us : ask_us);
}

// True: to the newest commit. Not when all read marks are in use by older readers, so that ours could only be an old
// one, too.
Result<bool> Capturer::move_pin(const Time& now) {
  CAIRN_ASSIGN(const bool moved, advance(now));
  if (moved) pin_moved_us_ = now.mono_us;
  return moved && database_->pinned_frame() >= index_.max_frame;
}

Result<bool> Capturer::advance(const Time& now) {
  auto advanced = database_->advance(now.mono_us, [this](const wal::IndexHeader& upto) {
    return pass_ ? pass_->view().preserve(upto) : Result<void>();
  });
  if (advanced && *advanced) look_soon_if_pin_may_be_in_the_way(now);
  return advanced;
}

// True: the hold is a floor now, and all that a pass knew of the WAL is in the database file.
Result<bool> Capturer::take_floor() {
  CAIRN_ASSIGN(const bool on_floor, database_->try_floor(state_->position().salts, state_->position().frame));
  if (!on_floor) return false;
  if (pass_) pass_->view().all_backfilled();
  truncated_on_this_floor_ = false;
  floor_file_ns_ = database_->modified_ns();
  return true;
}

// Everything is captured and in the database file, and nobody writes.
Result<void> Capturer::settle_on_floor(const wal::IndexHeader& index, const Time& now) {
  if (restart_wait_until_us_ >= 0) {
    if (now.mono_us < restart_wait_until_us_) {
      wake_us_ = std::min(wake_us_, restart_wait_until_us_);
      return {};
    }
    database_->release_checkpoint_lock();
    restart_wait_until_us_ = -1;
  }
  if (truncated_on_this_floor_ || !is_seen_in_place_ || index.max_frame.value == 0) return {};
  CAIRN_ASSIGN(const std::uint64_t wal_bytes, database_->wal_size_bytes());
  if (wal_bytes <= shared_.options.truncate_wal_bytes) return {};
  CAIRN_ASSIGN(truncated_on_this_floor_, database_->checkpoint(sqlite::Checkpoint::truncate));
  return {};
}

// Capture.

Result<void> Capturer::capture_when_due(const Time& now) {
  const bool all_read = state_->is_all_of(index_);
  if (all_read && !state_->has_unended()) {
    begun_us_ = -1;
    return {};
  }
  if (begun_us_ < 0) begun_change_ = index_.change;
  if (begun_us_ < 0) begun_us_ = now.mono_us;
  // A floor that could not be given up yet: a checkpoint may be waiting for it, and a long capture would keep it
  // waiting.
  if (database_->hold() != sqlite::Hold::floor) stuck_since_us_ = -1;
  if (!all_read && database_->hold() == sqlite::Hold::floor) {
    if (stuck_since_us_ < 0) stuck_since_us_ = now.mono_us;
    if (now.mono_us - stuck_since_us_ < kSecond_us) return {};
  }
  // A segment that is held up grows no larger than that.
  const bool too_large = state_->has_unended() && state_->waiting_bytes() > shared_.options.spool_limit_bytes / 4;
  const bool may_fit = capture_trouble_.empty() || now.mono_us >= next_capture_us_;
  if (too_large && may_fit) return state_->ends_with_a_look() ? end_segment(now) : seal(now);
  const std::int64_t due_us = capture_trouble_.empty() ? segment_due_us(now) : next_capture_us_;
  bool due = now.mono_us >= due_us || requests_taken_ != requests_;
  // While the store is away the WAL itself is the spool's overflow: it is pinned, and captured once, later.
  if (due && spool_is_full()) due = false;
  // An application's RESTART or TRUNCATE has backfilled everything and waits, with the write lock, for our pin to go:
  // that takes a floor, and a floor takes that all is captured.
  if (!due && !all_read && index_.all_backfilled()) due = database_->checkpointer_at_work();
  if (!due) {
    wake_us_ = std::min(wake_us_, std::max(std::min(due_us, now.mono_us + kSecond_us), now.mono_us + kLook_us));
    return {};
  }
  CAIRN_TRY(expect_in_place(now));
  requests_taken_ = requests_;
  return end_segment(now);
}

// What comes after quiet is a segment at once. While commits go on, the first that is in none yet waits an interval for
// others to go with it: no longer than one that comes just behind a segment has to wait in any case. Where others came
// to the last one, it is quiet after two intervals only.
std::int64_t Capturer::segment_due_us(const Time& now) {
  const std::int64_t interval = interval_us(now);
  const std::int64_t due_us = std::min(next_capture_us_, sealed_us_ + interval);
  const bool goes_on = begun_us_ - sealed_us_ < (others_came_ ? 2 : 1) * interval;
  return goes_on ? std::max(due_us, begun_us_ + interval) : due_us;
}

// All that is committed is captured and becomes a segment, unless a pass is reading: then it waits for that as one.
Result<void> Capturer::end_segment(const Time& now) {
  if (seeks_gate_) database_->release_checkpoint_lock();  // what follows may take long; it is taken again
  const bool something_new = !state_->is_all_of(index_) || state_->ends_with_a_look();
  auto captured = something_new ? capture(Ends::yes, now) : Result<bool>(true);
  if (!captured && captured.error().kind() == ErrorKind::io) {
    // A full or failing disk: the WAL keeps what is committed, and the hold goes on moving.
    capture_trouble_ = captured.error().message();
    next_capture_us_ = now.mono_us + kSecond_us;
    return {};
  }
  if (!captured) return captured.error();
  if (!state_->is_behind()) capture_trouble_.clear();
  if (!*captured) return {};
  if (something_new && !pass_) CAIRN_TRY(keep_hold(now));
  return seal(now);
}

// What was captured last is the end of a segment.
Result<void> Capturer::seal(const Time& now) {
  state_->end_in_backlog();
  sealed_us_ = now.mono_us;
  others_came_ = index_.change != begun_change_;
  next_capture_us_ = now.mono_us + interval_us(now);
  begun_us_ = -1;
  if (seeks_gate_) database_->release_checkpoint_lock();  // what follows may take long; it is taken again
  return catch_up(now);
}

// The longer the store is away, the more goes into one segment: a page that changes all the time is spooled a few dozen
// times in an hour, not 3600 times. Once the store has taken what waits longest it is the interval again.
std::int64_t Capturer::interval_us(const Time& now) {
  const auto first = state_->spool().front();
  const Sequence sequence = first ? first->sequence : Sequence();
  if (!first || sequence != waits_first_) {
    waits_first_ = sequence;
    waits_since_us_ = now.mono_us;
  }
  return std::max(shared_.options.interval_ms * 1000, (now.mono_us - waits_since_us_) / kRunsOfAnOutage);
}

// Segments that are not published yet, and what is to become some. Where the limit of all together is reached, one that
// waits for nothing still captures: its store may be well.
bool Capturer::spool_is_full() const {
  const Spool& spool = state_->spool();
  const SharedSpool* const shared = shared_.options.shared_spool;
  const bool all_are_full = shared != nullptr && shared->is_full() && spool.count() > 0;
  return all_are_full || spool.size_bytes() + state_->waiting_bytes() > shared_.options.spool_limit_bytes;
}

// True: what was committed behind the position has been read, and the WAL need not keep it.
Result<bool> Capturer::capture(Ends ends, const Time& now) {
  CAIRN_ASSIGN(index_, database_->look());
  CAIRN_ASSIGN(const ScanOutcome outcome, state_->capture(*database_, index_, ends, now));
  if (outcome == ScanOutcome::nothing) return false;
  if (outcome != ScanOutcome::hole) return true;
  start_ = Start::go_on;
  if (state_->is_behind()) {
    let_go(sqlite::CloseMode::abandon);
    return Error(ErrorKind::busy, shared_.options.database + "-wal: frames are missing: comparing anew");
  }
  shared_.set_status([](ReplicatorStatus& s) { ++s.reconciles; });
  drop_pass();
  CAIRN_TRY(start_pass(PassGoal::reconcile, now));
  return false;
}

// A step for each segment of what was committed during a pass, or read before its segment was due, so that none takes
// long.
Result<void> Capturer::catch_up(const Time& now) {
  if (!state_->can_catch_up()) return {};
  auto caught_up = state_->catch_up(*database_, now);
  if (caught_up) {
    capture_trouble_.clear();
    wake_us_ = now.mono_us;
  } else if (caught_up.error().kind() == ErrorKind::io) {
    capture_trouble_ = caught_up.error().message();  // it waits where it is
    return {};
  }
  return caught_up;
}

// What is committed and in no segment yet counts from when it was seen first.
void Capturer::note_waiting(const Time& now) {
  if (waiting_since_ms_ == 0) waiting_since_ms_ = now.wall_ms;
  if (state_) state_->spool().note_waiting(waiting_since_ms_, state_->waiting_commits());
}

void Capturer::report(const Time& now) {
  trouble_since_us_ = -1;
  const bool has_all = settled_ || (!state_->is_behind() && state_->is_all_of(index_));
  if (has_all) waiting_since_ms_ = 0;
  state_->spool().note_waiting(waiting_since_ms_, state_->waiting_commits());
  std::optional<std::uint64_t> wal_bytes;
  if (now.mono_us >= wal_size_due_us_) {
    wal_size_due_us_ = now.mono_us + kSecond_us;
    if (const Result<std::uint64_t> size = database_->wal_size_bytes()) wal_bytes = *size;
  }
  const Result<bool> more = database_->has_more_than(index_);
  const bool finds_out = pass_ && pass_->goal() != PassGoal::snapshot;
  MutexLock hold(shared_.mutex);
  ReplicatorStatus& s = shared_.status;
  s.database_trouble = capture_trouble_.empty() ? spool_trouble_ : capture_trouble_;
  s.database_trouble_kind = ErrorKind::io;
  s.phase = shared_.footing != Footing::firm   ? Phase::attaching
            : !finds_out                       ? Phase::following
            : pass_->goal() == PassGoal::begin ? Phase::first_snapshot
                                               : Phase::reconciling;
  s.captured_sequence = state_->sequence().value;
  s.page_count = state_->hashes().page_count();
  s.page_size = state_->page_size();
  s.hold = hold_name(database_->hold());
  s.wal_frames = index_.max_frame.value;
  s.transaction_begun = !more || *more;
  if (wal_bytes) s.wal_bytes = *wal_bytes;
  if (!capture_trouble_.empty()) ++s.database_errors[static_cast<std::size_t>(ErrorKind::io)];
  shared_.capture_settled = has_all;
  ++shared_.capture_looks;
  if (!shared_.capture_settled || s.phase != Phase::following) return;
  // What is captured later answers nobody, and the store may never catch up with that.
  if (s.answered_request == requests_) return;
  s.answered_request = requests_;
  s.answered_sequence = s.captured_sequence;
}

}  // namespace cairn::replicate
