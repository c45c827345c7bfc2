// The database as it was at one moment, read in order while it goes on being written and checkpointed.
//
// It holds nothing in SQLite of its own: the database's one hold moves on with every commit, so that no application's
// checkpoint ever waits for a long read of ours. Instead, before a hold moves past new frames, the old versions of the
// pages in them that are still to be read are put aside (copy on write) into a scratch file.
//
// At any time a page of the frozen state is, in this order: put aside; in the WAL, at the newest frame known here; in
// the database file.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/files.h"
#include "replicate/page_table.h"
#include "replicate/wal_scan.h"
#include "sqlite/database.h"

namespace cairn::replicate {

class FrozenView {
 public:
  // Of the state that `index` shows, a look under the hold that `database` has: nothing behind it is backfilled.
  static Result<std::unique_ptr<FrozenView>> open(sqlite::Database& database, const wal::IndexHeader& index,
                                                  FileSystem& files, const std::string& scratch_path,
                                                  ScratchSpace sorting);
  ~FrozenView();

  const WalPosition& position() const { return position_; }  // of the frozen state
  std::uint32_t page_size() const { return page_size_; }
  std::uint32_t page_count() const { return page_count_; }
  PageNo next_page() const { return next_; }  // the first one not read yet
  std::uint64_t scratch_bytes() const { return std::uint64_t{aside_.size()} * page_size_; }

  // To be called before a hold moves, so that frames up to `upto` may be backfilled afterwards; others may be waiting.
  Result<void> preserve(const wal::IndexHeader& upto);
  // The hold has become a floor: everything known here is in the database file.
  void all_backfilled() { newest_.clear(); }

  // The next `into.size() / page_size` pages; zeros for the lock-byte page.
  Result<void> read_next(std::span<std::byte> into);

 private:
  FrozenView(sqlite::Database& database, FileSystem& files, std::string scratch_path, ScratchSpace sorting)
      : database_(database), files_(files), scratch_path_(std::move(scratch_path)), sorting_(std::move(sorting)) {}
  Result<void> learn_wal(const wal::IndexHeader& index);
  Result<void> put_aside(PageNo page);
  Result<void> patch(PageNo page, std::span<std::byte> bytes);

  sqlite::Database& database_;
  FileSystem& files_;
  std::string scratch_path_;
  ScratchSpace sorting_;        // of frames
  WalPosition position_;
  WalPosition preserved_;       // frames up to here have been looked at
  std::uint32_t page_size_ = 0;
  std::uint32_t page_count_ = 0;
  PageNo next_{1};
  PageTable newest_;            // page -> its frame in the WAL, where that may not be in the database file
  PageTable aside_;             // page -> slot in the scratch file, from 1
  std::unique_ptr<File> scratch_;
};

}  // namespace cairn::replicate
