// What a run of commits has made of the database: the newest version of every page that they wrote.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/files.h"
#include "replicate/wal_scan.h"
#include "sqlite/database.h"

namespace cairn::replicate {

using TakePage = std::function<Result<void>(PageNo page, ByteView bytes)>;

struct Changes {
  std::uint32_t page_count = 0;  // of the database after them
  std::uint32_t commit_count = 0;
  WalPosition end;               // behind the last of them
  // Every changed page, ascending; to be called once, while the source that made it stands still.
  std::function<Result<void>(const TakePage&)> each_page;
};

// Out of the live WAL, under the hold that `scan` was made under. `page_count_before` pages were there before.
Changes changes_in_wal(sqlite::Database& database, Scan scan, std::uint32_t page_count_before);

// The pages that were written since a segment ended, for the segment that has not ended yet. Of each it is known where
// its newest version lies: in a frame of the WAL, or, once the WAL was restarted, in the database file. So what is read
// ahead of a rollover need not be kept anywhere else (docs/architecture.md, "Ordering rules").
class TouchedPages {
 public:
  bool empty() const { return commit_count_ == 0; }
  std::uint64_t size_bytes() const { return pages_.size() * page_size_; }  // that a segment of them would hold, at most
  // What was committed behind all that was added before; `page_count_before` pages were there then. On an error nothing
  // has been added.
  Result<void> add(Scan scan, std::uint32_t page_count_before, const ScratchSpace& scratch);
  // Before more is added, while nobody waits: the rest of what does not fit in memory goes to the scratch file. io: no
  // room for it; all is as before.
  Result<void> make_room() { return pages_.make_room(); }
  // io: the scratch file does not give back what was added, and never will.
  Result<void> check() const;
  // All of it is in the database file, and a writer may restart the WAL.
  void all_backfilled();
  // Out of the live database, under a hold that lets nobody backfill a commit behind the last one added.
  Changes changes(sqlite::Database& database) const;
  void clear() { *this = {}; }

 private:
  WrittenPages pages_;
  std::uint32_t page_size_ = 0, page_count_ = 0, commit_count_ = 0;
  std::uint32_t least_page_count_ = 0;  // at the beginning, or after one of the scans
  WalPosition end_;
};

// Whether a segment ends with these changes, or goes on with the next.
enum class Ends { yes, no };

// Changes that wait, in order, in a scratch file, so that the WAL need not keep them: what is committed while the state
// before it is still being read. No application's checkpoint waits for the end of a long read of ours, and a WAL that
// is restarted many times a second meanwhile does not make as many segments. It does not survive the process, and need
// not: the database has it, and after a crash every page is compared.
class Backlog {
 public:
  // What a killed process left is removed.
  Backlog(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) { (void)files_.remove(path_); }
  ~Backlog() { clear(); }

  bool empty() const { return batches_.empty(); }
  std::uint64_t size_bytes() const { return end_; }  // of the scratch file
  // On an error nothing has been added.
  Result<void> add(const Changes& changes, std::uint32_t page_size, Ends ends);
  // The last of what was added ends a segment, too.
  void end_segment();
  bool has_unended() const { return !batches_.empty() && batches_.back().ends == Ends::no; }
  bool has_segment() const { return segment_batches() > 0; }
  // All that becomes the oldest segment, which has been ended: stays as it is until pop().
  Changes front() const;
  void pop();
  void clear();

 private:
  struct Batch {
    Changes what;
    std::uint32_t page_size = 0;
    std::uint64_t offset = 0;         // of its pages, ascending: of each its number, 4 bytes in this machine's order
    std::uint64_t changed_pages = 0;  // and its bytes
    Ends ends = Ends::yes;
  };
  std::size_t segment_batches() const;  // of the oldest segment; 0: it is not ended yet
  Result<void> read_newest(std::size_t batch_count, const TakePage& take) const;
  Result<void> read_place(std::uint64_t offset, std::span<std::byte> into) const;

  FileSystem& files_;
  const std::string path_;
  std::unique_ptr<File> file_;
  std::deque<Batch> batches_;
  std::uint64_t end_ = 0;
};

}  // namespace cairn::replicate
