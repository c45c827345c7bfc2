// The Capturer's passes: each reads every page of a frozen state, a slice a step, for a snapshot or to compare it with
// what is captured, while what is committed meanwhile waits.
#include "replicate/capturer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "fmt/format.h"

namespace cairn::replicate {

// What names a snapshot. One that was interrupted goes on under the key that it had: what is uploaded of it counts.
std::int64_t Capturer::key_time_ms(PassGoal goal, const Time& now) const {
  if (goal == PassGoal::begin) return begun_ms_;
  MutexLock hold(shared_.mutex);
  const bool same = shared_.interrupted && shared_.interrupted->sequence == state_->sequence();
  return same ? shared_.interrupted->time_ms : now.wall_ms;
}

Result<void> Capturer::start_pass(PassGoal goal, const Time& now) {
  CAIRN_CHECK(!pass_);
  // A snapshot is of the look that showed all to be captured: a later one may show more.
  if (goal != PassGoal::snapshot) {
    CAIRN_ASSIGN(index_, database_->look());
  }
  CAIRN_ASSIGN(pass_, Pass::open({.database = *database_,
                                  .index = index_,
                                  .shared = shared_,
                                  .spool = state_->spool(),
                                  .known = state_->hashes(),
                                  .known_page_size = state_->page_size(),
                                  .head = state_->head(now),
                                  .goal = goal,
                                  .key_time_ms = key_time_ms(goal, now)},
                                 now));
  if (goal != PassGoal::snapshot) {
    const FrozenView& view = pass_->view();
    state_->hold_back(view.position(), view.page_size(), view.page_count());
  }
  wake_us_ = now.mono_us;
  return {};
}

void Capturer::drop_pass() {
  if (pass_ && pass_->goal() == PassGoal::snapshot) shared_.snapshot_requested = true;
  pass_.reset();
}

// A pass that failed half-way is begun anew.
void Capturer::give_up_pass() {
  if (pass_->goal() == PassGoal::snapshot) {
    drop_pass();
  } else {
    let_go(sqlite::CloseMode::abandon);
  }
}

Result<void> Capturer::continue_pass(const Time& now) {
  const bool for_snapshot = pass_->goal() == PassGoal::snapshot;
  auto advanced = advance_pass(now);
  if (advanced) return {};
  if (pass_) {
    give_up_pass();
  } else if (for_snapshot) {
    shared_.snapshot_requested = true;
  } else {
    let_go(sqlite::CloseMode::abandon);
  }
  return advanced.error();
}

Result<void> Capturer::advance_pass(const Time& now) {
  CAIRN_ASSIGN(const bool done, pass_->read_some(shared_.options.slice_bytes));
  shared_.set_status([&](ReplicatorStatus& s) { s.snapshot_pages_done = pass_->view().next_page().value - 1; });
  if (done) return finish_pass(now);
  wake_us_ = std::min(wake_us_, now.mono_us + (pass_->is_held_up() ? 1'000 : 0));
  return {};
}

Result<void> Capturer::finish_pass(const Time& now) {
  const std::unique_ptr<Pass> pass = std::move(pass_);
  // Room first: once the segment is in the spool, nothing may keep us from knowing it.
  CAIRN_TRY(state_->reserve(static_cast<std::uint32_t>(pass->hashes().size())));
  switch (pass->goal()) {
    case PassGoal::begin:
      CAIRN_TRY(take_over(*pass, state_->sequence()));
      pass->finish_snapshot(now);
      break;
    case PassGoal::compare:
      if (pass->hash() != state_->hash()) {
        return Error(ErrorKind::conflict,
                     fmt::format("{} differs from the newest state of {} (segment {}{}{}), and nothing on this machine "
                                 "shows that one continues the other. If the local database is the right one, run "
                                 "again with --adopt local (its difference becomes the next segment, older states stay "
                                 "restorable); if the replica is, with --adopt remote.",
                                 shared_.options.database, shared_.store.url(), state_->sequence().value,
                                 previous_host_.empty() ? "" : ", written by host ", previous_host_));
      }
      CAIRN_TRY(take_over(*pass, state_->sequence()));
      break;
    case PassGoal::reconcile:
      // A file system that gives other times later on, or somebody who did: not every time is worth a comparison.
      if (std::exchange(compares_for_times_, false) && !pass->differs()) file_times_tell_ = false;
      if (pass->differs()) CAIRN_TRY(pass->finish_segment(now));
      CAIRN_TRY(take_over(*pass, pass->differs() ? state_->sequence().next() : state_->sequence()));
      break;
    case PassGoal::snapshot:
      if (!pass->is_as_captured()) {
        // The page hashes and the database disagree: find out where, and publish that.
        let_go(sqlite::CloseMode::abandon);
        start_ = Start::adopt;
        shared_.snapshot_requested = true;
        return Error(ErrorKind::busy, shared_.options.database + " changed under its page hashes: comparing anew");
      }
      pass->finish_snapshot(now);
      return {};
  }
  start_ = Start::go_on;
  followed_once_ = true;
  wake_us_ = now.mono_us;
  return {};
}

// What the pass has read is the captured state now.
Result<void> Capturer::take_over(const Pass& pass, Sequence sequence) {
  return state_->become(*database_, sequence, pass.page_size(), pass.hash(), pass.hashes());
}

Result<void> Capturer::start_requested_snapshot(const Time& now) {
  if (pass_ || is_presumed_ || !shared_.snapshot_requested || shared_.current_job()) return {};
  CAIRN_TRY(expect_in_place(now));
  if (state_->has_unended() && capture_trouble_.empty()) CAIRN_TRY(end_segment(now));
  if (state_->is_behind()) return {};
  CAIRN_ASSIGN(index_, database_->look());
  if (!state_->is_all_of(index_)) {
    CAIRN_ASSIGN(const bool captured, capture(Ends::yes, now));
    if (captured) next_capture_us_ = now.mono_us + shared_.options.interval_ms * 1000;
    if (pass_) return {};  // a reconcile comes first
    CAIRN_ASSIGN(index_, database_->look());
    if (!state_->is_all_of(index_)) {
      wake_us_ = now.mono_us;
      return {};
    }
  }
  shared_.snapshot_requested = false;
  auto started = start_pass(PassGoal::snapshot, now);
  if (!started) shared_.snapshot_requested = true;
  return started;
}

}  // namespace cairn::replicate
