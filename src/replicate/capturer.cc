// One step: look at the WAL-index, move the hold, read a slice of a pass or capture what was committed, roll the WAL
// over when it has grown long. Everything of the database that is not captured yet is protected by the hold that
// `database_` has; the rules for moving it are in docs/sqlite.md, "The holds".
#include "replicate/capturer.h"

#include <algorithm>

#include "base/check.h"
#include "fmt/format.h"

namespace cairn::replicate {
namespace {

constexpr std::int64_t kSecond_us = 1'000'000;
constexpr std::int64_t kIdle_us = 2 * kSecond_us;
constexpr std::int64_t kSoon_us = 5'000;
constexpr std::uint64_t kSliceBytes = 4ull << 20;
constexpr std::uint64_t kSpoolLimitBytes = 100ull << 20;

std::string hold_name(sqlite::Hold hold) {
  switch (hold) {
    case sqlite::Hold::pin: return "pin";
    case sqlite::Hold::floor: return "floor";
    default: return "none";
  }
}

}  // namespace

Result<Step> Capturer::step(const Time& now) {
  if (!attached_) {
    MutexLock hold(shared_.mutex);
    if (!shared_.base) return Step{now.mono_us + kSoon_us};
    Base base = std::move(*shared_.base);
    shared_.base.reset();
    start_ = base.start;
    lineage_ = base.lineage;
    writer_ = base.writer;
    sequence_ = base.sequence;
    hash_ = base.hash;
    page_size_ = base.page_size;
    previous_host_ = base.previous_host;
    hashes_ = std::move(base.hashes);
    spool_ = shared_.spool;
    if (!base.has_snapshot && base.start != Start::begin) shared_.snapshot_requested = true;
    attached_ = true;
  }
  if (now.mono_us < retry_at_us_) return Step{retry_at_us_};
  wake_us_ = now.mono_us + kIdle_us;
  if (auto walked = walk(now); !walked) return trouble(walked.error(), now);
  report(now);
  return Step{wake_us_};
}

Result<void> Capturer::walk(const Time& now) {
  if (!database_) {
    CAIRN_TRY(open_database(now));
    CAIRN_TRY(decide_start(now));
  }
  CAIRN_ASSIGN(const bool same_file, check_identity());
  if (!same_file) return Error(ErrorKind::busy, shared_.options.database + " was replaced by another file: reopening");
  CAIRN_ASSIGN(index_, database_->look());
  CAIRN_TRY(keep_hold(now));
  if (pass_) CAIRN_TRY(continue_pass(now));
  if (pass_ && pass_->goal() != PassGoal::snapshot) return {};  // what is committed meanwhile waits in the WAL
  CAIRN_TRY(capture_when_due(now));
  CAIRN_TRY(roll_over_when_due(now));
  return start_requested_snapshot(now);
}

Result<Step> Capturer::trouble(const Error& error, const Time& now) {
  const ErrorKind kind = error.kind();
  const bool passes = kind == ErrorKind::busy || kind == ErrorKind::io || kind == ErrorKind::retry_later;
  if (kind == ErrorKind::conflict || (!passes && !followed_once_)) return error;
  // A hold that was lost half-way is not repaired but begun anew: reopening compares every page.
  const bool lost = database_ && database_->hold() == sqlite::Hold::none;
  if (lost || kind == ErrorKind::corrupt) let_go(sqlite::CloseMode::abandon);
  const bool held = database_ && database_->hold() != sqlite::Hold::none;
  retry_at_us_ = now.mono_us + (kind == ErrorKind::busy || held ? 5'000 : kSecond_us);
  if (trouble_since_us_ < 0) trouble_since_us_ = now.mono_us;
  MutexLock hold(shared_.mutex);
  shared_.capture_settled = false;
  // A lock that is in the way for a moment is nothing to tell anybody.
  if (kind == ErrorKind::busy && now.mono_us - trouble_since_us_ < kSecond_us) return Step{retry_at_us_};
  shared_.status.database_trouble = error.message();
  shared_.status.database_trouble_kind = kind;
  return Step{retry_at_us_};
}

// Opening and identity.

Result<void> Capturer::open_database(const Time& now) {
  shared_.set_status([](ReplicatorStatus& s) { s.phase = Phase::opening; });
  const auto wal_switch = shared_.options.wal_switch == AllowWalSwitch::yes ? sqlite::WalSwitch::allow
                                                                           : sqlite::WalSwitch::refuse;
  CAIRN_ASSIGN(auto database, sqlite::Database::open(shared_.options.database, wal_switch));
  CAIRN_TRY(database->take_hold());
  database_ = std::move(database);
  next_capture_us_ = next_roll_us_ = now.mono_us;
  restart_wait_until_us_ = -1;
  return {};
}

// Whether local state proves that nothing but the WAL's frames behind our position has happened to the database.
Result<bool> Capturer::can_go_on(const LocalRecord& record) {
  if (start_ != Start::go_on || !record.has_position || record.captured != sequence_ ||
      record.captured_hash != hash_ || record.database != database_->identity() ||
      hashes_->page_count() != record.page_count || record.page_count == 0) {
    return false;
  }
  CAIRN_ASSIGN(const wal::IndexHeader index, database_->look());
  const WalPosition& position = record.position;
  if (index.page_size != page_size_ || index.salts != position.salts || index.max_frame < position.frame) return false;
  // Under a floor the frames behind our position could be overwritten before they are captured.
  if (database_->hold() == sqlite::Hold::floor && index.max_frame != position.frame) return false;
  return wal_continues(*database_, position, page_size_);
}

Result<void> Capturer::decide_start(const Time& now) {
  const LocalRecord record = shared_.local->record();
  CAIRN_ASSIGN(const bool go_on, can_go_on(record));
  if (go_on) {
    position_ = record.position;
    followed_once_ = true;
    return {};
  }
  const PassGoal goal = start_ == Start::begin        ? PassGoal::begin
                        : start_ == Start::must_equal ? PassGoal::compare
                                                      : PassGoal::reconcile;
  if (goal == PassGoal::reconcile) shared_.set_status([](ReplicatorStatus& s) { ++s.reconciles; });
  return start_pass(goal, now);
}

Result<bool> Capturer::check_identity() {
  auto identity = sqlite::identify(shared_.options.database);
  if (identity && *identity == database_->identity()) return true;
  let_go(sqlite::CloseMode::abandon);
  if (!identity) {
    Error error = identity.error().with("the database is gone; waiting for it");
    return error.kind() == ErrorKind::not_found ? error.as(ErrorKind::io) : error;
  }
  return false;
}

void Capturer::let_go(sqlite::CloseMode mode) {
  drop_pass();
  if (database_) database_->close(mode);
  database_.reset();
  restart_wait_until_us_ = -1;
  capture_trouble_.clear();
}

void Capturer::close(StopMode mode) {
  let_go(mode == StopMode::tidy ? sqlite::CloseMode::tidy : sqlite::CloseMode::abandon);
}

// The hold.

bool Capturer::captured_all(const wal::IndexHeader& index) const {
  if (index.max_frame.value == 0) return true;
  return index.salts == position_.salts && index.max_frame == position_.frame;
}

Result<void> Capturer::keep_hold(const Time& now) {
  CAIRN_CHECK(database_->hold() != sqlite::Hold::none);
  const auto preserve = [this](const wal::IndexHeader& upto) {
    return pass_ ? pass_->view().preserve(upto) : Result<void>();
  };
  const bool backfilled = index_.all_backfilled();
  if (database_->hold() == sqlite::Hold::pin) {
    if (captured_all(index_) && backfilled) {
      CAIRN_TRY(spool_->make_durable());
      CAIRN_TRY(take_floor());
    } else if (index_.max_frame > database_->pinned_frame()) {
      CAIRN_ASSIGN(const bool moved, database_->advance(now.mono_us, preserve));
      if (!moved) wake_us_ = std::min(wake_us_, now.mono_us + kSoon_us);
    }
    return {};
  }
  if (!captured_all(index_) || !backfilled) {
    CAIRN_ASSIGN(const bool pinned, database_->advance(now.mono_us, preserve));
    if (!pinned) wake_us_ = std::min(wake_us_, now.mono_us + kSoon_us);
    if (pinned && restart_wait_until_us_ >= 0) {
      database_->release_checkpoint_lock();
      restart_wait_until_us_ = -1;
    }
    return {};
  }
  return settle_on_floor(index_, now);
}

// True: the hold is a floor now, and all that a pass knew of the WAL is in the database file.
Result<bool> Capturer::take_floor() {
  CAIRN_ASSIGN(const bool on_floor, database_->try_floor(position_.salts, position_.frame));
  if (!on_floor) return false;
  if (pass_) pass_->view().all_backfilled();
  truncated_on_this_floor_ = false;
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
  if (truncated_on_this_floor_ || index.max_frame.value == 0) return {};
  CAIRN_ASSIGN(const std::uint64_t wal_bytes, database_->wal_size_bytes());
  if (wal_bytes <= shared_.options.truncate_wal_bytes) return {};
  CAIRN_ASSIGN(truncated_on_this_floor_, database_->checkpoint(sqlite::Checkpoint::truncate));
  return {};
}

// Capture.

segment::ObjectHead Capturer::head(const Time& now) const {
  segment::ObjectHead head;
  head.page_size = page_size_;
  head.lineage = lineage_;
  head.writer = writer_;
  head.first = head.last = sequence_;
  head.first_time_ms = head.last_time_ms = now.wall_ms;
  head.hash_before = hash_;
  return head;
}

Result<void> Capturer::capture_when_due(const Time& now) {
  if (captured_all(index_)) return {};
  bool due = now.mono_us >= next_capture_us_ || shared_.capture_requested.exchange(false);
  // An application's RESTART or TRUNCATE has backfilled everything and waits, with the write lock, for our pin to go:
  // that takes a floor, and a floor takes that all is captured.
  if (!due && index_.all_backfilled()) due = database_->checkpointer_at_work();
  if (!due) {
    wake_us_ = std::min(wake_us_, next_capture_us_);
    return {};
  }
  // While the store is away the WAL itself is the spool's overflow: it is pinned, and captured once, later.
  if (spool_->size_bytes() > kSpoolLimitBytes) return {};
  auto captured = capture(now);
  if (!captured && captured.error().kind() == ErrorKind::io) {
    // A full or failing disk: the WAL keeps what is committed, and the hold goes on moving.
    capture_trouble_ = captured.error().message();
    next_capture_us_ = now.mono_us + kSecond_us;
    return {};
  }
  if (!captured) return captured.error();
  capture_trouble_.clear();
  if (!*captured) return {};
  next_capture_us_ = now.mono_us + shared_.options.interval_ms * 1000;
  return pass_ ? Result<void>() : keep_hold(now);
}

// True: what was committed behind the position is in the spool now.
Result<bool> Capturer::capture(const Time& now) {
  CAIRN_ASSIGN(index_, database_->look());
  CAIRN_ASSIGN(Scan scan, scan_wal(*database_, position_, index_));
  if (scan.outcome == ScanOutcome::nothing) return false;
  if (scan.outcome == ScanOutcome::hole || scan.page_size != page_size_) {
    shared_.set_status([](ReplicatorStatus& s) { ++s.reconciles; });
    drop_pass();
    start_ = Start::go_on;
    CAIRN_TRY(start_pass(PassGoal::reconcile, now));
    return false;
  }
  if (scan.outcome == ScanOutcome::restarted) shared_.set_status([](ReplicatorStatus& s) { ++s.wal_restarts; });
  const auto newest = newest_frames(std::move(scan.frames), scan.page_count);
  CAIRN_TRY(write_segment(scan, newest, now));
  return true;
}

// Pages that the database has grown by without writing them. SQLite writes every page it adds; should one ever be
// missing, what the database file holds there is what a reader would see.
Result<std::vector<PageNo>> Capturer::pages_that_no_frame_holds(const std::vector<FrameRef>& newest,
                                                                std::uint32_t page_count) {
  std::vector<PageNo> missing;
  if (page_count <= hashes_->page_count()) return missing;
  auto next = std::ranges::lower_bound(newest, PageNo(hashes_->page_count() + 1), {}, &FrameRef::page);
  for (PageNo page(hashes_->page_count() + 1); page.value <= page_count; page = page.next()) {
    if (next != newest.end() && next->page == page) {
      ++next;
    } else if (page != segment::lock_byte_page(page_size_)) {
      missing.push_back(page);
    }
  }
  return missing;
}

Result<void> Capturer::write_segment(const Scan& scan, const std::vector<FrameRef>& newest, const Time& now) {
  struct Change {
    PageNo page;
    std::uint64_t hash;
  };
  CAIRN_ASSIGN(const std::vector<PageNo> missing, pages_that_no_frame_holds(newest, scan.page_count));
  std::unique_ptr<SegmentOutput> output;
  std::vector<Change> changes;
  std::uint64_t hash = hash_;
  Bytes bytes(page_size_);

  const auto add = [&](PageNo page) -> Result<void> {
    const std::uint64_t new_hash = segment::page_hash(page, bytes);
    const bool unchanged = page.value <= hashes_->page_count() && hashes_->get(page) == new_hash;
    // A page rewritten as it was is not sent; page 1 is when the size changes, so that a segment is never empty.
    if (unchanged && !(page.value == 1 && scan.page_count != hashes_->page_count())) return {};
    if (!output) {
      segment::ObjectHead segment_head = head(now);
      segment_head.kind = segment::ObjectKind::segment;
      segment_head.first = segment_head.last = sequence_.next();
      CAIRN_ASSIGN(output, SegmentOutput::open(shared_.files, *spool_, segment_head, shared_.executor,
                                               shared_.options.segment_level));
    }
    hash ^= hashes_->get(page) ^ new_hash;
    changes.push_back({page, new_hash});
    return output->add_page(page, bytes, new_hash);
  };

  auto gap = missing.begin();
  for (const FrameRef& ref : newest) {
    for (; gap != missing.end() && *gap < ref.page; ++gap) {
      CAIRN_ASSIGN(const std::size_t got, database_->read_database((gap->value - 1ull) * page_size_, bytes));
      (void)got;
      CAIRN_TRY(add(*gap));
    }
    CAIRN_TRY(read_frame_page(*database_, ref.frame, page_size_, bytes));
    CAIRN_TRY(add(ref.page));
  }
  for (std::uint32_t page = scan.page_count + 1; page <= hashes_->page_count(); ++page) {
    hash ^= hashes_->get(PageNo(page));
  }
  if (output) {
    segment::RestorePoint point;
    point.sequence = sequence_.next();
    point.time_ms = now.wall_ms;
    point.commit_count = scan.commit_count;
    point.page_count = scan.page_count;
    point.hash_after = hash;
    CAIRN_TRY(hashes_->reserve(scan.page_count));
    CAIRN_TRY(output->finish(point));
    sequence_ = sequence_.next();
  }
  // From here on nothing fails: the segment is in the spool, and what we remember must say so.
  CAIRN_TRY(hashes_->resize(scan.page_count));
  for (const Change& change : changes) hashes_->set(change.page, change.hash);
  hash_ = hash;
  position_ = scan.end;
  shared_.set_status([&](ReplicatorStatus& s) { s.captured_commits += scan.commit_count; });
  return save_record();
}

// Where we are, for a next process. Not synced: what a power loss takes of it costs a reconcile.
Result<void> Capturer::save_record() {
  return shared_.local->update(Sync::no, [&](LocalRecord& r) {
    r.captured = sequence_;
    r.captured_hash = hash_;
    r.page_size = page_size_;
    r.page_count = hashes_->page_count();
    r.position = position_;
    r.database = database_->identity();
    r.has_position = true;
    r.proven = true;
  });
}

// Passes.

Result<void> Capturer::start_pass(PassGoal goal, const Time& now) {
  CAIRN_CHECK(!pass_);
  CAIRN_ASSIGN(pass_, Pass::open({.database = *database_,
                                  .shared = shared_,
                                  .spool = *spool_,
                                  .known = *hashes_,
                                  .known_page_size = page_size_,
                                  .head = head(now),
                                  .goal = goal},
                                 now));
  if (goal != PassGoal::snapshot) position_ = pass_->view().position();
  wake_us_ = now.mono_us;
  return {};
}

void Capturer::drop_pass() {
  if (pass_ && pass_->goal() == PassGoal::snapshot) shared_.snapshot_requested = true;
  pass_.reset();
}

// A pass that failed half-way is begun anew.
Result<void> Capturer::continue_pass(const Time& now) {
  const bool for_snapshot = pass_->goal() == PassGoal::snapshot;
  auto advanced = advance_pass(now);
  if (advanced) return {};
  if (for_snapshot) {
    drop_pass();
    shared_.snapshot_requested = true;
  } else {
    let_go(sqlite::CloseMode::abandon);
  }
  return advanced.error();
}

Result<void> Capturer::advance_pass(const Time& now) {
  CAIRN_ASSIGN(const bool done, pass_->read_some(kSliceBytes));
  shared_.set_status([&](ReplicatorStatus& s) { s.snapshot_pages_done = pass_->view().next_page().value - 1; });
  if (done) return finish_pass(now);
  wake_us_ = std::min(wake_us_, now.mono_us + (pass_->job() && !pass_->job()->writer->room() ? 1'000 : 0));
  return {};
}

Result<void> Capturer::finish_pass(const Time& now) {
  const std::unique_ptr<Pass> pass = std::move(pass_);
  switch (pass->goal()) {
    case PassGoal::begin:
      CAIRN_TRY(take_over(*pass));
      // Known here before it can be seen there: a crash in between must not make it look like somebody else's.
      CAIRN_TRY(shared_.local->update(Sync::yes, [&](LocalRecord& r) { r.published_hash = r.intent_hash = hash_; }));
      pass->finish_snapshot(now);
      break;
    case PassGoal::compare:
      if (pass->hash() != hash_) {
        return Error(ErrorKind::conflict,
                     fmt::format("{} differs from the newest state of {} (segment {}{}{}), and nothing on this machine "
                                 "shows that one continues the other. If the local database is the right one, run "
                                 "again with --adopt local (its difference becomes the next segment, older states stay "
                                 "restorable); if the replica is, with --adopt remote.",
                                 shared_.options.database, shared_.store.url(), sequence_.value,
                                 previous_host_.empty() ? "" : ", written by host ", previous_host_));
      }
      CAIRN_TRY(take_over(*pass));
      break;
    case PassGoal::reconcile:
      if (pass->differs()) {
        CAIRN_TRY(pass->finish_segment(now));
        sequence_ = sequence_.next();
      }
      CAIRN_TRY(take_over(*pass));
      break;
    case PassGoal::snapshot:
      if (pass->hash() != pass->expected_hash()) {
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
Result<void> Capturer::take_over(const Pass& pass) {
  page_size_ = pass.page_size();
  CAIRN_TRY(hashes_->resize(static_cast<std::uint32_t>(pass.hashes().size())));
  std::ranges::copy(pass.hashes(), hashes_->all().begin());
  hash_ = pass.hash();
  return save_record();
}

Result<void> Capturer::start_requested_snapshot(const Time& now) {
  if (pass_ || !shared_.snapshot_requested || shared_.current_job()) return {};
  CAIRN_ASSIGN(index_, database_->look());
  if (!captured_all(index_)) {
    CAIRN_ASSIGN(const bool captured, capture(now));
    if (captured) next_capture_us_ = now.mono_us + shared_.options.interval_ms * 1000;
    if (pass_) return {};  // a reconcile comes first
    CAIRN_ASSIGN(index_, database_->look());
    if (!captured_all(index_)) {
      wake_us_ = now.mono_us;
      return {};
    }
  }
  shared_.snapshot_requested = false;
  return start_pass(PassGoal::snapshot, now);
}

// Rolling over.

Result<void> Capturer::roll_over_when_due(const Time& now) {
  if (database_->access() == sqlite::Access::read_only || database_->hold() != sqlite::Hold::pin) return {};
  if (index_.max_frame.value < shared_.options.rollover_frames || (pass_ && pass_->goal() != PassGoal::snapshot)) return {};
  if (now.mono_us < next_roll_us_) {
    wake_us_ = std::min(wake_us_, next_roll_us_);
    return {};
  }
  next_roll_us_ = now.mono_us + 20'000;
  if (spool_->size_bytes() > kSpoolLimitBytes || !capture_trouble_.empty()) return {};
  CAIRN_ASSIGN(const bool done, roll_over_quietly(now));
  if (done || pass_) return {};
  return roll_over_under_gate(now);
}

// Without the write lock: enough when nobody commits just now.
Result<bool> Capturer::roll_over_quietly(const Time& now) {
  CAIRN_ASSIGN(const bool captured, capture(now));
  (void)captured;
  if (pass_ && pass_->goal() != PassGoal::snapshot) return false;
  CAIRN_TRY(spool_->make_durable());
  CAIRN_ASSIGN(const bool ran, database_->checkpoint(sqlite::Checkpoint::passive));
  (void)ran;
  CAIRN_ASSIGN(index_, database_->look());
  if (!captured_all(index_) || !index_.all_backfilled()) return false;
  CAIRN_ASSIGN(const bool on_floor, take_floor());
  if (!on_floor) return false;
  if (database_->try_checkpoint_lock()) wait_for_restart(now);
  return true;
}

Result<void> Capturer::roll_over_under_gate(const Time& now) {
  CAIRN_ASSIGN(const bool gate, database_->try_gate());
  if (!gate) return {};
  const std::int64_t began_us = shared_.stopwatch_us();
  auto exchanged = exchange_hold_under_gate(now);
  database_->release_gate();
  const std::int64_t held_us = shared_.stopwatch_us() - began_us;
  shared_.set_status([&](ReplicatorStatus& s) {
    s.write_lock_us_last = held_us;
    s.write_lock_us_max = std::max(s.write_lock_us_max, held_us);
    ++s.write_lock_count;
  });
  return exchanged;
}

// Nobody can commit now. The tail is captured, the rest backfilled, and a floor taken in place of the pin.
Result<void> Capturer::exchange_hold_under_gate(const Time& now) {
  constexpr std::uint32_t kTailFrames = 64;  // longer: not while others wait
  CAIRN_ASSIGN(index_, database_->look());
  const bool same_wal = index_.salts == position_.salts;
  if (!same_wal || index_.max_frame.value - position_.frame.value > kTailFrames) {
    next_roll_us_ = now.mono_us;
    return {};
  }
  CAIRN_ASSIGN(const bool captured, capture(now));
  (void)captured;
  CAIRN_TRY(spool_->make_durable());
  if (pass_) CAIRN_TRY(pass_->view().preserve(index_));
  database_->drop_hold_under_gate();
  CAIRN_ASSIGN(const bool ran, database_->checkpoint(sqlite::Checkpoint::passive));
  (void)ran;
  const bool alone = database_->try_checkpoint_lock();
  CAIRN_ASSIGN(const bool on_floor, take_floor());
  if (on_floor) {
    if (alone) wait_for_restart(now);
    return {};
  }
  if (alone) database_->release_checkpoint_lock();
  return database_->take_hold();
}

// Other checkpointers are kept out for a moment, in which a writer that is busy restarts the WAL: then no checkpointer
// can have seen it as it was before.
void Capturer::wait_for_restart(const Time& now) {
  constexpr std::int64_t kWait_us = 3'000;
  restart_wait_until_us_ = now.mono_us + kWait_us;
  wake_us_ = std::min(wake_us_, now.mono_us + 1'000);
  shared_.set_status([](ReplicatorStatus& s) { ++s.rollovers; });
}

void Capturer::report(const Time&) {
  trouble_since_us_ = -1;
  const bool pass_holds_back = pass_ && pass_->goal() != PassGoal::snapshot;
  MutexLock hold(shared_.mutex);
  ReplicatorStatus& s = shared_.status;
  s.database_trouble = capture_trouble_;
  s.database_trouble_kind = ErrorKind::io;
  s.phase = !pass_holds_back                           ? Phase::following
            : pass_->goal() == PassGoal::begin ? Phase::first_snapshot
                                               : Phase::reconciling;
  s.captured_sequence = sequence_.value;
  s.page_count = hashes_->page_count();
  s.page_size = page_size_;
  s.hold = hold_name(database_->hold());
  s.wal_frames = index_.max_frame.value;
  shared_.capture_settled = !pass_holds_back && captured_all(index_);
  ++shared_.capture_looks;
}

}  // namespace cairn::replicate
