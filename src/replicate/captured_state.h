// The newest captured state of a database (in the store, or in the spool): which segment it is, its hash, the hash of
// every page, and the place in the WAL that it corresponds to. It moves forward by whole segments. While a pass is
// still finding out what it is, what is committed behind it waits in a backlog.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "replicate/attach.h"
#include "replicate/changes.h"
#include "replicate/page_hashes.h"
#include "replicate/shared.h"
#include "replicate/wal_scan.h"
#include "sqlite/database.h"

namespace cairn::replicate {

class CapturedState {
 public:
  // `base.hashes` and the spool of `shared` belong to the same replica.
  CapturedState(Shared& shared, Base& base);

  Sequence sequence() const { return sequence_; }
  std::uint64_t hash() const { return hash_; }
  std::uint32_t page_size() const { return page_size_; }
  const PageHashes& hashes() const { return *hashes_; }
  Spool& spool() { return *spool_; }
  // Behind what has been read out of the WAL, and need not stay there.
  const WalPosition& position() const { return position_; }
  // Nothing is committed behind the position.
  bool is_all_of(const wal::IndexHeader& index) const;

  // The head of an object that holds this state, or begins behind it.
  segment::ObjectHead head(const Time& now) const;

  // Whether the local record proves that nothing but the frames behind a position has happened to the database; then
  // that position is taken.
  Result<bool> resume(sqlite::Database& database, const Time& now);

  // What is committed behind position(), up to `upto`, becomes the next segment in the spool, with what was read before
  // and belongs to no segment yet; with Ends::no it stays such. While a pass reads it waits in the backlog. Pages that
  // are written as they were are left out; when nothing differs, there is no segment. `upto` is a look under the hold
  // that the database has now. On an error there is no segment; position() may have moved all the same.
  Result<ScanOutcome> capture(sqlite::Database& database, const wal::IndexHeader& upto, Ends ends, const Time& now);

  // Before a capture with Ends::no, while nobody waits for a lock: what such have read takes no more memory than it
  // may. io: no room for it on the disk; all is as before.
  Result<void> make_room() { return touched_.make_room(); }

  // A pass reads the state at `position`; until become() says what it is, what is committed behind it waits.
  void hold_back(const WalPosition& position, std::uint32_t page_size, std::uint32_t page_count);
  // The state at position() is in no segment yet: a pass is reading, or there is a backlog, or a segment that has not
  // ended.
  bool is_behind() const { return held_back_ || !backlog_.empty() || !touched_.empty(); }
  // What is captured and in no segment yet.
  std::uint64_t waiting_bytes() const { return backlog_.size_bytes() + touched_.size_bytes(); }
  std::uint64_t waiting_commits() const { return waiting_commits_; }
  // What was captured last is part of a segment that has not ended. It ends with the next capture; in the backlog, also
  // where it is.
  bool has_unended() const { return backlog_.has_unended() || !touched_.empty(); }
  bool ends_with_a_look() const { return !touched_.empty(); }
  void end_in_backlog() { backlog_.end_segment(); }
  // The oldest segment of the backlog can be made.
  bool can_catch_up() const { return !held_back_ && backlog_.has_segment(); }
  Result<void> catch_up(sqlite::Database& database, const Time& now);
  // The database is let go: whatever was committed meanwhile is to be found anew.
  void forget_waiting();

  // Makes room for the hashes of that many pages, so that become() cannot fail half-way.
  Result<void> reserve(std::uint32_t page_count) { return hashes_->reserve(page_count); }
  // The state that a pass has read becomes the captured one; `sequence` is the segment that says so.
  Result<void> become(sqlite::Database& database, Sequence sequence, std::uint32_t page_size, std::uint64_t hash,
                      std::span<const std::uint64_t> hashes);

 private:
  Result<std::optional<WalPosition>> proven_position(sqlite::Database& database, const wal::IndexHeader& index,
                                                     const Time& now) const;
  struct Draft;
  Result<void> add_page(Draft& draft, PageNo page, ByteView bytes) const;
  Result<void> end_touched(sqlite::Database& database, const wal::IndexHeader& upto, const Time& now);
  Result<void> append(sqlite::Database& database, const Changes& changes, const Time& now);
  Error forget_pages(const Error& why);
  Result<void> save(const sqlite::Database& database);
  ScratchSpace scratch() const { return spool_->scratch(shared_.options.pages_in_memory); }

  Shared& shared_;
  std::shared_ptr<Spool> spool_;
  const Id128 lineage_, writer_;
  std::unique_ptr<PageHashes> hashes_;
  Sequence sequence_;
  std::uint64_t hash_ = 0;
  std::uint32_t page_size_ = 0;
  WalPosition captured_position_;  // of this state

  WalPosition position_;           // of what has been read: behind the backlog, if there is one
  std::uint32_t read_page_size_ = 0, read_page_count_ = 0;  // of the database there
  bool held_back_ = false;
  Backlog backlog_;
  TouchedPages touched_;  // or the backlog
  std::uint64_t waiting_commits_ = 0;  // in either
};

}  // namespace cairn::replicate
