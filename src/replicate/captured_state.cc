#include "replicate/captured_state.h"

#include <algorithm>

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
      page_size_(base.page_size) {}

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

Result<bool> CapturedState::resume(sqlite::Database& database) {
  const LocalRecord record = shared_.local->record();
  if (!record.has_position || record.captured != sequence_ || record.captured_hash != hash_ ||
      record.database != database.identity() || record.database_modified_ns != database.modified_ns() ||
      hashes_->page_count() != record.page_count || record.page_count == 0) {
    return false;
  }
  CAIRN_ASSIGN(const wal::IndexHeader index, database.look());
  const WalPosition& position = record.position;
  if (index.page_size != page_size_ || index.salts != position.salts || index.max_frame < position.frame) return false;
  // Under a floor the frames behind our position could be overwritten before they are captured.
  if (database.hold() == sqlite::Hold::floor && index.max_frame != position.frame) return false;
  CAIRN_ASSIGN(const bool continues, wal_continues(database, position, page_size_));
  if (continues) position_ = position;
  return continues;
}

// A segment being made.
struct CapturedState::Draft {
  struct Change {
    PageNo page;
    std::uint64_t hash;
  };
  const Scan& scan;
  const Time& now;
  std::unique_ptr<SegmentOutput> output;  // opened with the first page that differs
  std::vector<Change> changes;
  std::uint64_t hash;
  Bytes bytes;  // of the page at hand
};

Result<void> CapturedState::add_page(Draft& draft, PageNo page) const {
  const std::uint64_t hash = segment::page_hash(page, draft.bytes);
  const bool unchanged = page.value <= hashes_->page_count() && hashes_->get(page) == hash;
  // Page 1 is sent when the size changes, so that a segment is never empty.
  if (unchanged && !(page.value == 1 && draft.scan.page_count != hashes_->page_count())) return {};
  if (!draft.output) {
    segment::ObjectHead segment_head = head(draft.now);
    segment_head.kind = segment::ObjectKind::segment;
    segment_head.first = segment_head.last = sequence_.next();
    CAIRN_ASSIGN(draft.output, SegmentOutput::open(shared_.files, *spool_, segment_head, shared_.executor,
                                                   shared_.options.segment_level));
  }
  draft.hash ^= hashes_->get(page) ^ hash;
  draft.changes.push_back({page, hash});
  return draft.output->add_page(page, draft.bytes, hash);
}

// Pages that the database has grown by without writing them. SQLite writes every page it adds; should one ever be
// missing, what the database file holds there is what a reader would see.
std::vector<PageNo> CapturedState::pages_that_no_frame_holds(const std::vector<FrameRef>& newest,
                                                             std::uint32_t page_count) const {
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

Result<void> CapturedState::add_pages(Draft& draft, sqlite::Database& database,
                                      const std::vector<FrameRef>& newest) const {
  const std::vector<PageNo> missing = pages_that_no_frame_holds(newest, draft.scan.page_count);
  auto gap = missing.begin();
  const auto add_gaps_before = [&](std::uint64_t page) -> Result<void> {
    for (; gap != missing.end() && gap->value < page; ++gap) {
      CAIRN_TRY(database.read_database((gap->value - 1ull) * page_size_, draft.bytes));
      CAIRN_TRY(add_page(draft, *gap));
    }
    return {};
  };
  for (const FrameRef& ref : newest) {
    CAIRN_TRY(add_gaps_before(ref.page.value));
    CAIRN_TRY(read_frame_page(database, ref.frame, page_size_, draft.bytes));
    CAIRN_TRY(add_page(draft, ref.page));
  }
  return add_gaps_before(~0ull);
}

Result<void> CapturedState::append(sqlite::Database& database, Scan scan, const Time& now) {
  const auto newest = newest_frames(std::move(scan.frames), scan.page_count);
  Draft draft{.scan = scan, .now = now, .output = {}, .changes = {}, .hash = hash_, .bytes = Bytes(page_size_)};
  CAIRN_TRY(add_pages(draft, database, newest));
  for (std::uint32_t page = scan.page_count + 1; page <= hashes_->page_count(); ++page) {
    draft.hash ^= hashes_->get(PageNo(page));
  }
  CAIRN_TRY(hashes_->reserve(scan.page_count));
  if (draft.output) {
    segment::RestorePoint point;
    point.sequence = sequence_.next();
    point.time_ms = now.wall_ms;
    point.commit_count = scan.commit_count;
    point.page_count = scan.page_count;
    point.hash_after = draft.hash;
    CAIRN_TRY(draft.output->finish(point));
    sequence_ = sequence_.next();
  }
  // From here on nothing may stop half-way: the segment is in the spool, and what we remember has to say so.
  CAIRN_TRY(hashes_->resize(scan.page_count));
  for (const Draft::Change& change : draft.changes) hashes_->set(change.page, change.hash);
  hash_ = draft.hash;
  position_ = scan.end;
  return save(database);
}

Result<void> CapturedState::become(sqlite::Database& database, Sequence sequence, std::uint32_t page_size,
                                   std::uint64_t hash, std::span<const std::uint64_t> hashes) {
  CAIRN_TRY(hashes_->resize(static_cast<std::uint32_t>(hashes.size())));
  std::ranges::copy(hashes, hashes_->all().begin());
  sequence_ = sequence;
  page_size_ = page_size;
  hash_ = hash;
  return save(database);
}

// Where we are, for a next process. Not synced: what a power loss takes of it costs a reconcile. But that the database
// continues this history, which a person may have decided, is synced once.
Result<void> CapturedState::save(const sqlite::Database& database) {
  const Sync sync = shared_.local->record().proven ? Sync::no : Sync::yes;
  return shared_.local->update(sync, [&](LocalRecord& r) {
    r.captured = sequence_;
    r.captured_hash = hash_;
    r.page_size = page_size_;
    r.page_count = hashes_->page_count();
    r.position = position_;
    r.database = database.identity();
    r.database_modified_ns = database.modified_ns();
    r.has_position = true;
    r.proven = true;
  });
}

}  // namespace cairn::replicate
