// One pass over every page of a frozen state, in slices: for a snapshot, or to find the pages that differ from what is
// published, or both.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "replicate/frozen_view.h"
#include "replicate/page_hashes.h"
#include "replicate/segment_output.h"
#include "replicate/shared.h"

namespace cairn::replicate {

enum class PassGoal {
  begin,      // the first snapshot of a replica, sequence 0; nothing to compare with
  reconcile,  // the pages that differ from `known` become the next segment
  compare,    // only tell whether the database is what is published
  snapshot,   // a snapshot of a captured state
};

class Pass {
 public:
  struct Input {
    sqlite::Database& database;
    wal::IndexHeader index;       // a look under the hold that it has now
    Shared& shared;
    Spool& spool;
    const PageHashes& known;      // of the captured state
    std::uint32_t known_page_size = 0;
    segment::ObjectHead head;     // kind, page size and times are filled in here; hash_before as captured
    PassGoal goal;
    std::int64_t key_time_ms = 0;  // in the key of a snapshot
  };

  // Of the state that `index` shows. For a snapshot it must be captured already.
  static Result<std::unique_ptr<Pass>> open(const Input& input, const Time& now);
  ~Pass();

  // Reads up to `slice_bytes`, or less where it is held up. True: all pages have been read.
  Result<bool> read_some(std::uint64_t slice_bytes);
  // The snapshot's window is full; or what follows is to be copied by the store, and that has not been done yet.
  bool is_held_up();

  // After the last page.
  std::uint64_t hash() const { return hash_; }
  std::uint64_t expected_hash() const { return input_.head.hash_before; }  // of the captured state, when it began
  std::uint32_t page_size() const { return view_->page_size(); }
  bool differs() const;
  bool is_as_captured() const { return hash_ == expected_hash() && !has_other_pages_; }  // page by page, of a snapshot
  // Adds the segment with the differences to the spool (reconcile, and differs()).
  Result<void> finish_segment(const Time& now);
  // Ends the snapshot's data; the job goes on by itself (begin, snapshot).
  void finish_snapshot(const Time& now);
  // The hashes of all pages.
  std::span<const std::uint64_t> hashes() const { return hashes_; }

  PassGoal goal() const { return goal_; }
  FrozenView& view() { return *view_; }
  const std::shared_ptr<SnapshotJob>& job() const { return job_; }

 private:
  Pass(const Input& input) : input_(input), goal_(input.goal) {}
  bool makes_snapshot() const { return goal_ == PassGoal::begin || goal_ == PassGoal::snapshot; }
  Result<void> open_snapshot(const Time& now);
  CopiedRun* run_at_next();
  void hand_over(PageNo first, Bytes block);
  Result<void> take_pages(PageNo first, ByteView bytes);
  Result<void> add_difference(PageNo page, ByteView bytes, std::uint64_t hash);

  Input input_;
  const PassGoal goal_;
  std::unique_ptr<FrozenView> view_;
  std::shared_ptr<SnapshotJob> job_;
  std::unique_ptr<MappedFile> own_hashes_;  // without a job
  std::span<std::uint64_t> hashes_;
  std::uint64_t hash_ = 0;
  bool has_other_pages_ = false;            // than the captured state, when hashes_ is known from the beginning
  Bytes first_page_;                        // for a state that differs in nothing but its size
  std::unique_ptr<SegmentOutput> output_;   // opened with the first page that differs
  bool snapshot_ended_ = false;
  std::size_t next_run_ = 0;                // of the job's copies
};

}  // namespace cairn::replicate
