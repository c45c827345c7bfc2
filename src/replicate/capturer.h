// From the live database to the spool: the thread that must always be quick, because applications' checkpoints wait for
// the holds that it moves.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "replicate/captured_state.h"
#include "replicate/lock_times.h"
#include "replicate/pass.h"
#include "replicate/rest.h"
#include "replicate/shared.h"
#include "replicate/wal_scan.h"
#include "sqlite/database.h"

namespace cairn::replicate {

// How long the store may take to say what there is before capture begins without it.
inline constexpr std::int64_t kStorePatience_us = 1'000'000;

class Capturer {
 public:
  explicit Capturer(Shared& shared) : shared_(shared) {}
  Result<Step> step(const Time& now);
  // Between two steps: whether everything is captured and in its place, and the files have stood still (rest.cc of it).
  bool may_rest(const Time& now);
  // The same just now, under the hold, with what the database is known by from then on.
  std::optional<RestMark> rest_mark(const Time& now);
  // The checkpoint lock, which is held between two steps at times, is free.
  void let_others_checkpoint();
  // The same, and there are no more steps: what is captured and not published has its file.
  void end();
  void close(StopMode mode);

 private:
  // The walk of one step.
  bool take_base();
  void take(Base& base);
  Result<bool> presume_when_due(const Time& now);
  bool is_told_to_leave() const;
  bool leave_presumption();
  Result<void> walk(const Time& now);
  Result<void> open_database(const Time& now);
  Result<void> decide_start(const Time& now);
  Result<void> expect_in_place(const Time& now);
  bool may_only_pin(const Time& now) const;
  bool is_written_under_floor() const;
  Result<void> keep_hold(const Time& now);
  bool pin_may_stay(const Time& now);
  void look_soon_beside_checkpointer(const Time& now);
  Result<bool> move_pin(const Time& now);
  Result<bool> advance(const Time& now);
  Result<bool> take_floor();
  Result<void> settle_on_floor(const wal::IndexHeader& index, const Time& now);
  void give_up_pass();
  Result<void> continue_pass(const Time& now);
  Result<void> advance_pass(const Time& now);
  Result<void> capture_when_due(const Time& now);
  Result<void> start_requested_snapshot(const Time& now);

  Result<bool> stands_aside(const Time& now);
  void look_soon_if_pin_may_be_in_the_way(const Time& now);

  // Capture.
  Result<bool> capture(Ends ends, const Time& now);
  Result<void> end_segment(const Time& now);
  Result<void> seal(const Time& now);
  Result<void> catch_up(const Time& now);
  Result<void> make_spool_durable_when_due(const Time& now);
  std::int64_t interval_us(const Time& now);
  std::int64_t segment_due_us(const Time& now);
  bool spool_is_full() const;

  // Resting.
  bool is_all_captured_and_still();
  void note_files(const Time& now);

  // Passes.
  std::int64_t key_time_ms(PassGoal goal, const Time& now) const;
  Result<void> start_pass(PassGoal goal, const Time& now);
  Result<void> finish_pass(const Time& now);
  Result<void> take_over(const Pass& pass, Sequence sequence);
  void drop_pass();

  // Rolling over (docs/sqlite.md, "The holds", rule 4).
  void note_checkpoint_of_others(const Time& now);
  bool is_left_to_others(const Time& now) const;
  void note_full_checkpoint(const Time& now);
  Result<void> roll_over_when_due(const Time& now);
  Result<bool> roll_over_quietly(const Time& now);
  Result<void> roll_over_under_gate(const Time& now);
  Result<void> exchange_hold_under_gate(const Time& now);
  Result<bool> read_ahead(const Time& now);
  Result<bool> read_tail(const Time& now);
  Result<bool> unless_full(Result<bool> captured, const Time& now);
  void stop_seeking_gate();
  std::uint32_t frames_behind() const;
  std::uint32_t frames_to_backfill() const;
  std::uint32_t frames_out_of_reach() const;
  void back_off(const Time& now);
  Result<void> backfill(const Time& now);
  void wait_for_restart(const Time& now);
  bool still_waits_for_restart(const Time& now);

  void let_go(sqlite::CloseMode mode);
  void note_waiting(const Time& now);
  void report(const Time& now);
  Result<Step> trouble(const Error& error, const Time& now);

