// The newest captured state of a database (in the store, or in the spool): which segment it is, its hash, the hash of
// every page, and the place in the WAL that it corresponds to. It moves forward by whole segments.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "replicate/attach.h"
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
  // Behind what is captured, in the WAL of now; the start of a pass sets it to the state that is read.
  const WalPosition& position() const { return position_; }
  void set_position(const WalPosition& position) { position_ = position; }
  // Nothing is committed behind the position.
  bool is_all_of(const wal::IndexHeader& index) const;

  // The head of an object that holds this state, or begins behind it.
  segment::ObjectHead head(const Time& now) const;

  // Whether the local record proves that nothing but the frames behind its position has happened to the database; then
  // its position is taken.
  Result<bool> resume(sqlite::Database& database);

  // What the scan has found becomes the next segment in the spool. Pages that are written as they were are left out;
  // when nothing differs, there is no segment. On an error nothing has changed.
  Result<void> append(sqlite::Database& database, Scan scan, const Time& now);

  // Makes room for the hashes of that many pages, so that become() cannot fail half-way.
  Result<void> reserve(std::uint32_t page_count) { return hashes_->reserve(page_count); }
  // The state that a pass has read becomes the captured one; `sequence` is the segment that says so.
  Result<void> become(sqlite::Database& database, Sequence sequence, std::uint32_t page_size, std::uint64_t hash,
                      std::span<const std::uint64_t> hashes);

 private:
  struct Draft;
  Result<void> add_page(Draft& draft, PageNo page) const;
  Result<void> add_pages(Draft& draft, sqlite::Database& database, const std::vector<FrameRef>& newest) const;
  std::vector<PageNo> pages_that_no_frame_holds(const std::vector<FrameRef>& newest, std::uint32_t page_count) const;
  Result<void> save(const sqlite::Database& database);

  Shared& shared_;
  std::shared_ptr<Spool> spool_;
  const Id128 lineage_, writer_;
  std::unique_ptr<PageHashes> hashes_;
  Sequence sequence_;
  std::uint64_t hash_ = 0;
  std::uint32_t page_size_ = 0;
  WalPosition position_;
};

}  // namespace cairn::replicate
