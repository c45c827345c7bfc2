#include "replicate/captured_state.h"

#include <algorithm>
#include <functional>

#include "replicate/segment_output.h"

namespace cairn::replicate {

CapturedState::CapturedState(Shared& shared, Base& base)
    : shared_(shared),
      spool_(shared.current_spool()),
      lineage_(base.lineage),
      writer_(base.writer),
      hashes_(std::move(base.hashes)),
      sequence_(base.sequence),
      hash_(base.hash),
      page_size_(base.page_size),
      backlog_(shared.files, join_path(shared.options.state_directory, "backlog")) {}

bool CapturedState::is_all_of(const wal::IndexHeader& index) const {
  if (index.max_frame.value == 0) return true;
  return index.salts == position_.salts && index.max_frame == position_.frame;
}

segment::ObjectHead CapturedState::head(const Time& now) const {
  segment::ObjectHead head;
  head.page_size = page_size_;
  head.lineage = lineage_;
  head.writer = writer_;
  head.first = head.last = sequence_;
  head.first_time_ms = head.last_time_ms = now.wall_ms;
  head.hash_before = hash_;
  return head;
}

Result<bool> CapturedState::resume(sqlite::Database& database, const Time& now) {
  const LocalRecord record = shared_.local->record();
  if (!record.has_position || record.captured != sequence_ || record.captured_hash != hash_ ||
      record.database != database.identity() || hashes_->page_count() != record.page_count || record.page_count == 0) {
    return false;
  }
  CAIRN_ASSIGN(const wal::IndexHeader index, database.look());
  CAIRN_ASSIGN(const auto position, proven_position(database, index, now));
  if (!position) return false;
  // Under a floor the frames behind our position could be overwritten before they are captured.
  if (database.hold() == sqlite::Hold::floor && index.max_frame != position->frame) return false;
  position_ = captured_position_ = *position;
  read_page_size_ = page_size_;
  read_page_count_ = hashes_->page_count();
  return true;
}

// Either what was captured last is in the WAL still, and nobody has written the file since; or the file has all of
// it and was not written since it went to rest: then whatever the WAL holds was written after that.
Result<std::optional<WalPosition>> CapturedState::proven_position(sqlite::Database& database,
                                                                  const wal::IndexHeader& index,
                                                                  const Time& now) const {
  const LocalRecord record = shared_.local->record();
  const WalPosition& last = record.position;
  const std::uint32_t page_size = index.max_frame.value > 0 ? index.page_size : database.header_at_open().page_size;
  if (page_size != page_size_) return std::optional<WalPosition>();
  if (record.database_modified_ns == database.modified_ns() && index.salts == last.salts &&
      index.max_frame >= last.frame) {
    CAIRN_ASSIGN(const bool continues, wal_continues(database, last, page_size_));
    if (continues) return std::optional(last);
  }
  const bool is_known = record.rests && record.rest.whole_in_file &&
                        is_comparable(record.rest, boot_of(shared_.options), now) &&
                        mark_files(shared_.options.database).database == record.rest.files.database;
  return is_known ? std::optional(WalPosition{}) : std::nullopt;
}

Result<ScanOutcome> CapturedState::capture(sqlite::Database& database, const wal::IndexHeader& upto, Ends ends,
                                           const Time& now) {
  CAIRN_ASSIGN(Scan scan, scan_wal(database, position_, upto, scratch()));
  const ScanOutcome outcome = scan.outcome;
  if (outcome == ScanOutcome::hole) return outcome;
  if (outcome == ScanOutcome::nothing) {
    if (touched_.empty() || ends == Ends::no) return outcome;
    CAIRN_TRY(end_touched(database, upto, now));
    return ScanOutcome::commits;
  }
  if (scan.page_size != read_page_size_) return ScanOutcome::hole;
  const std::uint32_t commits = scan.commit_count, page_count = scan.page_count;
  const WalPosition end = scan.end;
  const bool waits_for_pass = held_back_ || !backlog_.empty();
  if (waits_for_pass) {
    CAIRN_TRY(backlog_.add(changes_in_wal(database, std::move(scan), read_page_count_), read_page_size_, ends));
  } else if (ends == Ends::yes && touched_.empty()) {
    CAIRN_TRY(append(database, changes_in_wal(database, std::move(scan), read_page_count_), now));
  } else {
    CAIRN_TRY(touched_.add(std::move(scan), read_page_count_, scratch()));
  }
  position_ = end;
  if (waits_for_pass || ends == Ends::no || !touched_.empty()) waiting_commits_ += commits;
  read_page_count_ = page_count;
  shared_.set_status([&](ReplicatorStatus& s) {
    s.captured_commits += commits;
    s.wal_restarts += outcome == ScanOutcome::restarted;
  });
  if (!waits_for_pass && ends == Ends::yes && !touched_.empty()) CAIRN_TRY(end_touched(database, upto, now));
  return outcome;
}

namespace {

// What waits to become a segment was read before, and the WAL may have been restarted since: a scratch file that does
// not give it back once will not give it back later. Then every page is compared, and what waited is found so.
Error unless_lost(const Error& why, const std::function<Result<void>()>& read_again) {
  if (why.kind() != ErrorKind::io) return why;
  const Result<void> there = read_again();
  if (there) return why;
  return there.error().as(ErrorKind::corrupt).with("what was read ahead is lost, and every page is compared anew");
}

}  // namespace

// With everything backfilled, the database file has the newest version of every page, and the hold (a pin that marks
// no later commit, or a floor) lets nobody change it; the WAL may be restarted meanwhile. With less, the WAL is not
// restarted, and a page that has no frame there does not change in the file.
Result<void> CapturedState::end_touched(sqlite::Database& database, const wal::IndexHeader& upto, const Time& now) {
  if (upto.all_backfilled()) touched_.all_backfilled();
  if (const auto ended = append(database, touched_.changes(database), now); !ended) {
    return unless_lost(ended.error(), [this] { return touched_.check(); });
  }
  touched_.clear();
  waiting_commits_ = 0;
  return {};
}

void CapturedState::hold_back(const WalPosition& position, std::uint32_t page_size, std::uint32_t page_count) {
  backlog_.clear();
  touched_.clear();
  waiting_commits_ = 0;
  held_back_ = true;
  position_ = captured_position_ = position;
  read_page_size_ = page_size;
  read_page_count_ = page_count;
}

Result<void> CapturedState::catch_up(sqlite::Database& database, const Time& now) {
  if (!can_catch_up()) return {};
  const Changes front = backlog_.front();
  if (const auto ended = append(database, front, now); !ended) {
    return unless_lost(ended.error(), [this] {
      return backlog_.front().each_page([](PageNo, ByteView) -> Result<void> { return {}; });
    });
  }
  backlog_.pop();
  waiting_commits_ -= front.commit_count;
  return {};
}

void CapturedState::forget_waiting() {
  backlog_.clear();
  touched_.clear();
  waiting_commits_ = 0;
  held_back_ = false;
}

// A segment being made.
struct CapturedState::Draft {
  const std::uint32_t page_count;
  const Time& now;
  std::unique_ptr<SegmentOutput> output;  // opened with the first page that differs
  std::uint64_t hash;
};

Result<void> CapturedState::add_page(Draft& draft, PageNo page, ByteView bytes) const {
  const std::uint64_t hash = segment::page_hash(page, bytes);
  const bool unchanged = page.value <= hashes_->page_count() && hashes_->get(page) == hash;
  // Page 1 is sent when the size changes, so that a segment is never empty.
  if (unchanged && !(page.value == 1 && draft.page_count != hashes_->page_count())) return {};
  if (!draft.output) {
    segment::ObjectHead segment_head = head(draft.now);
    segment_head.kind = segment::ObjectKind::segment;
    segment_head.first = segment_head.last = sequence_.next();
    CAIRN_ASSIGN(draft.output, SegmentOutput::open(shared_, *spool_, segment_head));
  }
  draft.hash ^= hashes_->get(page) ^ hash;
  return draft.output->add_page(page, bytes, hash);
}

Result<void> CapturedState::append(sqlite::Database& database, const Changes& changes, const Time& now) {
  Draft draft{.page_count = changes.page_count, .now = now, .output = {}, .hash = hash_};
  CAIRN_TRY(changes.each_page([&](PageNo page, ByteView bytes) { return add_page(draft, page, bytes); }));
  for (std::uint32_t page = changes.page_count + 1; page <= hashes_->page_count(); ++page) {
    draft.hash ^= hashes_->get(PageNo(page));
  }
  CAIRN_TRY(hashes_->reserve(changes.page_count));
  if (draft.output) {
    segment::RestorePoint point;
    point.sequence = sequence_.next();
    point.time_ms = now.wall_ms;
    point.commit_count = changes.commit_count;
    point.page_count = changes.page_count;
    point.hash_after = draft.hash;
    CAIRN_TRY(draft.output->finish(point));
    sequence_ = sequence_.next();
  }
  // From here on nothing may stop half-way: the segment is in the spool, and what we remember has to say so.
  hash_ = draft.hash;
  captured_position_ = changes.end;
  CAIRN_TRY(hashes_->resize(changes.page_count));
  if (draft.output) {
    const auto remember = [this](PageNo page, std::uint64_t hash) { hashes_->set(page, hash); };
    if (const auto known = draft.output->each_page_hash(remember); !known) return forget_pages(known.error());
  }
  return save(database);
}

// What the newest segment has is not known page by page, and cannot be guessed: the next one has every page.
Error CapturedState::forget_pages(const Error& why) {
  page_size_ = 0;
  (void)hashes_->resize(0);  // that never fails: less takes no room
  return why.as(ErrorKind::corrupt).with("what was captured cannot be remembered: every page is captured anew");
}

Result<void> CapturedState::become(sqlite::Database& database, Sequence sequence, std::uint32_t page_size,
                                   std::uint64_t hash, std::span<const std::uint64_t> hashes) {
  CAIRN_TRY(hashes_->resize(static_cast<std::uint32_t>(hashes.size())));
  std::ranges::copy(hashes, hashes_->all().begin());
  sequence_ = sequence;
  page_size_ = page_size;
  hash_ = hash;
  held_back_ = false;
  return save(database);
}

// Where we are, for a next process. Not synced: what a power loss takes of it costs a reconcile. But that the database
// continues this history, which a person may have decided, is synced once.
Result<void> CapturedState::save(const sqlite::Database& database) {
  const auto change = [&](LocalRecord& r) {
    r.captured = sequence_;
    r.captured_hash = hash_;
    r.page_size = page_size_;
    r.page_count = hashes_->page_count();
    r.position = captured_position_;
    r.database = database.identity();
    r.database_modified_ns = database.last_modified_ns();
    r.has_position = true;
    r.proven = true;
    r.rests = false;
  };
  if (!shared_.local->record().proven) return shared_.local->update(Sync::yes, change);
  const auto front = spool_->front();
  return front && !front->has_file ? shared_.local->note_captured(change) : shared_.local->update(Sync::no, change);
}

}  // namespace cairn::replicate