  Shared& shared_;
  std::unique_ptr<sqlite::Database> database_;
  std::unique_ptr<CapturedState> state_;  // once attached
  std::unique_ptr<Pass> pass_;
  Start start_ = Start::begin;
  bool begun_ = false, followed_once_ = false;
  std::int64_t waiting_since_us_ = -1;  // for the store to say what there is
  bool is_presumed_ = false;            // it has not said so yet

  std::string previous_host_;
  std::int64_t begun_ms_ = 0;
  wal::IndexHeader index_;        // the last look
  wal::Salts seen_salts_;         // of the WAL when a pin was to move last, and how far it went
  FrameNo seen_frame_;
  std::int64_t pin_moved_us_ = 0;
  std::int64_t asked_for_checkpointer_us_ = std::numeric_limits<std::int64_t>::min() / 2;
  bool is_beside_checkpointer_ = false;  // when that was asked last
  std::int64_t beside_checkpointer_since_us_ = 0;
  std::int64_t aside_due_us_ = 0, aside_until_us_ = 0, aside_us_ = 0;  // when and for how long it stands aside
  LockTimes lock_times_;          // of the write lock
  std::int64_t next_capture_us_ = 0;
  std::int64_t sealed_us_ = std::numeric_limits<std::int64_t>::min() / 2;  // when the last segment ended
  std::int64_t begun_us_ = -1;  // when what is in no segment yet was seen first; -1: there is nothing
  std::uint32_t begun_change_ = 0;           // SQLite's count of transactions then
  bool others_came_ = false;                 // while what is in the last segment waited
  Sequence waits_first_;        // what is to be published next, and since when that has been so
  std::int64_t waits_since_us_ = 0;
  std::int64_t next_roll_us_ = 0;
  std::int64_t sync_due_us_ = -1;            // the spool has what a power loss may take, or a kill
  static constexpr std::int64_t kBetween_us = 20'000;  // two attempts, when nothing keeps them from succeeding
  std::int64_t between_us_ = kBetween_us;
  FrameNo seen_backfilled_;                  // by anybody, at the last look
  wal::Salts seen_backfilled_of_;
  std::optional<std::int64_t> others_checkpointed_us_;  // a WAL that had not grown long
  std::optional<std::int64_t> full_checkpoint_us_;      // another's was seen to wait
  std::optional<std::int64_t> grown_long_us_;           // since then the WAL is
  std::int64_t asked_for_full_us_ = 0;
  FrameNo tried_;                            // up to there a rollover has backfilled, or has tried to
  FrameNo synced_;                           // up to there the database was synced by a rollover
  bool seeks_gate_ = false;                  // asks for the write lock again and again
  std::int64_t gate_until_us_ = -1;          // for so long
  int gate_tries_ = 0;
  std::int64_t floor_file_ns_ = 0;           // when the database file was written last, when the floor was taken
  bool is_seen_in_place_ = false;            // in this step: the files
  std::int64_t in_place_until_us_ = 0;       // whoever only moves a pin need not look
  bool file_times_tell_ = true;              // no: they have changed once although nothing was written
  bool compares_for_times_ = false;
  int quiet_tries_ = 0;                      // before that
  std::uint32_t quiet_left_ = 0;             // to be backfilled after the last of them
  std::int64_t stuck_since_us_ = -1;         // on a floor with frames to pin
  std::int64_t restart_wait_until_us_ = -1;  // holding the checkpoint lock until then
  std::int64_t retry_at_us_ = 0;
  std::int64_t trouble_since_us_ = -1;
  std::int64_t waiting_since_ms_ = 0;  // when it was seen first that something is in no segment yet; 0: nothing is
  std::int64_t wal_size_due_us_ = 0;   // when the size of the WAL's file is looked at again
  std::string capture_trouble_;   // why what is committed stays in the WAL for now
  std::string spool_trouble_;     // why what is captured is not yet safe from a power loss
  std::int64_t wake_us_ = 0;
  bool truncated_on_this_floor_ = false;
  bool settled_ = false;  // all that this step saw is captured
  FilesMark files_;                          // the last one that was looked at for a rest
  std::int64_t files_since_us_ = -1;         // so long it has stood; none was looked at
  std::uint64_t requests_ = 0;        // to capture, before this step looked at anything
  std::uint64_t requests_taken_ = 0;  // of those, for how many a segment was ended
};

}  // namespace cairn::replicate
